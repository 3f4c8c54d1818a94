"""What a model of the project says about samples of the project."""

from __future__ import annotations

import numpy as np

from holdfast.data.stream import StoredImages
from holdfast.learning.learner import LearnerState
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import Predictions, predict
from holdfast.phases.turn import Progress
from holdfast.project import Project
from holdfast.records import Ids, Images
from holdfast.store import checkpoints, models, samples

# Images in memory at once while a pool is scored.
_CHUNK = 8192


def stored_images(project: Project, sample_ids_n: Ids) -> StoredImages:
    """Return images, in the order of the ids, that are read when they are asked for."""
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, sample_ids_n)
    data = project.config.data
    return StoredImages(project.images, uids, data.image_size, data.channels)


def read_images(project: Project, sample_ids_n: Ids) -> Images:
    """Return decoded images, uint8 of shape (N, C, H, W), in the order of the ids."""
    return stored_images(project, sample_ids_n)[:]


def champion_state(project: Project) -> LearnerState | None:
    """Return the state of the champion, None before the first promotion.

    Raises
    ------
    CheckpointMismatchError
        If the file is missing or is not the one the ledger names.
    """
    with project.ledger.read() as connection:
        current = models.champion(connection)
    return None if current is None else load_state(project, current.champion)


def load_state(project: Project, sha256: str) -> LearnerState:
    """Return the learner state of a model in the ledger."""
    tensors, header = checkpoints.load(project.models, sha256)
    return LearnerState(tensors=tensors, header=header)


def score(
    project: Project,
    state: LearnerState,
    sample_ids_n: Ids,
    progress: Progress | None = None,
) -> Predictions:
    """Return probabilities and embeddings of samples, a chunk of images at a time.

    Cost: one decode and one forward pass per sample; memory holds one chunk of images.
    """
    network = restore_model(state.tensors, state.header, project.config.network)
    parts = []
    starts = range(0, max(len(sample_ids_n), 1), _CHUNK)
    for start in starts:
        images = read_images(project, sample_ids_n[start : start + _CHUNK])
        parts.append(predict(network, images, config=project.config.network))
        if progress is not None:
            progress("scoring", min(start + _CHUNK, len(sample_ids_n)), len(sample_ids_n))
    return Predictions(
        pred_probs_nk=np.concatenate([part.pred_probs_nk for part in parts]),
        embeddings_nd=np.concatenate([part.embeddings_nd for part in parts]),
        class_ids_k=parts[0].class_ids_k,
    )
