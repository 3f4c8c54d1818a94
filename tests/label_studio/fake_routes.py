"""Which request is answered by what in the fake Label Studio, and who may ask."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.label_studio import fake_hooks, fake_projects, fake_tasks
from tests.label_studio.fake_interface import VERSION, RefusalError, invalid, unmodeled
from tests.label_studio.fake_requests import PAGE_404, Call, Reply, Request, refused
from tests.label_studio.fake_rows import User
from tests.label_studio.fake_state import State
from tests.label_studio.fake_tokens import Tokens
from tests.label_studio.fake_views import user_view

NO_CREDENTIALS = "Authentication credentials were not provided."
LEGACY_IS_OFF = (
    "Authentication token no longer valid: legacy token authentication has been disabled for "
    "this organization"
)


def whoami(call: Call) -> Reply:
    """Return whoever asks."""
    return Reply(200, user_view(call.user))


def list_users(call: Call) -> Reply:
    """Return all people."""
    return Reply(200, [user_view(user) for user in call.state.users.values()])


def create_user(call: Call) -> Reply:
    """Add a person; the API tells no token of theirs."""
    fields = call.request.fields()
    errors = {}
    if "username" not in fields:
        errors["username"] = ["This field is required."]
    if any(user.email == fields.get("email") for user in call.state.users.values()):
        errors["email"] = ["user with this email address already exists."]
    if errors:
        raise RefusalError(400, "Validation error", errors)
    user = User(
        id=call.state.next_id("user"),
        email=fields["email"],
        username=fields["username"],
        token="",
        joined=call.state.clock(),
    )
    call.state.users[user.id] = user
    return Reply(201, user_view(user))


def show_token(call: Call) -> Reply:
    """Return the legacy token of whoever asks."""
    return Reply(200, {"token": call.user.token})


def list_tokens(call: Call) -> Reply:
    """Return the personal access token of whoever asks, without its signature."""
    token = call.user.refresh_token
    return Reply(200, [{"token": token.rpartition(".")[0]}] if token else [])


def create_token(call: Call) -> Reply:
    """Make a personal access token; a person has one at most."""
    if call.user.refresh_token is not None:
        raise RefusalError(
            409, "You already have a valid token. Please revoke it before creating a new one."
        )
    call.user.refresh_token = call.tokens.refresh_for(call.user.id)
    return Reply(201, {"token": call.user.refresh_token})


def token_settings(call: Call) -> Reply:
    """Say, or set, whether legacy tokens work."""
    if call.request.method == "POST":
        wanted = call.request.fields().get("legacy_api_tokens_enabled", call.state.legacy_tokens)
        call.state.legacy_tokens = bool(wanted)
    return Reply(
        200, {"api_tokens_enabled": True, "legacy_api_tokens_enabled": call.state.legacy_tokens}
    )


Answer = Callable[..., Reply]
# `#` is an id; `!` forbids a slash at the end, which all others may have.
ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("GET", "current-user/whoami!", whoami),
    ("GET", "current-user/token!", show_token),
    ("GET", "users", list_users),
    ("POST", "users", create_user),
    ("GET", "token", list_tokens),
    ("POST", "token", create_token),
    ("GET|POST", "jwt/settings!", token_settings),
    ("GET", "projects", fake_projects.list_projects),
    ("POST", "projects", fake_projects.create_project),
    ("GET", "projects/#", fake_projects.get_project),
    ("PATCH", "projects/#", fake_projects.patch_project),
    ("DELETE", "projects/#", fake_projects.delete_project),
    ("DELETE", "projects/#/tasks", fake_projects.delete_project_tasks),
    ("POST", "projects/#/validate", fake_projects.validate_project),
    ("POST", "projects/#/import!", fake_projects.import_tasks),
    ("POST", "projects/#/import/predictions!", fake_tasks.import_predictions),
    ("GET", "projects/#/next", fake_projects.next_task),
    ("GET", "projects/#/export!", fake_projects.export),
    ("GET", "tasks", fake_tasks.list_tasks),
    ("POST", "tasks", fake_tasks.create_task),
    ("GET", "tasks/#", fake_tasks.get_task),
    ("PATCH", "tasks/#", fake_tasks.patch_task),
    ("DELETE", "tasks/#", fake_tasks.delete_task),
    ("POST", "dm/actions", fake_tasks.act),
    ("GET", "tasks/#/annotations", fake_tasks.list_annotations),
    ("POST", "tasks/#/annotations", fake_tasks.create_annotation),
    ("POST", "tasks/#/drafts!", fake_tasks.create_draft),
    ("GET", "annotations/#", fake_tasks.get_annotation),
    ("PATCH", "annotations/#", fake_tasks.patch_annotation),
    ("DELETE", "annotations/#", fake_tasks.delete_annotation),
    ("GET", "predictions", fake_tasks.list_predictions),
    ("POST", "predictions", fake_tasks.create_prediction),
    ("PATCH", "predictions/#", fake_tasks.patch_prediction),
    ("DELETE", "predictions/#", fake_tasks.delete_prediction),
    ("GET", "webhooks", fake_hooks.list_webhooks),
    ("POST", "webhooks", fake_hooks.create_webhook),
    ("GET", "webhooks/#", fake_hooks.get_webhook),
    ("PATCH", "webhooks/#", fake_hooks.patch_webhook),
    ("DELETE", "webhooks/#", fake_hooks.delete_webhook),
    ("GET", "ml", fake_hooks.list_backends),
    ("POST", "ml", fake_hooks.create_backend),
    ("PATCH", "ml/#!", fake_hooks.patch_backend),
    ("DELETE", "ml/#!", fake_hooks.delete_backend),
)


def _pattern(path: str) -> re.Pattern[str]:
    exact = f"/api/{path.removesuffix('!').replace('#', '([0-9]+)')}"
    return re.compile(exact if path.endswith("!") else f"{exact}/?")


_COMPILED = tuple((methods.split("|"), _pattern(path), answer) for methods, path, answer in ROUTES)


def answer_request(state: State, tokens: Tokens, request: Request) -> Reply:
    """Answer one request."""
    try:
        return _answer(state, tokens, request)
    except RefusalError as error:
        return refused(error)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return refused(unmodeled(f"{request.method} {request.path} as it was sent ({error!r})"))


def _answer(state: State, tokens: Tokens, request: Request) -> Reply:
    path = request.path.rstrip("/")
    if path in ("/health", "/api/health"):
        return Reply(200, {"status": "UP"}, "text/html; charset=utf-8")
    if path == "/api/version":
        return Reply(200, {"release": VERSION})
    if path == "/api/token/refresh" and request.method == "POST":
        return _refresh(tokens, request)
    matches = [
        (methods, found, answer)
        for methods, pattern, answer in _COMPILED
        if (found := pattern.fullmatch(request.path))
    ]
    if not matches:
        return PAGE_404
    user = _user(state, tokens, request)
    for methods, found, answer in matches:
        if request.method in methods:
            call = Call(state, tokens, request, user)
            return answer(call, *(int(group) for group in found.groups()))
    raise RefusalError(405, f'Method "{request.method}" not allowed.')


def _refresh(tokens: Tokens, request: Request) -> Reply:
    token = request.fields().get("refresh")
    if token is None:
        raise invalid("refresh", "This field is required.")
    user_id = tokens.user_of(token, "refresh")
    if user_id is None:
        raise RefusalError(401, "Token is invalid")
    return Reply(200, {"access": tokens.access_for(user_id)})


def _user(state: State, tokens: Tokens, request: Request) -> User:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme == "Bearer":
        user_id = tokens.user_of(token, "access")
        if user_id is not None:
            return state.users[user_id]
    if scheme != "Token":
        raise RefusalError(401, NO_CREDENTIALS)
    for user in state.users.values():
        if token and user.token == token:
            if not state.legacy_tokens:
                raise RefusalError(401, LEGACY_IS_OFF)
            return user
    raise RefusalError(401, "Invalid token.")
