"""Embeddings that no label has touched: principal components of the pixels.

Shape suffixes: n samples, c channels, h rows, w columns, p pixels, d dimensions.
"""

from __future__ import annotations

import numpy as np

from holdfast.records import Floats, Images

_SIDE = 16  # pixels are averaged down to at most this many rows and columns
_FIT = 20_000  # images the components are computed from


def pixel_embeddings(images_nchw: Images, dimensions: int = 32) -> Floats:
    """Principal components of averaged pixels, whitened by the leading component.

    A network that was trained on a wrong label puts the sample near the wrong class; an
    audit on its embeddings then agrees with the error. These embeddings cannot have
    learned it.

    Parameters
    ----------
    images_nchw : ndarray of uint8, shape (N, C, H, W)
    dimensions : int
        Upper bound on D.

    Returns
    -------
    ndarray of float32, shape (N, D)
        Mean 0; the first component has standard deviation 1, the others less. D is at
        most the number of pixels and of images. Shape (0, 0) for no images.

    Notes
    -----
    Cost: O(N P) to average and project and O(min(N, 20000) P²) to fit, P <= 256 C pixels.

    References
    ----------
    .. [1] Pearson, "On Lines and Planes of Closest Fit to Systems of Points in Space",
       Philosophical Magazine, 1901.
    """
    if not len(images_nchw):
        return np.zeros((0, 0), np.float32)
    pixels_np = _average(images_nchw)
    step = max(1, len(pixels_np) // _FIT)
    mean_p = pixels_np[::step].mean(axis=0)
    pixels_np -= mean_p
    fitted = pixels_np[::step].astype(np.float64)
    variances, components = np.linalg.eigh(fitted.T @ fitted / len(fitted))
    kept = min(dimensions, len(variances), len(images_nchw))
    leading = components[:, ::-1][:, :kept].astype(np.float32)
    # A component's sign is arbitrary: its largest entry decides, on every machine.
    leading *= np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(kept)])
    scale = float(np.sqrt(max(variances[-1], 1e-12)))
    return (pixels_np @ leading / scale).astype(np.float32)


def _average(images_nchw: Images) -> Floats:
    n, c, h, w = images_nchw.shape
    rows, columns = -(-h // _SIDE), -(-w // _SIDE)  # pixels averaged into one
    cut = images_nchw[:, :, : h // rows * rows, : w // columns * columns]
    blocks = cut.reshape(n, c, h // rows, rows, w // columns, columns)
    averages: Floats = blocks.mean(axis=(3, 5), dtype=np.float32).reshape(n, -1)
    return averages / np.float32(255)
