"""Embeddings made of pixels alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from holdfast.model.pixels import average_pixels, fit_components, principal_components


def test_average_pixels_of_flat_images_is_their_brightness() -> None:
    images = np.full((2, 3, 50, 50), 51, np.uint8)
    averages = average_pixels(images)
    assert averages.shape[1] <= 3 * 256
    np.testing.assert_allclose(averages, 0.2, rtol=1e-6)


@pytest.mark.parametrize("side", [8, 16, 17, 28, 224])
def test_average_pixels_keeps_the_mean_of_what_it_covers(side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, side, side), dtype=np.uint8)
    block = -(-side // 16)
    covered = images[:, :, : side // block * block, : side // block * block]
    expected = covered.mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(average_pixels(images).mean(axis=1), expected, rtol=1e-5)


def test_principal_components_span_what_scikit_learn_finds() -> None:
    pixels = load_digits().data.astype(np.float32) / 16
    ours = principal_components(pixels, 10)
    theirs = PCA(10, svd_solver="full").fit_transform(pixels)
    correlation = np.abs([np.corrcoef(ours[:, d], theirs[:, d])[0, 1] for d in range(10)])
    np.testing.assert_allclose(correlation, 1, atol=1e-4)
    assert ours[:, 0].std() == pytest.approx(1, abs=1e-4)


def test_principal_components_of_permuted_samples_are_permuted() -> None:
    pixels = np.random.default_rng(1).random((30, 12), dtype=np.float32)
    order = np.random.default_rng(2).permutation(30)
    np.testing.assert_allclose(
        principal_components(pixels[order], 5), principal_components(pixels, 5)[order], atol=1e-4
    )


@pytest.mark.parametrize("num", [0, 1, 2])
def test_principal_components_of_few_samples_are_finite(num: int) -> None:
    embeddings = principal_components(np.ones((num, 6), np.float32))
    assert len(embeddings) == num
    assert np.isfinite(embeddings).all()


def test_components_embed_each_sample_alone_as_among_others() -> None:
    pixels = np.random.default_rng(1).random((30, 12), dtype=np.float32)
    components = fit_components(pixels, 5)
    together = components.embed(pixels)
    np.testing.assert_allclose(together, principal_components(pixels, 5), atol=1e-6)
    for row in (0, 17):
        alone = components.embed(pixels[row : row + 1])
        np.testing.assert_allclose(alone, together[row : row + 1], atol=1e-5)


def test_components_of_a_part_lead_to_nearly_the_same_distances() -> None:
    pixels = load_digits().data.astype(np.float32) / 16
    part, whole = (fit_components(some, 10).embed(pixels[:300]) for some in (pixels[::3], pixels))
    apart = [np.linalg.norm(some[:, None] - some, axis=2).ravel() for some in (part, whole)]
    assert np.corrcoef(apart)[0, 1] > 0.98
