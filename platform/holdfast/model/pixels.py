"""Embeddings that no label has touched: principal components of the pixels.

Shape suffixes: n samples, c channels, h rows, w columns, p pixels, d dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.records import Floats, Images

_SIDE = 16  # pixels are averaged down to at most this many rows and columns
FIT_SAMPLES = 20_000  # what components are computed from, at most


def average_pixels(images_nchw: Images) -> Floats:
    """Pixels in [0, 1], averaged over blocks so that at most 16 rows and columns are left.

    Parameters
    ----------
    images_nchw : ndarray of uint8, shape (N, C, H, W)

    Returns
    -------
    ndarray of float32, shape (N, P)
        P <= 256 C; the same for every set of images of one size.
    """
    n, c, h, w = images_nchw.shape
    rows, columns = -(-h // _SIDE), -(-w // _SIDE)  # pixels averaged into one
    cut = images_nchw[:, :, : h // rows * rows, : w // columns * columns]
    blocks = cut.reshape(n, c, h // rows, rows, w // columns, columns)
    averages: Floats = blocks.mean(axis=(3, 5), dtype=np.float32)
    return averages.reshape(n, c * (h // rows) * (w // columns)) / np.float32(255)


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """Directions in which averaged pixels vary most, from which embeddings are read.

    Attributes
    ----------
    mean_p : ndarray of float32, shape (P,)
        What lies at the origin.
    directions_pd : ndarray of float32, shape (P, D)
        Most varied first, scaled so that the first has deviation 1.
    """

    mean_p: Floats
    directions_pd: Floats

    def embed(self, pixels_np: Floats) -> Floats:
        """Return embeddings, shape (N, D); time O(n p d)."""
        return np.asarray((pixels_np - self.mean_p) @ self.directions_pd, np.float32)


def fit_components(pixels_np: Floats, dimensions: int = 32) -> Components:
    """Return the principal components of averaged pixels.

    Parameters
    ----------
    pixels_np : ndarray of float32, shape (N, P)
        From `average_pixels`; best `FIT_SAMPLES` of them.
    dimensions : int
        Upper bound on D.

    Returns
    -------
    Components
        D is at most P and N.

    Notes
    -----
    Cost: O(n p²).

    References
    ----------
    .. [1] Pearson, "On Lines and Planes of Closest Fit to Systems of Points in Space",
       Philosophical Magazine, 1901.
    """
    mean_p = pixels_np.mean(axis=0)
    centered = (pixels_np - mean_p).astype(np.float64)
    variances, components = np.linalg.eigh(centered.T @ centered / max(len(centered), 1))
    kept = min(dimensions, len(variances), len(pixels_np))
    leading = components[:, ::-1][:, :kept].astype(np.float32)
    # A component's sign is arbitrary: its largest entry decides, on every machine.
    leading *= np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(kept)])
    leading /= np.float32(np.sqrt(max(variances[-1], 1e-12)))
    return Components(mean_p=mean_p, directions_pd=leading)


def principal_components(pixels_np: Floats, dimensions: int = 32) -> Floats:
    """Embeddings of averaged pixels, scaled so that the first component has deviation 1.

    A network that was trained on a wrong label puts the sample near the wrong class; an
    audit on its embeddings then agrees with the error. These embeddings cannot have
    learned it.

    Parameters
    ----------
    pixels_np : ndarray of float32, shape (N, P)
        From `average_pixels`.
    dimensions : int
        Upper bound on D.

    Returns
    -------
    ndarray of float32, shape (N, D)
        Mean 0, most varied component first; D is at most P and N. Shape (0, 0) for no
        samples.

    Notes
    -----
    Cost: O(min(N, 20000) P²) to fit and O(N P D) to project.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(256, size=(5, 1, 8, 8), dtype=np.uint8)
    >>> principal_components(average_pixels(images)).shape
    (5, 5)
    """
    if not len(pixels_np):
        return np.zeros((0, 0), np.float32)
    fitted = pixels_np[:: -(-len(pixels_np) // FIT_SAMPLES)]
    return fit_components(fitted, dimensions).embed(pixels_np)
