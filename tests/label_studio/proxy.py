"""An HTTP proxy that loses, refuses and delays what a test tells it to.

It stands between an oracle and a real server. What comes back from the server is passed on byte
for byte; every answer ends its connection. The server sees the host that the client named, so
links in its answers lead through the proxy, too.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar
from urllib.parse import urlsplit

HOST = "127.0.0.1"
UPSTREAM_SECONDS = 120.0
CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request on its way, in the hands of an action.

    An action that does not call `reply` loses the connection.
    """

    rule: Rule
    forward: Callable[[], bytes]
    reply: Callable[[bytes], None]


Action = Callable[[Exchange], None]


@dataclass(slots=True)
class Rule:
    """What happens to some requests: matching ones after the first `skip`, `times` of them.

    Attributes
    ----------
    seen, struck : int
        Matching requests so far, and those that the action was applied to.
    """

    action: Action
    method: str
    path: re.Pattern[str]
    skip: int
    times: int | None
    seen: int = 0
    struck: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let everything through from now on, and what hangs go."""
        self.released.set()

    def is_due(self, method: str, path: str) -> bool:
        """Count a request if it matches, and tell whether the action is due."""
        if self.method not in ("", method) or not self.path.search(path):
            return False
        self.seen += 1
        spent = self.times is not None and self.struck >= self.times
        return self.seen > self.skip and not spent and not self.released.is_set()


def lose_response(exchange: Exchange) -> None:
    """The server does what it was asked to, and nobody hears of it."""
    exchange.forward()


def lose_request(exchange: Exchange) -> None:
    """The connection breaks before the server hears anything."""


def hang(exchange: Exchange) -> None:
    """Nothing comes back, and the server hears nothing, until the rule is released."""
    exchange.rule.released.wait()


def answer(status: int, *, retry_after: int | None = None) -> Action:
    """Answer with a status in the place of the server."""

    def act(exchange: Exchange) -> None:
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Content-Type: application/json",
            "Content-Length: 2",
            "Connection: close",
            *([] if retry_after is None else [f"Retry-After: {retry_after}"]),
        ]
        exchange.reply("\r\n".join([*lines, "", "{}"]).encode())

    return act


def delay(seconds: float) -> Action:
    """Wait before passing the request on."""
    return before(lambda: time.sleep(seconds))


def before(call: Callable[[], object]) -> Action:
    """Do something just before the server hears of the request."""

    def act(exchange: Exchange) -> None:
        call()
        exchange.reply(exchange.forward())

    return act


def after(call: Callable[[], object]) -> Action:
    """Do something when the server has answered, before the client hears of it."""

    def act(exchange: Exchange) -> None:
        response = exchange.forward()
        call()
        exchange.reply(response)

    return act


class FaultProxy:
    """A proxy that is listening; leaving the `with` block closes it.

    Parameters
    ----------
    upstream : str
        URL of the server, as `http://127.0.0.1:8080`; may be set anew at any time.

    Attributes
    ----------
    url : str
        Where the proxy is.
    requests : list of (str, str)
        Method and path with query of every request so far.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.requests: list[tuple[str, str]] = []
        self._rules: list[Rule] = []
        self._errors: list[Exception] = []
        self._lock = threading.Lock()
        handler = type("BoundCourier", (_Courier,), {"proxy": self})
        self._server = _Server((HOST, 0), handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def on(
        self,
        action: Action,
        *,
        method: str = "",
        path: str = "",
        skip: int = 0,
        times: int | None = 1,
    ) -> Rule:
        """Apply an action to some requests; of several rules that are due, the oldest wins.

        Parameters
        ----------
        method : str
            `GET`, `POST`, ...; empty: any.
        path : str
            Regular expression searched for in path and query.
        skip : int
            How many matching requests pass untouched first.
        times : int or None
            How many requests it is applied to; None: all, until the rule is released.
        """
        rule = Rule(action, method, re.compile(path), skip, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def count(self, method: str = "", path: str = "") -> int:
        """Count the requests so far that match; both parameters as in `on`."""
        with self._lock:
            return sum(
                method in ("", each) and bool(re.search(path, where))
                for each, where in self.requests
            )

    def clear(self) -> None:
        """Forget all rules and requests."""
        with self._lock:
            rules, self._rules = self._rules, []
            self.requests.clear()
        for rule in rules:
            rule.release()

    def close(self) -> None:
        """Stop listening; raises what an action raised."""
        self.clear()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._errors:
            raise self._errors[0]

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def take(self, method: str, path: str, request: bytes, reply: Callable[[bytes], None]) -> None:
        """Do with a request what the rules say; without a rule, pass it on."""
        with self._lock:
            self.requests.append((method, path))
            due = [rule for rule in self._rules if rule.is_due(method, path)]
            for rule in due[:1]:
                rule.struck += 1
        try:
            if due:
                due[0].action(Exchange(due[0], lambda: self._forward(request), reply))
            else:
                reply(self._forward(request))
        except OSError:
            # One of the two ends is gone: the other one finds its connection closed.
            pass
        except Exception as error:
            self._errors.append(error)

    def _forward(self, request: bytes) -> bytes:
        parts = urlsplit(self.upstream)
        address = (parts.hostname or HOST, parts.port or 80)
        chunks = []
        with socket.create_connection(address, UPSTREAM_SECONDS) as upstream:
            upstream.sendall(request)
            while chunk := upstream.recv(CHUNK):
                chunks.append(chunk)
        if not chunks:
            raise ConnectionResetError
        return b"".join(chunks)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256


class _Courier(BaseHTTPRequestHandler):
    """Reads one request, hands it to the proxy, and closes the connection."""

    proxy: ClassVar[FaultProxy]
    disable_nagle_algorithm = True

    def _take(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        del self.headers["Connection"]
        lines = [
            f"{self.command} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            "Connection: close",
        ]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        self.proxy.take(self.command, self.path, request, self._reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _take  # noqa: N815

    def _reply(self, response: bytes) -> None:
        self.wfile.write(response)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name above)
        """Say nothing: pytest would show it."""
