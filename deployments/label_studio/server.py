"""A Label Studio server on loopback, as a Python value: it ends with whoever started it."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO

from deployments.label_studio.install import (
    EMPTY_DATABASE,
    PYTHON,
    SERVING,
    ensure_installed,
    environment,
)
from holdfast.errors import ConfigError, TransientError

HOST = "127.0.0.1"
EMAIL = "holdfast@localhost.localdomain"
LOG_NAME = "server.log"
# Ten times what a start takes on two idle cores; an old database has to be migrated, too.
STARTUP_SECONDS = 180.0
SHUTDOWN_SECONDS = 10.0
TAIL_BYTES = 600


class LabelStudioServer:
    """A server that answers; leaving the `with` block stops it.

    Parameters
    ----------
    home : Path
        Folder for its data (`data`), its log (`server.log`), and the files `token` and
        `password` of the first user, which hold at every start; made where it is missing.
    port : int
        Port on 127.0.0.1; 0 takes a free one.
    legacy_tokens : bool
        Whether `token` is one of Label Studio's legacy tokens that work. Read at the very
        first start only: later the server's own settings count.
    files : Path or None
        Folder whose images tasks may name, for `images = "local-files"`; None: no such folder.

    Attributes
    ----------
    url : str
        As `http://127.0.0.1:8080`, without a slash at its end.
    token, password : str
        Of the first user, whose e-mail address is `email`.

    Raises
    ------
    ConfigError
        If the port is taken, or Label Studio cannot be installed.
    TransientError
        If the server ends before it answers, or does not answer within three minutes.
    """

    email = EMAIL

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        legacy_tokens: bool = True,
        files: Path | None = None,
    ) -> None:
        ensure_installed()
        data = home / "data"
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = data / "label_studio.sqlite3"
        if not database.exists():
            part = shutil.copyfile(EMPTY_DATABASE, data / "part.sqlite3")
            part.replace(database)
        self.home = home
        self.log = home / LOG_NAME
        self.token = _secret(home / "token", 20)
        self.password = _secret(home / "password", 12)
        first = {
            "email": EMAIL,
            "password": self.password,
            "token": self.token,
            "legacy_tokens": legacy_tokens,
        }
        with _listener(port) as listener, self.log.open("wb") as log:
            self.port = int(listener.getsockname()[1])
            self.url = f"http://{HOST}:{self.port}"
            # A session of its own: Ctrl-C reaches the parent alone, which then ends both.
            self._process = subprocess.Popen(  # noqa: S603
                [str(PYTHON), str(SERVING), "serve", str(listener.fileno())],
                stdin=subprocess.PIPE,
                # What is written is sent, so nothing is left to send when the pipe closes.
                bufsize=0,
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                env=environment(data, files),
                start_new_session=True,
            )
        try:
            self._lifeline.write(json.dumps(first).encode() + b"\n")
            # The socket listens before the server is ready, so one request waits for it.
            with urllib.request.urlopen(f"{self.url}/health", timeout=STARTUP_SECONDS):  # noqa: S310
                pass
        except OSError as error:
            self.kill()
            tail = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
            raise TransientError(
                f"Label Studio did not start ({error}); {self.log} ends with: "
                f"{' '.join(tail.split())}"
            ) from error
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Id of the server's process."""
        return self._process.pid

    def wait(self) -> int:
        """Return the exit status of the server once it has ended."""
        return self._process.wait()

    def stop(self) -> None:
        """End the server; it is gone when this returns. Safe to repeat."""
        self._lifeline.close()
        try:
            self._process.wait(SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server as it would end in an accident, with SIGKILL. Safe to repeat."""
        self._process.kill()
        self._process.wait()
        self._lifeline.close()

    @property
    def _lifeline(self) -> IO[bytes]:
        """Return the pipe that the server ends with."""
        assert self._process.stdin is not None  # noqa: S101  (it was asked for above)
        return self._process.stdin

    def __enter__(self) -> LabelStudioServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _listener(port: int) -> socket.socket:
    """Open the socket here: Label Studio itself moves on to another port without a word."""
    # With the protocol named, no answer waits for a delayed acknowledgement.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} cannot be used ({error.strerror}): stop what listens there, or choose "
            "another port, as in: make label-studio PORT=9000"
        ) from error
    listener.listen(256)
    return listener


def _secret(file: Path, num_bytes: int) -> str:
    """Return what a file holds that only its owner may read; made with random content."""
    if not file.exists():
        part = file.with_name(f"{file.name}.part")
        part.touch(mode=0o600)
        part.write_text(secrets.token_hex(num_bytes) + "\n")
        part.replace(file)
    return file.read_text().strip()
