"""Which Prefect a run in this process talks to, without a word on the screen."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from holdfast.flows.embedded import EmbeddedServer  # before prefect: it keeps Prefect offline

# isort: split
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

SILENT = logging.CRITICAL + 1
DRAIN_SECONDS = 10


class Session:
    """The Prefect a run talks to; `server` is None where the user's own server serves."""

    def __init__(self, server: EmbeddedServer | None = None) -> None:
        self.server = server

    def wait(self) -> None:
        """Return once flows can start; TransientError if the embedded server cannot."""
        if self.server is not None:
            self.server.wait()


@contextlib.contextmanager
def prefect_session(root: Path, *, debug: bool = False) -> Iterator[Session]:
    """Give the flows run in this block a Prefect server.

    That is the one the user named (`PREFECT_API_URL`, or a Prefect profile); else the one
    of the session around this one, so that many runs share a single start; else an
    embedded server over `<root>/.prefect` (or the user's `PREFECT_HOME`), which ends with
    the block and reaches no network.

    Parameters
    ----------
    root : Path
        The project's folder.
    debug : bool
        Let Prefect's log lines through to the screen.

    Examples
    --------
    ::

        with prefect_session(root):
            for _ in range(6):
                run(root / "holdfast.toml")
    """
    with contextlib.ExitStack() as stack:
        if not debug:
            stack.enter_context(_quiet())
        if PREFECT_API_URL.value():
            yield Session()
            return
        chosen = os.environ.get("PREFECT_HOME")
        home = Path(chosen).expanduser() if chosen else root / ".prefect"
        server = EmbeddedServer(home)
        stack.callback(server.stop)
        stack.enter_context(
            temporary_settings(
                {
                    PREFECT_API_URL: server.url,
                    PREFECT_HOME: home,
                    PREFECT_LOCAL_STORAGE_PATH: home / "storage",
                    PREFECT_LOGGING_TO_API_ENABLED: False,
                    # Nobody reads them here, and their thread holds up each run's end
                    # for as much as a second.
                    PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
                }
            )
        )
        # Task states travel as events on a thread of their own: what is still on its way
        # has to arrive before the server stops, or Prefect waits for it at exit.
        stack.callback(EventsWorker.drain_all, timeout=DRAIN_SECONDS)
        yield Session(server)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Prefect's own loggers off the screen; what they send to a server still goes."""
    loggers = (logging.getLogger(name) for name in tuple(logging.root.manager.loggerDict))
    levels = {
        handler: handler.level
        for logger in loggers
        for handler in logger.handlers
        if isinstance(handler, PrefectConsoleHandler)
    }
    for handler in levels:
        handler.setLevel(SILENT)
    try:
        yield
    finally:
        for handler, level in levels.items():
            handler.setLevel(level)
