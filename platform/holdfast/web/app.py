"""The application: which address is answered by what."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast import loop
from holdfast.annotation.image_links import ImageLinks, load_key
from holdfast.annotation.label_studio_hooks import guess_password, hint_secret
from holdfast.errors import HoldfastError
from holdfast.phases.guesses import Guesser
from holdfast.project import Project
from holdfast.web.guess_endpoints import GuessEndpoints
from holdfast.web.hints import HintEndpoint, Hints
from holdfast.web.image_endpoint import ImageEndpoint
from holdfast.web.replies import SecurityHeaders, one_line, refusal

log = logging.getLogger(__name__)


def build(project: Project) -> Starlette:
    """Return the application of an open project. Nothing in it is listed, all is asked for.

    Raises
    ------
    ConfigError
        If the key file of the project holds something else.
    """
    key = load_key(project.web_key)
    images = ImageEndpoint(project, ImageLinks(key, project.config.web.base))
    guesses = GuessEndpoints(Guesser(project), guess_password(key))
    hints = Hints(lambda: _collect(project))
    webhook = HintEndpoint(hints, hint_secret(key))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        hints.start()
        yield
        hints.stop()
        guesses.close()

    return Starlette(
        routes=[
            Route("/images/{uid}", images.show),
            Route("/webhook", webhook.receive, methods=["POST"]),
            Route("/health", guesses.health),
            Route("/setup", guesses.setup, methods=["POST"]),
            Route("/predict", guesses.predict, methods=["POST"]),
            Route("/versions", guesses.versions),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HoldfastError: _failed},
        lifespan=lifespan,
    )


def _collect(project: Project) -> None:
    ready = loop.collect_now(project)
    log.info("looked for answers%s", "; the round can go on: holdfast run" if ready else "")


def _failed(request: Request, error: Exception) -> Response:
    """Say that it failed; what failed names files, and is for the log alone."""
    log.error("%s %r: %s", request.method, request.url.path, one_line(error))
    return refusal(503, "Holdfast cannot answer this now; its log says why")
