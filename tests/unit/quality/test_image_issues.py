"""Our measures of stored images are CleanVision's of the same files."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from holdfast.quality.image_issues import KINDS, PROPERTIES, image_issues, measure


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def photograph(rng, size=(40, 30)):
    noise = rng.integers(0, 256, (size[1] // 5, size[0] // 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    usual = [photograph(rng) for _ in range(12)]
    return [
        *usual,
        usual[0].point(lambda value: value // 12),
        usual[1].point(lambda value: 245 + value // 26),
        photograph(rng, (400, 300)).filter(ImageFilter.GaussianBlur(40)),
        Image.new("RGB", (40, 30), (90, 140, 60)),
        photograph(rng, (400, 300)),
        photograph(rng, (120, 10)),
        usual[2].convert("L"),
    ]


def test_issues_are_those_imagelab_finds_in_the_same_files(pictures, tmp_path):
    from cleanvision import Imagelab

    paths = [str(tmp_path / f"{number:02}.png") for number in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        lab = Imagelab(filepaths=paths)
        lab.find_issues({kind: {} for kind in KINDS}, n_jobs=1, verbose=False)
    found = image_issues(measure([encoded(picture) for picture in pictures]))
    assert list(found) == list(KINDS)
    for kind, issue in found.items():
        assert issue.flagged_n.any(), kind
        assert issue.flagged_n.tolist() == lab.issues[f"is_{kind}_issue"].tolist(), kind
        np.testing.assert_allclose(issue.scores_n, lab.issues[f"{kind}_score"], atol=1e-6)


def test_flaw_of_most_images_is_how_the_set_is(pictures):
    gray = [encoded(picture.convert("L")) for picture in pictures[:8]]
    found = image_issues(measure([*gray, encoded(pictures[9])]))
    assert not found["grayscale"].flagged_n.any()
    assert found["grayscale"].prevalence == pytest.approx(8 / 9)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK", "I;16"])
def test_any_kind_of_pixels_is_measured_as_what_it_shows(mode):
    shades = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (16, 1))
    if mode == "I;16":
        image = Image.fromarray(shades.astype(np.uint16) << 8)
    else:
        image = Image.fromarray(shades).convert("RGB" if mode == "CMYK" else "L").convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    (row,) = measure([encoded(image, kind)])
    found = dict(zip(PROPERTIES, row.tolist(), strict=True))
    assert found["brightness_perc_99"] > 0.9
    assert found["brightness_perc_5"] < 0.1
    assert found["size"] == pytest.approx(np.sqrt(32 * 16))
    assert found["aspect_ratio"] == 0.5
    assert found["color_space"] == (0.0 if mode in {"LA", "1", "I;16"} else 3.0)


def test_large_image_keeps_its_own_size_and_nearly_its_brightness():
    rng = np.random.default_rng(1)
    large = photograph(rng, (3000, 1500))
    rows = measure([encoded(large), encoded(large.reduce(3))])
    found = dict(zip(PROPERTIES, rows.T.tolist(), strict=True))
    assert found["size"][0] == pytest.approx(3 * found["size"][1])
    assert found["brightness_perc_99"][0] == pytest.approx(found["brightness_perc_99"][1], abs=0.05)


def test_no_images_have_no_issues():
    assert measure([]).shape == (0, len(PROPERTIES))
    assert image_issues(measure([])) == {}
