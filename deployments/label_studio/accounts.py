"""Further people on a Label Studio server, and their tokens, made over HTTP."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from holdfast.errors import ConfigError

TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Somebody who may annotate.

    Attributes
    ----------
    user_id : int
        As in `completed_by` of an annotation.
    token : str
        Legacy token; works while the server allows legacy tokens.
    """

    user_id: int
    email: str
    password: str
    token: str


def sign_up(url: str, token: str, email: str) -> Account:
    """Add a person by an invitation, as a browser does.

    Parameters
    ----------
    url : str
        The server's, without a slash at its end.
    token : str
        Legacy token of anybody who is on the server.

    Raises
    ------
    ConfigError
        If the server refuses, as it does an e-mail address that it knows.
    """
    invitation = _request("GET", f"{url}/api/invite", f"Token {token}")["token"]
    password = secrets.token_urlsafe(16)
    with httpx.Client(base_url=url, timeout=TIMEOUT) as browser:
        # The form's page sets the cookie that must come back with the form.
        browser.get("/user/signup/", params={"token": invitation})
        browser.post(
            "/user/signup/",
            params={"token": invitation},
            data={
                "email": email,
                "password": password,
                "csrfmiddlewaretoken": browser.cookies.get("csrftoken", ""),
            },
        )
        answer = browser.get("/api/current-user/token")
        if answer.is_error:
            raise ConfigError(f"{url} did not sign up {email}; is that address there already?")
        own = str(answer.json()["token"])
        user_id = int(browser.get("/api/current-user/whoami").json()["id"])
    return Account(user_id=user_id, email=email, password=password, token=own)


def personal_access_token(url: str, token: str) -> str:
    """Make the personal access token (a refresh token) of a legacy token's owner.

    Raises
    ------
    ConfigError
        If its owner has one: the server allows one each, and shows it only once.
    """
    return str(_request("POST", f"{url}/api/token/", f"Token {token}")["token"])


def access_token(url: str, personal: str) -> str:
    """Trade a personal access token for a bearer token, which works for 300 s."""
    answer = _request("POST", f"{url}/api/token/refresh/", json={"refresh": personal})
    return str(answer["access"])


def allow_legacy_tokens(url: str, personal: str, allowed: bool) -> None:
    """Switch legacy tokens on or off for everybody, in a running server.

    Parameters
    ----------
    personal : str
        A personal access token: it can switch them on again.
    """
    _request(
        "POST",
        f"{url}/api/jwt/settings",
        f"Bearer {access_token(url, personal)}",
        json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": allowed},
    )


def _request(method: str, url: str, authorization: str = "", **options: Any) -> dict[str, Any]:
    headers = {"Authorization": authorization} if authorization else {}
    answer = httpx.request(method, url, headers=headers, timeout=TIMEOUT, **options)
    if answer.is_error:
        raise ConfigError(f"{method} {url} was answered {answer.status_code}: {answer.text[:200]}")
    content: dict[str, Any] = answer.json()
    return content
