"""Starts Label Studio in the foreground, for `make label-studio`: Ctrl-C ends it."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from deployments.label_studio.install import HOME
from deployments.label_studio.server import LabelStudioServer
from holdfast.errors import HoldfastError, TransientError

PORT = 8080

WELCOME = """\
Label Studio answers at {url}. Ctrl-C ends it; what people said is kept.

  log in as     {email}
  password in   {home}/password
  token in      {home}/token
  log in        {home}/server.log

To have a project ask its questions here, put into its holdfast.toml:

  [annotation]
  oracle = "label-studio"

  [annotation.label_studio]
  url = "{url}"
  token_file = "{home}/token"

It shows images from folders below {files}, for images = "local-files".
"""


def main() -> int:
    """Start the server and stay until it ends; return an exit status."""
    parser = argparse.ArgumentParser(prog="label-studio", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help="on 127.0.0.1 (default: 8080)")
    parser.add_argument(
        "--files",
        type=Path,
        default=HOME / "files",
        help="folder whose images tasks may name (default: .label-studio/files)",
    )
    parser.add_argument(
        "--home", type=Path, default=HOME, help="folder for its data (default: .label-studio)"
    )
    options = parser.parse_args()
    home, files = options.home.resolve(), options.files.resolve()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        files.mkdir(parents=True, exist_ok=True)
        with LabelStudioServer(home, port=options.port, files=files) as server:
            text = WELCOME.format(url=server.url, email=server.email, home=home, files=files)
            print(text, flush=True)
            status = server.wait()
            raise TransientError(
                f"Label Studio ended by itself ({status}); see {server.log}, then start it again"
            )
    except KeyboardInterrupt:
        return 0
    except HoldfastError as error:
        print(f"label-studio: {error}", file=sys.stderr)
        return error.exit_code


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  (signal calls it)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
