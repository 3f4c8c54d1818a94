"""Images too large for memory: read by whole batches, the next ones while one trains.

Shape suffixes: n rows, m rows of an experience, b rows of a batch, c channels, h rows of
pixels, w columns of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids, ImageRows, Images

# Rows read at once where they are many.
_PIECE = 256


class JoinedImages:
    """Exemplars, which are in memory, and an experience, which is not, as rows of one.

    Parameters
    ----------
    exemplars : ndarray of uint8, shape (E, C, H, W)
    rows_e : ndarray of int64
        Which of them are in it, and `exemplars_at`, as which rows.
    experience : ImageRows, shape (M, C, H, W)
    experience_at : ndarray of int64, shape (M,)
        As which rows. With `exemplars_at` every row from 0 to N - 1, once.

    Attributes
    ----------
    shape : tuple of int
        (N, C, H, W).
    read_n : ndarray of bool, shape (N,)
        Whether a row has to be read.
    """

    def __init__(
        self,
        exemplars: Images,
        rows_e: Ids,
        exemplars_at: Ids,
        experience: ImageRows,
        experience_at: Ids,
    ) -> None:
        num = len(exemplars_at) + len(experience_at)
        self._exemplars, self._experience = exemplars, experience
        self._place_n = np.empty(num, np.int64)
        self._place_n[exemplars_at] = rows_e
        self._place_n[experience_at] = np.arange(len(experience_at))
        self.read_n: NDArray[np.bool_] = np.zeros(num, bool)
        self.read_n[experience_at] = True
        self.shape = (num, *experience.shape[1:])

    def __len__(self) -> int:
        return len(self.read_n)

    def __getitem__(self, rows: Ids | slice) -> Images:
        """Return the images of some rows."""
        places, read = self._place_n[rows], self.read_n[rows]
        images = np.empty((len(places), *self.shape[1:]), np.uint8)
        images[~read] = self._exemplars[places[~read]]
        if read.any():
            images[read] = self._experience[places[read]]
        return images

    def in_memory(self) -> dict[int, Images]:
        """Return the exemplars, not copied, by row."""
        rows = np.flatnonzero(~self.read_n)
        places = self._place_n[rows].tolist()
        return {row: self._exemplars[at] for row, at in zip(rows.tolist(), places, strict=True)}


@dataclass(frozen=True, slots=True)
class _Reading:
    """Distinct rows, ascending, and their images, which are there or on their way."""

    rows_m: Ids
    images: Future[Images]

    def covers(self, rows: Ids) -> bool:
        """Tell whether the rows are among those that are read."""
        if not len(self.rows_m):
            return not len(rows)
        at = np.searchsorted(self.rows_m, rows).clip(max=len(self.rows_m) - 1)
        return bool((self.rows_m[at] == rows).all())

    def take(self, rows: Ids) -> Images:
        """Wait for the images and return those of some rows."""
        taken: Images = self.images.result()[np.searchsorted(self.rows_m, rows)]
        return taken


class ReadAhead:
    """Images by row, read by a thread, before they are asked for where it can be told.

    What is expected is only a guess: rows that are asked for all the same are read then. So
    nothing of it belongs to the state of an update.

    Parameters
    ----------
    images : JoinedImages
        Exemplars are in memory from the start. The thread is the only one that reads the
        others.

    Notes
    -----
    Memory: what is held, the batches that are expected, and the last one that was not.
    Cost: one read and one decode per image, each time it is asked for; O(B) in Python to
    gather a batch, O(H log H) for H rows held whenever they change.
    """

    def __init__(self, images: JoinedImages) -> None:
        self._images = images
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
        self._expected: list[_Reading] = []
        self._unexpected: list[_Reading] = []
        self._in_memory, self._absent_n = images.in_memory(), images.read_n.copy()
        self._held_m: Ids = np.zeros(0, np.int64)

    def expect(self, batches: Sequence[Ids]) -> None:
        """Begin to read the rows that each of the next batches will ask for, in this order.

        What was expected before and is not any more is forgotten.
        """
        readings: list[_Reading] = []
        for rows in batches:
            absent = self._absent(rows)
            if len(absent):
                readings.append(self._found(absent) or self._read(absent))
        for reading in self._expected:
            if all(reading is not other for other in readings):
                reading.images.cancel()
        self._expected, self._unexpected = readings, []

    def hold(self, rows: Ids) -> None:
        """Have these rows in memory, and of the others only exemplars."""
        wanted = np.unique(rows[self._images.read_n[rows]])
        for row in np.setdiff1d(self._held_m, wanted, assume_unique=True).tolist():
            del self._in_memory[row]
            self._absent_n[row] = True
        fresh = np.setdiff1d(wanted, self._held_m, assume_unique=True)
        for start in range(0, len(fresh), _PIECE):
            piece = fresh[start : start + _PIECE]
            # Images of their own: a row of the piece would keep all of it in memory.
            images = (image.copy() for image in self[piece])
            self._in_memory |= zip(piece.tolist(), images, strict=True)
            self._absent_n[piece] = False
        self._held_m = wanted

    def __getitem__(self, rows: Ids) -> Images:
        """Return the images of some rows, repeats included, in their order."""
        images = np.empty((len(rows), *self._images.shape[1:]), np.uint8)
        absent_b = self._absent_n[rows]
        for place in np.flatnonzero(~absent_b).tolist():
            images[place] = self._in_memory[int(rows[place])]
        absent = self._absent(rows)
        if len(absent):
            reading = self._found(absent)
            if reading is None:
                reading = self._read(absent)
                self._unexpected = [reading]
            images[absent_b] = reading.take(rows[absent_b])
        return images

    def close(self) -> None:
        """Forget what was expected and end the thread."""
        self._reader.shutdown(cancel_futures=True)

    def _absent(self, rows: Ids) -> Ids:
        distinct: Ids = np.unique(rows[self._absent_n[rows]])
        return distinct

    def _found(self, rows: Ids) -> _Reading | None:
        readings = (*self._expected, *self._unexpected)
        return next((reading for reading in readings if reading.covers(rows)), None)

    def _read(self, rows: Ids) -> _Reading:
        return _Reading(rows, self._reader.submit(self._images.__getitem__, rows))
