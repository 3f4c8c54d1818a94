"""What Label Studio must know of `holdfast web`: where hints go, and who guesses."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError

# Whoever serves the hooks needs no client, and the SDK behind it takes a second to import.
if TYPE_CHECKING:
    from holdfast.annotation.label_studio_client import LabelStudioClient

# Of HTTP headers Label Studio's webhooks carry what they are given, and no signature.
SECRET_HEADER = "X-Holdfast-Secret"  # noqa: S105  (a name, not a secret)
GUESS_USER = "holdfast"
# Label Studio shows the guesses of the backend whose title is the project's model version.
TITLE = "Holdfast"
_ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
)
# Seconds Label Studio waits for guesses: the first one loads torch and the model.
_GUESS_SECONDS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """What `register` left in Label Studio, by its ids; `changed` says whether it had to."""

    webhook: int
    backend: int
    changed: bool


def hint_secret(key: bytes) -> str:
    """Return what a webhook must carry, made from the project's key."""
    return _derived(key, "hint")


def guess_password(key: bytes) -> str:
    """Return the password that guesses are asked for with, made from the project's key."""
    return _derived(key, "guess")


def register(client: LabelStudioClient, project_id: int, base_url: str, key: bytes) -> Hooks:
    """Make `holdfast web` known to a project of Label Studio, once however often it is called.

    Parameters
    ----------
    base_url : str
        How Label Studio reaches `holdfast web`, which must be running: Label Studio calls it
        before it believes.
    key : bytes
        The project's key; see `image_links.load_key`.

    Raises
    ------
    ConfigError
        If the token is refused, or Label Studio cannot or may not call that address.
    TransientError
        If Label Studio cannot be reached, or fails. Trying again registers nothing twice.
    """
    base_url = base_url.rstrip("/")
    # INVARIANT: the webhook comes first. A backend gets a webhook of its own at the same
    # address, for every event and without a secret, unless there is one.
    webhook, webhook_changed = _webhook(client, project_id, f"{base_url}/webhook", hint_secret(key))
    backend, backend_changed = _backend(client, project_id, base_url, guess_password(key))
    shown_changed = _show_guesses(client, project_id)
    return Hooks(
        webhook=webhook,
        backend=backend,
        changed=webhook_changed or backend_changed or shown_changed,
    )


def _webhook(client: LabelStudioClient, project_id: int, url: str, secret: str) -> tuple[int, bool]:
    wanted: dict[str, object] = {
        "project": project_id,
        "url": url,
        # A hint says nothing, so that nothing can be read on its way.
        "send_payload": False,
        "send_for_all_actions": False,
        "headers": {SECRET_HEADER: secret},
        "is_active": True,
        "actions": sorted(_ACTIONS),
    }
    known = client.request("GET", "/api/webhooks/", params={"project": project_id})
    same = [one for one in known if one["url"] == url and one["project"] == project_id]
    if not same:
        return _write(client, "webhook", "POST", "/api/webhooks/", wanted), True
    found = same[0]
    if all(_plain(found[name]) == value for name, value in wanted.items()):
        return found["id"], False
    return _write(client, "webhook", "PATCH", f"/api/webhooks/{found['id']}/", wanted), True


def _backend(
    client: LabelStudioClient, project_id: int, url: str, password: str
) -> tuple[int, bool]:
    wanted: dict[str, object] = {
        "project": project_id,
        "url": url,
        "title": TITLE,
        "is_interactive": False,
        "timeout": float(_GUESS_SECONDS),
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": GUESS_USER,
    }
    with_password = wanted | {"basic_auth_pass": password}
    known = client.request("GET", "/api/ml", params={"project": project_id})
    same = [one for one in known if one["url"].rstrip("/") == url]
    if not same:
        return _write(client, "backend", "POST", "/api/ml", with_password), True
    found = same[0]
    # The list asks each backend for its setup: CO says that password and address are right.
    if found["state"] == "CO" and all(found[name] == value for name, value in wanted.items()):
        return found["id"], False
    return _write(client, "backend", "PATCH", f"/api/ml/{found['id']}", with_password), True


def _show_guesses(client: LabelStudioClient, project_id: int) -> bool:
    """Let annotators see the backend's guesses; return whether they did not before."""
    path = f"/api/projects/{project_id}"
    wanted = {"model_version": TITLE, "show_collab_predictions": True}
    found = client.request("GET", path)
    if all(found[name] == value for name, value in wanted.items()):
        return False
    client.write("shown", "PATCH", path, json=wanted)
    return True


def _write(
    client: LabelStudioClient, name: str, method: str, path: str, wanted: dict[str, object]
) -> int:
    """Write a webhook or a backend; return its id."""
    try:
        return int(client.write(name, method, path, json=wanted)["id"])
    except ConfigError as error:
        # Nothing else is wrong with the request or the token: reading worked.
        raise ConfigError(
            f"Label Studio cannot call {wanted['url']}: see that `holdfast web` is running, that "
            "web.url is an address Label Studio can reach, and, for an address of its own "
            "machine or network, that it was started with LABEL_STUDIO_SSRF_PROTECTION_ENABLED "
            f"and LABEL_STUDIO_ML_BLOCK_LOCAL_IP set to false ({error})"
        ) from error


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value


def _derived(key: bytes, purpose: str) -> str:
    # HKDF with one block and a key that is random already (RFC 5869, section 3.3).
    digest = hmac.digest(key, f"holdfast web: {purpose}\x01".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
