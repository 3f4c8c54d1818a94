"""Serves the application in the foreground until somebody ends it."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import uvicorn

from holdfast.annotation.settings import WebConfig
from holdfast.errors import ConfigError
from holdfast.project import Project
from holdfast.web.app import build

# What takes longer to answer is given up.
SHUTDOWN_SECONDS = 5

log = logging.getLogger(__name__)


def serve(project: Project) -> None:
    """Answer requests until Ctrl-C or SIGTERM; log to stderr, never a link or a secret.

    Raises
    ------
    ConfigError
        If `web.host` and `web.port` cannot be listened on.
    """
    _log_to_stderr()
    web = project.config.web
    app = build(project)
    with listening(web) as listener, _ending_quietly():
        log.info("listening on http://%s:%d; end with Ctrl-C", web.host, web.port)
        log.info("images and guesses for Label Studio: %s", web.base)
        log.info("hints from Label Studio: %s/webhook", web.base)
        config = uvicorn.Config(
            app,
            access_log=False,  # it would hold the links
            log_config=None,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])
    log.info("ended")


@contextmanager
def listening(web: WebConfig) -> Iterator[socket.socket]:
    """Give a socket that listens where the config says.

    Raises
    ------
    ConfigError
        If it cannot.
    """
    where = f"web.host {web.host}, web.port {web.port}"
    try:
        found = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        # With the protocol named, asyncio turns Nagle's algorithm off.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {where} ({error.strerror}); change them") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"port {web.port} of {web.host} is in use: `holdfast web` or another program "
                    "runs there; end that, or change web.port"
                ) from error
            raise ConfigError(
                f"cannot listen on {where} ({error.strerror}); change them"
            ) from error
        yield listener


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM be the ordinary end: uvicorn raises them again at its own end."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s  %(message)s")
    logging.getLogger("holdfast").setLevel(logging.INFO)
