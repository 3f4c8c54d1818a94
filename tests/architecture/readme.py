"""The README's code blocks, and a shell to run them in."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
SHELL = [text for kind, text in BLOCKS if kind == "sh"]
WAITING = 75
PATH = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
# Under `make test` the tests run inside make, and a make inside that would say so.
NOT_MADE = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
NOT_MADE.pop("MFLAGS", None)


def shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={**NOT_MADE, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def block(beginning: str) -> str:
    (found,) = [text for text in SHELL if text.startswith(beginning)]
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
