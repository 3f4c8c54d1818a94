"""What a request to the fake Label Studio holds, and what it answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.label_studio.fake_interface import VERSION, RefusalError
from tests.label_studio.fake_rows import User
from tests.label_studio.fake_state import State
from tests.label_studio.fake_tokens import Tokens


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `url` is the server's own."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    url: str

    @property
    def params(self) -> dict[str, str]:
        """The query string's values by name, the last of each."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def flag(self, name: str) -> bool:
        """Return whether a parameter says yes."""
        return self.params.get(name, "").lower() in ("true", "1", "t", "yes")

    def json(self) -> Any:
        """Return the body; an empty object for none."""
        if not self.body:
            return {}
        kind = self.headers.get("content-type", "").split(";")[0]
        if kind != "application/json":
            raise RefusalError(415, f'Unsupported media type "{kind}" in request.')
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise RefusalError(400, f"JSON parse error - {error}") from None

    def fields(self) -> dict[str, Any]:
        """Return the body, which has to be an object."""
        content = self.json()
        if not isinstance(content, dict):
            raise RefusalError(400, f"Invalid data. Expected a dictionary, but got {type(content)}")
        return content


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `calls` are made once it is settled, before it is sent."""

    status: int
    body: Any = None
    content_type: str = "application/json"
    calls: tuple[Callable[[], None], ...] = field(default=())

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def refused(error: RefusalError) -> Reply:
    """Return the answer that tells of a refusal."""
    body = {
        "id": str(uuid.uuid4()),
        "status_code": error.status,
        "version": VERSION,
        "detail": error.detail,
        "exc_info": None,
    }
    if error.errors is not None:
        body["validation_errors"] = error.errors
    return Reply(error.status, body)


PAGE_404 = Reply(
    404, b"<!doctype html><title>404 | Label Studio</title>", "text/html; charset=utf-8"
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request with all that is needed to answer it."""

    state: State
    tokens: Tokens
    request: Request
    user: User
