import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from holdfast.quality import probe as probe_file
from holdfast.quality import probe_samples
from holdfast.quality.probe import probe


def _peer(columns, embeddings, folds, **settings):
    """The same by scikit-learn, run to the end."""
    embeddings = embeddings.astype(np.float64)
    model = LogisticRegression(solver="newton-cg", max_iter=1000, tol=1e-7, **settings)
    split = PredefinedSplit(folds)
    return cross_val_predict(model, embeddings, columns, cv=split, method="predict_proba")


def _blobs(seed, num, num_classes, dims=6, distance=1.5):
    rng = np.random.default_rng(seed)
    columns = rng.integers(num_classes, size=num)
    columns[:num_classes] = np.arange(num_classes)
    embeddings = distance * rng.normal(size=(num_classes, dims))[columns]
    embeddings += rng.normal(size=embeddings.shape)
    return columns, embeddings.astype(np.float32), rng.integers(5, size=num)


def _log_loss(probs, columns):
    return -np.log(probs[np.arange(len(columns)), columns]).mean()


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("settings", [{}, {"C": 0.05}, {"class_weight": "balanced"}])
def test_probe_agrees_with_logistic_regression_run_to_the_end(num_classes, settings):
    columns, embeddings, folds = _blobs(num_classes, 400, num_classes)
    probs = probe(
        columns,
        embeddings,
        folds,
        strength=settings.get("C", 1.0),
        balanced="class_weight" in settings,
        gap=1e-6,
    )
    expected = _peer(columns, embeddings, folds, **settings)
    np.testing.assert_allclose(probs, expected, atol=0.005)
    assert _log_loss(probs, columns) == pytest.approx(_log_loss(expected, columns), rel=1e-3)


def test_probe_of_features_far_apart_in_scale_and_far_from_zero_agrees_with_the_peer():
    columns, embeddings, folds = _blobs(1, 500, 4)
    stretched = embeddings * np.array([1e-3, 1e-2, 1, 10, 100, 1000], np.float32)
    # Centered for the peer, which would need thousands of steps; the probe does it itself.
    expected = _peer(columns, stretched - stretched.mean(axis=0), folds)
    probs = probe(columns, stretched + np.float32(3000), folds)
    assert _log_loss(probs, columns) == pytest.approx(_log_loss(expected, columns), rel=0.02)


def test_probe_of_digits_that_lie_apart_is_no_worse_than_the_peer():
    pixels, columns = load_digits(return_X_y=True)
    folds = np.arange(len(columns)) % 5
    probs = probe(columns, pixels.astype(np.float32), folds)
    expected = _peer(columns, pixels, folds)
    assert _log_loss(probs, columns) <= 1.02 * _log_loss(expected, columns)


def test_probe_with_more_dimensions_than_samples_agrees_with_the_peer():
    columns, embeddings, folds = _blobs(2, 40, 3, dims=100, distance=0.3)
    expected = _peer(columns, embeddings, folds)
    probs = probe(columns, embeddings, folds, gap=1e-6)
    np.testing.assert_allclose(probs, expected, atol=0.005)


def test_probe_never_learns_the_labels_it_judges():
    columns, embeddings, folds = _blobs(3, 300, 3)
    other = np.where(folds == 2, (columns + 1) % 3, columns)
    before, after = (probe(labels, embeddings, folds) for labels in (columns, other))
    np.testing.assert_array_equal(after[folds == 2], before[folds == 2])
    assert np.abs(after - before)[folds != 2].max() > 0.1


def test_probe_never_learns_the_labels_it_judges_where_it_starts_on_a_part(monkeypatch):
    monkeypatch.setattr(probe_file, "_FIRST_LEAST", 20)
    columns, embeddings, folds = _blobs(3, 600, 3, distance=0.5)
    # The part of the first steps is drawn class by class; labels that trade places within
    # the fold leave it alike, so that only learning could change what the fold is told.
    mine = np.flatnonzero(folds == 2)
    other = columns.copy()
    other[mine] = np.random.default_rng(0).permutation(columns[mine])
    before, after = (probe(labels, embeddings, folds, gap=1e-6) for labels in (columns, other))
    np.testing.assert_allclose(after[mine], before[mine], atol=0.002)
    assert np.abs(after - before)[folds != 2].max() > 0.1


def test_probe_weights_of_one_equal_none_and_weights_of_zero_equal_absence():
    columns, embeddings, folds = _blobs(4, 300, 3)
    plain = probe(columns, embeddings, folds)
    ones = probe(columns, embeddings, folds, weights_n=np.ones(300))
    np.testing.assert_array_equal(ones, plain)
    kept = np.arange(300) >= 60
    weighted = probe(
        columns, embeddings, folds, weights_n=kept.astype(float), balanced=True, gap=1e-6
    )
    absent = probe(columns[kept], embeddings[kept], folds[kept], balanced=True, gap=1e-6)
    np.testing.assert_allclose(weighted[kept], absent, atol=0.003)


def test_probe_weight_of_two_equals_two_copies():
    columns, embeddings, folds = _blobs(5, 200, 3)
    weights = 1.0 + (np.arange(200) % 2)
    rows = np.repeat(np.arange(200), weights.astype(int))
    weighted = probe(columns, embeddings, folds, weights_n=weights, balanced=True, gap=1e-6)
    copied = probe(columns[rows], embeddings[rows], folds[rows], balanced=True, gap=1e-6)
    np.testing.assert_allclose(weighted[rows], copied, atol=0.003)


def test_probe_class_of_one_fold_has_no_probability_in_that_fold():
    columns, embeddings, folds = _blobs(6, 200, 4)
    folds[columns == 3] = 1
    probs = probe(columns, embeddings, folds, balanced=True)
    assert (probs[folds == 1, 3] == 0).all()
    assert (probs[folds != 1, 3] > 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-5)


def test_probe_without_other_folds_knows_nothing():
    columns, embeddings, _ = _blobs(7, 20, 4)
    np.testing.assert_allclose(probe(columns, embeddings, np.zeros(20, np.int64)), 0.25)


def test_probe_of_one_class_elsewhere_is_sure_of_it():
    columns = np.array([0, 0, 0, 1])
    folds = np.array([0, 0, 1, 1])
    probs = probe(columns, np.eye(4, dtype=np.float32), folds)
    np.testing.assert_array_equal(probs[2:], [[1, 0], [1, 0]])


def test_probe_of_a_memory_map_in_blocks_equals_that_of_an_array(tmp_path, monkeypatch):
    columns, embeddings, folds = _blobs(8, 3000, 3)
    plain = probe(columns, embeddings, folds)
    np.save(tmp_path / "features.npy", embeddings)
    monkeypatch.setattr(probe_samples, "HELD_BYTES", 0)
    monkeypatch.setattr(probe_samples, "_BLOCK", 500)
    mapped = probe(columns, np.load(tmp_path / "features.npy", mmap_mode="r"), folds)
    np.testing.assert_allclose(mapped, plain, atol=0.01)


def test_probe_same_input_gives_the_same_bits():
    columns, embeddings, folds = _blobs(9, 300, 3)
    first, second = (probe(columns, embeddings, folds) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_probe_of_features_that_say_nothing_gives_the_class_shares():
    columns = np.repeat([0, 1], [30, 10])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probs = probe(columns, np.ones((40, 3), np.float32), np.arange(40) % 5)
    np.testing.assert_allclose(probs[:, 1], 0.25, atol=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_probe_of_an_embedding_that_is_no_number_names_the_place(value):
    columns, embeddings, folds = _blobs(10, 50, 3)
    embeddings[7, 2] = value
    with pytest.raises(ValueError, match=f"row 7 has {value} in dimension 2"):
        probe(columns, embeddings, folds)


def test_probe_of_arrays_that_do_not_fit_is_refused():
    columns, embeddings, folds = _blobs(11, 50, 3)
    with pytest.raises(ValueError, match="not 50, 49, 50 and 50"):
        probe(columns, embeddings[1:], folds)
    with pytest.raises(ValueError, match=r"row 3 has -1\.0"):
        probe(columns, embeddings, folds, weights_n=np.where(np.arange(50) == 3, -1.0, 1.0))
