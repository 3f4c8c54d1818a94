"""`holdfast ingest`, through the same door as a person's: dry runs, references, the report."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from holdfast.__main__ import main
from holdfast.cli.collection import lines_about
from holdfast.data.report import CollectionFacts


def png(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def images(tmp_path, monkeypatch, capsys):
    for number in range(6):
        path = tmp_path / "in" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    (tmp_path / "in" / "dog" / "notes.txt").write_bytes(b"no image")
    assert main(["init", str(tmp_path / "p")]) == 0
    monkeypatch.chdir(tmp_path / "p")
    capsys.readouterr()
    return tmp_path / "in"


def test_dry_run_says_so_and_a_run_after_it_adds_everything(images, capsys):
    assert main(["ingest", str(images), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("dry run: nothing was written")
    assert "added       6 samples" in out
    assert main(["ingest", str(images), "--reference", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_added"], report["dry_run"]) == (6, False)
    assert report["images"]["formats"] == {"PNG": 6}


def test_report_says_what_the_images_are_like(images, capsys):
    assert main(["ingest", str(images)]) == 0
    out = capsys.readouterr().out
    assert "width         8.0 px on average, deviation 0.0" in out
    assert "shorter side  8-15 px: 6" in out
    assert "corrupted     14.3% of the distinct files" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["in", "--dry-run", "--reference"], "leave one out"),
        (["label-studio", "--dry-run", "--project", "1"], "have no effect with label-studio"),
    ],
)
@pytest.mark.usefixtures("images")
def test_options_without_effect_are_refused(options, message, capsys):
    assert main(["ingest", *options]) == 2
    assert message in capsys.readouterr().err


def test_lines_about_no_image_are_none():
    assert lines_about(CollectionFacts()) == []
