"""Images that look the same end on one side of the split, whatever the files' order."""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image, ImageDraw, ImageEnhance

from holdfast.data.ingest import ingest, ingest_images
from holdfast.data.splits import DataConfig
from holdfast.quality.duplicate_search import PREFIX
from holdfast.store import samples
from holdfast.store.images import ImageStore
from holdfast.store.ledger import Ledger
from holdfast.store.schema import sample
from tests.ingest_target import Settings, Target

SIDE = 64


def shift(image: Image.Image, right: int, down: int) -> Image.Image:
    """Move a picture by some pixels; its edge goes on where nothing was."""
    pixels = np.pad(np.asarray(image), ((down, 0), (right, 0), (0, 0)), mode="edge")
    return Image.fromarray(np.ascontiguousarray(pixels[: image.height, : image.width]))


CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda image: image.resize((SIDE // 2, SIDE // 2)),
    "larger": lambda image: image.resize((SIDE * 2, SIDE * 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "harder": lambda image: ImageEnhance.Contrast(image).enhance(1.1),
    "shifted": lambda image: shift(image, 2, 1),
    "cropped": lambda image: image.crop((1, 1, SIDE - 1, SIDE - 1)),
}


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., Target]]:
    """Make a place to ingest into."""
    made = []

    def one(name: str = "state", data: DataConfig | None = None) -> Target:
        ledger = Ledger(f"sqlite:///{tmp_path / name / 'ledger.db'}")
        settings = Settings(data or DataConfig(holdout_fraction=0.3))
        made.append(Target(ledger, ImageStore(tmp_path / name / "samples.lance"), settings))
        return made[-1]

    yield one
    for target in made:
        target.ledger.close()


def draw(seed: int) -> Image.Image:
    """Draw shapes of some colors before a background; another picture for every seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(60, 200, 3).tolist()))
    canvas = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, width, height = (rng.uniform(0, 0.8, 4) * SIDE).tolist()
        box = (x, y, x + 8 + width / 2, y + 8 + height / 2)
        shape = canvas.ellipse if rng.random() < 0.5 else canvas.rectangle
        shape(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def encode(image: Image.Image, **how) -> bytes:
    buffer = BytesIO()
    image.save(buffer, **({"format": "PNG"} | how))
    return buffer.getvalue()


def rows_of(target: Target) -> dict[str, tuple[str, str | None]]:
    """Return split and group by name."""
    with target.ledger.read() as connection:
        rows = connection.execute(sa.select(sample.c.source, sample.c.split, sample.c.group))
        return {name.rpartition("/")[2]: (split, group) for name, split, group in rows}


def offer(target: Target, images: Mapping[str, bytes], **columns):
    labels = [f"class-{int(name.partition('.')[0].partition('-')[0]) % 2}" for name in images]
    return ingest_images(target, list(images.values()), labels, names=list(images), **columns)


def collection(changed: Mapping[int, str]) -> dict[str, bytes]:
    """Return 60 pictures, and a changed copy of some of them."""
    images = {f"{seed}": encode(draw(seed)) for seed in range(60)}
    for seed, change in changed.items():
        images[f"{seed}-{change}"] = encode(CHANGES[change](draw(seed)))
    return images


@pytest.mark.parametrize("change", list(CHANGES))
def test_ingest_changed_copies_keeps_each_beside_its_original(make, change) -> None:
    target = make()
    report = offer(target, collection(dict.fromkeys(range(20), change)))
    rows = rows_of(target)
    together = [
        seed
        for seed in range(20)
        if rows[f"{seed}"] == rows[f"{seed}-{change}"] and rows[f"{seed}"][1] is not None
    ]
    assert len(together) >= 19
    assert report.near_duplicates.num_groups == len(together)
    assert (report.near_duplicates.num_images, report.near_duplicates.largest_group) == (
        2 * len(together),
        2,
    )
    assert {rows[f"{seed}"][0] for seed in together} == {"train", "holdout"}


def test_ingest_saved_again_as_jpeg_keeps_copies_together(make) -> None:
    target = make()
    images = collection({})
    for quality in (30, 60, 90):
        images[f"3-{quality}"] = encode(draw(3), format="JPEG", quality=quality)
    assert offer(target, images).near_duplicates.largest_group == 4
    groups = {rows_of(target)[name] for name in ("3", "3-30", "3-60", "3-90")}
    assert len(groups) == 1
    assert str(groups.pop()[1]).startswith(PREFIX)


def test_ingest_turned_by_a_note_is_the_copy_of_what_it_shows(make) -> None:
    target = make()
    images = collection({})
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = draw(5).transpose(Image.Transpose.ROTATE_90)
    images["5-turned"] = encode(turned, format="JPEG", quality=95, exif=exif)
    offer(target, images)
    assert rows_of(target)["5"] == rows_of(target)["5-turned"]


def test_ingest_different_handwritten_digits_joins_none(make) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    target = make()
    images = (digits.images * 15).astype(np.uint8)
    report = ingest_images(
        target,
        [encode(Image.fromarray(image)) for image in images],
        [str(label) for label in digits.target],
    )
    assert report.near_duplicates.num_images < 0.01 * len(images)
    assert report.near_duplicates.largest_group <= 3


def test_ingest_nearly_empty_images_joins_none(make) -> None:
    target = make()
    blank = {
        f"{level}-blank": encode(Image.new("L", (SIDE, SIDE), level)) for level in range(100, 120)
    }
    assert offer(target, collection({}) | blank).near_duplicates.num_groups == 0


def test_ingest_in_another_order_makes_the_same_splits(make) -> None:
    images = collection(dict.fromkeys(range(10), "half") | dict.fromkeys(range(10, 20), "brighter"))
    names = list(images)
    np.random.default_rng(0).shuffle(names)
    first, second = make("first"), make("second")
    offer(first, images)
    offer(second, {name: images[name] for name in names})
    assert rows_of(first) == rows_of(second)


def test_ingest_again_changes_nothing(make) -> None:
    target = make()
    images = collection(dict.fromkeys(range(10), "half"))
    offer(target, images)
    digest = target.ledger.digest()
    offer(target, images)
    assert target.ledger.digest() == digest


def test_ingest_dry_run_says_what_the_ingest_does(make, tmp_path) -> None:
    folder = tmp_path / "in"
    for name, payload in collection(dict.fromkeys(range(10), "half")).items():
        path = folder / str(int(name.partition("-")[0]) % 2) / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
    target = make()
    foreseen = ingest(target, folder, keeping="nothing")
    assert not (target.images.path.parent / "embeddings").exists()
    done = ingest(target, folder)
    assert (foreseen.near_duplicates, foreseen.num_holdout) == (
        done.near_duplicates,
        done.num_holdout,
    )
    assert done.near_duplicates.num_groups >= 9


def test_new_copy_of_a_sample_joins_its_side(make) -> None:
    target = make()
    originals = collection({})
    offer(target, originals)
    before = rows_of(target)
    copies = {f"{seed}-half": encode(CHANGES["half"](draw(seed))) for seed in range(60)}
    report = offer(target, copies)
    after = rows_of(target)
    assert {name: after[name][0] for name in before} == {n: row[0] for n, row in before.items()}
    together = [seed for seed in range(60) if after[f"{seed}"][1] is not None]
    assert len(together) >= 57
    assert all(after[f"{seed}"] == after[f"{seed}-half"] for seed in together)
    assert report.near_duplicates.num_groups == len(together)


def test_new_copy_of_a_sample_of_before_appearances_were_kept_joins_its_side(make) -> None:
    target = make()
    offer(target, collection({}))
    for path in sorted((target.images.path.parent / "embeddings").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    offer(target, {"7-half": encode(CHANGES["half"](draw(7)))})
    rows = rows_of(target)
    assert rows["7"] == rows["7-half"]


def test_copy_joins_the_group_that_the_source_names(make) -> None:
    target = make()
    images = collection({4: "half"})
    groups = ["slide-1" if name == "4" else None for name in images]
    offer(target, images, groups=groups)
    assert rows_of(target)["4-half"] == rows_of(target)["4"]
    assert rows_of(target)["4"][1] == "slide-1"


def test_copies_in_two_named_groups_stay_in_them(make) -> None:
    target = make()
    images = collection({4: "half"})
    named = {"4": "slide-1", "4-half": "slide-2"}
    offer(target, images, groups=[named.get(name) for name in images])
    assert {rows_of(target)[name][1] for name in named} == {"slide-1", "slide-2"}


def test_copies_on_sides_the_source_names_stay_and_are_counted(make) -> None:
    target = make()
    images = collection({4: "half", 6: "half"})
    named = {"4": "train", "4-half": "holdout", "6": "holdout"}
    report = offer(target, images, splits=[named.get(name, "") for name in images])
    rows = rows_of(target)
    assert {name: rows[name][0] for name in named} == named
    assert rows["6-half"] == rows["6"]
    assert report.near_duplicates.num_across == 1


def test_recipe_that_says_so_leaves_copies_apart(make) -> None:
    data = DataConfig(holdout_fraction=0.3, group_near_duplicates=False)
    target = make(data=data)
    report = offer(target, collection(dict.fromkeys(range(20), "half")))
    assert report.near_duplicates.num_groups == 0
    assert {group for _, group in rows_of(target).values()} == {None}
    with target.ledger.read() as connection:
        assert samples.counts(connection)["holdout"] > 0
