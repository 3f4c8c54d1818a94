import warnings

import numpy as np
import pytest

from holdfast.errors import ConfigError
from holdfast.quality.audit import Checked, audit
from holdfast.quality.out_of_sample import assign_folds
from holdfast.quality.settings import AuditConfig


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


def _audit(given, embeddings, config=None, **kwargs):
    config = config or AuditConfig()
    return audit(given, embeddings, config=config, rng=np.random.default_rng(0), **kwargs)


def _probabilities(seed, num=2000, num_classes=5, noise=0.2):
    """Labels wrong at random, and probabilities of a model that saw through it all."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, num_classes, num)
    wrong = rng.random(num) < noise
    given = np.where(wrong, (true + rng.integers(1, num_classes, num)) % num_classes, true)
    logits = rng.normal(size=(num, num_classes))
    logits[np.arange(num), true] += 5.0
    probs = np.exp(logits)
    return given, wrong, probs / probs.sum(axis=1, keepdims=True)


def test_audit_of_noisy_labels_ranks_wrong_ones_first_and_names_the_true_class():
    given, true, embeddings, wrong = _world(0, [30, 20, 12, 8], 0.2)
    report = _audit(given, embeddings)
    found = wrong[report.order_n[: wrong.sum()]].mean()
    assert found > 0.9
    assert (report.suggested_n == true)[wrong].mean() > 0.9
    assert abs(report.num_errors - wrong.sum()) <= 4
    assert report.error_probs_n.sum() == pytest.approx(report.num_errors, abs=0.5)
    np.testing.assert_allclose(report.pred_probs_nk.sum(axis=1), 1.0)


def test_audit_of_clean_separable_labels_estimates_no_errors():
    given, _, embeddings, _ = _world(1, [30, 30, 30], 0.0)
    report = _audit(given, embeddings)
    assert report.num_errors == 0
    assert not report.flagged_n.any()


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


@pytest.mark.parametrize(
    "ranking", ["posterior", "self_confidence", "normalized_margin", "confidence_weighted_entropy"]
)
def test_audit_error_probabilities_follow_the_order_of_any_ranking(ranking):
    given, wrong, probs = _probabilities(0)
    report = _audit(
        given, None, AuditConfig(ranking=ranking), pred_probs_nk=probs, class_ids_k=np.arange(5)
    )
    assert (np.diff(report.error_probs_n[report.order_n]) <= 1e-12).all()
    assert wrong[report.flagged_n].mean() > 0.85
    assert report.flagged_n[wrong].mean() > 0.8
    assert report.flags_per_class_k.sum() == report.flagged_n.sum()


def test_audit_review_budget_flags_the_most_suspect():
    given, _, probs = _probabilities(1)
    config = AuditConfig(cut="budget", review_budget=37)
    report = _audit(given, None, config, pred_probs_nk=probs, class_ids_k=np.arange(5))
    assert set(np.flatnonzero(report.flagged_n)) == set(report.order_n[:37].tolist())


def test_audit_precision_target_is_met_and_lower_ones_flag_more():
    given, wrong, probs = _probabilities(2)
    sizes = []
    for precision in (0.95, 0.8, 0.5):
        config = AuditConfig(cut="precision", precision=precision)
        report = _audit(given, None, config, pred_probs_nk=probs, class_ids_k=np.arange(5))
        assert wrong[report.flagged_n].mean() >= precision - 0.05
        sizes.append(int(report.flagged_n.sum()))
    assert sizes[0] < sizes[1] < sizes[2]


def test_audit_random_slice_moves_the_estimate_toward_what_people_found():
    given, wrong, probs = _probabilities(3)
    rows = np.random.default_rng(0).choice(len(given), 400, replace=False)
    found = {}
    for name, checked in {
        "none": None,
        "right": Checked(rows_c=rows, wrong_c=wrong[rows]),
        "never": Checked(rows_c=rows, wrong_c=np.zeros(400, bool)),
    }.items():
        report = _audit(given, None, pred_probs_nk=probs, class_ids_k=np.arange(5), checked=checked)
        found[name] = report.num_errors
    assert found["never"] < 0.5 * found["none"]
    assert abs(found["right"] - wrong.sum()) < 0.15 * wrong.sum()


def test_audit_of_float32_and_memory_mapped_probabilities_agree(tmp_path):
    given, _, probs = _probabilities(4)
    np.save(tmp_path / "probs.npy", probs.astype(np.float32))
    mapped = np.load(tmp_path / "probs.npy", mmap_mode="r")
    plain = _audit(given, None, pred_probs_nk=probs, class_ids_k=np.arange(5))
    other = _audit(given, None, pred_probs_nk=mapped, class_ids_k=np.arange(5))
    np.testing.assert_allclose(other.error_probs_n, plain.error_probs_n, atol=1e-3)
    assert (other.flagged_n == plain.flagged_n).mean() > 0.999


def test_audit_class_without_labels_among_given_probabilities_is_never_flagged():
    given, _, probs = _probabilities(5)
    wider = np.concatenate([probs * 0.999, np.full((len(probs), 1), 0.001)], axis=1)
    report = _audit(given, None, pred_probs_nk=wider, class_ids_k=np.arange(6))
    assert report.flags_per_class_k[5] == 0
    assert report.flagged_n.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda probs: probs * 0.9, "sum to 1"),
        (lambda probs: np.where(probs > 0.5, np.nan, probs), "sum to 1"),
        (lambda probs: probs[:, :4], "columns"),
        (lambda probs: probs[:-1], "as many"),
    ],
)
def test_audit_of_what_is_no_probability_is_refused(change, message):
    given, _, probs = _probabilities(6, num=50)
    with pytest.raises(ValueError, match=message):
        _audit(given, None, pred_probs_nk=change(probs), class_ids_k=np.arange(5))


def test_audit_label_without_a_column_is_refused():
    given, _, probs = _probabilities(7, num=50)
    with pytest.raises(ValueError, match=r"\[9\] have no column"):
        _audit(np.r_[given[:-1], 9], None, pred_probs_nk=probs, class_ids_k=np.arange(5))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"folds": 1}, "folds"),
        ({"neighbors": 0}, "neighbors"),
        ({"vote_share": 1.5}, "vote_share"),
        ({"probabilities": "guess"}, "probabilities"),
        ({"ranking": "loss"}, "ranking"),
        ({"cut": "all"}, "cut"),
        ({"cut": "budget"}, "review_budget"),
        ({"cut": "budget", "review_budget": 0}, "review_budget"),
        ({"review_budget": 5}, "review_budget"),
        ({"cut": "precision", "precision": 0.0}, "precision"),
        ({"cut": "budget", "review_budget": 5, "precision": 0.9}, "precision"),
        ({"probabilities": "kfold", "neighbors": 5}, "neighbors"),
    ],
)
def test_audit_config_that_cannot_work_is_refused(settings, key):
    with pytest.raises(ConfigError, match=f"audit.{key}"):
        AuditConfig(**settings)
