"""The embeddings by which samples are compared."""

from __future__ import annotations

import numpy as np

from holdfast.model.pixels import pixel_embeddings
from holdfast.phases import scoring
from holdfast.phases.turn import Turn
from holdfast.records import Floats, Ids


def describe_labeled(turn: Turn, sample_ids_n: Ids) -> Floats:
    """Return embeddings for the audit: nothing in them has learned the labels under audit."""
    return pixel_embeddings(scoring.read_images(turn.project, sample_ids_n))


def describe(turn: Turn, pool_ids: Ids, labeled_ids: Ids) -> tuple[Floats, Floats]:
    """Return embeddings of pool and labeled samples in one space, for novelty and spread."""
    images = scoring.read_images(turn.project, np.concatenate([pool_ids, labeled_ids]))
    embeddings = pixel_embeddings(images)
    return embeddings[: len(pool_ids)], embeddings[len(pool_ids) :]
