"""Which process this is, and whether another one still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Return a name no other process has: `HOST/NUMBER/STARTED`."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(name: str) -> bool:
    """Return whether a process of this machine has ended.

    False for one on another machine: what became of it cannot be seen from here.

    Parameters
    ----------
    name : str
        As `this_process` gave it.
    """
    host, number, started = name.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    return not is_alive(int(number)) or _started(int(number)) != started


def is_alive(number: int) -> bool:
    """Return whether this machine runs a process of that number."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(number: int) -> str:
    """Return when a process began, in ticks since the machine did; "" where none tells.

    Numbers are given again: only number and beginning together name a process.
    """
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return ""
    # The name in parentheses may hold spaces. Field 22 is the 20th after it.
    return stat.rpartition(")")[2].split()[19]
