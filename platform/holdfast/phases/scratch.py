"""Large arrays of one phase, on the project's disk and not in memory."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import DiskFullError
from holdfast.project import Project

# Up to this size an array is held in memory: 1,000,000 rows of 64 numbers.
IN_MEMORY_BYTES = 256 * 2**20


class Scratch:
    """Makes arrays to be filled: in memory, or where they are large on the project's disk.

    The file has no name and is gone with the array, also after a crash.

    Parameters
    ----------
    project : Project
        Its state folder has the room.
    """

    def __init__(self, project: Project) -> None:
        self._folder = project.state

    def __call__(self, shape: tuple[int, ...], dtype: type[Any], /) -> NDArray[Any]:
        """Return an array of any content.

        Raises
        ------
        DiskFullError
            If there is no room for it.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size <= IN_MEMORY_BYTES:
            return np.empty(shape, dtype)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            try:
                # Claimed now: a map of a file with holes kills the process where the disk
                # fills up later.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise DiskFullError(self._folder) from error
                raise
            return np.memmap(file, dtype, "r+", shape=shape)
