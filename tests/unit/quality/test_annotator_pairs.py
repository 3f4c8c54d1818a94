"""Agreement with all others equals what pairs of two say, and guessing agrees as by chance."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.quality.annotator_pairs import agreement_with_others, pair_kappas
from holdfast.quality.kappa import cohen_kappa


def crowd(votes_mj: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat answers of a table with -1 for none."""
    rows, by = np.nonzero(votes_mj >= 0)
    return rows + 100, by, votes_mj[rows, by]


def noisy_crowd(num_samples: int, errors: list[float], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, num_samples)
    votes = np.repeat(truth[:, None], len(errors), axis=1)
    wrong = rng.random(votes.shape) < np.array(errors)
    votes[wrong] = rng.integers(0, 4, int(wrong.sum()))
    return votes


def test_agreement_of_two_annotators_is_cohens_kappa_of_the_pair() -> None:
    votes = noisy_crowd(60, [0.1, 0.4])
    found = agreement_with_others(*crowd(votes), num_annotators=2)
    assert found.kappa_j == pytest.approx([cohen_kappa(votes[:, 0], votes[:, 1])] * 2)
    assert found.num_shared_j.tolist() == [60, 60]


def test_agreement_with_many_equals_drawing_every_other_in_turn() -> None:
    votes = noisy_crowd(40, [0.2, 0.3, 0.6])
    found = agreement_with_others(*crowd(votes), num_annotators=3)
    first = np.concatenate([votes[:, 0], votes[:, 0]])
    others = np.concatenate([votes[:, 1], votes[:, 2]])
    assert found.kappa_j[0] == pytest.approx(cohen_kappa(first, others))


def test_agreement_of_somebody_who_guesses_is_near_zero_and_of_the_others_is_not() -> None:
    votes = noisy_crowd(3000, [0.05, 0.05, 1.0])
    found = agreement_with_others(*crowd(votes), num_annotators=3)
    assert abs(found.kappa_j[2]) < 0.05
    assert found.kappa_j[:2].min() > 0.4


def test_agreement_does_not_depend_on_the_order_of_answers() -> None:
    answers = crowd(noisy_crowd(50, [0.1, 0.2, 0.5]))
    order = np.random.default_rng(1).permutation(len(answers[0]))
    shuffled = [column[order] for column in answers]
    found = agreement_with_others(*shuffled, num_annotators=3)
    expected = agreement_with_others(*answers, num_annotators=3)
    assert found.kappa_j == pytest.approx(expected.kappa_j)


def test_agreement_of_somebody_who_shares_nothing_is_not_a_number() -> None:
    votes = np.array([[0, 0, -1], [1, 1, -1], [-1, -1, 1]])
    found = agreement_with_others(*crowd(votes), num_annotators=4)
    assert found.kappa_j[:2] == pytest.approx([1.0, 1.0])
    assert np.isnan(found.kappa_j[2:]).all()
    assert found.num_shared_j.tolist() == [2, 2, 0, 0]


def test_agreement_without_answers_is_empty() -> None:
    none = np.empty(0, np.int64)
    found = agreement_with_others(none, none, none, num_annotators=0)
    assert len(found.kappa_j) == len(found.num_shared_j) == 0


def test_pair_kappas_leave_out_pairs_that_share_too_little() -> None:
    votes = noisy_crowd(30, [0.1, 0.2, 0.3])
    votes[5:, 2] = -1
    (pair,) = pair_kappas(*crowd(votes), among=[0, 1, 2])
    assert (pair.first, pair.second, pair.num_samples) == (0, 1, 30)
    assert pair.kappa == pytest.approx(cohen_kappa(votes[:, 0], votes[:, 1]))
