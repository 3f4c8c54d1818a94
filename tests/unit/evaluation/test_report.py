from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.evaluation import figures
from holdfast.evaluation.advice import next_steps
from holdfast.evaluation.gate import GateConfig, Verdict, decide
from holdfast.evaluation.holdout_predictions import HoldoutPredictions
from holdfast.evaluation.metrics import measure
from holdfast.evaluation.report import render, write
from holdfast.evaluation.report_data import (
    Arm,
    FoundError,
    ReportData,
    Retention,
    RoundResult,
    to_json,
)
from holdfast.evaluation.retention import compare_rounds
from holdfast.evaluation.thumbnails import data_uri
from holdfast.records import DatasetVersion

NASTY = """<script>alert("1")</script> & 'co' $x_1$ ${y}"""


class Page(HTMLParser):
    """Collects tags, ids and text, and checks that tags close in order."""

    VOID = frozenset({"meta", "img", "br", "path", "use", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href"}:
                self.links.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def png(side: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.arange(side * side, dtype=np.uint32).reshape(side, side) % 251
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def arm(name: str, rounds: int, seed: int) -> Arm:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 10)
    results = []
    for number in range(1, rounds + 1):
        known = np.arange(min(2 + number, 4))
        probs = rng.dirichlet(np.ones(len(known)), size=40)
        metrics = measure(probs, known, labels, rng)
        results.append(RoundResult(number=number, metrics=metrics, wrong_labels_found=number))
    return Arm(name=name, rounds=tuple(results))


def full_data() -> ReportData:
    return ReportData(
        title=NASTY,
        made_at="21 November 2026",
        class_names=(NASTY, "dog", "owl", "newt"),
        labeled_counts=(90, 80, 60, 4),
        start_counts=(20, 10, 5, 0),
        arms=(arm(NASTY, 3, 0), arm("naive", 3, 1), arm("upper-bound", 1, 2)),
        found_errors=(
            FoundError(sample_id=7, image=png(8), given=1, corrected=0, score=0.1, who=NASTY),
            FoundError(sample_id=8, image=b"not an image", given=0, corrected=2, score=0.2),
            FoundError(sample_id=9, image=None, given=0, corrected=2, score=0.2),
        ),
        num_found_errors=70,
        queue={NASTY: 3, "answered": 2},
        verdicts={
            1: Verdict(promote=True, reason="promoted: first model"),
            2: Verdict(promote=False, reason=f"kept the champion: {NASTY}"),
        },
        versions=(
            DatasetVersion(
                round_number=1,
                parent=None,
                watermark=10,
                excluded=(),
                digest="ab" * 32,
                num_labels=9,
            ),
        ),
        champion="cd" * 32,
        config_digest="ef" * 32,
        waiting_for=NASTY,
    )


def empty_data() -> ReportData:
    return ReportData(title="New", made_at="today", class_names=(), labeled_counts=())


def no_holdout_data() -> ReportData:
    rounds = (RoundResult(number=1, metrics=None, labels_used=3),)
    return ReportData(
        title="No holdout",
        made_at="today",
        class_names=("cat", "dog"),
        labeled_counts=(2, 1),
        arms=(Arm(name="this project", rounds=rounds),),
    )


@pytest.mark.parametrize("make", [full_data, empty_data, no_holdout_data])
def test_render_any_project_is_one_sound_page_without_outside_links(make) -> None:
    page = Page(render(make()))
    assert not page.open
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    targets = {f"#{name}" for name in page.ids}
    assert all(link.startswith("data:image/") or link in targets for link in page.links)


def test_render_names_with_markup_are_escaped_everywhere() -> None:
    text = render(full_data())
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "$x_1$ ${y}" in text


def test_render_same_data_gives_the_same_page() -> None:
    assert render(full_data()) == render(full_data())


def test_render_figures_take_the_color_of_the_page() -> None:
    text = render(full_data())
    assert figures.INK not in text
    assert "currentColor" in text
    assert text.count("<svg") == 5


def test_render_without_data_says_why_each_part_is_empty() -> None:
    text = render(empty_data())
    for reason in ("No round has finished", "no classes yet", "No wrong label", "no holdout"):
        assert reason in text
    assert "<svg" not in text


def test_render_gallery_shows_tiny_images_as_pixels_and_missing_ones_as_a_note() -> None:
    text = render(full_data())
    assert text.count('<img class="tiny"') == 1
    assert text.count("no picture") == 2
    assert "3 of 70 are shown" in text


def test_write_makes_both_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    page, numbers = tmp_path / "report.html", tmp_path / "report.json"
    page.write_text("old")
    write(page, numbers, full_data())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert page.read_text(encoding="utf-8") == render(full_data())
    assert json.loads(numbers.read_text(encoding="utf-8")) == to_json(full_data())


def test_write_that_fails_keeps_the_old_page(tmp_path: Path, monkeypatch) -> None:
    page = tmp_path / "report.html"
    page.write_text("old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("holdfast.evaluation.report.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write(page, tmp_path / "report.json", full_data())
    assert page.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_to_json_numbers_agree_with_the_metrics() -> None:
    data = full_data()
    values = to_json(data)
    last = values["arms"][0]["rounds"][-1]
    assert last["metrics"] == data.arms[0].rounds[-1].metrics.to_json()
    assert last["rare_recall"] == data.arms[0].rounds[-1].metrics.recall[3]
    assert values["rare_ids"] == [3]
    assert to_json(no_holdout_data())["arms"][0]["rounds"][0]["metrics"] is None


def kept_data() -> ReportData:
    """Three rounds whose predictions were kept; the third loses half of class 1."""
    labels, ids = np.repeat(np.arange(4), 10), np.arange(40)
    last = np.where((labels == 1) & (ids % 2 == 0), 0, labels)
    said = [
        HoldoutPredictions(
            dataset_version=number, known=(0, 1, 2, 3), sample_ids_n=ids, predicted_n=predicted
        )
        for number, predicted in enumerate((labels, labels, last), 1)
    ]
    rng = np.random.default_rng(0)
    pairs = compare_rounds(said, ids, labels)
    own = arm("kept", 3, 0)
    retention = Retention(
        pairs=pairs,
        forgetting=pairs.forgetting(rng),
        backward_transfer=pairs.backward_transfer(rng),
    )
    verdict = decide(
        labels,
        last,
        labels,
        counts_k=np.full(4, 50),
        class_names=["a", "b", "c", "d"],
        config=GateConfig(resamples=200),
        rng=rng,
    )
    rounds = tuple(replace(result, dataset_version=result.number) for result in own.rounds)
    return replace(
        full_data(),
        arms=(replace(own, rounds=rounds, retention=retention),),
        verdicts={3: verdict},
    )


def test_arm_with_kept_predictions_compares_them_and_not_the_metrics() -> None:
    data = kept_data()
    assert data.arms[0].forgetting() == {1: 0.0, 2: 0.0, 3: pytest.approx(0.125)}
    assert data.arms[0].losses()[-1].tolist() == [0.0, 0.5, 0.0, 0.0]
    last = to_json(data)["arms"][0]
    assert last["rounds"][-1]["forgetting_by_class"] == {"0": 0.0, "1": 0.5, "2": 0.0, "3": 0.0}
    assert last["rounds"][-1]["dataset_version"] == 3
    assert last["forgetting"]["by_class"]["1"]["samples"] == 10


def test_render_shows_intervals_flips_and_forgetting_of_each_class() -> None:
    data = kept_data()
    text = render(data)
    found = data.arms[0].rounds[-1].metrics.intervals
    assert found is not None
    low, high = found.overall["macro_f1"]
    assert f"{low:.3f} to {high:.3f}" in text
    assert "dataset version 3" in text
    assert "of 40 holdout samples, right before" in text
    assert data.flips()["by_class"]["1"]["flips"] == 5
    assert "Backward transfer" in text
    assert "Backward transfer" not in render(full_data())


def test_report_data_counts_that_do_not_fit_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="labeled_counts has 1 entries for 2 classes"):
        ReportData(title="", made_at="", class_names=("a", "b"), labeled_counts=(1,))


def test_next_steps_pressing_things_come_first_and_calm_is_said() -> None:
    steps = next_steps(full_data())
    assert steps[0].startswith("Answers are missing")
    assert any("not promoted" in step for step in steps)
    assert any("newt (4 labels)" in step for step in steps)
    perfect = measure(np.eye(2), np.array([0, 1]), np.array([0, 1]))
    calm = ReportData(
        title="",
        made_at="",
        class_names=("a", "b"),
        labeled_counts=(5, 5),
        arms=(Arm(name="own", rounds=(RoundResult(number=1, metrics=perfect),)),),
    )
    assert next_steps(calm) == [
        "Nothing needs attention. Run the next round when new samples have come."
    ]


def test_data_uri_large_photograph_is_made_small() -> None:
    uri, tiny = data_uri(png(900))
    assert uri.startswith("data:image/jpeg")
    assert not tiny
    assert len(uri) < 40_000


def test_data_uri_palette_with_transparency_and_rotation_are_read() -> None:
    palette, rotated = io.BytesIO(), io.BytesIO()
    Image.new("P", (9, 5)).save(palette, "PNG", transparency=b"\x00\x80")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (300, 150)).save(rotated, "JPEG", exif=exif)
    assert data_uri(palette.getvalue())[1]
    shown = base64.b64decode(data_uri(rotated.getvalue())[0].split(",")[1])
    with Image.open(io.BytesIO(shown)) as picture:
        assert picture.height > picture.width


def test_report_data_rare_counts_decide_what_is_rare() -> None:
    data = full_data()
    other = replace(data, rare_counts=(1, 90, 90, 90))
    assert data.rare == (3,)
    assert other.rare == (0,)
    assert other.rare_recall(measure(np.eye(4), np.arange(4), np.arange(4))) == 1.0


def test_class_counts_many_classes_draws_the_ends_of_the_tail() -> None:
    counts = np.arange(200, 0, -1)
    names = [f"kind {k}" for k in range(200)]
    svg = figures.class_counts(names, counts.tolist(), [False] * 200, 50.0)
    drawn = re.findall(r">kind (\d+)<", svg)
    assert drawn == [str(k) for k in [*range(20), *range(180, 200)]]


def test_heatmap_unknown_cells_are_dots_not_zeros() -> None:
    values = np.array([[0.5, np.nan], [0.0, 1.0]])
    svg = figures.heatmap(values, ["a", "b"], ["1", "2"], label="x", x_label="", y_label="")
    assert svg.count(">·<") == 1
    assert svg.count(">0<") == 1
