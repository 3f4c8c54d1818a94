"""A faithful stand-in for a Label Studio 1.23.2 server: in this process, on loopback, at once.

What it repeats of the real server, each asserted on both by the suite in
`tests/contracts/test_label_studio_*.py`:

- Nothing is ever deduplicated: not projects, tasks, annotations or predictions.
- An import gives the highest task id there is plus one, so that the id of a deleted newest
  task is given again. Everything else is numbered upward for ever.
- Predictions imported with their tasks are not checked: unknown labels, controls and scores
  come back as they went in. A prediction that is no prediction at all makes the import
  answer 500, after its tasks were kept and all its predictions lost.
- Annotations are not checked, and one person may give several; a skip is one, too.
- `query` of a task list counts as a JSON string only. A page past the end is a 404. Page
  sizes that are no positive number mean 100. Times to filter by need a fraction of a second.
- Each annotation written, edited or deleted, and each prediction written through its own
  endpoint, bumps the task's `updated_at`; drafts do not.
- `is_labeled` is counted anew when an annotation changes, not when `overlap` does: as many
  different people as `overlap` answered, skips left out. It can also be set.
- A choice in use may be dropped from the labeling interface; a control may not, unless a
  deletion has left just one annotation in the project.
- Predictions imported by themselves are checked: those that do not fit the labeling interface
  vanish with status 201. They change neither `updated_at` nor the project's model version.
- An action on an empty list of tasks is an action on all tasks.
- The label stream shows predictions of the project's `model_version` only, which the first
  import sets and later ones leave alone.

ML backends are registered, but never asked to guess. What the fake does not do as the real
server does is refused with status 501. Faults on the way to it (lost responses, 500, 429,
time-outs, things that happen between two requests) are made by putting
`tests.label_studio.proxy.FaultProxy` before it, as before the real one.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.label_studio.fake_requests import Reply, Request
from tests.label_studio.fake_routes import answer_request
from tests.label_studio.fake_rows import Annotation, User
from tests.label_studio.fake_state import State
from tests.label_studio.fake_tokens import Tokens

EMAIL = "holdfast@localhost.localdomain"


@dataclass(frozen=True, slots=True)
class Logged:
    """One request that came, with the status of its answer."""

    method: str
    path: str
    query: str
    body: bytes
    status: int


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    # As many as come at once.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class FakeLabelStudio:
    """A server that answers inside a `with` block.

    Attributes
    ----------
    url, token : str
        Where it listens, and the legacy token of the first user, whose address is `email`.
    state : State
        All its rows, for tests that look or meddle.
    tokens : Tokens
        `tokens.access_seconds` says how long access tokens live.
    requests : list of Logged
        What came, in order.
    """

    email = EMAIL

    def __init__(self) -> None:
        self.state = State()
        self.tokens = Tokens()
        self.requests: list[Logged] = []
        self._lock = threading.RLock()
        self._open: set[socket.socket] = set()
        self.token = self.add_user(EMAIL).token
        self._server = _Listener(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> FakeLabelStudio:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def add_user(self, email: str) -> User:
        """Add a person with a legacy token of their own."""
        user = User(
            id=self.state.next_id("user"),
            email=email,
            token=secrets.token_hex(20),
            joined=datetime.now(UTC),
        )
        self.state.users[user.id] = user
        return user

    def set_clock(self, clock: Callable[[], datetime]) -> None:
        """Let rows carry other times: skewed ones, or one and the same. Tokens go by real time."""
        self.state.clock = clock

    def answer(
        self, task_id: int, choice: str | None, user: User, *, lead_time: float = 1.0
    ) -> Annotation:
        """Answer a task as a person does who presses one key; None skips it."""
        with self._lock:
            task = self.state.task(task_id)
            control = next(
                control
                for control in self.state.project(task.project).interface.controls.values()
                if control.type == "Choices"
            )
            said = {
                "from_name": control.name,
                "to_name": control.to_names[0],
                "type": "choices",
                "value": {"choices": [choice]},
            }
            return self.state.add_annotation(
                task,
                [] if choice is None else [said],
                completed_by=user.id,
                updated_by=user,
                was_cancelled=choice is None,
                lead_time=lead_time,
            )

    def _handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        parts = urlsplit(target)
        request = Request(method, parts.path, parts.query, headers, body, self.url)
        with self._lock:
            reply = answer_request(self.state, self.tokens, request)
            self.requests.append(Logged(method, parts.path, parts.query, body, reply.status))
        # Outside the lock: whoever is told may ask back at once.
        for call in reply.calls:
            call()
        return reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with fake._lock:
                    fake._open.add(self.connection)

            def finish(self) -> None:
                with fake._lock:
                    fake._open.discard(self.connection)
                super().finish()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = fake._handle(self.command, self.path, headers, body)
                content = reply.content
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

            def date_time_string(self, timestamp: float | None = None) -> str:
                # Clients measure by this how far the clock of the rows is from theirs.
                return super().date_time_string(timestamp or fake.state.clock().timestamp())

            def log_message(self, *_: Any) -> None:
                pass

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815

        return Handler


def body_of(logged: Logged) -> Any:
    """Return what a logged request carried, from JSON; None for nothing."""
    return json.loads(logged.body) if logged.body else None
