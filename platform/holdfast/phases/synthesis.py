"""Images of rare classes that a generator draws, and which of them may be learned from.

Shape suffixes: n samples, m generated images, k classes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from holdfast.data import versions
from holdfast.data.balance import rare_classes
from holdfast.data.synthetic_settings import SyntheticConfig
from holdfast.learning.learner import LearnerState
from holdfast.model import generator
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import predict
from holdfast.model.spec import NetworkConfig
from holdfast.phases.turn import Progress
from holdfast.quality.synthetic import LEAST_REAL, Verdict, copies, judge
from holdfast.records import Floats, Ids, Images, LabelTable, SyntheticImage
from holdfast.seeds import integer_seed

Marks = NDArray[np.bool_]

# Of a class the generator is taught this many images at most, of all together this many: they
# are in memory, and more of them would not be drawn often.
_MOST_OF_A_CLASS = 2_000
_MOST_OF_A_COMMON_CLASS = 500
_MOST_OF_COMMON_CLASSES = 20_000
# Part of what the generator sees that is of rare classes.
_RARE_PART = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnClass:
    """What came of one rare class.

    Attributes
    ----------
    real_nchw, drawn_mchw : ndarray of uint8
        Its real images, and those that were drawn and are no copies.
    admitted : tuple of bytes
        Those of them that are admitted, as PNG files; none where the class failed.
    """

    class_id: int
    verdict: Verdict
    real_nchw: Images
    drawn_mchw: Images
    admitted: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Synthesis:
    """What a generator was asked for, and what of it may be learned from.

    Attributes
    ----------
    config : SyntheticConfig
    seed : int or None
        Of the generator that all draws came from; None where nothing was asked for.
    generator : str or None
        sha256 of its weights; None where none was taught.
    reason : str
        Why none was; empty where one was.
    classes : tuple of DrawnClass
        Every rare class, by id.
    """

    config: SyntheticConfig
    seed: int | None = None
    generator: str | None = None
    reason: str = ""
    classes: tuple[DrawnClass, ...] = ()

    @property
    def admitted(self) -> tuple[SyntheticImage, ...]:
        """Images of the classes that passed."""
        made = self.generator or ""
        return tuple(
            SyntheticImage(
                uid=hashlib.sha256(png).hexdigest(), class_id=one.class_id, generator=made
            )
            for one in self.classes
            for png in one.admitted
        )

    @property
    def payloads(self) -> list[bytes]:
        """The same images, as PNG files."""
        return [png for one in self.classes for png in one.admitted]

    def in_words(self, names: Sequence[str]) -> str:
        """Say how many images of which class are admitted: `60 of cat, none of dog`."""
        if not self.classes:
            return f"none: {self.reason}"
        return ", ".join(
            f"{len(one.admitted) or 'none'} of {names[one.class_id]}" for one in self.classes
        )

    def as_json(self, names: Sequence[str]) -> dict[str, object]:
        """Return what a version's recipe keeps: settings, seed, generator, verdicts, digest."""
        images = self.admitted
        labels = np.array([one.class_id for one in images], np.int64)
        return {
            "settings": self.config.as_json(),
            "seed": self.seed,
            "generator": self.generator,
            "reason": self.reason,
            "classes": {
                names[one.class_id]: asdict(one.verdict) | {"admitted": len(one.admitted)}
                for one in self.classes
            },
            "admitted": len(images),
            "digest": versions.digest([one.uid for one in images], labels, names),
        }


def synthesize(
    state: LearnerState | None,
    table: LabelTable,
    doubts: Mapping[int, float],
    num_classes: int,
    read: Callable[[Ids], Images],
    config: SyntheticConfig,
    network_config: NetworkConfig,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Synthesis:
    """Teach a generator the training images, draw rare classes, and judge what it drew.

    Nothing of the project changes. Equal arguments give equal images, so that a step repeated
    after a crash ends the same.

    Parameters
    ----------
    state : LearnerState or None
        Whose encoder judges: the champion.
    table : LabelTable
        Labels of training samples; never of the holdout.
    doubts : mapping of int to float
        Samples whose label is in doubt: nothing is taught or judged by them.
    read : callable
        Sample ids to decoded images, shape (N, C, H, W).

    Raises
    ------
    MissingExtraError
        If diffusers is not installed.
    ConfigError
        If images are too large for a generator.

    Notes
    -----
    Cost: `config.steps` steps of the generator, 40 forward passes an image drawn, and the
    judging of each rare class. Memory: what it is taught, 20,000 images and up to 2,000 of
    each rare class.
    """
    seed = integer_seed(rng)
    if state is None:
        return Synthesis(config=config, seed=seed, reason="there is no champion yet to judge by")
    sure_n = table.verified_n | ~np.isin(table.sample_ids_n, list(doubts))
    ids_n, labels_n = table.sample_ids_n[sure_n], table.class_ids_n[sure_n]
    counts_k = np.bincount(labels_n, minlength=num_classes)
    rare_k = rare_classes(counts_k) & (counts_k > 0)
    if not rare_k.any():
        return Synthesis(config=config, seed=seed, reason="no class is rare")
    draws = np.random.default_rng(seed)
    rows = _taught(labels_n, rare_k, draws)
    images_nchw, labels_n = read(ids_n[rows]), labels_n[rows]
    wanted_k = np.minimum((round(float(counts_k.mean())) - counts_k).clip(min=0), config.per_class)
    # Where nothing could be said about them, none are drawn.
    asked_k = rare_k & (counts_k >= LEAST_REAL)
    num_k = np.maximum(wanted_k, counts_k.clip(max=_MOST_OF_A_CLASS)) * asked_k
    classes_m: Ids = np.repeat(np.arange(num_classes), num_k)
    drawn_mchw, made = images_nchw[:0], None
    if len(classes_m):
        taught = generator.teach(
            images_nchw,
            labels_n,
            _chances(labels_n, rare_k),
            config=config,
            device=network_config.device,
            rng=draws,
            told=None if progress is None else lambda done, of: progress("teaching", done, of),
        )
        drawn_mchw = generator.draw(taught, classes_m, device=network_config.device, rng=draws)
        made = taught.sha256
    network = restore_model(state.tensors, state.header, network_config)

    def embed(images: Images) -> Floats:
        return predict(network, images, config=network_config).embeddings_nd

    embedded_nd = embed(images_nchw)
    embeddings = {k: embedded_nd[labels_n == k] for k in np.unique(labels_n).tolist()}
    classes = tuple(
        _judged(
            embed,
            class_id,
            images_nchw[labels_n == class_id],
            drawn_mchw[classes_m == class_id],
            embeddings,
            int(wanted_k[class_id]),
            config,
            draws,
        )
        for class_id in np.flatnonzero(rare_k).tolist()
    )
    reason = "" if made else f"no rare class has {LEAST_REAL} undoubted images to judge by"
    return Synthesis(config=config, seed=seed, generator=made, reason=reason, classes=classes)


def _judged(
    embed: Callable[[Images], Floats],
    class_id: int,
    real_nchw: Images,
    drawn_mchw: Images,
    embeddings: Mapping[int, Floats],
    wanted: int,
    config: SyntheticConfig,
    rng: np.random.Generator,
) -> DrawnClass:
    """Judge the images of one class."""
    repeated = copies(drawn_mchw, real_nchw)
    fresh = drawn_mchw[~repeated]
    others = [of_class for other, of_class in embeddings.items() if other != class_id]
    verdict = judge(embeddings[class_id], embed(fresh), others, config, rng, int(repeated.sum()))
    return DrawnClass(
        class_id=class_id,
        verdict=verdict,
        real_nchw=real_nchw,
        drawn_mchw=fresh,
        admitted=tuple(_png(image) for image in fresh[:wanted]) if verdict.passed else (),
    )


def _taught(labels_n: Ids, rare_k: Marks, rng: np.random.Generator) -> Ids:
    """Return the rows a generator is taught, of each class as many as may be."""
    most = _MOST_OF_COMMON_CLASSES // max(1, int((~rare_k).sum()))
    most_k = np.where(rare_k, _MOST_OF_A_CLASS, np.clip(most, 1, _MOST_OF_A_COMMON_CLASS))
    order = rng.permutation(len(labels_n))
    order = order[np.argsort(labels_n[order], kind="stable")]
    counts_k = np.bincount(labels_n, minlength=len(rare_k))
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts_k) - counts_k, counts_k)
    rows: Ids = np.sort(order[place < most_k[labels_n[order]]])
    return rows


def _chances(labels_n: Ids, rare_k: Marks) -> Floats:
    """Return how often each image is shown: half of the time rare classes, classes alike."""
    counts_k = np.bincount(labels_n, minlength=len(rare_k))
    chances_n: Floats = np.zeros(len(labels_n), np.float32)
    for part, of_k in ((_RARE_PART, rare_k), (1 - _RARE_PART, ~rare_k)):
        present = of_k & (counts_k > 0)
        rows = present[labels_n]
        chances_n[rows] = part / (int(present.sum()) * counts_k[labels_n[rows]])
    return chances_n


def _png(image_chw: Images) -> bytes:
    pixels = image_chw[0] if len(image_chw) == 1 else image_chw.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
