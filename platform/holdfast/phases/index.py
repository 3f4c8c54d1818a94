"""The stored index of neighbors, brought up to date; the part of a large pool it leads to.

Shape suffixes: n samples.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.model.neighbors import NeighborIndex
from holdfast.phases.describe import PixelSpace
from holdfast.phases.pool import Pool
from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.query.minority import class_weights
from holdfast.query.narrowing import narrow
from holdfast.records import Ids
from holdfast.store import checkpoints

_HEADER = "index.json"
# Samples that each list of the index is made from.
_PER_LIST = 40
# Samples embedded at once.
_CHUNK = 65_536

log = logging.getLogger(__name__)


def candidate_ids(turn: Turn, pool: Pool) -> Ids:
    """Return which samples of the pool to look at: all up to `query.pool_limit`.

    Of a larger pool, what lies around rare labels and a random part; see `narrow`.
    """
    limit = turn.project.config.query.pool_limit
    if len(pool.unlabeled_ids) <= limit:
        return pool.unlabeled_ids
    space = PixelSpace(turn.project)
    counts = np.bincount(pool.labeled.class_ids_n)
    rarity = class_weights(counts, turn.project.config.query.rare_power)
    return narrow(
        stored_index(turn.project, space, pool.unlabeled_ids),
        pool.unlabeled_ids,
        space.embed(pool.labeled.sample_ids_n),
        rarity[pool.labeled.class_ids_n],
        limit=limit,
        rng=turn.rng("pool"),
    )


def stored_index(project: Project, space: PixelSpace, sample_ids_n: Ids) -> NeighborIndex:
    """Return the project's index with at least these samples in it.

    What is stored grows by the samples it lacks. It is made anew where it is of other
    embeddings, cannot be read, or has outgrown its lists. A crash leaves the one before.
    Cost: reading the file, and embedding what is new.
    """
    folder = project.state / "neighbors"
    index = _load(folder, space)
    missing = sample_ids_n
    if index is not None:
        missing = np.setdiff1d(sample_ids_n, index.sample_ids)
        if index.outgrown(len(index) + len(missing)):
            index = None
    if index is None:
        num, missing = len(sample_ids_n), sample_ids_n
        step = max(1, num // (_PER_LIST * math.isqrt(num) + 1))
        index = NeighborIndex(space.embed(sample_ids_n[::step]), num)
    for start in range(0, len(missing), _CHUNK):
        ids = missing[start : start + _CHUNK]
        index.add(ids, space.embed(ids))
    if len(missing):
        _save(folder, space, index)
    return index


def _save(folder: Path, space: PixelSpace, index: NeighborIndex) -> None:
    folder.mkdir(exist_ok=True)
    name = f"{space.key}-{len(index)}.faiss"
    checkpoints.write_whole(folder / name, index.to_bytes())
    # INVARIANT: the header names a file that is whole, so it is replaced after it.
    header = {"space": space.key, "file": name, "samples": len(index)}
    checkpoints.write_whole(folder / _HEADER, json.dumps(header).encode())
    for path in folder.glob("*.faiss"):
        if path.name != name:
            path.unlink(missing_ok=True)


def _load(folder: Path, space: PixelSpace) -> NeighborIndex | None:
    """Return the index that is stored, None where there is none of these embeddings."""
    try:
        header: dict[str, Any] = json.loads((folder / _HEADER).read_text())
        if header["space"] != space.key:
            return None
        index = NeighborIndex.from_bytes((folder / header["file"]).read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        log.warning("the index of neighbors in %s is made anew: %s", folder, error)
        return None
    if len(index) != header["samples"] or index.dimensions != space.dimensions:
        log.warning("the index of neighbors in %s is made anew: it is another one", folder)
        return None
    return index
