"""Images: a task's link leads to a signed one, which shows the image for some minutes."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from holdfast.annotation.image_links import ImageLinks
from holdfast.project import Project
from holdfast.store import questions, samples
from holdfast.web.pictures import Pictures
from holdfast.web.replies import refusal


class ImageEndpoint:
    """Answers `GET /images/{uid}`.

    `?task=` redirects to `?expires=&signature=`, which gives the image. Refusals: 403 for
    links that are forged or have expired, 404 for images nobody was asked about, 410 where
    the question was withdrawn or the image set aside.
    """

    def __init__(self, project: Project, links: ImageLinks) -> None:
        self._project = project
        self._links = links
        self._pictures = Pictures(project.images.path)
        self._seconds = 60 * project.config.web.link_minutes
        # Label Studio fetches images by script, which browsers allow to this origin alone.
        reader = origin(project.config.annotation.label_studio.url)
        self._cors = {"Access-Control-Allow-Origin": reader}

    async def show(self, request: Request) -> Response:
        """Check the link, then whether the question matters, then answer."""
        uid = request.path_params["uid"]
        given = request.query_params
        by_task = "task" in given
        now = time.time()
        refused = (
            self._links.check_task(uid, given["task"])
            if by_task
            else self._links.check_signed(
                uid, given.get("expires", ""), given.get("signature", ""), now
            )
        )
        if refused is not None:
            return refusal(403, refused, self._cors)
        gone = await run_in_threadpool(self._gone, uid)
        if gone is not None:
            return refusal(*gone, self._cors)
        if by_task:
            signed = self._links.signed_link(uid, int(now) + self._seconds)
            return RedirectResponse(signed, status_code=302, headers=self._cors)
        payload, media_type = await run_in_threadpool(self._pictures.read, uid)
        left = int(given["expires"]) - int(now)
        caching = {"Cache-Control": f"private, max-age={left}"}
        return Response(payload, media_type=media_type, headers=self._cors | caching)

    def _gone(self, uid: str) -> tuple[int, str] | None:
        """Return status and reason where nobody needs to see an image any more."""
        with self._project.ledger.read() as connection:
            known = samples.state_of(connection, uid)
            asked = None if known is None else questions.newest_state(connection, known[0])
        if known is None or asked is None:
            return 404, "nobody was asked about this image"
        if known[1] != "ok":
            return 410, "this image was set aside; skip the task"
        if asked == "withdrawn":
            return 410, "this question was withdrawn; skip the task"
        return None


def origin(url: str) -> str:
    """Return what a browser says it is, that shows a page of this address.

    Examples
    --------
    >>> origin("https://Labels.example.org:443/studio/")
    'https://labels.example.org'
    >>> origin("http://127.0.0.1:8080")
    'http://127.0.0.1:8080'
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    is_default = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{parts.port}")
