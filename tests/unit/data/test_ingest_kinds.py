"""Every way images can be odd: evened out or in quarantine with a reason, and counted."""

from io import BytesIO

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from holdfast.data import decoders, integrity
from holdfast.data.ingest import ingest, ingest_images
from holdfast.data.stream import decode
from holdfast.errors import IngestError
from holdfast.store.schema import sample


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(image):
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif, quality=95)


def noise(width=24, height=16):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def deep():
    return Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16))


KINDS = {
    "plain.png": (encoded(noise()), None, ()),
    "cmyk.jpg": (encoded(noise().convert("CMYK"), "JPEG"), None, ("CMYK",)),
    "palette.png": (encoded(noise().convert("P")), None, ("palette",)),
    "deep.png": (encoded(deep()), None, ("16 bits a channel",)),
    "alpha.png": (encoded(noise().convert("RGBA")), None, ("transparency",)),
    "turned.jpg": (turned(noise()), None, ("turned by its camera's note",)),
    "really_png.jpg": (encoded(noise(20, 20)), None, ("named as another format",)),
    "one_frame.gif": (encoded(noise(), "GIF"), None, ("palette",)),
    "corrupt.png": (encoded(noise())[:60] + b"\0" * 40 + encoded(noise())[100:], "corrupt", ()),
    "truncated.jpg": (encoded(noise(), "JPEG")[:300], "corrupt or truncated", ()),
    "empty.png": (b"", "the file is empty", ()),
    "text.png": (b"hello", "not an image (5 bytes)", ()),
    "moving.gif": (
        encoded(noise(), "GIF", save_all=True, append_images=[noise().rotate(90)]),
        "2 frames",
        (),
    ),
    "moving.png": (
        encoded(noise(), "PNG", save_all=True, append_images=[noise().rotate(90)]),
        "2 frames",
        (),
    ),
    "pages.tif": (encoded(noise(), "TIFF", save_all=True, append_images=[noise()]), "2 frames", ()),
    "thin.png": (encoded(Image.new("L", (300, 2))), "too small (300x2)", ()),
    "bomb.png": (encoded(Image.new("1", (20_000, 20_000))), "too large", ()),
    "float.tif": (encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "type F", ()),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name, (content, _, _) in KINDS.items():
        (tmp_path / "in" / name).write_bytes(content)
    return tmp_path / "in"


# pytest undoes the filter of the module under test.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", KINDS)
def test_ingest_one_kind_is_taken_or_in_quarantine_with_its_reason(target, tmp_path, name):
    content, reason, oddities = KINDS[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    (tmp_path / "in" / "other.bmp").write_bytes(encoded(noise(9, 9), "BMP"))
    report = ingest(target, tmp_path / "in")
    assert (report.num_offered, report.num_added) == (2, 1 if reason else 2)
    assert [reason in one.reason for one in report.quarantined] == ([True] if reason else [])
    assert tuple(report.images.oddities) == oddities


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_ingest_all_kinds_at_once_reports_what_they_are_like(target, folder):
    report = ingest(target, folder)
    assert (report.num_offered, report.num_added, len(report.quarantined)) == (18, 8, 10)
    images = report.images
    assert (images.num_contents, images.num_usable) == (18, 8)
    assert images.corrupted_share == pytest.approx(10 / 18)
    assert images.formats == {"PNG": 5, "JPEG": 2, "GIF": 1}
    assert images.channels == {"3": 3, "1": 3, "4": 2}
    assert images.shorter_sides == {"16-31": 8}
    widths = [24] * 6 + [16, 20]
    assert images.width_mean == pytest.approx(np.mean(widths))
    assert images.width_deviation == pytest.approx(np.std(widths))
    assert sum(images.oddities.values()) == 7


@pytest.mark.parametrize("name", [name for name, (_, reason, _) in KINDS.items() if not reason])
def test_every_usable_kind_is_read_as_pixels(name):
    assert decode([KINDS[name][0]], 16, 3).shape == (1, 3, 16, 16)


def test_reading_turns_an_image_as_its_camera_noted():
    image = Image.new("RGB", (32, 16), "white")
    image.paste("black", (0, 0, 16, 16))
    shown = decode([turned(image)], 16, 1)[0, 0]
    assert shown[:6].mean() < 20
    assert shown[-6:].mean() > 235


def test_reading_scales_sixteen_bits_to_eight():
    shown = decode([encoded(deep())], 16, 1)[0, 0]
    assert (shown.min(), shown.max()) == (0, 255)


def test_absurdly_large_file_is_set_aside_without_reading_it(target, tmp_path, monkeypatch):
    for module in (integrity, decoders):
        monkeypatch.setattr(module, "MAX_BYTES", 1000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.bmp").write_bytes(encoded(noise(), "BMP"))
    (tmp_path / "in" / "b.png").write_bytes(encoded(Image.new("L", (8, 8))))
    report = ingest(target, tmp_path / "in")
    assert [one.reason[:9] for one in report.quarantined] == ["too large"]


def test_label_consistency_counts_images_that_were_labeled_twice(target, png):
    report = ingest_images(
        target, [png(1), png(1), png(2), png(2), png(3)], ["a", "a", "a", "b", "b"]
    )
    assert report.images.label_consistency == 0.5
    assert len(report.conflicts) == 1


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_ingest_by_processes_equals_one_by_threads(target, folder, monkeypatch):
    first = ingest(target, folder, keeping="nothing")
    monkeypatch.setattr("holdfast.data.examine.MANY_FILES", 1)
    assert ingest(target, folder, keeping="nothing") == first


def test_ingest_by_processes_names_the_file_that_cannot_be_read(tmp_path):
    missing = decoders.Asked(str(tmp_path / "gone.png"), None)
    with pytest.raises(IngestError, match=r"gone\.png cannot be read"):
        list(decoders.look_at_all([missing], keep=True, describe=True, many=True))


def test_quarantined_file_stays_in_the_ledger_with_its_source(target, tmp_path, png):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"hello")
    (tmp_path / "in" / "b.png").write_bytes(png(1))
    ingest(target, tmp_path / "in")
    with target.ledger.read() as connection:
        rows = connection.execute(
            sa.select(sample.c.source).where(sample.c.state == "quarantined")
        ).scalars()
        assert [name.rpartition("/")[2] for name in rows] == ["a.png"]
