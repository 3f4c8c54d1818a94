"""The embeddings by which samples are compared.

Shape suffixes: n samples, p averaged pixels, d dimensions.
"""

from __future__ import annotations

import hashlib

import numpy as np

from holdfast.model.pixels import FIT_SAMPLES, average_pixels, fit_components
from holdfast.phases import scoring
from holdfast.phases.scratch import Scratch
from holdfast.project import Project
from holdfast.records import Floats, Ids
from holdfast.store import samples

# Images in memory at once.
_CHUNK = 8192


class PixelSpace:
    """Embeddings in which nothing has learned a label, comparable across phases and rounds.

    Their directions come from the training samples that were here first, a number that
    doubles as samples are added. So all samples share them, whoever asks about which, and
    new ones leave the embeddings of the others as they are until there are twice as many.

    Each image is decoded and averaged once in its life; the averages are kept in Lance.

    Attributes
    ----------
    key : str
        Equal keys mean equal embeddings.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        data = project.config.data
        self._name = f"pixels-{data.image_size}x{data.channels}"
        with project.ledger.read() as connection:
            ids = samples.usable_ids(connection, "train")
            if not len(ids):
                ids = samples.usable_ids(connection, "holdout")
        self._components = fit_components(self._averages(fit_ids(ids)))
        directions = self._components.directions_pd
        digest = hashlib.sha256(self._components.mean_p.tobytes() + directions.tobytes())
        self.key = f"{self._name}-{digest.hexdigest()[:16]}"

    @property
    def dimensions(self) -> int:
        """D, at most 32."""
        return self._components.directions_pd.shape[1]

    def embed(self, sample_ids_n: Ids) -> Floats:
        """Return embeddings, shape (N, D), in the order of the ids.

        Cost: reading P <= 256 numbers a channel for each sample, a chunk of samples at a
        time; a large result lies on the project's disk.
        """
        made = Scratch(self._project)((len(sample_ids_n), self.dimensions), np.float32)
        for start in range(0, len(sample_ids_n), _CHUNK):
            rows = slice(start, start + _CHUNK)
            made[rows] = self._components.embed(self._averages(sample_ids_n[rows]))
        return made

    def _averages(self, sample_ids_n: Ids) -> Floats:
        with self._project.ledger.read() as connection:
            uids = samples.uids_of(connection, sample_ids_n)
        store = self._project.embeddings
        known_np, found_n = store.read(self._name, uids)
        missing = np.flatnonzero(~found_n)
        for start in range(0, len(missing), _CHUNK):
            rows = missing[start : start + _CHUNK]
            fresh = average_pixels(scoring.read_images(self._project, sample_ids_n[rows]))
            store.add(self._name, [uids[row] for row in rows.tolist()], fresh)
            if not known_np.shape[1]:
                known_np = np.zeros((len(uids), fresh.shape[1]), np.float32)
            known_np[rows] = fresh
        return known_np


def describe(project: Project, sample_ids_n: Ids) -> Floats:
    """Return embeddings of samples, shape (N, D); see `PixelSpace`."""
    if not len(sample_ids_n):
        return np.zeros((0, 0), np.float32)
    return PixelSpace(project).embed(sample_ids_n)


def fit_ids(sample_ids_n: Ids) -> Ids:
    """Return at most `FIT_SAMPLES` of the first samples, spread over them.

    The first 20,000, 40,000, 80,000 and so on, as many as there are.

    Parameters
    ----------
    sample_ids_n : ndarray of int64, shape (N,)
        Ascending.

    Examples
    --------
    >>> fit_ids(np.arange(50_000)).tolist() == list(range(0, 40_000, 2))
    True
    """
    step = 1
    while 2 * step * FIT_SAMPLES <= len(sample_ids_n):
        step *= 2
    first: Ids = sample_ids_n[: step * FIT_SAMPLES : step]
    return first
