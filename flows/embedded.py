"""A Prefect server that starts with the process that needs one, and ends with it.

Prefect's own temporary server outlives a killed parent, writes to its parent's screen and
picks its port by chance. This one lies on a pipe from its parent: when the parent is gone,
however it went, the pipe closes and the server ends. What it has to say goes to a file.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import TransientError

if TYPE_CHECKING:
    import uvicorn

# Prefect reports its first import, first flow and more to its makers, and says so on the
# screen, unless this stands in the environment before `import prefect`.
os.environ.setdefault("DO_NOT_TRACK", "1")

LOG_NAME = "embedded-server.log"
# A first start migrates an empty database: 13 s on two cores that are busy otherwise idle.
STARTUP_SECONDS = 120.0
SHUTDOWN_SECONDS = 10.0


class EmbeddedServer:
    """A server that is starting: its URL is known at once, `wait` returns when it answers.

    Parameters
    ----------
    home : Path
        Prefect's folder: its database and the server's log.

    Raises
    ------
    TransientError
        If the server ends at once.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / LOG_NAME
        environment = {
            **os.environ,
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C reaches the parent alone, which can then still
            # report how its run ended.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "holdfast.flows.embedded"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{self._port()}/api"

    def _port(self) -> int:
        """Read the port, which the child writes before its slow imports."""
        assert self._process.stdout is not None  # noqa: S101  (it was asked for above)
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise self._not_started("it ended at once")
        return int(line)

    def wait(self) -> None:
        """Return once the API answers.

        Raises
        ------
        TransientError
            If the server ended, or does not answer within two minutes.
        """
        try:
            # The socket listens before the server is ready, so one request waits for it.
            with urllib.request.urlopen(f"{self.url}/health", timeout=STARTUP_SECONDS):  # noqa: S310
                pass
        except OSError as error:
            raise self._not_started(str(error)) from error

    def _not_started(self, why: str) -> TransientError:
        return TransientError(
            f"the embedded Prefect server did not start ({why}); see {self.log}, "
            "or run with --no-prefect"
        )

    def stop(self) -> None:
        """End the server; it is gone when this returns."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve() -> None:
    """Be the server: write the port to stdout, then answer until stdin closes."""
    # With the protocol named, asyncio turns Nagle's algorithm off; without, each request
    # waits 40 ms for a delayed acknowledgement.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()

    servers: list[uvicorn.Server] = []

    def follow_parent() -> None:
        sys.stdin.buffer.read()
        if servers:
            servers[0].should_exit = True
        else:
            os._exit(0)

    threading.Thread(target=follow_parent, daemon=True).start()

    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(
        create_app(ephemeral=True, final=True),
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    servers.append(uvicorn.Server(config))
    servers[0].run(sockets=[listener])


if __name__ == "__main__":
    serve()
