import numpy as np
import pytest

from holdfast.query.propagation import neighborhood, votes


def _two_groups(num=60, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    classes = np.arange(num) % 2
    centers = np.array([[0.0, 0.0], [8.0, 0.0]])
    places = centers[classes] + rng.normal(size=(num, 2))
    return (scale * places).astype(np.float32), classes


def test_votes_two_labels_name_two_groups():
    places, classes = _two_groups()
    found = votes(neighborhood(places), np.array([0, 1]), np.array([0, 1]), 2)
    np.testing.assert_array_equal(found.probs_nk.argmax(axis=1), classes)
    np.testing.assert_allclose(found.probs_nk.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_votes_do_not_depend_on_the_scale_of_embeddings(scale):
    rows, columns = np.array([0, 1, 2]), np.array([0, 1, 0])
    one, other = (
        votes(neighborhood(_two_groups(scale=s)[0]), rows, columns, 2) for s in (1.0, scale)
    )
    np.testing.assert_allclose(one.probs_nk, other.probs_nk, atol=1e-3)


def test_votes_permuting_samples_permutes_the_votes():
    places, classes = _two_groups()
    order = np.random.default_rng(1).permutation(len(places))
    rows = np.arange(10)
    found = votes(neighborhood(places), rows, classes[rows], 2)
    moved = votes(neighborhood(places[order]), np.argsort(order)[rows], classes[rows], 2)
    np.testing.assert_allclose(moved.probs_nk, found.probs_nk[order], atol=1e-5)


def test_votes_trust_a_wrong_label_less_than_right_ones():
    places, classes = _two_groups(100)
    rows = np.arange(40)
    given = classes[rows].copy()
    given[7] = 1 - given[7]
    found = votes(neighborhood(places), rows, given, 2)
    assert found.trust_m[7] == found.trust_m.min() < 0.2
    assert np.delete(found.trust_m, 7).min() > 0.5
    assert found.probs_nk[7, classes[7]] > 0.5


def test_votes_where_no_label_reaches_are_even():
    places, _ = _two_groups()
    apart = np.r_[places, places + 1e4].astype(np.float32)
    found = votes(neighborhood(apart, 5), np.array([0, 1]), np.array([0, 1]), 2)
    np.testing.assert_allclose(found.probs_nk[60:], 0.5, atol=1e-5)


def test_neighborhood_copies_and_a_single_sample_are_linked_without_a_warning():
    assert neighborhood(np.zeros((1, 3), np.float32)).links.nnz == 0
    copies = neighborhood(np.ones((30, 3), np.float32))
    assert np.isfinite(copies.links.data).all()
    assert copies.width > 0


def test_neighborhood_smoothing_draws_an_outlier_towards_its_neighbors():
    places, _ = _two_groups()
    places[0] = [-20.0, 0.0]
    around = neighborhood(places)
    assert np.abs(around.smooth_nd[0]).max() < 5
