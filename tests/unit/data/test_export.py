"""A version as files: all of it, the same bytes every time, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from holdfast.data import export as module
from holdfast.data.export import FORMATS, export
from holdfast.data.ingest import ingest
from holdfast.errors import ExportError, LedgerError
from holdfast.project import Project
from holdfast.records import DatasetVersion, LabelEvent
from holdfast.store import held_labels, labels, models, quarantine, samples
from tests.faults.killing import end_of, export_version


def make_version(project: Project) -> models.StoredVersion:
    with project.ledger.write() as connection:
        moment = held_labels.newest(connection)
        version_id = models.add_version(
            connection,
            DatasetVersion(
                round_number=1,
                parent=None,
                watermark=labels.last_event(connection),
                excluded=(),
                digest=moment.digest,
                num_labels=moment.num_labels,
                tier="training",
                moment=moment.id,
            ),
        )
        return models.version_by_id(connection, version_id)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def expected(project: Project, stored: models.StoredVersion) -> dict[str, tuple[str, str]]:
    """Label and split by uid."""
    found = {}
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
        for split in ("train", "holdout"):
            table = labels.resolve(connection, stored.scope, split)
            uids = samples.uids_of(connection, table.sample_ids_n)
            for uid, class_id in zip(uids, table.class_ids_n.tolist(), strict=True):
                found[uid] = (names[class_id], split)
    return found


def read(folder: Path, format_name: str) -> dict[str, tuple[str, str]]:
    """Label and split by uid, as a reader of the format finds them, each image checked."""
    found = {}
    if format_name == "folder":
        for line in (folder / "samples.jsonl").read_text().splitlines():
            row = json.loads(line)
            payload = (folder / row["path"]).read_bytes()
            assert hashlib.sha256(payload).hexdigest() == row["uid"]
            assert row["path"] == f"{row['split']}/{row['label']}/{row['uid']}.png"
            found[row["uid"]] = (row["label"], row["split"])
    elif format_name == "webdataset":
        for shard in sorted(folder.glob("*.tar")):
            with tarfile.open(shard) as tar:
                members = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
            for name, payload in members.items():
                if name.endswith(".json"):
                    row = json.loads(payload)
                    image = members[f"{row['uid']}.png"]
                    assert hashlib.sha256(image).hexdigest() == row["uid"]
                    assert int(members[f"{row['uid']}.cls"]) == row["class_id"]
                    found[row["uid"]] = (row["label"], shard.name.partition("-")[0])
    else:
        data = folder / "data" if format_name == "huggingface" else folder
        names: list[str] = []
        for path in sorted(data.glob("*.parquet")):
            table = pq.read_table(path)
            if format_name == "huggingface":
                said = json.loads(table.schema.metadata[b"huggingface"])
                names = said["info"]["features"]["label"]["names"]
            for row in table.to_pylist():
                image = row["image"]["bytes"] if names else row["image"]
                assert hashlib.sha256(image).hexdigest() == row["uid"]
                label = names[row["label"]] if names else row["label"]
                found[row["uid"]] = (label, path.name.partition("-")[0])
    return found


@pytest.mark.parametrize("format_name", FORMATS)
def test_export_holds_every_sample_with_label_and_split(
    format_name: str, tiny_project: Callable[[], Path], tmp_path: Path
) -> None:
    with Project.open(tiny_project()) as project:
        stored = make_version(project)
        wanted = expected(project, stored)
        done = export(project.ledger, project.images, stored, tmp_path / "out", format_name)
        about = json.loads((tmp_path / "out" / "version.json").read_text())
    assert read(tmp_path / "out", format_name) == wanted
    assert done.num_samples == len(wanted) == stored.version.num_labels > 0
    assert done.num_holdout == sum(split == "holdout" for _, split in wanted.values()) > 0
    assert about["digest"] == stored.version.digest
    assert sum(about["classes"].values()) == sum(about["splits"].values()) == len(wanted)
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("format_name", FORMATS)
def test_export_twice_is_the_same_bytes_whatever_happened_since(
    format_name: str,
    tiny_project: Callable[[], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("holdfast.data.export_rows._PAGE", 7)
    with Project.open(tiny_project()) as project:
        stored = make_version(project)
        export(project.ledger, project.images, stored, tmp_path / "one", format_name)
        with project.ledger.write() as connection:
            labels.add_classes(connection, ["violet"])
            said = LabelEvent(
                sample_id=1, kind="annotation", class_id=3, annotator="ann", source_key="late"
            )
            labels.append(connection, [said], None)
            quarantine.set_aside(connection, {2: "dark"}, "ann")
        export(project.ledger, project.images, stored, tmp_path / "two", format_name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_folder_export_can_be_ingested_into_the_same_labels(
    tiny_project: Callable[[str], Path], tmp_path: Path
) -> None:
    with Project.open(tiny_project("one")) as project:
        stored = make_version(project)
        export(project.ledger, project.images, stored, tmp_path / "out", "folder")
        wanted = expected(project, stored)
    again = tmp_path / "again"
    again.mkdir()
    (again / "holdfast.toml").write_text("[data]\nimage_size = 8\n")
    with Project.open(again) as project:
        ingest(project, tmp_path / "out" / "labels.csv")
        stored = make_version(project)
        assert expected(project, stored) == wanted


def test_class_name_with_a_slash_stays_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text("")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    for number, array in enumerate(pixels):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        (tmp_path / f"{number}.png").write_bytes(buffer.getvalue())
    with (tmp_path / "in.csv").open("w", newline="") as file:
        rows = [("0.png", "../x"), ("1.png", "a/b"), ("2.png", "..")]
        csv.writer(file).writerows([("path", "label"), *rows])
    with Project.open(tmp_path) as project:
        ingest(project, tmp_path / "in.csv")
        stored = make_version(project)
        export(project.ledger, project.images, stored, tmp_path / "out", "folder")
    folders = {path.parent.name for path in (tmp_path / "out").glob("*/*/*.png")}
    assert folders == {"..%2Fx", "a%2Fb", "%2E%2E"}


def test_target_with_something_in_it_stays_untouched(
    tiny_project: Callable[[], Path], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with Project.open(tiny_project()) as project:
        stored = make_version(project)
        with pytest.raises(ExportError, match="exists"):
            export(project.ledger, project.images, stored, tmp_path / "out", "parquet")
        with pytest.raises(ExportError, match="not a folder"):
            export(project.ledger, project.images, stored, tmp_path / "no" / "out", "parquet")
    assert contents(tmp_path / "out").keys() == {"mine"}


@pytest.mark.parametrize("format_name", FORMATS)
def test_full_disk_leaves_nothing(
    format_name: str,
    tiny_project: Callable[[], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_name: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "reach", full)
    with Project.open(tiny_project()) as project:
        stored = make_version(project)
        with pytest.raises(ExportError, match="no space left"):
            export(project.ledger, project.images, stored, tmp_path / "out", format_name)
    assert {path.name for path in tmp_path.iterdir()} == {"project"}


def test_too_small_a_disk_is_seen_before_anything_is_written(
    tiny_project: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 9}))
    with Project.open(tiny_project()) as project:
        stored = make_version(project)
        with pytest.raises(ExportError, match="are free"):
            export(project.ledger, project.images, stored, tmp_path / "out", "parquet")


def test_version_that_is_not_what_its_digest_says_is_not_exported(
    tiny_project: Callable[[], Path], tmp_path: Path
) -> None:
    with Project.open(tiny_project()) as project:
        stored = make_version(project)
        with project.ledger.write() as connection:
            connection.exec_driver_sql("UPDATE label_span SET class_id = 1 - class_id WHERE id = 1")
        with pytest.raises(LedgerError, match="backup"):
            export(project.ledger, project.images, stored, tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_export_killed_before_its_end_leaves_no_target_and_can_be_done_again(
    tiny_project: Callable[[], Path],
) -> None:
    root = tiny_project()
    with Project.open(root) as project:
        make_version(project)
    assert end_of(export_version, root, failpoint="export:written") == -signal.SIGKILL
    assert not (root / "out").exists()
    assert len(list(root.glob(".out*.partial"))) == 1
    assert end_of(export_version, root) == 0
    assert (root / "out" / "version.json").exists()
    assert list(root.glob(".out*.partial")) == []


@pytest.mark.slow
def test_hugging_face_loads_what_was_exported(
    tiny_project: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    with Project.open(tiny_project()) as project:
        stored = make_version(project)
        export(project.ledger, project.images, stored, tmp_path / "out", "huggingface")
        wanted = expected(project, stored)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    names = loaded["train"].features["label"].names
    found = {
        row["uid"]: (names[row["label"]], split)
        for split in ("train", "holdout")
        for row in loaded[split]
    }
    assert found == wanted
    assert loaded["train"][0]["image"].size == (8, 8)
