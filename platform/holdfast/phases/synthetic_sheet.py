"""What a generator draws of the project's rare classes: a page of real beside generated images.

Shape suffixes: n images, c channels, h rows, w columns.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from holdfast.data.synthetic_settings import check_side
from holdfast.errors import ConfigError
from holdfast.evaluation import tables
from holdfast.evaluation.report import page, replace_text
from holdfast.evaluation.tables import NOTHING, empty, section
from holdfast.phases import scoring
from holdfast.phases.synthesis import DrawnClass, Synthesis, synthesize
from holdfast.phases.tiers import doubts_of
from holdfast.phases.turn import Progress
from holdfast.project import Project
from holdfast.records import Images
from holdfast.seeds import generator
from holdfast.store import labels, rounds

# Between two images, in pixels, and how large one is shown at least.
_GAP = 1
_SHOWN_SIDE = 48
_IN_A_ROW = 12
_HEAD = (
    "class",
    "real",
    "drawn",
    "copies",
    "Fréchet distance",
    "of real halves",
    "of another class",
    "coverage",
    "of real halves",
    "density",
    "verdict",
)
_FOOT = "Holdfast augmentation · a preview: nothing was changed or stored"


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticSheet:
    """A generator that was tried."""

    made: Synthesis
    class_names: tuple[str, ...]
    page: Path


def make_synthetic_sheet(
    project: Project, num_images: int, path: Path | None, progress: Progress | None = None
) -> SyntheticSheet:
    """Teach a generator as a round would, judge what it draws, and show it beside real images.

    Images of the holdout play no part. The same project gives the same page.

    Parameters
    ----------
    num_images : int
        Real and generated images shown of each class at most, 1 or more.
    path : Path or None
        Where the page goes; None is `reports/synthetic.html`.

    Raises
    ------
    ConfigError
        If there is no champion yet to judge by, or images are too large for a generator.
    MissingExtraError
        If diffusers is not installed.
    OSError
        If the page cannot be written.
    """
    state = scoring.champion_state(project)
    if state is None:
        raise ConfigError(
            "there is no champion yet, whose encoder judges synthetic images; finish a round "
            "with `holdfast run` first"
        )
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
        newest = rounds.newest(connection)
        number = 0 if newest is None else newest.number
        closed = newest is None or newest.state != "open"
        table = labels.resolve(connection, labels.open_scope(connection), "train")
        doubts = doubts_of(connection, number)
    check_side(project.config.data.image_size)
    made = synthesize(
        state,
        table,
        doubts,
        len(names),
        lambda sample_ids: scoring.read_images(project, sample_ids),
        project.config.learning.synthetic,
        project.config.network,
        # As the open round will draw, or the next.
        generator(project.config.seed, "synthetic", number + closed),
        progress,
    )
    written = project.reports / "synthetic.html" if path is None else path
    written.parent.mkdir(parents=True, exist_ok=True)
    body = _body(made, names, num_images)
    title = f"{project.root.name}: synthetic images of rare classes"
    replace_text(written, page(title, _subtitle(made), body, _FOOT))
    return SyntheticSheet(made=made, class_names=tuple(names), page=written)


def _body(made: Synthesis, names: Sequence[str], num_images: int) -> str:
    if not made.classes:
        return section("Nothing was drawn", "", empty(f"Nothing was drawn: {made.reason}."))
    numbers = tables.table("", _HEAD, [_row(one, names[one.class_id]) for one in made.classes])
    parts = [section("What was measured", _MEASURED, numbers)]
    for one in made.classes:
        verdict = "passed" if one.verdict.passed else "failed"
        shown = "".join(
            _figure(said, images[:num_images])
            for said, images in (("real", one.real_nchw), ("generated", one.drawn_mchw))
        )
        parts.append(section(f"{names[one.class_id]}: {verdict}", one.verdict.reason, shown))
    return "".join(parts)


_MEASURED = (
    "By the champion's encoder. A class passes when its generated images lie about as far from "
    "a half of its real images as the other half does, or far nearer than any other class, and "
    "around about as many of them; copies of real images are never admitted."
)


def _row(one: DrawnClass, name: str) -> list[str]:
    said = one.verdict
    measures = (
        said.frechet,
        said.frechet_real,
        said.frechet_other,
        said.coverage,
        said.coverage_real,
        said.density,
    )
    return [
        name,
        f"{said.num_real:,}",
        f"{said.num_drawn:,}",
        f"{said.num_copies:,}",
        *(NOTHING if value is None else f"{value:.3g}" for value in measures),
        "passed" if said.passed else "failed",
    ]


def _figure(said: str, images_nchw: Images) -> str:
    if not len(images_nchw):
        return empty(f"No {said} image.")
    buffer = io.BytesIO()
    grid = _grid(images_nchw)
    grid.save(buffer, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return (
        f'<figure><figcaption>{said}</figcaption><img src="{uri}" alt="{said} images" '
        f'width="{grid.width}" height="{grid.height}" style="max-width: 100%; height: auto; '
        'image-rendering: pixelated"></figure>'
    )


def _grid(images_nchw: Images) -> Image.Image:
    """Lay images out in rows, each large enough to be seen."""
    num, channels, height, width = images_nchw.shape
    rows, columns = -(-num // _IN_A_ROW), min(num, _IN_A_ROW)
    cells = np.full((rows * columns, channels, height + _GAP, width + _GAP), 255, np.uint8)
    cells[:num, :, :height, :width] = images_nchw
    laid = cells.reshape(rows, columns, channels, height + _GAP, width + _GAP)
    pixels = laid.transpose(0, 3, 1, 4, 2).reshape(rows * (height + _GAP), -1, channels)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    factor = max(1, _SHOWN_SIDE // max(height, width))
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def _subtitle(made: Synthesis) -> str:
    if made.generator is None:
        return made.reason
    passed = sum(one.verdict.passed for one in made.classes)
    return f"{passed} of {len(made.classes)} rare classes passed; generator {made.generator[:12]}"
