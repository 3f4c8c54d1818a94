"""The embeddings by which samples are compared.

Shape suffixes: n samples, p averaged pixels, d dimensions.
"""

from __future__ import annotations

import numpy as np

from holdfast.model.pixels import average_pixels, principal_components
from holdfast.phases import scoring
from holdfast.project import Project
from holdfast.records import Floats, Ids
from holdfast.store import samples

# Images in memory at once.
_CHUNK = 8192


def describe(project: Project, sample_ids_n: Ids) -> Floats:
    """Return embeddings, shape (N, D), in which nothing has learned a label.

    Each image is decoded and averaged once in its life; the averages are kept in Lance.
    Cost: reading P <= 256 numbers a channel for each sample, and their components.
    """
    return principal_components(_averages(project, sample_ids_n))


def _averages(project: Project, sample_ids_n: Ids) -> Floats:
    data = project.config.data
    name = f"pixels-{data.image_size}x{data.channels}"
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, sample_ids_n)
    known_np, found_n = project.embeddings.read(name, uids)
    missing = np.flatnonzero(~found_n)
    for start in range(0, len(missing), _CHUNK):
        rows = missing[start : start + _CHUNK]
        fresh = average_pixels(scoring.read_images(project, sample_ids_n[rows]))
        project.embeddings.add(name, [uids[row] for row in rows.tolist()], fresh)
        if not known_np.shape[1]:
            known_np = np.zeros((len(uids), fresh.shape[1]), np.float32)
        known_np[rows] = fresh
    return known_np
