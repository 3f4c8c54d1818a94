"""What past models say of samples whose labels they never learned.

Shape suffixes: n labeled samples, d embedding dimensions, k classes with a label.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from holdfast.phases import scoring
from holdfast.phases.turn import Turn
from holdfast.quality.out_of_sample import out_of_sample
from holdfast.quality.settings import AuditConfig
from holdfast.records import Floats, Ids, LabelTable, ModelRecord
from holdfast.store import labels, models

# Past models that have a say, the newest: each costs a forward pass over what it never
# learned, and older ones know less.
MOST_MODELS = 5


def judge_unseen(
    turn: Turn,
    table: LabelTable,
    embeddings_nd: Floats,
    groups_n: Ids,
    columns_n: Ids,
    class_ids_k: Ids,
    config: AuditConfig,
) -> Floats:
    """Return the mean of what past models say of samples they never learned.

    A sample is new to a model when neither it, nor another of its group, had a label in
    the dataset version of the model or of any model it descends from. A model that does
    not know the class of a label has no say on it. Where no model is left, the probe of
    the other labels speaks.

    Parameters
    ----------
    groups_n : ndarray of int64, shape (N,)
        Groups numbered from 0.
    columns_n : ndarray of int64, shape (N,)
        Labels as columns of `class_ids_k`.

    Returns
    -------
    ndarray of float32, shape (N, K)
        Rows sum to 1.

    Notes
    -----
    Cost: a forward pass of each of the newest `MOST_MODELS` models over the samples new to
    it, and of the probe over all where one is new to none.
    """
    project = turn.project
    with project.ledger.read() as connection:
        known = models.models(connection)
        learned_by = learned_ids(connection, known)
    total_nk = np.zeros((len(table), len(class_ids_k)), np.float32)
    num_judges_n = np.zeros(len(table), np.int64)
    num_asked = 0
    for record in reversed(known):
        if num_asked == MOST_MODELS:
            break
        new_n = _new_to(learned_by[record.sha256], table.sample_ids_n, groups_n)
        if not new_n.any():
            continue
        num_asked += 1
        state = scoring.load_state(project, record.sha256)
        met = np.asarray(state.header["class_ids"], np.int64)
        rows = np.flatnonzero(new_n & np.isin(table.class_ids_n, met))
        if not len(rows):
            continue
        said = scoring.score(
            project, state, table.sample_ids_n[rows], turn.progress, keep_embeddings=False
        )
        total_nk[rows] += _on_columns(said.pred_probs_nk, said.class_ids_k, class_ids_k)
        num_judges_n[rows] += 1
    judged = num_judges_n > 0
    total_nk[judged] /= num_judges_n[judged, None]
    if not judged.all():
        by_others = out_of_sample(
            columns_n,
            embeddings_nd,
            groups_n,
            folds=config.folds,
            neighbors=config.neighbors,
            vote_share=config.vote_share,
            rng=turn.rng("audit"),
        )
        total_nk[~judged] = by_others[~judged]
    return total_nk


def learned_ids(connection: Connection, known: list[ModelRecord]) -> Mapping[str, Ids]:
    """Return the samples whose labels each model has learned, by its sha256.

    Those of its own dataset version and of every model it descends from: what an ancestor
    learned stays in the weights, also where the label was withdrawn since. Cost: one pass
    over the label log for each version.
    """
    by_name = {record.sha256: record for record in known}
    of_version: dict[int, Ids] = {}
    learned: dict[str, Ids] = {}

    def own(record: ModelRecord) -> Ids:
        if record.dataset_version not in of_version:
            version = models.version_by_id(connection, record.dataset_version)
            table = labels.resolve(connection, version.scope, "train")
            of_version[record.dataset_version] = table.sample_ids_n
        return of_version[record.dataset_version]

    for record in known:
        line = [record]
        while line[-1].parent is not None and line[-1].parent not in learned:
            line.append(by_name[line[-1].parent])
        for one in reversed(line):
            before = np.zeros(0, np.int64) if one.parent is None else learned[one.parent]
            learned[one.sha256] = np.union1d(before, own(one))
    return learned


def _new_to(learned_ids_m: Ids, sample_ids_n: Ids, groups_n: Ids) -> NDArray[np.bool_]:
    """Tell of which samples neither they nor their group were learned."""
    met = np.zeros(int(groups_n.max()) + 1, np.bool_)
    met[groups_n[np.isin(sample_ids_n, learned_ids_m)]] = True
    return np.asarray(~met[groups_n])


def _on_columns(probs_nc: Floats, class_ids_c: Ids, class_ids_k: Ids) -> Floats:
    """Return probabilities of a model's classes on the columns of those with a label."""
    columns = np.minimum(np.searchsorted(class_ids_k, class_ids_c), len(class_ids_k) - 1)
    shared = class_ids_k[columns] == class_ids_c
    probs_nk = np.zeros((len(probs_nc), len(class_ids_k)), np.float32)
    probs_nk[:, columns[shared]] = probs_nc[:, shared]
    # Classes that no sample is labeled as any more take their part with them.
    total = probs_nk.sum(axis=1, keepdims=True)
    even = np.float32(1 / len(class_ids_k))
    return np.where(total > 0, probs_nk / np.maximum(total, np.float32(1e-30)), even)
