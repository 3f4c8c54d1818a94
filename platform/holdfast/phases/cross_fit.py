"""Class probabilities of labeled samples by networks that never learned their labels.

Shape suffixes: n labeled samples, d embedding dimensions, k classes with a label, f folds.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.failpoints import reach
from holdfast.phases import past_models, scoring
from holdfast.phases.turn import Progress, Turn
from holdfast.project import Project
from holdfast.quality.out_of_sample import (
    assign_folds,
    neutral_where_unheard,
    number_groups,
    others_of_class,
)
from holdfast.quality.settings import AuditConfig
from holdfast.records import Experience, Floats, Ids, LabelTable
from holdfast.seeds import generator
from holdfast.store.checkpoints import write_whole
from holdfast.store.snapshots import Snapshots


def out_of_sample_probs(
    turn: Turn,
    table: LabelTable,
    embeddings_nd: Floats,
    groups_n: NDArray[Any] | None,
    *,
    config: AuditConfig,
) -> tuple[Floats, Ids] | None:
    """Return what networks that never learned each label say of its sample.

    Parameters
    ----------
    table : LabelTable
        Labels under audit, of training and holdout samples alike.
    embeddings_nd : ndarray of float32, shape (N, D)
        In which nothing has learned a label; for samples that every past model has learned.
    groups_n : ndarray, shape (N,), or None
        Samples of one group never judge each other.

    Returns
    -------
    pred_probs_nk : ndarray of float32, shape (N, K)
        Rows sum to 1.
    class_ids_k : ndarray of int64, shape (K,)
        Class of each column, ascending.

    None for `probabilities = "probe"`, which needs no network, and where there is nothing to
    compare yet: fewer than two classes or groups.

    Raises
    ------
    CheckpointMismatchError
        If the file of a past model is missing or damaged.
    """
    if config.probabilities == "probe":
        return None
    class_ids, columns = np.unique(table.class_ids_n, return_inverse=True)
    groups = number_groups(groups_n, len(table))
    if len(class_ids) < 2 or groups.max() == 0:
        return None
    if config.probabilities == "ensemble":
        probs = past_models.judge_unseen(
            turn, table, embeddings_nd, groups, columns, class_ids, config
        )
        return probs, class_ids
    return by_folds(turn, table, groups, columns, class_ids, config.folds), class_ids


def by_folds(
    turn: Turn, table: LabelTable, groups_n: Ids, columns_n: Ids, class_ids_k: Ids, folds: int
) -> Floats:
    """Return probabilities by one network per fold, taught the other folds from scratch.

    There are as many folds as groups, where those are fewer.

    Each is of the project's own kind and taught as a first experience by its own settings.
    What a finished fold said is on disk before the next one starts, and an update puts itself
    down as it goes: after a crash the same call goes on where it was. It is kept until other
    labels, folds or settings take its place, so that the same audit again trains nothing.

    Notes
    -----
    Cost: F updates over (F - 1) / F of the samples each, and one forward pass over all.
    Memory: one experience, as `learning.memory_mib` allows, and the result.
    """
    project = turn.project
    # The same in every round: whether anything changed decides, not when it was asked.
    rng = generator(project.config.seed, "cross-fit")
    fold_n = assign_folds(columns_n, groups_n, num_folds=folds, rng=rng)
    num_folds = int(fold_n.max()) + 1
    job = _Job(project, table, fold_n, class_ids_k, turn.progress)
    parts = _Parts(project.state / "cross-fit", job.key())
    probs = np.zeros((len(table), len(class_ids_k)), np.float32)
    for fold in range(num_folds):
        mine = np.flatnonzero(fold_n == fold)
        said = parts.read(fold, (len(mine), len(class_ids_k)))
        if said is None:
            said = job.teach_and_ask(fold, parts.snapshots)
            parts.write(fold, said)
            reach(f"cross-fit:fold-{fold}")
        probs[mine] = said
    # A class that only one fold has was known to no network that judges it.
    return neutral_where_unheard(probs, columns_n, others_of_class(columns_n, fold_n))


@dataclass(frozen=True, slots=True)
class _Job:
    """One network per fold."""

    project: Project
    table: LabelTable
    fold_n: Ids
    class_ids_k: Ids
    progress: Progress | None

    def key(self) -> str:
        """Return a digest of everything the result depends on."""
        config = self.project.config
        digest = hashlib.sha256()
        for array in (self.table.sample_ids_n, self.table.class_ids_n, self.fold_n):
            digest.update(np.ascontiguousarray(array, np.int64).tobytes())
        settings = [asdict(one) for one in (config.network, config.learning, config.data)] + [
            config.seed
        ]
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
        return digest.hexdigest()

    def teach_and_ask(self, fold: int, snapshots: Snapshots) -> Floats:
        """Return what a network taught the other folds says of one."""
        # Deferred: Avalanche takes 15 s to import, and most audits do without.
        from holdfast.learning.teaching import ContinualLearner

        config, progress = self.project.config, self.progress
        what = f"fold {fold + 1} of {int(self.fold_n.max()) + 1}"
        learner = ContinualLearner(config.network, config.learning)
        state = learner.learn(
            None,
            self._others(fold),
            generator(config.seed, "cross-fit", fold),
            None if progress is None else lambda done, total: progress(what, done, total),
            snapshots,
        )
        mine = self.table.sample_ids_n[self.fold_n == fold]
        said = scoring.score(self.project, state, mine, progress, keep_embeddings=False)
        probs = np.zeros((len(mine), len(self.class_ids_k)), np.float32)
        probs[:, np.searchsorted(self.class_ids_k, said.class_ids_k)] = said.pred_probs_nk
        return probs

    def _others(self, fold: int) -> Experience:
        rows = np.flatnonzero(self.fold_n != fold)
        ids = self.table.sample_ids_n[rows]
        stored = scoring.stored_images(self.project, ids)
        fits = math.prod(stored.shape) <= self.project.config.learning.memory_mib * 2**20
        return Experience(
            number=1,
            sample_ids_n=ids,
            images_nchw=stored[:] if fits else stored,
            labels_n=self.table.class_ids_n[rows],
            weights_n=np.ones(len(rows), np.float32),
            withdrawn_ids=np.zeros(0, np.int64),
        )


class _Parts:
    """What each finished fold said, on disk, for one key at a time."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder / key
        if folder.is_dir():
            for other in folder.iterdir():
                if other.name != key:
                    shutil.rmtree(other)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.snapshots = Snapshots(self._folder / "update")

    def read(self, fold: int, shape: tuple[int, int]) -> Floats | None:
        """Return what a finished fold said, None when it is not finished."""
        try:
            said: Floats = np.load(self._path(fold), allow_pickle=False)
        except FileNotFoundError:
            return None
        return said if said.shape == shape else None

    def write(self, fold: int, said: Floats) -> None:
        """Keep what a fold said; how far its network had come is of no use any more.

        Raises
        ------
        DiskFullError
            If there is no room for it.
        """
        file = BytesIO()
        np.save(file, said)
        write_whole(self._path(fold), file.getvalue())
        self.snapshots.clear()

    def _path(self, fold: int) -> Path:
        return self._folder / f"fold-{fold}.npy"
