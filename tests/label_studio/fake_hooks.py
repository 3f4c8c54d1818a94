"""Webhooks and ML backends of the fake Label Studio: it calls them as the real one does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import httpx

from tests.label_studio.fake_interface import RefusalError, invalid
from tests.label_studio.fake_requests import PAGE_404, Call, Reply
from tests.label_studio.fake_state import State
from tests.label_studio.fake_views import moment, project_view

ACTIONS = {
    "PROJECT_CREATED",
    "PROJECT_UPDATED",
    "PROJECT_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
}
# It waits this long for a webhook, and never tries again.
WEBHOOK_SECONDS = 1.0
BACKEND_SECONDS = 5.0


def emitted(
    state: State, action: str, project_id: int, content: dict[str, Any]
) -> tuple[Callable[[], None], ...]:
    """Return the calls that tell webhooks of an action."""
    payload = {"action": action, **content}
    if project_id in state.projects:
        payload["project"] = project_view(state, state.projects[project_id])
    return tuple(
        functools.partial(_tell, hook, payload)
        for hook in state.webhooks.values()
        if hook["is_active"]
        and hook["project"] in (None, project_id)
        and (hook["send_for_all_actions"] or action in hook["actions"])
    )


def _tell(hook: dict[str, Any], payload: dict[str, Any]) -> None:
    content = payload if hook["send_payload"] else {"action": payload["action"]}
    try:
        httpx.post(hook["url"], json=content, headers=hook["headers"], timeout=WEBHOOK_SECONDS)
    except httpx.HTTPError:
        return  # A webhook that fails is forgotten.


def list_webhooks(call: Call) -> Reply:
    """Return the webhooks, of one project where it is named."""
    project = call.request.params.get("project")
    rows = call.state.webhooks.values()
    return Reply(200, [row for row in rows if project is None or str(row["project"]) == project])


def create_webhook(call: Call) -> Reply:
    """Add a webhook; the same one twice is two."""
    fields = call.request.fields()
    if "url" not in fields:
        raise invalid("url", "This field is required.")
    _check_actions(fields)
    now = moment(call.state.clock())
    row = {
        "id": call.state.next_id("webhook"),
        "organization": 1,
        "project": fields.get("project"),
        "url": fields["url"],
        "send_payload": fields.get("send_payload", True),
        "send_for_all_actions": fields.get("send_for_all_actions", True),
        "headers": fields.get("headers", {}),
        "is_active": fields.get("is_active", True),
        "actions": fields.get("actions", []),
        "created_at": now,
        "updated_at": now,
    }
    call.state.webhooks[row["id"]] = row
    return Reply(201, row)


def get_webhook(call: Call, webhook_id: int) -> Reply:
    """Return a webhook."""
    return Reply(200, _webhook(call, webhook_id))


def patch_webhook(call: Call, webhook_id: int) -> Reply:
    """Change a webhook. Without `actions` among the changes it loses all of them."""
    row, fields = _webhook(call, webhook_id), call.request.fields()
    _check_actions(fields)
    row.update({name: value for name, value in fields.items() if name in row and name != "id"})
    row["actions"] = fields.get("actions", [])
    row["updated_at"] = moment(call.state.clock())
    return Reply(200, row)


def delete_webhook(call: Call, webhook_id: int) -> Reply:
    """Delete a webhook."""
    del call.state.webhooks[_webhook(call, webhook_id)["id"]]
    return Reply(204)


def _webhook(call: Call, webhook_id: int) -> dict[str, Any]:
    if webhook_id not in call.state.webhooks:
        raise RefusalError(404, "No Webhook matches the given query.")
    return call.state.webhooks[webhook_id]


def _check_actions(fields: dict[str, Any]) -> None:
    wrong = {
        str(place): [f'"{action}" is not a valid choice.']
        for place, action in enumerate(fields.get("actions", ()))
        if action not in ACTIONS
    }
    if wrong:
        raise RefusalError(400, "Validation error", {"actions": wrong})


def list_backends(call: Call) -> Reply:
    """Return the ML backends of a project, or all, each asked how it is."""
    project = call.request.params.get("project")
    rows = [
        row
        for row in call.state.backends.values()
        if project is None or str(row["project"]) == project
    ]
    for row in rows:
        try:
            _set_up(call, row, row)
        except RefusalError:
            row["state"], row["readable_state"] = "ER", "Error"
    return Reply(200, [_shown(row) for row in rows])


def create_backend(call: Call) -> Reply:
    """Add an ML backend that answers `/health` and `/setup`. The fake never asks it to guess."""
    fields = call.request.fields()
    if "project" not in fields:
        raise invalid("project", "This field is required.")
    project = call.state.project(int(fields["project"]))
    now = moment(call.state.clock())
    row = {
        "id": 0,
        "is_interactive": False,
        "error_message": None,
        "title": "",
        "auth_method": "NONE",
        "basic_auth_user": "",
        "basic_auth_pass": "",
        "description": "",
        "extra_params": None,
        "timeout": 100.0,
        "created_at": now,
        "updated_at": now,
        "auto_update": True,
        **fields,
        "project": project.id,
    }
    _set_up(call, row, row)
    row["id"] = call.state.next_id("backend")
    call.state.backends[row["id"]] = row
    if not project.settings["model_version"]:
        project.settings["model_version"] = row["title"]
    return Reply(201, _shown(row))


def patch_backend(call: Call, backend_id: int) -> Reply:
    """Change an ML backend; it is asked how it is with the credentials sent along, or none."""
    row, fields = _backend(call, backend_id), call.request.fields()
    if row is None:
        return PAGE_404
    _set_up(call, row, {"url": row["url"], **fields})
    row.update({name: value for name, value in fields.items() if name in row and name != "id"})
    return Reply(200, _shown(row))


def delete_backend(call: Call, backend_id: int) -> Reply:
    """Delete an ML backend."""
    if _backend(call, backend_id) is None:
        return PAGE_404
    del call.state.backends[backend_id]
    return Reply(204)


def _backend(call: Call, backend_id: int) -> dict[str, Any] | None:
    return call.state.backends.get(backend_id)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "basic_auth_pass"}
    return shown | {"basic_auth_pass_is_set": bool(row["basic_auth_pass"])}


def _set_up(call: Call, row: dict[str, Any], access: dict[str, Any]) -> None:
    project = call.state.project(row["project"])
    url = str(access["url"]).rstrip("/")
    setup = {
        "project": f"{project.id}.{int(project.created_at.timestamp())}",
        "schema": project.settings["label_config"],
        "hostname": call.request.url,
        "access_token": call.state.users[project.created_by].token,
        "extra_params": row["extra_params"],
    }
    known = access.get("auth_method") == "BASIC_AUTH"
    auth = (access["basic_auth_user"], access["basic_auth_pass"]) if known else None
    try:
        httpx.get(f"{url}/health", auth=auth, timeout=BACKEND_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        raise invalid(
            "non_field_errors", f"Can't connect to ML backend {url}, health check failed. {error}"
        ) from None
    try:
        answer = httpx.post(f"{url}/setup", json=setup, auth=auth, timeout=BACKEND_SECONDS)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise invalid(
            "non_field_errors",
            f"Successfully connected to {url} but it doesn't look like a valid ML backend. {error}",
        ) from None
    row["model_version"] = answer.json().get("model_version")
    row["state"], row["readable_state"] = "CO", "Connected"
