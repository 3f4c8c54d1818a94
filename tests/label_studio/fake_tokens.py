"""Tokens as Label Studio 1.23.2 gives and checks them: legacy, and refresh with access."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time

REFRESH_SECONDS = 200 * 365 * 86_400


class Tokens:
    """Signs and reads personal access tokens (JWT, HS256).

    Attributes
    ----------
    access_seconds : int
        How long an access token lives; the real server gives 300 s.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self.access_seconds = 300
        self.revoked: set[str] = set()

    def refresh_for(self, user_id: int) -> str:
        """Return a refresh token: what people call their personal access token."""
        return self._sign("refresh", user_id, REFRESH_SECONDS)

    def access_for(self, user_id: int) -> str:
        """Return an access token, good for `access_seconds` from now."""
        return self._sign("access", user_id, self.access_seconds)

    def user_of(self, token: str, kind: str) -> int | None:
        """Return whom a valid token of a kind is for; None for any other text."""
        try:
            head, body, signature = token.split(".")
            if not hmac.compare_digest(signature, self._signature(f"{head}.{body}")):
                return None
            claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except ValueError:
            return None
        # The clock is the computer's, whatever the fake says to its rows: SDKs look at
        # `exp` by that clock.
        good = claims["token_type"] == kind and claims["exp"] > time.time()
        return int(claims["user_id"]) if good and claims["jti"] not in self.revoked else None

    def revoke(self, token: str) -> None:
        """Let a token be worth nothing from now on."""
        body = token.split(".")[1]
        self.revoked.add(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["jti"])

    def _sign(self, kind: str, user_id: int, seconds: int) -> str:
        now = int(time.time())
        claims = {
            "token_type": kind,
            "exp": now + seconds,
            "iat": now,
            "jti": secrets.token_hex(16),
            "user_id": str(user_id),
        }
        text = ".".join(_encode(json.dumps(part).encode()) for part in (HEAD, claims))
        return f"{text}.{self._signature(text)}"

    def _signature(self, text: str) -> str:
        return _encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest())


HEAD = {"alg": "HS256", "typ": "JWT"}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
