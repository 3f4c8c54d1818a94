import warnings

import numpy as np
import pytest

from holdfast.errors import ConfigError
from holdfast.quality.audit import AuditConfig, audit, error_probabilities
from holdfast.quality.out_of_sample import assign_folds


def _world(seed: int, counts: list[int], noise: float, dims: int = 16):
    """Clusters around random centers; a share of labels moved to the next class."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(len(counts)), counts)
    centers = 3.0 * rng.normal(size=(len(counts), dims))
    embeddings = (centers[true] + rng.normal(size=(len(true), dims))).astype(np.float32)
    wrong = rng.random(len(true)) < noise
    given = np.where(wrong, (true + 1) % len(counts), true)
    # Class ids need not be 0..K-1.
    return 10 + 3 * given, 10 + 3 * true, embeddings, wrong


def _audit(given, embeddings, **kwargs):
    return audit(given, embeddings, config=AuditConfig(), rng=np.random.default_rng(0), **kwargs)


def test_audit_of_noisy_labels_ranks_wrong_ones_first_and_names_the_true_class():
    given, true, embeddings, wrong = _world(0, [30, 20, 12, 8], 0.2)
    report = _audit(given, embeddings)
    found = wrong[report.order_n[: wrong.sum()]].mean()
    assert found > 0.9
    assert (report.suggested_n == true)[wrong].mean() > 0.9
    assert abs(report.num_errors - wrong.sum()) <= 3
    assert report.error_probs_n.sum() == pytest.approx(report.num_errors, abs=0.01)
    np.testing.assert_allclose(report.pred_probs_nk.sum(axis=1), 1.0)


def test_audit_of_clean_separable_labels_estimates_no_errors():
    given, _, embeddings, _ = _world(1, [30, 30, 30], 0.0)
    report = _audit(given, embeddings)
    assert report.num_errors == 0
    assert report.error_probs_n.max() == 0.0


def test_audit_permuted_samples_permutes_neighbor_scores():
    given, _, embeddings, _ = _world(2, [20, 20, 10], 0.1)
    config = AuditConfig(vote_share=1.0)
    order = np.random.default_rng(5).permutation(len(given))
    plain = audit(given, embeddings, config=config, rng=np.random.default_rng(0))
    moved = audit(given[order], embeddings[order], config=config, rng=np.random.default_rng(0))
    np.testing.assert_allclose(moved.scores_n, plain.scores_n[order], atol=1e-5)


def test_audit_rare_correct_samples_are_flagged_no_more_often_than_frequent_ones():
    flagged = np.zeros(2)
    total = np.zeros(2)
    for seed in range(5):
        given, _, embeddings, wrong = _world(seed, [120, 60, 6], 0.1, dims=4)
        report = _audit(given, embeddings)
        suspects = report.order_n[: report.num_errors]
        rare = given == 16
        for k, kind in enumerate((~rare & ~wrong, rare & ~wrong)):
            flagged[k] += kind[suspects].sum()
            total[k] += kind.sum()
    assert flagged[1] / total[1] <= 2 * flagged[0] / total[0] + 0.05


@pytest.mark.parametrize("counts", [[20, 1], [20, 2, 1], [1, 1], [1, 1, 1], [2, 1]])
def test_audit_classes_smaller_than_folds_are_scored(counts):
    given, _, embeddings, _ = _world(3, counts, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = _audit(given, embeddings)
    assert np.isfinite(report.pred_probs_nk).all()
    assert report.scores_n.min() >= 0.0
    assert report.scores_n.max() <= 1.0


def test_audit_only_sample_of_its_class_is_not_the_first_suspect():
    given, _, embeddings, _ = _world(4, [30, 30, 1], 0.0)
    wrong = 0
    given = given.copy()
    given[wrong] = 13
    report = _audit(given, embeddings)
    assert report.order_n[0] == wrong


@pytest.mark.parametrize("given", [[], [4, 4, 4]])
def test_audit_fewer_than_two_classes_finds_nothing(given):
    report = _audit(np.array(given, np.int64), np.zeros((len(given), 3), np.float32))
    assert len(report.order_n) == 0
    assert report.num_errors == 0
    assert report.scores_n.tolist() == [1.0] * len(given)


def test_audit_identical_embeddings_are_scored_without_warning():
    given = np.array([0, 1] * 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = _audit(given, np.ones((20, 3), np.float32))
    assert np.isfinite(report.scores_n).all()


def test_audit_groups_of_copies_do_not_vouch_for_each_other():
    given, _, embeddings, _ = _world(6, [30, 30], 0.0)
    # Ten copies of one sample of the first class, all labeled as the second.
    copies = np.repeat(embeddings[:1], 10, axis=0)
    given = np.r_[given, np.full(10, 13)]
    embeddings = np.r_[embeddings, copies].astype(np.float32)
    groups = np.r_[np.arange(60), np.full(10, 60)]
    alone = _audit(given, embeddings).scores_n[60:].mean()
    grouped = _audit(given, embeddings, groups_n=groups).scores_n[60:].mean()
    assert grouped < 0.2 < alone


def test_assign_folds_keeps_groups_whole_and_spreads_classes():
    columns = np.repeat([0, 1], [20, 5])
    groups = np.arange(25) // 2
    folds = assign_folds(columns, groups, num_folds=5, rng=np.random.default_rng(0))
    assert all(len(set(folds[groups == g])) == 1 for g in range(13))
    single = assign_folds(columns, np.arange(25), num_folds=5, rng=np.random.default_rng(0))
    assert np.bincount(single[columns == 1]).tolist() == [1] * 5


def test_error_probabilities_keep_the_ranking_and_sum_to_the_estimate():
    scores = np.random.default_rng(0).random(200)
    probs = error_probabilities(scores, 30)
    assert probs.sum() == pytest.approx(30, abs=1e-6)
    np.testing.assert_array_equal(np.argsort(-probs), np.argsort(scores))
    assert error_probabilities(scores, 0).max() == 0.0


@pytest.mark.parametrize(("key", "value"), [("folds", 1), ("neighbors", 0), ("vote_share", 1.5)])
def test_audit_config_out_of_range_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"audit.{key}"):
        AuditConfig(**{key: value})
