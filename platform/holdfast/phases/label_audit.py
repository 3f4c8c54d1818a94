"""What is wrong with the labels: which, between which classes, and in which groups.

Shape suffixes: n labeled samples, d embedding dimensions, k classes with a label, g groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from holdfast.model.neighbors import graph
from holdfast.phases.cross_fit import out_of_sample_probs
from holdfast.phases.pool import Pool
from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.quality.audit import AuditReport
from holdfast.quality.audit import audit as audit_labels
from holdfast.quality.class_pairs import ClassPair, confident_counts, confused_pairs
from holdfast.quality.out_of_sample import Graph, out_of_sample
from holdfast.quality.resampled_folds import Resampling
from holdfast.quality.weak_groups import WeakGroup, cluster, weak_groups
from holdfast.query.relabel import Suspects, rank_suspects
from holdfast.records import Floats, Ids, LabelTable
from holdfast.seeds import integer_seed
from holdfast.store import samples

# Probability of being wrong from which on a label is flagged although people confirmed it.
LIKELY = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedGroup:
    """A weak group and what to call it: its name, or for a cluster one of its images."""

    name: str
    is_cluster: bool
    found: WeakGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelAudit:
    """What was found in the labels.

    Attributes
    ----------
    table : LabelTable
        The labels, in the order of the rows of `report`.
    suspects : Suspects
        All labels that can be asked about, most suspect first; those that people confirmed
        have their odds lowered.
    pairs : tuple of ClassPair
        The most confused first.
    groups : tuple of NamedGroup
        The least likely by chance first.
    num_unlabeled : int
        Samples of the pool.
    """

    table: LabelTable
    report: AuditReport
    suspects: Suspects
    pairs: tuple[ClassPair, ...]
    groups: tuple[NamedGroup, ...]
    num_unlabeled: int

    def flagged(self) -> Suspects:
        """Return the labels above the cut, most suspect first.

        Of those that people confirmed only the ones that still are more likely wrong.
        """
        ranked, table = self.suspects, self.table
        cut = np.isin(ranked.sample_ids_s, table.sample_ids_n[self.report.flagged_n])
        confirmed = np.isin(ranked.sample_ids_s, table.sample_ids_n[table.verified_n])
        kept = cut & (~confirmed | (ranked.error_probs_s >= LIKELY))
        return Suspects(
            sample_ids_s=ranked.sample_ids_s[kept],
            given_s=ranked.given_s[kept],
            suggested_s=ranked.suggested_s[kept],
            error_probs_s=ranked.error_probs_s[kept],
        )


def inspect_labels(
    turn: Turn, pool: Pool, embeddings_nd: Floats, neighbors: Graph | None = None
) -> LabelAudit:
    """Rank the labels that hold by how little the others support them.

    Parameters
    ----------
    pool : Pool
        With at least one label.
    embeddings_nd : ndarray of float32, shape (N, D)
        Of the labeled samples, in the order of `pool.labeled`.
    neighbors : tuple of ndarray, each of shape (N, M), optional
        Distances and rows of each labeled sample's nearest others, where they are known.

    Notes
    -----
    Cost: that of the probabilities (`audit.probabilities`: the probe reads the embeddings, the
    others ask networks) and O(n k).
    """
    project, table, rng = turn.project, pool.labeled, turn.rng("audit")
    with project.ledger.read() as connection:
        groups = samples.groups_of(connection, table.sample_ids_n)
    config, keys = project.config.audit, _group_keys(groups, table.sample_ids_n)
    probs, class_ids = _probabilities(turn, table, embeddings_nd, neighbors, keys)
    report = audit_labels(
        table.class_ids_n,
        embeddings_nd,
        config=config,
        rng=rng,
        groups_n=keys,
        pred_probs_nk=probs,
        class_ids_k=class_ids,
    )
    open_n = ~np.isin(table.sample_ids_n, pool.refused_ids)
    suspects = rank_suspects(
        table.sample_ids_n[open_n],
        table.class_ids_n[open_n],
        report.suggested_n[open_n],
        report.error_probs_n[open_n],
        table.verified_n[open_n],
        threshold=0.0,
    )
    columns = np.searchsorted(report.class_ids_k, table.class_ids_n)
    confused = confident_counts(columns, report.pred_probs_nk)
    sizes = np.bincount(columns, minlength=len(report.class_ids_k))
    wrong_n = report.pred_probs_nk.argmax(axis=1) != columns
    return LabelAudit(
        table=table,
        report=report,
        suspects=suspects,
        pairs=confused_pairs(confused, sizes, report.class_ids_k),
        groups=_weak(project, table, groups, columns, wrong_n, embeddings_nd, rng),
        num_unlabeled=len(pool.unlabeled_ids),
    )


def _probabilities(
    turn: Turn,
    table: LabelTable,
    embeddings_nd: Floats,
    neighbors: Graph | None,
    keys_n: NDArray[np.str_] | None,
) -> tuple[NDArray[np.floating], Ids] | tuple[None, None]:
    """Return out-of-sample probabilities and the class of each column; none for one class."""
    config = turn.project.config.audit
    class_ids, columns = np.unique(table.class_ids_n, return_inverse=True)
    if len(class_ids) < 2:
        return None, None
    said = out_of_sample_probs(turn, table, embeddings_nd, keys_n, config=config)
    if said is not None:
        return said
    # Neighbors among the embeddings as they are, which others ask for as well, rank wrong
    # labels a little better than those among embeddings of equal length (average precision
    # .970 against .966, higher in 9 of 9 trials on MNIST, its long tail and blood cells).
    near = graph(embeddings_nd, config.neighbors) if neighbors is None else neighbors
    probs = out_of_sample(
        columns,
        embeddings_nd,
        keys_n,
        folds=config.folds,
        neighbors=config.neighbors,
        vote_share=config.vote_share,
        rng=turn.rng("audit"),
        neighbors_graph=near,
        resampling=_resampling(turn, table),
    )
    return probs, class_ids


def _resampling(turn: Turn, table: LabelTable) -> Resampling | None:
    """Return how the probe's training samples are resampled, the holdout left alone."""
    method = turn.project.config.audit.resampling
    if method == "none":
        return None
    with turn.project.ledger.read() as connection:
        held_out = samples.usable_ids(connection, "holdout")
    return Resampling(
        method=method,
        sample_ids_n=table.sample_ids_n,
        holdout_ids=held_out,
        seed=integer_seed(turn.rng("resampling")),
    )


def _weak(
    project: Project,
    table: LabelTable,
    groups: list[str | None],
    columns_n: Ids,
    wrong_n: NDArray[np.bool_],
    embeddings_nd: Floats,
    rng: np.random.Generator,
) -> tuple[NamedGroup, ...]:
    """Test the groups that were named at ingest, or clusters where none was."""
    if any(groups):
        grouped = np.array([bool(name) for name in groups])
        names, codes = np.unique([name for name in groups if name], return_inverse=True)
        found = weak_groups(codes, columns_n[grouped], wrong_n[grouped])
        return tuple(
            NamedGroup(name=str(names[one.group]), is_cluster=False, found=one) for one in found
        )
    codes = cluster(embeddings_nd, rng)
    found = weak_groups(codes, columns_n, wrong_n)
    typical = np.array([_most_typical(embeddings_nd, codes == one.group) for one in found], int)
    with project.ledger.read() as connection:
        sources = samples.sources_of(connection, table.sample_ids_n[typical])
    return tuple(
        NamedGroup(name=Path(source).name, is_cluster=True, found=one)
        for source, one in zip(sources, found, strict=True)
    )


def _most_typical(embeddings_nd: Floats, inside_n: NDArray[np.bool_]) -> int:
    members = np.flatnonzero(inside_n)
    center = embeddings_nd[members].mean(axis=0)
    return int(members[np.linalg.norm(embeddings_nd[members] - center, axis=1).argmin()])


def _group_keys(groups: list[str | None], sample_ids_n: Ids) -> NDArray[np.str_] | None:
    """Return one key per sample, equal within a group; None when nobody has a group."""
    if not any(groups):
        return None
    ids = sample_ids_n.tolist()
    return np.array([group or f"\0{one}" for group, one in zip(groups, ids, strict=True)])
