"""Where a long computation puts itself down, to be taken up again after a crash."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from holdfast.errors import CheckpointMismatchError, DiskFullError
from holdfast.failpoints import reach
from holdfast.store import checkpoints

KEPT = 2
_INDEX = "index.json"

log = logging.getLogger(__name__)


class Snapshots:
    """The last two states of one computation, in a folder of their own.

    Parameters
    ----------
    folder : Path
        Made when the first snapshot is written.

    Notes
    -----
    The index names whole snapshots only and is replaced in one go, so a crash or a full disk
    at any moment leaves the last good ones. Two are kept: should the newest be damaged, the
    one before it is used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, key: str, step: int, tensors: Mapping[str, NDArray[Any]], header: Any) -> bool:
        """Put a state down; return whether there was room.

        Parameters
        ----------
        key : str
            What the computation is; snapshots of any other are removed.
        header : JSON
        """
        try:
            name = checkpoints.save(self._folder, tensors, {"step": step, "of": header})
            reach("snapshot:saved")
            kept = [row for row in self._rows(key) if row["name"] != name][-(KEPT - 1) :]
            kept.append({"step": step, "name": name})
            text = json.dumps({"key": key, "snapshots": kept}).encode()
            checkpoints.write_whole(self._folder / _INDEX, text)
        except DiskFullError:
            last = [str(row["step"]) for row in self._rows(key)][-1:]
            log.warning(
                "no space left in %s for the snapshot of step %d; %s. Free some space: "
                "should this run be stopped, later steps will be repeated",
                self._folder,
                step,
                f"the one of step {last[0]} is kept" if last else "there is none before it",
            )
            return False
        reach("snapshot:indexed")
        self._prune({row["name"] for row in kept})
        return True

    def latest(self, key: str) -> tuple[dict[str, NDArray[Any]], Any] | None:
        """Return tensors and header of the newest whole snapshot, None without one."""
        for row in reversed(self._rows(key)):
            try:
                tensors, header = checkpoints.load(self._folder, row["name"])
            except CheckpointMismatchError as error:
                log.warning("%s; going on from the snapshot before it", error)
                continue
            return tensors, header["of"]
        return None

    def clear(self) -> None:
        """Remove all of it; the computation is done."""
        if self._folder.is_dir():
            (self._folder / _INDEX).unlink(missing_ok=True)
            self._prune(set())
            self._folder.rmdir()

    def _rows(self, key: str) -> list[dict[str, Any]]:
        try:
            index = json.loads((self._folder / _INDEX).read_text())
        except (FileNotFoundError, ValueError):
            return []
        return list(index["snapshots"]) if index.get("key") == key else []

    def _prune(self, names: set[str]) -> None:
        for path in self._folder.iterdir():
            if path.name != _INDEX and path.stem not in names:
                path.unlink(missing_ok=True)
