"""What every answer over HTTP carries, and refusals in one line."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Whatever is served is data for another page: it may load nothing, run nothing, be framed
# nowhere and be taken for nothing else. Its address, which is a right, is told to nobody.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


log = logging.getLogger(__name__)


class SecurityHeaders:
    """Adds the headers of `SECURITY` to every answer, `no-store` by default; logs refusals.

    What stands after the `?` of an address is a right, and is never logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if message["status"] >= 400:
                    log.warning("%d %s %r", message["status"], scope["method"], scope["path"])
            await send(message)

        await self._app(scope, receive, send_with_headers)


def refusal(
    status: int, reason: str, headers: Mapping[str, str] | None = None
) -> PlainTextResponse:
    """Return an answer that says in one line why there is no other."""
    return PlainTextResponse(reason + "\n", status_code=status, headers=headers)


def is_secret(given: str | None, expected: str) -> bool:
    """Return whether a secret is the right one, in the same time for any wrong one."""
    return hmac.compare_digest((given or "").encode(), expected.encode())


def one_line(error: Exception) -> str:
    """Return what an error says, for a log that has a line for each event."""
    return " ".join(str(error).split())
