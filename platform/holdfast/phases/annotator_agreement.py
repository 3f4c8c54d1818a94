"""How far annotators agree, with each other and with the consensus, in the names people know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.annotator_data import AnnotatorPair, ClassPair, Confusion
from holdfast.quality.annotator_pairs import pair_kappas
from holdfast.quality.annotators import AnnotatorQuality
from holdfast.quality.kappa import alarmed_pairs, class_pair_agreement
from holdfast.records import Ids, RecordedAnswer

# Annotators in the picture of pairs, and mix-ups named per annotator.
_PAIRED, _CONFUSIONS = 12, 5


@dataclass(frozen=True, slots=True)
class Votes:
    """One class per sample and annotator, as said last; annotators by their place in `names`."""

    names: tuple[str, ...]
    sample_ids_a: Ids
    annotators_a: Ids
    class_ids_a: Ids


def votes_of(replies: Sequence[RecordedAnswer]) -> Votes:
    """Return what each annotator said last of each sample, of answers that name a class."""
    names = tuple(sorted({one.answer.annotator for one in replies}))
    place = {name: j for j, name in enumerate(names)}
    # Somebody asked again about a sample has one voice there: what they said last.
    last = {
        (one.answer.sample_id, place[one.answer.annotator]): one.class_id
        for one in replies
        if one.class_id is not None
    }
    columns = np.array([(*key, class_id) for key, class_id in last.items()], np.int64)
    sample_ids_a, annotators_a, class_ids_a = columns.reshape(-1, 3).T
    return Votes(names, sample_ids_a, annotators_a, class_ids_a)


def said_by_consensus(quality: AnnotatorQuality, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return answers by the consensus of their sample, then by the class they name."""
    total_kk = quality.confusion_jkk.sum(axis=0)
    said: dict[str, dict[str, int]] = {}
    for consensus, answered in np.argwhere(total_kk).tolist():
        row = said.setdefault(names[quality.class_ids_k[consensus]], {})
        row[names[quality.class_ids_k[answered]]] = int(total_kk[consensus, answered])
    return said


def confusions_of(quality: AnnotatorQuality, j: int, names: Sequence[str]) -> tuple[Confusion, ...]:
    """Return what an annotator says most often where the consensus is another class."""
    wrong_kk = quality.confusion_jkk[j].copy()
    np.fill_diagonal(wrong_kk, 0)
    order = np.argsort(-wrong_kk, axis=None, kind="stable")[:_CONFUSIONS]
    places = zip(*np.unravel_index(order, wrong_kk.shape), strict=True)
    return tuple(
        Confusion(
            said=names[quality.class_ids_k[answered]],
            consensus=names[quality.class_ids_k[consensus]],
            number=int(wrong_kk[consensus, answered]),
        )
        for consensus, answered in places
        if wrong_kk[consensus, answered]
    )


def counts_mk(votes: Votes) -> NDArray[np.int64]:
    """Return answers per sample and class, of samples that two people or more answered."""
    _, row_a, heard_m = np.unique(votes.sample_ids_a, return_inverse=True, return_counts=True)
    several_a = heard_m[row_a] > 1
    _, row_a = np.unique(row_a[several_a], return_inverse=True)
    classes, column_a = np.unique(votes.class_ids_a[several_a], return_inverse=True)
    counts = np.zeros((len(np.unique(row_a)), len(classes)), np.int64)
    np.add.at(counts, (row_a, column_a), 1)
    return counts


def class_pairs(
    votes: Votes, class_names: Sequence[str], alarm_below: float
) -> tuple[ClassPair, ...]:
    """Return the pairs of classes that were confused: those under alarm first, then the worst."""
    found = class_pair_agreement(
        votes.sample_ids_a, votes.annotators_a, votes.class_ids_a, len(class_names)
    )
    alarmed = set(alarmed_pairs(found, alarm_below))
    pairs = [
        ClassPair(
            first=class_names[pair.first],
            second=class_names[pair.second],
            kappa=number(pair.kappa),
            alpha=number(pair.alpha),
            num_samples=pair.num_samples,
            alarmed=(pair.first, pair.second) in alarmed,
        )
        for pair in found
    ]
    return tuple(sorted(pairs, key=lambda one: not one.alarmed))


def annotator_pairs(votes: Votes) -> tuple[AnnotatorPair, ...]:
    """Return the agreement, two by two, of the annotators with the most answers."""
    given_j = np.bincount(votes.annotators_a, minlength=len(votes.names))
    busiest = np.argsort(-given_j, kind="stable")[:_PAIRED].tolist()
    found = pair_kappas(votes.sample_ids_a, votes.annotators_a, votes.class_ids_a, among=busiest)
    return tuple(
        AnnotatorPair(
            first=votes.names[pair.first],
            second=votes.names[pair.second],
            kappa=pair.kappa,
            num_samples=pair.num_samples,
        )
        for pair in found
    )


def number(value: float) -> float | None:
    """Return a number, None where there is none."""
    return float(value) if np.isfinite(value) else None
