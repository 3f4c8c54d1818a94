"""Pieces, resumption, dry runs and references: what a large ingest lives on."""

import shutil

import fsspec
import numpy as np
import pytest
import sqlalchemy as sa

from holdfast.data import decoders
from holdfast.data.ingest import ingest, ingest_images
from holdfast.errors import IngestError, LedgerError
from holdfast.store import labels, samples
from holdfast.store.images import ImageStore
from holdfast.store.schema import sample


def uids_of(target):
    with target.ledger.read() as connection:
        ids = [samples.usable_ids(connection, split) for split in ("train", "holdout")]
        return samples.uids_of(connection, np.sort(np.concatenate(ids)))


def sides(target):
    with target.ledger.read() as connection:
        return dict(connection.execute(sa.select(sample.c.source, sample.c.split)).tuples().all())


def held_per_class(target):
    with target.ledger.read() as connection:
        scope = labels.open_scope(connection)
        return np.bincount(labels.resolve(connection, scope, "holdout").class_ids_n).tolist()


@pytest.fixture
def folder(tmp_path, png):
    for number in range(60):
        path = tmp_path / "in" / ("cat" if number % 3 else "dog") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return tmp_path / "in"


@pytest.fixture
def looked(monkeypatch):
    """Names of the files that are looked at."""
    names = []
    look = decoders.look

    def noted(asked, keep=True, describe=False):
        names.append(asked.name)
        return look(asked, keep, describe)

    monkeypatch.setattr(decoders, "look", noted)
    return names


def test_pieces_keep_the_share_of_each_class(target, folder, monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest.PIECE", 11)
    report = ingest(target, folder)
    assert (report.num_added, report.num_labeled, report.num_holdout) == (60, 60, 6)
    assert held_per_class(target) == [4, 2]


def test_pieces_settle_copies_of_one_image_together(target, png, monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest.PIECE", 2)
    copies = [png(1), png(2), png(3), png(4), png(1), png(1)]
    report = ingest_images(target, copies, ["a", "a", "b", "b", "b", "b"])
    assert (report.num_added, report.num_duplicates, report.num_labeled) == (4, 2, 4)
    with target.ledger.read() as connection:
        held = labels.resolve(connection, labels.open_scope(connection)).class_ids_n.tolist()
    assert held == [1, 0, 1, 1]
    digest = target.ledger.digest()
    ingest_images(target, copies, ["a", "a", "b", "b", "b", "b"])
    assert target.ledger.digest() == digest


def test_pieces_keep_a_group_on_one_side(target, png, monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest.PIECE", 8)
    groups = [f"g{number % 20}" for number in range(80)]
    names = [str(number) for number in range(80)]
    ingest_images(target, [png(n) for n in range(80)], ["a", "b"] * 40, groups=groups, names=names)
    found = sides(target)
    by_group = [
        {found[name] for name, of in zip(names, groups, strict=True) if of == group}
        for group in sorted(set(groups))
    ]
    assert all(len(one) == 1 for one in by_group)
    assert {"holdout"} in by_group


def test_pieces_hold_a_group_where_its_one_named_member_is(target, png, monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest.PIECE", 2)
    ingest_images(
        target,
        [png(n) for n in range(6)],
        ["a", "b"] * 3,
        groups=["g"] * 6,
        splits=[""] * 5 + ["holdout"],
    )
    assert set(sides(target).values()) == {"holdout"}


def test_sides_that_contradict_the_ledger_leave_it_as_it_was(target, png, monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest.PIECE", 2)
    ingest_images(target, [png(0), png(1)], ["a", "b"], groups=["g", None], splits=["train", ""])
    digest = target.ledger.digest()
    with pytest.raises(IngestError, match="its group 'g' is in train already"):
        ingest_images(
            target,
            [png(n) for n in range(2, 8)],
            ["a", "b"] * 3,
            groups=[None] * 5 + ["g"],
            splits=[""] * 5 + ["holdout"],
        )
    assert target.ledger.digest() == digest


def test_samples_stay_on_their_side_as_data_grows(target, png):
    before = {}
    for stop in (30, 90, 200):
        ingest_images(
            target,
            [png(n) for n in range(stop)],
            ["a", "b"] * (stop // 2),
            names=[str(n) for n in range(stop)],
        )
        after = sides(target)
        assert {name: after[name] for name in before} == before
        before = after
    assert held_per_class(target) == [10, 10]


def test_interrupted_ingest_goes_on_behind_what_was_looked_at(target, folder, looked, monkeypatch):
    monkeypatch.setattr("holdfast.data.examine.BATCH_ROWS", 8)
    monkeypatch.setattr("holdfast.data.ingest._record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ingest(target, folder)
    monkeypatch.undo()
    assert len(looked) == 60
    changed = sorted(folder.glob("dog/*.png"))[-1]
    changed.write_bytes(changed.read_bytes() + b" ")
    looked.clear()
    report = ingest(target, folder)
    assert (report.num_offered, report.num_added) == (60, 60)
    assert target.images.missing(uids_of(target)) == []


def interrupted(*_):
    raise KeyboardInterrupt


def test_interrupted_ingest_reads_again_what_the_store_lost(target, folder, monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest._record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ingest(target, folder)
    monkeypatch.undo()
    shutil.rmtree(target.images.path)
    emptied = type(target)(target.ledger, ImageStore(target.images.path), target.config)
    ingest(emptied, folder)
    assert emptied.images.missing(uids_of(target)) == []


def test_finished_ingest_leaves_no_notes(target, folder):
    ingest(target, folder)
    assert not list((target.images.path.parent / "ingest").glob("*.db*"))


def test_dry_run_reports_what_happens_and_writes_nothing(target, folder, monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest.PIECE", 13)
    (folder / "cat" / "broken.png").write_bytes(b"hello")
    digest = target.ledger.digest()
    planned = ingest(target, folder, keeping="nothing")
    assert target.ledger.digest() == digest
    assert not target.images.path.exists()
    assert not (target.images.path.parent / "ingest").exists()
    done = ingest(target, folder)
    for name in ("num_added", "num_labeled", "num_holdout", "classes_added", "quarantined"):
        assert getattr(planned, name) == getattr(done, name)
    assert (planned.images, planned.dry_run, done.dry_run) == (done.images, True, False)


def test_reference_keeps_no_bytes_and_reads_the_same(target, folder, png):
    ingest(target, folder, keeping="reference")
    assert not target.images.path.exists()
    assert set(target.images.read(uids_of(target))) == {png(n) for n in range(60)}
    assert target.images.missing(uids_of(target)) == []


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda path: path.write_bytes(b"other"), "has changed since; put the earlier file back"),
        (lambda path: path.unlink(), "is gone; put it back"),
    ],
)
def test_reference_to_a_file_that_changed_raises_until_a_copy_is_ingested(
    target, folder, tmp_path, act, message
):
    ingest(target, folder, keeping="reference")
    backup = shutil.copytree(folder, tmp_path / "backup")
    act(folder / "cat" / "01.png")
    with pytest.raises(LedgerError, match=message):
        target.images.read(uids_of(target))
    ingest(target, backup)
    assert len(target.images.read(uids_of(target))) == 60


def test_reference_to_images_inside_a_file_raises(target, tmp_path, pixels):
    np.savez(tmp_path / "a.npz", X=pixels(0, (3, 8, 8)))
    with pytest.raises(IngestError, match="leave out --reference to copy them"):
        ingest(target, tmp_path / "a.npz", keeping="reference")


@pytest.fixture
def bucket(folder):
    """The folder behind a URL."""
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/bucket/pets", recursive=True)
    yield "memory://bucket/pets"
    memory.rm("/bucket", recursive=True)


@pytest.mark.parametrize("keeping", ["copy", "reference"])
def test_url_of_a_folder_is_ingested_as_the_folder(target, bucket, png, keeping):
    report = ingest(target, bucket, keeping=keeping)
    assert (report.num_added, report.classes_added) == (60, ("cat", "dog"))
    assert set(target.images.read(uids_of(target))) == {png(n) for n in range(60)}


def test_file_url_and_path_hold_the_same_samples(target, folder):
    ingest(target, folder)
    report = ingest(target, f"file://{folder}")
    assert (report.num_added, report.num_known) == (0, 60)


def test_url_of_one_file_is_fetched_and_opened(target, pixels, tmp_path):
    np.savez(tmp_path / "a.npz", X=pixels(0, (4, 8, 8)), y=np.array([0, 1, 0, 1]))
    report = ingest(target, f"file://{tmp_path}/a.npz")
    assert (report.num_added, report.classes_added) == (4, ("0", "1"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nothing/here", "does not exist or is empty; check the URL"),
        ("wrong://bucket/x", "cannot be opened"),
    ],
)
def test_url_that_leads_nowhere_says_so(target, url, message):
    with pytest.raises(IngestError, match=message):
        ingest(target, url)
