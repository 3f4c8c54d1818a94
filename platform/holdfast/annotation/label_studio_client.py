"""Label Studio over HTTP: requests, tokens, pages of tasks, and its errors in our words."""

from __future__ import annotations

import json as json_text
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self

import httpx
from label_studio_sdk import LabelStudio
from label_studio_sdk.core import ApiError

from holdfast.annotation.label_studio_refusals import (
    is_passing,
    reason_in,
    refusal,
    refused_token,
)
from holdfast.annotation.task_filters import Filter, number_filter
from holdfast.errors import ConfigError, HoldfastError, TransientError
from holdfast.failpoints import reach

# Measured on SQLite: from 250 tasks a page on, larger pages are not faster.
PAGE_SIZE = 500

Task = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some tasks, and how many more fit the filters.

    Attributes
    ----------
    total, total_annotations : int
        Of all tasks that fit, also those on other pages; skipped ones do not count as
        annotations.
    server_time : datetime or None
        When the server answered, by its own clock, in whole seconds; None if it does not say.
    """

    tasks: tuple[Task, ...]
    total: int
    total_annotations: int
    server_time: datetime | None


def connect(
    url: str, token: str, timeout: float = 60.0, *, page_size: int = PAGE_SIZE
) -> LabelStudioClient:
    """Return a client of a Label Studio server; nothing is asked of the server yet.

    Parameters
    ----------
    url : str
        As annotators open it, with its path if it has one.
    token : str
        A legacy token or a personal access token; neither is ever shown.
    timeout : float
        Seconds until a request counts as lost.
    page_size : int
        Tasks read in one request.

    Raises
    ------
    ConfigError
        If the token is empty or has expired.
    """
    return LabelStudioClient(url, token, timeout=timeout, page_size=page_size)


class LabelStudioClient:
    """Talks to one Label Studio server over kept connections. Nothing is tried twice.

    A lost request is the caller's to repeat: only it knows how to see whether the server
    has done what was asked. Close it, or use it in a `with` block.

    See `connect` for parameters and errors.
    """

    def __init__(self, url: str, token: str, *, timeout: float, page_size: int) -> None:
        self.url = url.rstrip("/")
        self._token = token.strip()
        self._timeout = timeout
        self._page_size = page_size
        if not self._token:
            raise ConfigError(
                "the Label Studio access token is empty; put it into the file that "
                "annotation.label_studio.token_file names, or into LABEL_STUDIO_API_KEY"
            )
        # Label Studio hands a session out with each answer. Sent back, it would count
        # besides the token, and go on working after the token does not.
        jar = CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx.Client(timeout=timeout, cookies=jar)
        self._close = weakref.finalize(self, self._http.close)
        self._sdk = self._sign_in()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        json: object = None,
    ) -> Any:
        """Return the decoded answer to one request, None where it is empty.

        Parameters
        ----------
        path : str
            From the server's root, as `/api/projects/3`.

        Raises
        ------
        ConfigError
            If the token is refused, or the request for what it asks.
        TransientError
            If the server cannot be reached, does not answer in time, fails, or does not
            know what the path names.
        """
        response = self._send(method, path, params, json)
        return self._decoded(response, method, path)

    def find(self, path: str, *, params: Mapping[str, object] | None = None) -> Any | None:
        """Return what a path names, None if the server does not know it; errors as `request`."""
        response = self._send("GET", path, params, None)
        if response.status_code == 404:
            return None
        return self._decoded(response, "GET", path)

    def fetch(self, path: str, *, params: Mapping[str, object] | None = None) -> httpx.Response:
        """Return the answer to a request for a file, whatever its status is.

        Raises
        ------
        ConfigError
            If the token cannot be renewed.
        TransientError
            If the server cannot be reached or does not answer in time.
        """
        return self._send("GET", path, params, None)

    def write(
        self,
        name: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        json: object = None,
    ) -> Any:
        """Make a request that changes something; tests may kill the process around it.

        The failpoints are `label-studio:NAME` before and `label-studio:NAME-done` after it.
        Otherwise as `request`.
        """
        reach(f"label-studio:{name}")
        answer = self.request(method, path, params=params, json=json)
        reach(f"label-studio:{name}-done")
        return answer

    def page(
        self,
        project: int,
        filters: Sequence[Filter] = (),
        *,
        include: Sequence[str] = ("id",),
        annotations: bool = False,
        size: int | None = None,
    ) -> Page:
        """Return the first tasks of a project that fit all filters.

        Parameters
        ----------
        filters : sequence of dict
            See `task_filters`.
        include : sequence of str
            Names of the fields wanted, also of those inside annotations. All fields cost
            five times as much (measured).
        annotations : bool
            Whether tasks come with their annotations; `include` must name them too.
        size : int, optional
            Tasks on the page; `page_size` by default.

        Raises
        ------
        ConfigError, TransientError
            As `request`; a project that is gone is a `TransientError`.
        """
        # A query that is no JSON text is ignored without a word, and everything comes back.
        query = json_text.dumps(
            {
                "filters": {"conjunction": "and", "items": list(filters)},
                "ordering": ["id"],
            }
        )
        params = {
            "project": project,
            "fields": "all" if annotations else "task_only",
            "include": ",".join(include),
            "query": query,
            "page": 1,
            "page_size": size or self._page_size,
            "resolve_uri": "false",
        }
        page = self._page(params)
        if page is None:
            raise TransientError(
                f"project {project} is gone from Label Studio at {self.url}; nothing collected "
                "counts, run again"
            )
        return page

    def newest(self, project: int) -> Page | None:
        """Return the newest task of a project and all counts; None if there is no project."""
        query = json_text.dumps({"ordering": ["-id"]})
        params = {"project": project, "include": "id", "query": query, "page_size": 1}
        return self._page(params)

    def tasks(
        self,
        project: int,
        filters: Sequence[Filter] = (),
        *,
        include: Sequence[str],
        annotations: bool = False,
    ) -> Iterator[Task]:
        """Give all tasks of a project that fit the filters, by rising id; see `page`.

        Raises
        ------
        TransientError
            Also if the server gives fewer tasks than it counts.
        """
        last = 0
        while True:
            # INVARIANT: pages start after an id, never at an offset: tasks that stop to fit
            # the filters while we read would move others onto pages that were read already.
            page = self.page(
                project,
                [*filters, number_filter("id", "greater", last)],
                include=include,
                annotations=annotations,
            )
            ids = [task["id"] for task in page.tasks]
            if (page.total and not ids) or any(
                after <= before for before, after in zip([last, *ids], ids, strict=False)
            ):
                raise TransientError(
                    f"Label Studio at {self.url} counts {page.total} tasks after task {last} of "
                    f"project {project} but lists {len(ids)} out of order; run again"
                )
            yield from page.tasks
            if page.total <= len(ids):
                return
            last = ids[-1]

    def _page(self, params: Mapping[str, object]) -> Page | None:
        response = self._send("GET", "/api/tasks", params, None)
        if response.status_code == 404:
            return None
        answer = self._decoded(response, "GET", "/api/tasks")
        if not isinstance(answer, dict) or "tasks" not in answer:
            raise self._not_label_studio("GET", "/api/tasks")
        return Page(
            tasks=tuple(answer["tasks"]),
            total=answer["total"],
            total_annotations=answer["total_annotations"],
            server_time=_date(response),
        )

    def _send(
        self, method: str, path: str, params: Mapping[str, object] | None, json: object
    ) -> httpx.Response:
        response = self._send_once(method, path, params, json)
        if response.status_code == 401 and self._personal:
            # A 401 means that nothing was done. The access token, good for five minutes, may
            # have ended on its way, or by a clock that is ahead of ours.
            self._sdk = self._sign_in()
            response = self._send_once(method, path, params, json)
        return response

    def _send_once(
        self, method: str, path: str, params: Mapping[str, object] | None, json: object
    ) -> httpx.Response:
        try:
            # The SDK's typed methods would take most of the time collecting needs, drop
            # what their models do not know, and page by offset; its own HTTP client brings
            # tokens and headers. The SDK is pinned for this.
            return self._sdk._client_wrapper.httpx_client.request(
                path,
                method=method,
                params=dict(params or {}),
                json=json,
                request_options={"max_retries": 0},
            )
        except httpx.TimeoutException as error:
            raise TransientError(
                f"Label Studio at {self.url} did not answer {method} {path} within "
                f"{self._timeout:g} seconds; look at its load and its log, or raise "
                "annotation.label_studio.timeout, and run again"
            ) from error
        except httpx.HTTPError as error:
            raise TransientError(
                f"Label Studio cannot be reached at {self.url} ({_reason(error)}); start it, or "
                "check annotation.label_studio.url and the network, and run again"
            ) from error
        except ApiError as error:
            raise self._refused_token(error) from error
        except ValueError as error:
            # What the SDK makes of a token server that answers with a page of HTML.
            raise TransientError(
                f"Label Studio at {self.url} did not renew the access token; look at its log "
                "and run again"
            ) from error

    def _sign_in(self) -> LabelStudio:
        try:
            return LabelStudio(  # type: ignore[no-untyped-call]
                # With its slash the SDK finds the way to renew tokens below a path, too.
                base_url=f"{self.url}/",
                api_key=self._token,
                httpx_client=self._http,
                timeout=self._timeout,
                max_retries=0,
            )
        except ApiError as error:
            raise self._refused_token(error) from error

    @property
    def _personal(self) -> bool:
        return self._token.count(".") == 2

    def _refused_token(self, error: ApiError) -> HoldfastError:
        status = error.status_code or 401
        if is_passing(status):
            return TransientError(
                f"Label Studio at {self.url} answered {status} when asked to renew the access "
                "token; look at its log and run again"
            )
        return refused_token(self.url, detail="", personal=self._personal)

    def _decoded(self, response: httpx.Response, method: str, path: str) -> Any:
        error = refusal(
            self.url,
            response.status_code,
            f"{method} {path}",
            detail=reason_in(response.text) if response.is_error else "",
            retry_after=response.headers.get("Retry-After", ""),
            personal=self._personal,
        )
        if error is not None:
            raise error
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as parse_error:
            raise self._not_label_studio(method, path) from parse_error

    def _not_label_studio(self, method: str, path: str) -> ConfigError:
        return ConfigError(
            f"{self.url} answered {method} {path} as no Label Studio does; check "
            "annotation.label_studio.url"
        )


def _date(response: httpx.Response) -> datetime | None:
    try:
        moment = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
