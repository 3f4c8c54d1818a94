import numpy as np
import pytest

from holdfast.data.resampling_names import RESAMPLINGS
from holdfast.quality.out_of_sample import out_of_sample
from holdfast.quality.resampled_folds import Resampling, resample_folds


def tail():
    rng = np.random.default_rng(0)
    columns = np.repeat([0, 1, 2], [80, 20, 5])
    embeddings = (rng.normal(size=(105, 4)) + 4 * np.eye(4)[columns]).astype(np.float32)
    return columns, embeddings, np.arange(105) % 3


def how(method, holdout=()):
    return Resampling(
        method=method,
        sample_ids_n=np.arange(105),
        holdout_ids=np.array(holdout, np.int64),
        seed=3,
    )


@pytest.mark.parametrize("method", RESAMPLINGS)
def test_resample_folds_keeps_the_samples_first_and_in_their_order(method):
    columns, embeddings, folds = tail()
    done = resample_folds(columns, embeddings, folds, np.ones(105), how(method))
    assert np.array_equal(done.columns_m[:105], columns)
    assert np.array_equal(done.embeddings_md[:105], embeddings)
    assert np.array_equal(done.folds_m[:105], folds)


def test_resample_folds_makes_classes_of_a_fold_weigh_the_same():
    columns, embeddings, folds = tail()
    for method in ("random_over", "smote", "random_under"):
        done = resample_folds(columns, embeddings, folds, np.ones(105), how(method))
        for fold in range(3):
            inside = done.folds_m == fold
            mass = np.bincount(done.columns_m[inside], done.weights_m[inside], 3)
            assert np.allclose(mass[mass > 0], mass[0])


def test_resample_folds_of_one_fold_depends_on_no_other():
    columns, embeddings, folds = tail()
    moved = np.where((folds == 2)[:, None], embeddings + 100, embeddings)
    first, second = (
        resample_folds(columns, one, folds, np.ones(105), how("smote"))
        for one in (embeddings, moved)
    )
    inside = first.folds_m < 2
    assert np.array_equal(first.embeddings_md[inside], second.embeddings_md[inside])


def test_resample_folds_neither_copies_nor_drops_the_holdout():
    columns, embeddings, folds = tail()
    held = np.flatnonzero(columns == 2)
    for method in RESAMPLINGS:
        done = resample_folds(columns, embeddings, folds, np.ones(105), how(method, held))
        assert (done.columns_m[105:] != 2).all()
        assert (done.weights_m[held] == 1).all()


@pytest.mark.parametrize("method", RESAMPLINGS)
def test_out_of_sample_resampled_still_tells_classes_apart(method):
    columns, embeddings, _ = tail()
    probs = out_of_sample(
        columns,
        embeddings,
        None,
        folds=5,
        neighbors=5,
        vote_share=0.0,
        rng=np.random.default_rng(0),
        resampling=how(method),
    )
    assert probs.shape == (105, 3)
    assert (probs.argmax(axis=1) == columns).mean() > 0.8
