"""Named places where a test may kill the process, to prove that nothing is lost."""

from __future__ import annotations

import os
import signal

VARIABLE = "HOLDFAST_FAILPOINT"


def reach(name: str) -> None:
    """Die by SIGKILL here when the environment names this failpoint; else do nothing."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
