"""What Label Studio's refusals mean for people: its status codes as our errors."""

from __future__ import annotations

import json

from holdfast.errors import ConfigError, HoldfastError, TransientError

# Answers of the server that a later try may not get.
_PASSING = (408, 409, 425, 429)
_LEGACY_OFF = "legacy token authentication has been disabled"


def is_passing(status: int) -> bool:
    """Say whether an answer with this status may be another one later."""
    return status >= 500 or status in _PASSING


def refusal(
    url: str,
    status: int,
    request: str,
    *,
    detail: str = "",
    retry_after: str = "",
    personal: bool = False,
) -> HoldfastError | None:
    """Return the error that an answer stands for; None for one that is no error.

    Parameters
    ----------
    url : str
        The server.
    status : int
        HTTP status of the answer.
    request : str
        What was asked, as `GET /api/projects`.
    detail : str
        The server's own reason, one line.
    retry_after : str
        Seconds after which to try again, where the server says so.
    personal : bool
        The token is a personal access token, not a legacy token.
    """
    where = f"Label Studio at {url} answered {status} to {request}"
    if status == 401:
        return refused_token(url, detail=detail, personal=personal)
    if status == 403:
        return ConfigError(
            f"{where}: the token's user may not do this; use the token of somebody who may "
            "change the project"
        )
    if status == 404:
        return TransientError(f"{where}: it is not there (any more); run again")
    if is_passing(status):
        later = f" in {retry_after} seconds" if retry_after.isdigit() else ""
        return TransientError(f"{where}; look at its load and its log, and run again{later}")
    if 300 <= status < 400:
        return ConfigError(
            f"{where}, a redirect; set annotation.label_studio.url to the address it has now"
        )
    if status >= 400:
        return ConfigError(
            f"{where}: {detail or 'no reason given'}; check the project there and "
            "annotation.label_studio in holdfast.toml"
        )
    return None


def refused_token(url: str, *, detail: str, personal: bool) -> ConfigError:
    """Return the error for a token that the server does not take."""
    if _LEGACY_OFF in detail:
        return ConfigError(
            f"Label Studio at {url} does not take legacy tokens any more; make a personal "
            "access token under Account & Settings there and use it instead, or let the "
            "organization's owner allow legacy tokens"
        )
    kind = "personal access token" if personal else "legacy token"
    return ConfigError(
        f"Label Studio at {url} refuses the {kind}: it is wrong, was taken back or has expired; "
        "copy a new one from Account & Settings there into the file that "
        "annotation.label_studio.token_file names, or into LABEL_STUDIO_API_KEY"
    )


def reason_in(body: str) -> str:
    """Return the reason that the body of a refusal gives, as one line; empty without one."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    reason: object = answer
    if isinstance(answer, dict):
        reason = answer.get("validation_errors") or answer.get("detail", "")
    text = reason if isinstance(reason, str) else json.dumps(reason, ensure_ascii=False)
    return " ".join(text.split())[:300]
