from __future__ import annotations

import json

import numpy as np
import pytest

from holdfast.evaluation import continual
from holdfast.evaluation.holdout_predictions import HoldoutPredictions
from holdfast.evaluation.retention import RoundPairs, compare_rounds, forward_transfer

IDS = np.arange(100, 160)
LABELS = np.repeat(np.array([2, 5, 7]), 20)


def said(
    predicted: np.ndarray,
    known: tuple[int, ...] = (2, 5, 7),
    ids: np.ndarray = IDS,
    version: int = 1,
) -> HoldoutPredictions:
    return HoldoutPredictions(
        dataset_version=version, known=known, sample_ids_n=ids, predicted_n=predicted
    )


def right(*hits: int) -> np.ndarray:
    """Predictions that get the first so many samples of each class right."""
    place = np.arange(60) % 20
    return np.where(place < np.repeat(hits, 20), LABELS, 0)


def rounds(rng: np.random.Generator, number: int) -> list[HoldoutPredictions]:
    return [
        said(np.where(rng.random(60) < 0.7, LABELS, 0), version=one + 1) for one in range(number)
    ]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def table(pairs: RoundPairs) -> np.ndarray:
    return pairs.recalls()


def test_compare_rounds_on_an_unchanging_holdout_equals_the_table_of_recalls() -> None:
    pairs = compare_rounds(rounds(rng(), 5), IDS, LABELS)
    recall = table(pairs)
    assert np.allclose(
        pairs.forgetting_over_rounds(), continual.forgetting_over_rounds(recall), equal_nan=True
    )
    assert pairs.forgetting(rng()).mean == pytest.approx(continual.forgetting(recall))
    transfer = pairs.backward_transfer(rng())
    assert transfer.mean == pytest.approx(continual.backward_transfer(recall))


def test_forgetting_names_both_versions_and_encloses_its_value() -> None:
    one = [
        said(right(10, 10, 10), version=4),
        said(right(18, 5, 10), version=6),
        said(right(9, 8, 10), version=9),
    ]
    lost = compare_rounds(one, IDS, LABELS).forgetting(rng())
    assert lost.class_ids_k.tolist() == [2, 5, 7]
    assert np.allclose(lost.value_k, [0.45, 0.1, 0.0])
    assert lost.versions_2k.tolist() == [[6, 4, 4], [9, 9, 9]]
    assert (lost.limits_2k[0] <= lost.value_k).all()
    assert (lost.value_k <= lost.limits_2k[1]).all()
    assert lost.mean_low < lost.mean < lost.mean_high
    assert lost.to_json()["by_class"]["2"]["from_version"] == 6


def test_forgetting_corrected_holdout_label_counts_for_every_round() -> None:
    first, last = said(right(20, 20, 20)), said(right(20, 20, 20))
    corrected = LABELS.copy()
    corrected[0] = 5
    pairs = compare_rounds([first, last], IDS, corrected)
    assert np.allclose(table(pairs)[0], table(pairs)[1])
    assert pairs.forgetting(rng()).mean == 0.0


def test_forgetting_samples_that_only_one_round_answered_do_not_count() -> None:
    # The second holdout has only hard samples more: nothing was forgotten.
    easy = np.arange(60) % 20 < 10
    first = said(LABELS[easy], ids=IDS[easy], version=1)
    second = said(np.where(easy, LABELS, 0), version=2)
    pairs = compare_rounds([first, second], IDS, LABELS)
    assert np.allclose(table(pairs), [[1.0] * 3, [0.5] * 3])
    lost = pairs.forgetting(rng())
    assert lost.mean == 0.0
    assert lost.samples_k.tolist() == [10, 10, 10]


def test_forgetting_holdouts_without_a_common_sample_are_not_compared() -> None:
    half = IDS < 130
    first = said(LABELS[half], ids=IDS[half])
    second = said(LABELS[~half], ids=IDS[~half])
    lost = compare_rounds([first, second], IDS, LABELS).forgetting(rng())
    assert not len(lost.class_ids_k)
    assert lost.mean == 0.0


def test_forgetting_class_that_a_later_model_no_longer_knows_is_lost() -> None:
    first = said(right(20, 0, 0), known=(2,))
    second = said(right(0, 20, 0), known=(5,))
    pairs = compare_rounds([first, second], IDS, LABELS)
    assert np.array_equal(table(pairs), [[1.0, np.nan, np.nan], [0.0, 1.0, np.nan]], equal_nan=True)
    assert pairs.forgetting(rng()).class_ids_k.tolist() == [2]
    assert pairs.forgetting(rng()).mean == 1.0


def test_forgetting_class_that_comes_back_is_measured_from_its_best() -> None:
    hits = ((16, 0, 0), (4, 12, 0), (14, 12, 6))
    one = [said(right(*row), known=(2, 5, 7)[: n + 1]) for n, row in enumerate(hits)]
    lost = compare_rounds(one, IDS, LABELS).forgetting(rng())
    assert dict(zip(lost.class_ids_k.tolist(), lost.value_k.tolist(), strict=True)) == {
        2: pytest.approx(0.1),
        5: 0.0,
    }


def test_compare_rounds_single_round_or_no_label_has_nothing_to_lose() -> None:
    nothing = np.zeros(0, np.int64)
    for pairs in (
        compare_rounds([said(right(1, 2, 3))], IDS, LABELS),
        compare_rounds([said(right(1, 2, 3))] * 2, nothing, nothing),
        compare_rounds([said(nothing, ids=nothing)] * 2, IDS, LABELS),
    ):
        assert pairs.forgetting(rng()).mean == 0.0
        assert not len(pairs.backward_transfer(rng()).class_ids_k)
    with pytest.raises(ValueError, match="no rounds"):
        compare_rounds([], IDS, LABELS)


def test_compare_rounds_permuted_labels_change_nothing() -> None:
    one = rounds(rng(), 3)
    # Only the order within the arrays differs.
    order = np.random.default_rng(1).permutation(60)
    moved = compare_rounds(one, IDS[order], LABELS[order])
    assert np.array_equal(moved.hits_ijk, compare_rounds(one, IDS, LABELS).hits_ijk)


def test_forward_transfer_counts_later_classes_at_first_sight() -> None:
    one = [
        said(right(20, 0, 0), known=(2,)),
        said(right(10, 15, 0), known=(2, 5)),
        said(right(10, 2, 12), known=(2, 5, 7)),
    ]
    fresh = said(right(0, 10, 16))
    gained = forward_transfer(one, fresh, IDS, LABELS, rng())
    assert gained.class_ids_k.tolist() == [5, 7]
    assert np.allclose(gained.value_k, [0.25, -0.2])
    recall = table(compare_rounds(one, IDS, LABELS))
    expected = continual.forward_transfer(recall, np.array([0.0, 0.5, 0.8]))
    assert gained.mean == pytest.approx(expected)
    assert not len(forward_transfer(one[:1], fresh, IDS, LABELS, rng()).class_ids_k)


def test_holdout_predictions_through_json_text_come_back_equal() -> None:
    one = said(right(3, 4, 5), version=8)
    back = HoldoutPredictions.from_json(json.loads(json.dumps(one.to_json())))
    assert (back.dataset_version, back.known) == (8, (2, 5, 7))
    assert np.array_equal(back.sample_ids_n, IDS)
    assert np.array_equal(back.predicted_n, one.predicted_n)


def test_holdout_predictions_bad_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="ascend"):
        said(np.array([1, 1]), ids=np.array([4, 4]))
    with pytest.raises(ValueError, match="2 sample ids but 1"):
        said(np.array([1]), ids=np.array([4, 5]))
