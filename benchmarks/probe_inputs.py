"""Embeddings for the benchmark of the probe: drawn like those of a network, or from files.

Shape suffixes: n samples, d dimensions, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from holdfast.errors import ConfigError
from holdfast.records import Floats, Ids
from holdfast.seeds import generator


@dataclass(frozen=True, slots=True)
class Kind:
    """How synthetic embeddings are drawn.

    Attributes
    ----------
    distance : float
        Of class centers, in units of the spread within a class.
    noise : float
        Share of labels drawn at random.
    decades : float
        Features are stretched by up to this power of ten, up or down, and moved off zero.
    """

    about: str
    distance: float
    noise: float = 0.0
    decades: float = 0.0


KINDS = {
    "overlapping": Kind("classes overlap, a tenth of the labels is wrong", 0.8, noise=0.1),
    "noisy": Kind("the same with two fifths of the labels wrong", 0.8, noise=0.4),
    "separable": Kind("classes lie apart", 3.0),
    "scaled": Kind("overlapping, features of scales from 0.01 to 100, off zero", 0.8, 0.1, 2.0),
}


def find_kind(name: str) -> Kind:
    """Return a kind by name; ConfigError when there is none."""
    if name not in KINDS:
        raise ConfigError(f"--inputs: no input is called {name!r}; there are {', '.join(KINDS)}")
    return KINDS[name]


def draw(
    kind: Kind, num_samples: int, num_dimensions: int, num_classes: int, seed: int
) -> tuple[Floats, Ids]:
    """Return embeddings, shape (N, D), with a spectrum like a network's, and labels.

    The deviation along direction j falls as ``1 / sqrt(1 + j)``; classes differ along the
    first `2 K` directions; what is negative after a random rotation becomes 0, as after the
    last layer of most networks.
    """
    rng = generator(seed, "probe", kind.about)
    true_n = np.arange(num_samples) % num_classes
    spectrum_d = (1.0 + np.arange(num_dimensions)) ** -0.5
    centers_kd = np.zeros((num_classes, num_dimensions))
    told = min(2 * num_classes, num_dimensions)
    centers_kd[:, :told] = kind.distance * rng.normal(size=(num_classes, told))
    rotation_dd, _ = np.linalg.qr(rng.normal(size=(num_dimensions, num_dimensions)))
    latent_nd = centers_kd[true_n] + rng.normal(size=(num_samples, num_dimensions))
    embeddings_nd = np.maximum((latent_nd * spectrum_d) @ rotation_dd, 0.0)
    embeddings_nd /= embeddings_nd.std()
    if kind.decades:
        embeddings_nd *= 10.0 ** rng.uniform(-kind.decades, kind.decades, num_dimensions)
        embeddings_nd += embeddings_nd.std(axis=0) * rng.normal(size=num_dimensions)
    wrong_n = rng.random(num_samples) < kind.noise
    labels_n = np.where(wrong_n, rng.integers(num_classes, size=num_samples), true_n)
    order_n = rng.permutation(num_samples)
    return embeddings_nd[order_n].astype(np.float32), labels_n[order_n]


def read(features: Path, labels: Path) -> tuple[Floats, Ids]:
    """Return the embeddings and labels of two .npy files, labels as columns 0..K-1.

    Raises
    ------
    ConfigError
        If a file cannot be read, or they do not fit each other.
    """
    embeddings_nd, given_n = _array(features), _array(labels)
    if embeddings_nd.ndim != 2 or not np.issubdtype(embeddings_nd.dtype, np.floating):
        raise ConfigError(
            f"{features} should hold floats of shape (samples, dimensions), not "
            f"{embeddings_nd.dtype} of shape {embeddings_nd.shape}"
        )
    if given_n.shape != embeddings_nd.shape[:1] or not np.issubdtype(given_n.dtype, np.integer):
        raise ConfigError(
            f"{labels} should hold {len(embeddings_nd)} whole numbers, one per row of "
            f"{features.name}, not {given_n.dtype} of shape {given_n.shape}"
        )
    if not np.isfinite(embeddings_nd).all():
        raise ConfigError(f"{features} holds numbers that are not finite; leave those rows out")
    classes_k, columns_n = np.unique(given_n, return_inverse=True)
    if len(classes_k) < 2:
        raise ConfigError(f"{labels} should hold two classes or more, not {len(classes_k)}")
    return embeddings_nd.astype(np.float32), columns_n


def _array(path: Path) -> np.ndarray:  # type: ignore[type-arg]  # of whatever the file holds
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path} cannot be read as a .npy file ({error})") from error
    if not isinstance(loaded, np.ndarray):
        raise ConfigError(f"{path} holds several arrays; save the one that is meant as .npy")
    return loaded
