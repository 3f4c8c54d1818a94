"""What a policy makes of the project's own images: a page of before and after.

Shape suffixes: n samples, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from holdfast.data.augment import change, class_strength, join
from holdfast.data.augment_settings import CHANGES, JOINS, AugmentationConfig
from holdfast.errors import ConfigError
from holdfast.evaluation.report import page, replace_text
from holdfast.evaluation.tables import section
from holdfast.evaluation.thumbnails import data_uri
from holdfast.phases import scoring
from holdfast.project import Project
from holdfast.records import Ids
from holdfast.seeds import generator, integer_seed
from holdfast.store import labels, samples

NUM_AFTER = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentSheet:
    """A policy that was shown.

    Attributes
    ----------
    config : AugmentationConfig
    seed : int
        Of the generator that drew what is shown.
    uids, class_names : tuple of str
        The samples shown, and the class of each.
    strengths : tuple of float
        Factor on the changes of each; 0 where the policy leaves its class alone.
    page : Path
    """

    config: AugmentationConfig
    seed: int
    uids: tuple[str, ...]
    class_names: tuple[str, ...]
    strengths: tuple[float, ...]
    page: Path


def make_sheet(
    project: Project, policy: str | None, num_samples: int, path: Path | None
) -> AugmentSheet:
    """Change some images by a policy, as the learner would, and write them beside each other.

    Classes take turns, rare ones first; images of the holdout are never shown, because they
    are never changed. The same project and policy give the same page.

    Parameters
    ----------
    policy : str or None
        None takes the recipe's.
    num_samples : int
        Rows of the page at most, 1 or more.
    path : Path or None
        Where the page goes; None is `reports/augment.html`.

    Raises
    ------
    ConfigError
        If there is no such policy, or no sample has a label yet.
    MissingExtraError
        If the policy needs albumentations, and it is not installed.
    OSError
        If the page cannot be written.
    """
    config = project.config.learning.augmentation
    if policy is not None:
        config = config.with_policy(policy)
    with project.ledger.read() as connection:
        table = labels.resolve(connection, labels.open_scope(connection), "train")
        names = labels.class_names(connection)
    if not len(table):
        raise ConfigError(
            "there is no labeled image outside the holdout to show; ingest some with labels first"
        )
    counts_k = np.bincount(table.class_ids_n, minlength=len(names))
    rows = _in_turns(table.class_ids_n, counts_k)[:num_samples]
    sample_ids, class_ids = table.sample_ids_n[rows], table.class_ids_n[rows]
    images = torch.from_numpy(scoring.read_images(project, sample_ids)).float() / 255
    strength_k = class_strength(torch.from_numpy(counts_k).float(), config)
    strengths = None if strength_k is None else strength_k[torch.from_numpy(class_ids)]
    seed = integer_seed(generator(project.config.seed, "augment", config.policy))
    draws = torch.Generator().manual_seed(seed)
    after = []
    for _ in range(NUM_AFTER):
        changed = change(images, config, draws, strengths)
        targets = torch.eye(len(names))[torch.from_numpy(class_ids)]
        after.append(join(changed, targets, config, draws, strengths))
    class_names = tuple(names[one] for one in class_ids.tolist())
    with project.ledger.read() as connection:
        uids = tuple(samples.uids_of(connection, sample_ids))
    written = project.reports / "augment.html" if path is None else path
    written.parent.mkdir(parents=True, exist_ok=True)
    sections = [
        section(
            escape(f"{class_names[row]} · {uids[row][:12]}"),
            _lead(float(strengths[row])) if strengths is not None else "",
            _strip(images[row], [(one[row], _shares(said[row], names)) for one, said in after]),
        )
        for row in range(len(rows))
    ]
    replace_text(
        written, page(_title(project, config), _subtitle(config), "".join(sections), _FOOT)
    )
    return AugmentSheet(
        config=config,
        seed=seed,
        uids=uids,
        class_names=class_names,
        strengths=tuple([1.0] * len(rows) if strengths is None else strengths.tolist()),
        page=written,
    )


def _in_turns(class_ids_n: Ids, counts_k: Ids) -> Ids:
    """Return rows so that each class is there once before one is there twice."""
    order = np.argsort(class_ids_n, kind="stable")
    firsts = np.cumsum(counts_k) - counts_k
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order)) - firsts[class_ids_n[order]]
    rows: Ids = np.lexsort((counts_k[class_ids_n], turn))
    return rows


def _strip(before_chw: Tensor, after: Sequence[tuple[Tensor, str]]) -> str:
    cards = [_card(before_chw, "before", "")]
    cards += [_card(one, f"after {place}", said) for place, (one, said) in enumerate(after, 1)]
    return f'<ul class="gallery">{"".join(cards)}</ul>'


def _card(image_chw: Tensor, name: str, said: str) -> str:
    pixels = (image_chw * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    uri, tiny = data_uri(buffer.getvalue())
    kind = ' class="tiny"' if tiny else ""
    note = f'<p class="small">{escape(said)}</p>' if said else ""
    return f'<li><img{kind} src="{uri}" alt="{name}"><p class="change">{name}</p>{note}</li>'


def _shares(target_k: Tensor, names: Sequence[str]) -> str:
    """Say which classes a joined image is of; nothing where it is of one."""
    shares = {names[k]: float(target_k[k]) for k in target_k.nonzero()[:, 0].tolist()}
    if len(shares) < 2:
        return ""
    return ", ".join(f"{share:.0%} {name}" for name, share in shares.items())


def _lead(strength: float) -> str:
    if strength == 0:
        return "Not of a rare class: the policy leaves it as it is."
    return f"Changed {strength:.2f} times as far as usual." if strength != 1 else ""


def _title(project: Project, config: AugmentationConfig) -> str:
    return f"{project.root.name}: the policy {config.policy}"


def _subtitle(config: AugmentationConfig) -> str:
    said = [CHANGES[name] for name in config.changes]
    said += [JOINS[config.join]] if config.join else []
    return "; ".join(said) or "nothing is changed"


_FOOT = "Holdfast augmentation · a preview: nothing was changed or stored"
