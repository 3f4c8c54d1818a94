"""GALAXY and DIRECT, written from their papers.

Both sort the pool into a line for each class, surest members first, and look for the place
where the class ends. They see each answer before they choose the next question, which a
queue that people work through does not allow.

Shape suffixes: n pool samples, k classes the model knows, m labeled samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.selection_methods import Desk, Scene
from holdfast.records import Ids


def ask_galaxy(scene: Scene, desk: Desk) -> None:
    """Bisect the shortest gap between a member and a non-member of a class drawn at random.

    Where members and non-members touch, their surroundings are asked about, the nearest
    sample first, so that both sides of each cut get as many. Time O(N log N) for each
    class and O(N) for each question.

    References
    ----------
    .. [1] Zhang, Katz-Samuels and Nowak, "GALAXY: Graph-based Active Learning at the
       Extreme", ICML 2022.
    """
    lines = _Lines(scene)
    for _ in range(desk.left):
        column = int(scene.rng.integers(lines.num))
        place = _between_unlike(*lines.known(column), scene.rng)
        lines.ask(column, np.array([place]), desk)


def ask_direct(scene: Scene, desk: Desk) -> None:
    """Find the best cut of each class in spite of wrong labels, then ask on both sides of it.

    Half of the answers, divided among the classes, narrow the region in which the best cut
    may lie; one at a time, which is the most favorable case of the paper's batches. The
    other half goes to the samples nearest to the cuts of fewest errors. Time O(N log N) for
    each class and O(N) for each question.

    References
    ----------
    .. [1] Nuggehalli, Zhang, Jain and Nowak, "DIRECT: Deep Active Learning under Imbalance
       and Label Noise", 2023.
    """
    lines = _Lines(scene)
    # A class at least gets one question: fewer classes then, the rarest.
    share = max(desk.left // (2 * lines.num), 1)
    rarest_first = np.argsort(lines.num_members_k(), kind="stable")
    for column in rarest_first[: desk.left // (2 * share)].tolist():
        _narrow(lines, column, share, scene.rng, desk)
    for number, column in enumerate(scene.rng.permutation(lines.num).tolist()):
        part = desk.left // (lines.num - number)
        lines.ask(column, _around_best_cut(*lines.known(column), part), desk)


class _Lines:
    """The pool in a line for each class the model knows, and what was said along it."""

    def __init__(self, scene: Scene) -> None:
        probs_nk = scene.model.predict_proba(scene.features_nd)
        self._class_ids_k: Ids = scene.model.classes_
        self.num = len(self._class_ids_k)
        rows = np.arange(len(probs_nk))
        first_n = np.argmax(probs_nk, axis=1)
        largest_n = probs_nk[rows, first_n]
        probs_nk[rows, first_n] = -1.0
        second_n = probs_nk.max(axis=1)
        probs_nk[rows, first_n] = largest_n
        # How far the class leads, or trails the one that leads.
        rival_nk = np.repeat(largest_n[:, None], self.num, axis=1)
        rival_nk[rows, first_n] = second_n
        self._order_kn = np.argsort(rival_nk - probs_nk, axis=0, kind="stable").T
        self._said_n = np.full(len(rows), -1, np.int64)
        self._said_n[scene.labeled_rows_m] = scene.labels_m

    def ask(self, column: int, places: Ids, desk: Desk) -> None:
        """Ask about the samples at places of a class's line."""
        rows = self._order_kn[column, places]
        self._said_n[rows] = desk.ask(rows)

    def known(self, column: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return along a class's line who has an answer, and who is said to be a member."""
        said = self._said_n[self._order_kn[column]]
        return said >= 0, said == self._class_ids_k[column]

    def num_members_k(self) -> Ids:
        """Count the answers that name each class."""
        return np.array([np.sum(self._said_n == k) for k in self._class_ids_k.tolist()])


def _between_unlike(
    answered_n: NDArray[np.bool_], member_n: NDArray[np.bool_], rng: np.random.Generator
) -> int:
    """Return the place to ask about on a class's line.

    Parameters
    ----------
    answered_n, member_n : ndarray of bool, shape (N,)
        Along the line: who has an answer, and whose answer names the class. Somebody has
        none.
    """
    open_places = np.flatnonzero(~answered_n)
    places = np.flatnonzero(answered_n)
    unlike = member_n[places[1:]] != member_n[places[:-1]]
    before, after = places[:-1][unlike], places[1:][unlike]
    if not len(before):
        return int(rng.choice(open_places))
    gaps = after - before
    if gaps.max() > 1:
        shortest = int(np.argmin(np.where(gaps > 1, gaps, len(answered_n))))
        return int((before[shortest] + after[shortest]) // 2)
    right = np.searchsorted(open_places, after)
    sides = np.concatenate([right - 1, right])
    cuts = np.concatenate([before, after])
    inside = (sides >= 0) & (sides < len(open_places))
    nearest = open_places[sides[inside]]
    distances = np.abs(nearest - cuts[inside])
    return int(rng.choice(nearest[distances == distances.min()]))


def _narrow(lines: _Lines, column: int, share: int, rng: np.random.Generator, desk: Desk) -> None:
    """Ask inside the region where the best cut may lie, and narrow it after each answer."""
    low, high = _region(*lines.known(column))
    for left in range(share, 0, -1):
        answered_n, _ = lines.known(column)
        inside = low + np.flatnonzero(~answered_n[low : high + 1])
        if not len(inside):
            return
        lines.ask(column, rng.choice(inside, 1), desk)
        low, high = _narrowed(*lines.known(column), low, high, left, rng)


def _region(answered_n: NDArray[np.bool_], member_n: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the ends of the region: before it members alone, after it none."""
    members, others = np.flatnonzero(member_n), np.flatnonzero(answered_n & ~member_n)
    last = len(member_n) - 1
    leading = members[members < others.min(initial=last)]
    trailing = others[others > members.max(initial=0)]
    return int(leading.max(initial=0)), int(trailing.min(initial=last))


def _narrowed(
    answered_n: NDArray[np.bool_],
    member_n: NDArray[np.bool_],
    low: int,
    high: int,
    left: int,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Move in the end whose cut makes more errors, until the region is small enough.

    Parameters
    ----------
    left : int
        Answers still meant for this class, the latest included: after each of them the
        region should keep the same share, and hold one sample at last.
    """
    rights = _right_answers(answered_n, member_n).tolist()
    is_open = (~answered_n).tolist()
    size = sum(is_open[low : high + 1])
    target = math.ceil(size ** (1.0 - 1.0 / left)) if left > 1 else size
    while size > target:
        lead = rights[low] - rights[high]
        if lead < 0 or (lead == 0 and rng.random() < 0.5):
            size -= is_open[low]
            low += 1
        else:
            size -= is_open[high]
            high -= 1
    return low, high


def _around_best_cut(answered_n: NDArray[np.bool_], member_n: NDArray[np.bool_], num: int) -> Ids:
    """Return the open places nearest to the cut of fewest errors, as many on both sides."""
    cut = int(np.argmax(_right_answers(answered_n, member_n)))
    open_places = np.flatnonzero(~answered_n)
    above, below = open_places[open_places < cut][::-1], open_places[open_places >= cut]
    ranks = np.concatenate([2 * np.arange(len(above)), 2 * np.arange(len(below)) + 1])
    return np.concatenate([above, below])[np.argsort(ranks)][:num]


def _right_answers(answered_n: NDArray[np.bool_], member_n: NDArray[np.bool_]) -> Ids:
    """Return how many answers each cut agrees with, up to a constant; shape (N + 1,).

    Cut i calls the first i places members and the rest not.
    """
    votes_n = np.where(member_n, 1, -1) * answered_n
    return np.concatenate([[0], np.cumsum(votes_n)])
