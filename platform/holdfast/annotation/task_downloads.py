"""The images of tasks, fetched from wherever Label Studio would show them from."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote_to_bytes, urljoin, urlsplit

import httpx

from holdfast.annotation.label_studio_client import LabelStudioClient
from holdfast.annotation.label_studio_refusals import refusal
from holdfast.errors import IngestError, TransientError

# Seconds before the second and the third attempt.
PAUSES = (0.5, 2.0)
# A server that did not answer so many times in a row is down.
DOWN_AFTER = 5
# No photograph is larger.
MAX_BYTES = 2**28
_WEB = ("http", "https")
# What a server that is there and busy answers. Label Studio's 500 stays: it stands for a file
# that is gone from its folder.
_BUSY = (408, 425, 429, 502, 503, 504)


class TaskDownloads:
    """Fetches images over kept connections; for several threads at once.

    Label Studio's own addresses are asked for with its token, which nobody else gets to see.
    Use it in a `with` block.

    Parameters
    ----------
    client : LabelStudioClient
    timeout : float
        Seconds without a byte until an attempt counts as lost.
    """

    def __init__(self, client: LabelStudioClient, *, timeout: float = 30.0) -> None:
        self._client = client
        self._timeout = timeout
        self._http = httpx.Client(timeout=timeout, follow_redirects=True)
        self._lost: defaultdict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def fetch(self, task: int, address: str) -> bytes:
        """Return the image of a task.

        Parameters
        ----------
        task : int
            Its number: files in a storage are shown to those who may see the task.
        address : str
            As it stands in the task.

        Raises
        ------
        IngestError
            If it cannot be had: nothing is there, or it may not be seen. The message is the
            reason alone.
        TransientError
            If Label Studio itself does not answer any more.
        ConfigError
            If it refuses the token.
        """
        if address[:5].lower() == "data:":
            return _inline(address)
        try:
            parts = urlsplit(address)
        except ValueError as error:
            raise IngestError(f"{address[:100]} is no address ({error})") from error
        ours = urlsplit(self._client.url)
        if parts.scheme in _WEB and (parts.scheme, parts.netloc) != (ours.scheme, ours.netloc):
            return self._from_web(address)
        if parts.scheme in ("", *_WEB) and parts.path.startswith("/"):
            # The client puts the path that the server itself lies below before all others.
            path = parts.path.removeprefix(ours.path.rstrip("/"))
            return self._from_label_studio(address, path, dict(parse_qsl(parts.query, True)))
        if parts.scheme and "://" in address:
            storage = base64.urlsafe_b64encode(address.encode()).decode()
            path = f"/tasks/{task}/resolve/"
            return self._from_label_studio(address, path, {"fileuri": storage})
        raise IngestError(f"{address[:100]} is no address of an image")

    def _from_label_studio(self, address: str, path: str, params: dict[str, str]) -> bytes:
        url = self._client.url
        answer = self._patiently(url, lambda: self._client.fetch(path, params=params))
        if answer.status_code == 401:
            refused = refusal(url, 401, f"GET {path}")
            assert refused is not None  # noqa: S101
            raise refused
        if not answer.is_redirect:
            return _content(answer, f"Label Studio, asked for {address[:100]},")
        target = urljoin(f"{url}/", answer.headers["Location"])
        if urlsplit(target).netloc == urlsplit(url).netloc:
            raise IngestError(f"Label Studio does not show {address[:100]} to this token's user")
        # A storage has its own way to see who may read.
        return self._from_web(target)

    def _from_web(self, url: str) -> bytes:
        host = urlsplit(url).netloc
        return _content(self._patiently(host, lambda: self._ask_web(url)), host)

    def _ask_web(self, url: str) -> httpx.Response:
        """Return the answer, read; TransientError if there is none."""
        try:
            with self._http.stream("GET", url) as answer:
                chunks, size = [], 0
                for chunk in answer.iter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise IngestError(f"{url[:100]} holds more than {MAX_BYTES:,} bytes")
                kind = {"Content-Type": answer.headers.get("Content-Type", "")}
                return httpx.Response(answer.status_code, headers=kind, content=b"".join(chunks))
        except httpx.TimeoutException as error:
            raise TransientError(f"no answer within {self._timeout:g} seconds") from error
        except httpx.InvalidURL as error:
            raise IngestError(f"{url[:100]} is no address ({error})") from error
        except httpx.HTTPError as error:
            raise TransientError(" ".join(str(error).split()) or type(error).__name__) from error

    def _patiently(self, host: str, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """Ask a host, several times if need be, but not one that is down."""
        if self._lost[host] >= DOWN_AFTER and host != self._client.url:
            raise IngestError(f"{host} did not answer {DOWN_AFTER} times in a row")
        pauses = list(PAUSES)
        while True:
            try:
                answer = ask()
            except TransientError as error:
                if not pauses:
                    self._count_lost(host, error)
                    raise IngestError(f"{host} cannot be reached: {error}") from error
            else:
                with self._lock:
                    self._lost[host] = 0
                if not pauses or answer.status_code not in _BUSY:
                    return answer
            time.sleep(pauses.pop(0))

    def _count_lost(self, host: str, error: TransientError) -> None:
        with self._lock:
            self._lost[host] += 1
        if host == self._client.url and self._lost[host] >= DOWN_AFTER:
            raise error


def _inline(address: str) -> bytes:
    head, comma, body = address.partition(",")
    if not comma:
        raise IngestError("the image inside the task is cut off")
    try:
        data = unquote_to_bytes(body)
        return base64.b64decode(data) if head.lower().endswith(";base64") else data
    except binascii.Error as error:
        raise IngestError(f"the image inside the task is no base64 ({error})") from error


def _content(answer: httpx.Response, who: str) -> bytes:
    if not answer.is_success:
        reason = {
            403: "it may not be seen with this token",
            404: "it is not there, nor in a storage connected there",
            500: "it is probably gone from the server's disk",
        }.get(answer.status_code, "the server gave no image")
        raise IngestError(f"{who} answered {answer.status_code}: {reason}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise IngestError(f"{who} answered with a web page, not an image")
    return answer.content
