"""How much memory of its own a process comes to hold, pages of mapped files left out."""

from __future__ import annotations

import threading
from pathlib import Path

from benchmarks.measurement import MeasurementError

LOOKS_PER_S = 200


class MemoryWatch:
    """Looks at this process's memory from a thread, from its making until `stop`."""

    def __init__(self) -> None:
        self._start = self._peak = own_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return by how many bytes it grew at most."""
        self._done.set()
        self._thread.join()
        return max(self._peak, own_bytes()) - self._start

    def _look(self) -> None:
        while not self._done.wait(1 / LOOKS_PER_S):
            self._peak = max(self._peak, own_bytes())


def own_bytes() -> int:
    """Return the memory that is this process's alone.

    Raises
    ------
    MeasurementError
        Where the system does not say.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return 1024 * int(line.split()[1])
    raise MeasurementError("this system does not say how much memory a process holds")
