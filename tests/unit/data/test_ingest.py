from io import BytesIO

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from holdfast.data.ingest import ingest, ingest_images
from holdfast.data.splits import DataConfig
from holdfast.errors import IngestError
from holdfast.store import labels, rounds, samples
from holdfast.store.images import ImageStore
from holdfast.store.ledger import Ledger
from holdfast.store.schema import sample
from tests.ingest_target import Settings, Target


@pytest.fixture
def target(tmp_path):
    state = tmp_path / "state"
    ledger = Ledger(f"sqlite:///{state / 'ledger.db'}")
    yield Target(ledger, ImageStore(state / "samples.lance"), Settings())
    ledger.close()


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder, files):
    for name, payload in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(payload)
    return folder


def current(target) -> dict[str, str]:
    """Label by the bytes' source, of all samples that have one."""
    with target.ledger.read() as connection:
        table = labels.resolve(connection, labels.open_scope(connection))
        names = labels.class_names(connection)
        rows = connection.execute(sa.select(sample.c.id, sample.c.source)).all()
    source = {sample_id: name.rpartition("/")[2] for sample_id, name in rows}
    pairs = zip(table.sample_ids_n.tolist(), table.class_ids_n.tolist(), strict=True)
    return {source[sample_id]: names[class_id] for sample_id, class_id in pairs}


def counts(target):
    with target.ledger.read() as connection:
        return dict(samples.counts(connection))


def splits(target) -> dict[str, str]:
    with target.ledger.read() as connection:
        rows = connection.execute(sa.select(sample.c.source, sample.c.split)).all()
    return {name.rpartition("/")[2]: split for name, split in rows}


@pytest.fixture
def folder(tmp_path):
    return write(
        tmp_path / "in",
        {
            "cat/c1.png": png(1),
            "cat/c2.png": png(2),
            "dog/d1.png": png(3),
            "dog/copy.png": png(3),
            "loose.png": png(4),
            "dog/README.txt": b"notes",
            "dog/half.png": png(5)[:60],
        },
    )


def test_ingest_folder_of_classes_labels_and_quarantines(target, folder):
    report = ingest(target, folder)
    assert (report.num_offered, report.num_added, report.num_labeled) == (7, 4, 3)
    assert (report.num_known, report.num_duplicates, report.num_holdout) == (0, 1, 0)
    assert report.classes_added == ("cat", "dog")
    assert sorted(aside.name.rpartition("/")[2] for aside in report.quarantined) == [
        "README.txt",
        "half.png",
    ]
    assert current(target) == {"c1.png": "cat", "c2.png": "cat", "copy.png": "dog"}
    assert counts(target) == {"train": 4, "holdout": 0, "quarantined": 2}


def test_ingest_every_sample_has_its_bytes_in_the_store(target, folder):
    ingest(target, folder)
    with target.ledger.read() as connection:
        uids = samples.uids_of(connection, samples.usable_ids(connection, "train"))
    assert set(target.images.read(uids)) == {png(seed) for seed in (1, 2, 3, 4)}


def test_ingest_twice_leaves_the_ledger_as_it_was(target, folder):
    first = ingest(target, folder)
    digest = target.ledger.digest()
    again = ingest(target, folder)
    assert target.ledger.digest() == digest
    assert (again.num_added, again.num_labeled, again.num_known) == (0, 0, first.num_added)
    assert again.quarantined == first.quarantined


def test_ingest_memory_and_folder_make_the_same_ledger(target, folder, tmp_path):
    ingest(target, folder)
    other = Target(
        Ledger(f"sqlite:///{tmp_path / 'other.db'}"),
        ImageStore(tmp_path / "other.lance"),
        Settings(),
    )
    files = [folder / "loose.png", *sorted((folder / "cat").iterdir())]
    files += sorted((folder / "dog").iterdir())
    names = [None if f.parent == folder else f.parent.name for f in files]
    ingest_images(other, [f.read_bytes() for f in files], names, names=[str(f) for f in files])
    assert other.ledger.digest() == target.ledger.digest()
    other.ledger.close()


def test_ingest_same_image_in_two_classes_keeps_the_first_and_reports(target, tmp_path):
    folder = write(tmp_path / "in", {"cat/a.png": png(1), "dog/b.png": png(1), "dog/c.png": png(2)})
    for _ in range(2):
        report = ingest(target, folder)
        assert [aside.reason for aside in report.conflicts] == [
            f"also labeled dog as {folder}/dog/b.png; cat was kept, so look which of them is right"
        ]
        with target.ledger.read() as connection:
            found = rounds.findings(connection)
        assert [(f.finding.kind, f.finding.given, f.finding.suggested) for f in found] == [
            ("label_conflict", 0, 1)
        ]
    assert current(target) == {"a.png": "cat", "c.png": "dog"}


def test_ingest_several_annotators_majority_holds_and_all_are_recorded(target):
    report = ingest_images(
        target,
        [png(1)] * 3 + [png(2)],
        ["dog", "cat", "dog", "cat"],
        annotators=["ann", "bob", "cho", None],
        names=["a", "a", "a", "b"],
    )
    assert report.num_labeled == 4
    assert not report.conflicts
    assert current(target) == {"a": "dog", "b": "cat"}


def test_ingest_labels_later_for_known_images(target, tmp_path):
    many = write(tmp_path / "pool", {f"{n}.png": png(100 + n) for n in range(40)})
    assert ingest(target, many).num_holdout == 0
    lines = [f"{n}.png,{'odd' if n % 2 else 'even'}" for n in range(40)]
    (many / "m.csv").write_text("\n".join(["path,label", *lines]))
    report = ingest(target, many / "m.csv")
    assert (report.num_added, report.num_known, report.num_labeled) == (0, 40, 40)
    assert report.num_holdout == 4
    assert counts(target) == {"train": 36, "holdout": 4, "quarantined": 0}


def test_ingest_corrected_label_of_a_known_image_holds(target):
    ingest_images(target, [png(1), png(2)], ["cat", "dog"], names=["a", "b"])
    ingest_images(target, [png(1)], ["dog"])
    assert current(target) == {"a": "dog", "b": "dog"}


def test_ingest_labeled_sample_never_changes_sides(target):
    payloads = [png(n) for n in range(60)]
    names = [str(n) for n in range(60)]
    classes = ["a", "b"] * 30
    ingest_images(target, payloads[:40], classes[:40], names=names[:40])
    before = splits(target)
    ingest_images(target, payloads, classes, names=names, splits=["holdout"] * 40 + [""] * 20)
    after = splits(target)
    assert {name: after[name] for name in before} == before
    assert list(after.values()).count("holdout") == 6


def test_ingest_later_members_of_a_held_group_are_held(target):
    payloads = [png(n) for n in range(6)]
    ingest_images(
        target,
        payloads[:2],
        ["a", "b"],
        groups=["held", "kept"],
        splits=["holdout", "train"],
        names=["0", "1"],
    )
    ingest_images(target, payloads[2:4], groups=["held", "kept"], names=["2", "3"])
    assert splits(target) == {"0": "holdout", "1": "train", "2": "holdout", "3": "train"}
    digest = target.ledger.digest()
    with pytest.raises(IngestError, match="its group 'held' is in holdout already"):
        ingest_images(target, payloads[4:], ["a", "b"], groups=["held", None], splits=["train", ""])
    assert target.ledger.digest() == digest


def test_ingest_one_image_on_both_sides_raises_and_writes_nothing(target):
    digest = target.ledger.digest()
    with pytest.raises(IngestError, match="x and y are the same image but one is in train"):
        ingest_images(
            target, [png(1)] * 2, ["a", "b"], splits=["train", "holdout"], names=["x", "y"]
        )
    assert target.ledger.digest() == digest


def test_ingest_one_class_only_raises_and_writes_nothing(target, tmp_path):
    digest = target.ledger.digest()
    with pytest.raises(IngestError, match=r"only one class \(cat\) but a classifier needs two"):
        ingest(target, write(tmp_path / "in", {"cat/1.png": png(1)}))
    assert target.ledger.digest() == digest


@pytest.mark.parametrize("known", ["config", "ledger"])
def test_ingest_one_class_beside_known_ones_is_taken(target, tmp_path, known):
    if known == "config":
        settings = Settings(DataConfig(classes=("dog", "cat")))
        target = Target(target.ledger, target.images, settings)
    else:
        ingest_images(target, [png(8), png(9)], ["dog", "bird"])
    ingest(target, write(tmp_path / "in", {"cat/1.png": png(1)}))
    with target.ledger.read() as connection:
        names = labels.class_names(connection)
    assert names == (["dog", "cat"] if known == "config" else ["dog", "bird", "cat"])


def test_ingest_without_one_usable_image_raises_and_keeps_the_reasons(target, tmp_path):
    folder = write(tmp_path / "in", {"a.txt": b"one", "b.png": png(1)[:50]})
    with pytest.raises(IngestError, match=r"no usable image \(of 2 files; .*a.txt: not an image"):
        ingest(target, folder)
    assert counts(target) == {"train": 0, "holdout": 0, "quarantined": 2}


def test_ingest_unreadable_file_raises_and_names_it(target):
    from holdfast.data.ingest import ingest_source
    from holdfast.data.offers import OfferedImage, Source

    gone = [OfferedImage(name="/nowhere/x.png")]
    source = Source(name="s", num_images=1, labels=(), images=lambda: iter(gone))
    with pytest.raises(IngestError, match=r"/nowhere/x\.png cannot be read"):
        ingest_source(target, source)


def test_ingest_over_many_batches_adds_each_image_once(target, monkeypatch):
    monkeypatch.setattr("holdfast.data.examine.BATCH_ROWS", 7)
    seen = []
    payloads = [png(n % 90) for n in range(100)]
    report = ingest_images(target, payloads, progress=lambda *told: seen.append(told))
    assert (report.num_added, report.num_duplicates) == (90, 10)
    assert seen[-1] == ("ingest", 100, 100)
    with target.ledger.read() as connection:
        uids = samples.uids_of(connection, samples.usable_ids(connection, "train"))
    assert target.images.read(uids) == payloads[:90]
