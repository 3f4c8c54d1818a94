import numpy as np
import pytest

from holdfast.quality.kappa import (
    alarmed_pairs,
    class_pair_agreement,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
)

NONE = np.empty(0, np.int64)
# Krippendorff's example: three observers, fifteen units, classes 1 to 4, * for no answer.
OBSERVERS = ("*****34121133*3", "1*2133 43*******".replace(" ", ""), "**21344*21133*4")


def _published():
    answers = [
        (unit, observer, int(said))
        for observer, row in enumerate(OBSERVERS)
        for unit, said in enumerate(row)
        if said != "*"
    ]
    return np.array(answers, np.int64).T


def test_cohen_kappa_known_values():
    assert cohen_kappa(np.array([0, 1, 2]), np.array([0, 1, 2])) == pytest.approx(1.0)
    assert cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == pytest.approx(0.0)
    assert np.isnan(cohen_kappa(np.array([3, 3]), np.array([3, 3])))
    assert np.isnan(cohen_kappa(np.empty(0, np.int64), np.empty(0, np.int64)))


def test_fleiss_kappa_of_the_published_example():
    counts = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
    )
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=0.001)


def test_krippendorff_alpha_of_the_published_example():
    samples, _, classes = _published()
    assert krippendorff_alpha(samples, classes) == pytest.approx(0.691, abs=0.001)


def test_krippendorff_alpha_single_answers_and_refusals_make_no_difference():
    samples, _, classes = _published()
    more = krippendorff_alpha(np.append(samples, [98, 99, 99]), np.append(classes, [1, 2, -1]))
    assert more == pytest.approx(krippendorff_alpha(samples, classes))


def test_krippendorff_alpha_nothing_to_compare_is_nan():
    assert np.isnan(krippendorff_alpha(NONE, NONE))
    assert np.isnan(krippendorff_alpha(np.array([0, 1]), np.array([0, 1])))
    assert np.isnan(krippendorff_alpha(np.array([0, 0]), np.array([3, 3])))


def test_krippendorff_alpha_answers_by_chance_is_near_zero():
    rng = np.random.default_rng(0)
    samples = np.repeat(np.arange(4000), 3)
    assert abs(krippendorff_alpha(samples, rng.integers(4, size=12000))) < 0.03


def test_class_pair_agreement_is_alpha_and_kappa_of_the_answers_within_the_pair():
    rng = np.random.default_rng(1)
    samples = rng.integers(60, size=400)
    people = np.arange(400)
    classes = np.where(rng.random(400) < 0.6, samples % 5, rng.integers(5, size=400))
    pairs = class_pair_agreement(samples, people, classes, 5)
    assert len(pairs) == 10
    assert [one.alpha for one in pairs] == sorted(one.alpha for one in pairs)
    for one in pairs:
        within = np.isin(classes, [one.first, one.second])
        units = samples[within]
        assert one.alpha == pytest.approx(krippendorff_alpha(units, classes[within]))
        counts = np.array(
            [
                [((samples == unit) & (classes == k)).sum() for k in (one.first, one.second)]
                for unit in np.unique(units)
            ]
        )
        assert one.kappa == pytest.approx(fleiss_kappa(counts))
        assert one.num_samples == (counts.sum(axis=1) > 1).sum()
        assert one.num_contradicted == (counts > 0).all(axis=1).sum()


def test_class_pair_agreement_counts_the_last_answer_of_each_annotator():
    changed_mind = class_pair_agreement(
        np.array([0, 0, 0]), np.array([0, 1, 0]), np.array([1, 2, 2]), 3
    )
    assert changed_mind == []


def test_class_pair_agreement_without_answers_is_empty():
    assert class_pair_agreement(NONE, NONE, NONE, 3) == []


def test_class_pair_agreement_unknown_class_is_refused():
    with pytest.raises(ValueError, match="class id 7 but only 3 classes"):
        class_pair_agreement(np.array([0]), np.array([0]), np.array([7]), 3)


def _confused(num_samples):
    """Two annotators: classes 0 and 1 are told apart by lot, class 2 always."""
    rng = np.random.default_rng(2)
    true = np.arange(num_samples) % 3
    said = np.where(true < 2, rng.integers(2, size=(2, num_samples)), true)
    samples = np.tile(np.arange(num_samples), 2)
    people = np.repeat([0, 1], num_samples)
    return class_pair_agreement(samples, people, said.ravel(), 3)


def test_alarmed_pairs_confused_classes_raise_the_alarm():
    assert alarmed_pairs(_confused(120)) == [(0, 1)]


def test_alarmed_pairs_two_answers_raise_none():
    pairs = class_pair_agreement(np.array([0, 0]), np.array([0, 1]), np.array([0, 1]), 2)
    assert pairs[0].alpha <= 0.0
    assert alarmed_pairs(pairs) == []
