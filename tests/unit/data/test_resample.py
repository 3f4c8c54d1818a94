import numpy as np
import pytest
from imblearn.combine import SMOTEENN
from imblearn.over_sampling import ADASYN, SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from holdfast.data.resample import resample
from holdfast.data.resampling_names import RESAMPLINGS


def clouds(sizes, seed=0):
    """Overlapping clouds of points, one per class."""
    rng = np.random.default_rng(seed)
    columns = np.repeat(np.arange(len(sizes)), sizes)
    points = rng.normal(size=(len(columns), 6)) + columns[:, None]
    return points.astype(np.float32), columns


@pytest.mark.parametrize(
    ("method", "sampler"),
    [
        ("random_over", RandomOverSampler),
        ("random_under", RandomUnderSampler),
        ("smote", SMOTE),
        ("adasyn", ADASYN),
        ("smote_enn", SMOTEENN),
    ],
)
def test_resample_of_large_classes_equals_a_direct_call(method, sampler):
    points, columns = clouds([60, 20, 15])
    seed = int(np.random.default_rng(7).integers(2**31))
    wanted_points, wanted = sampler(random_state=seed).fit_resample(points, columns)
    done = resample(points, columns, method=method, rng=np.random.default_rng(7))
    assert np.array_equal(done.columns_m, wanted)
    assert np.array_equal(done.embeddings_md, wanted_points)


@pytest.mark.parametrize("method", RESAMPLINGS)
@pytest.mark.parametrize("sizes", [[30, 1, 12], [30, 2, 3, 4, 5, 6], [4, 1], [1, 1], [9, 0, 2]])
def test_resample_of_classes_smaller_than_the_neighbors_keeps_every_class(method, sizes):
    points, columns = clouds(sizes)
    done = resample(points, columns, method=method, rng=np.random.default_rng(0))
    assert np.array_equal(np.unique(done.columns_m), np.unique(columns))
    if method in ("random_over", "smote"):
        sizes_after = np.bincount(done.columns_m)
        assert set(sizes_after[sizes_after > 0].tolist()) == {max(sizes)}
    known = done.rows_m >= 0
    assert np.array_equal(done.embeddings_md[known], points[done.rows_m[known]])
    assert np.array_equal(done.columns_m[known], columns[done.rows_m[known]])


def test_resample_made_points_lie_between_two_of_their_class():
    points = np.array([[0.0], [1.0], [2.0], [10.0], [12.0]], np.float32)
    done = resample(points, np.array([0, 0, 0, 1, 1]), method="smote", rng=np.random.default_rng(0))
    made = done.embeddings_md[done.rows_m < 0]
    assert made.shape == (1, 1)
    assert 10 <= made[0, 0] <= 12


def test_resample_adasyn_with_no_other_class_near_falls_back():
    points, columns = clouds([20, 8])
    points[columns == 1] += 1000
    done = resample(points, columns, method="adasyn", rng=np.random.default_rng(0))
    assert np.bincount(done.columns_m).tolist() == [20, 20]


@pytest.mark.parametrize("method", RESAMPLINGS)
def test_resample_same_generator_gives_the_same(method):
    points, columns = clouds([40, 9, 3])
    first, second = (
        resample(points, columns, method=method, rng=np.random.default_rng(5)) for _ in range(2)
    )
    assert np.array_equal(first.embeddings_md, second.embeddings_md)


@pytest.mark.parametrize("method", RESAMPLINGS)
def test_resample_without_a_second_class_changes_nothing(method):
    for points, columns in (clouds([5]), clouds([])):
        done = resample(points.reshape(-1, 6), columns, method=method, rng=np.random.default_rng(0))
        assert np.array_equal(done.rows_m, np.arange(len(columns)))


def test_resample_refuses_the_holdout_and_what_does_not_fit():
    points, columns = clouds([5, 2])
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"2 samples of the holdout should be resampled.* 104"):
        resample(
            points,
            columns,
            method="smote",
            rng=rng,
            sample_ids_n=np.arange(100, 107),
            holdout_ids=np.array([3, 104, 106]),
        )
    with pytest.raises(ValueError, match="not 'more'"):
        resample(points, columns, method="more", rng=rng)
    with pytest.raises(ValueError, match="7 embeddings but 6 labels"):
        resample(points, columns[:6], method="smote", rng=rng)
