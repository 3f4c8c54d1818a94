"""What a model of the project says about samples of the project."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from holdfast.data.stream import StoredImages
from holdfast.learning.learner import LearnerState
from holdfast.model.committee import CommitteePredictions, predict_committee
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import Predictions, predict
from holdfast.phases.scratch import Scratch
from holdfast.phases.turn import Progress
from holdfast.project import Project
from holdfast.records import Ids, Images
from holdfast.store import checkpoints, models, samples


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
    *,
    keep_embeddings: bool = True,
) -> Predictions:
    """Return probabilities and embeddings of samples, however many.

    Cost: one decode and one forward pass per sample, images read ahead of the network. Memory
    holds two chunks of images; large results lie on the project's disk.
    """
    return predict(
        restore_model(state.tensors, state.header, project.config.network),
        stored_images(project, sample_ids_n),
        config=project.config.network,
        keep_embeddings=keep_embeddings,
        allocate=Scratch(project),
        told=_told(progress),
    )


def score_as_committee(
    project: Project,
    state: LearnerState,
    sample_ids_n: Ids,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> CommitteePredictions:
    """Return probabilities of samples and what members disagree about, without embeddings.

    Members are the models of the state's ensemble, or passes with dropout. Cost as of
    `score`, with a forward pass for each model of an ensemble.
    """
    return predict_committee(
        restore_model(state.tensors, state.header, project.config.network),
        stored_images(project, sample_ids_n),
        config=project.config.network,
        rng=rng,
        keep_embeddings=False,
        allocate=Scratch(project),
        told=_told(progress),
    )


def _told(progress: Progress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress("scoring", done, total)
