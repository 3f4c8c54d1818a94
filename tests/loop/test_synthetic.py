"""Synthetic images through rounds: admitted, learned from, told of, and never a sample."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from holdfast.__main__ import main
from holdfast.data.ingest import ingest
from holdfast.learning.replay import read_buffer
from holdfast.loop import run_round
from holdfast.phases.scoring import champion_state
from holdfast.project import Project
from holdfast.store import held_labels, models, rounds, synthetic
from holdfast.store.schema import sample
from tests.colored_images import write_images
from tests.conftest import CONFIG
from tests.faults.killing import end_of, play

pytest.importorskip("diffusers")

Call = Callable[..., tuple[int, Any]]
NUM_LABELED = {"blue": 90, "green": 90, "red": 24}
PER_CLASS = 10
# A generator taught so little draws noise: these tests are about what becomes of it.
LAX = f"""
[learning.synthetic]
per_class = {PER_CLASS}
steps = 3
width = 8
frechet = 1e9
coverage = 0.0
"""


@pytest.fixture(scope="module")
def one_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a rare class after its first round."""
    root = tmp_path_factory.mktemp("synthetic") / "p"
    root.mkdir()
    (root / "holdfast.toml").write_text(CONFIG + LAX)
    write_images(root, NUM_LABELED, 8)
    with Project.open(root) as project:
        ingest(project, root / "images" / "labeled")
        ingest(project, root / "images" / "unlabeled")
        run_round(project)
    return root


@pytest.fixture(scope="module")
def lived(one_round: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after its second round."""
    root = Path(shutil.copytree(one_round, tmp_path_factory.mktemp("lived") / "p"))
    with Project.open(root) as project:
        run_round(project)
    return root


@pytest.fixture
def call(lived: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command with --json; its exit code, and its data or its one line of error."""

    def run(*argv: str) -> tuple[int, Any]:
        exit_code = main(["--config", str(lived), *argv, "--json"])
        out, err = capsys.readouterr()
        return exit_code, err.strip() if exit_code else json.loads(out)

    return run


def _outcome(project: Project, number: int, phase: str) -> Any:
    with project.ledger.read() as connection:
        done = rounds.phases(connection, number)
    return next(one.outcome for one in done if one.phase == phase)


def _admitted(project: Project) -> list[Any]:
    with project.ledger.read() as connection:
        newest = models.newest_version(connection, tier="training")
        assert newest is not None
        return list(synthetic.of_version(connection, newest.id))


def test_first_round_draws_nothing_and_says_why(lived: Path) -> None:
    with Project.open(lived) as project:
        told = _outcome(project, 1, "snapshot")["synthetic"]
        said = _outcome(project, 1, "snapshot")["admitted"]
    assert told["admitted"] == 0
    assert "no champion yet" in told["reason"]
    assert said == f"none: {told['reason']}"


def test_round_admits_images_of_the_rare_class_and_learns_from_them(lived: Path) -> None:
    with Project.open(lived) as project:
        told = _outcome(project, 2, "snapshot")["synthetic"]
        images = _admitted(project)
        payloads = project.synthetic.read([one.uid for one in images])
        learned = _outcome(project, 2, "learn")
        said = _outcome(project, 2, "snapshot")["admitted"]
    assert said == f"{PER_CLASS} of red"
    assert list(told["classes"]) == ["red"]
    assert told["admitted"] == learned["synthetic"] == len(images) == PER_CLASS
    assert {one.generator for one in images} == {told["generator"]}
    for one, payload in zip(images, payloads, strict=True):
        assert hashlib.sha256(payload).hexdigest() == one.uid
        with Image.open(io.BytesIO(payload)) as picture:
            assert (picture.format, picture.size, picture.mode) == ("PNG", (8, 8), "RGB")


def test_synthetic_images_are_no_samples_labels_or_exemplars(lived: Path) -> None:
    with Project.open(lived) as project:
        uids = {one.uid for one in _admitted(project)}
        with project.ledger.read() as connection:
            known = set(connection.execute(sa.select(sample.c.uid)).scalars())
            num_labels = held_labels.newest(connection).num_labels
            newest = models.newest_version(connection, tier="training")
        state = champion_state(project)
        assert state is not None
        buffer = read_buffer(state.tensors)
        assert project.images.missing(sorted(uids)) == sorted(uids)
    assert not uids & known
    assert newest is not None
    assert newest.version.num_labels == num_labels
    assert len(buffer) <= num_labels
    assert buffer.sample_ids_n.max() <= len(known)


def test_augmented_version_records_what_was_asked_for_and_what_passed(call: Call) -> None:
    _, data = call("versions", "show", "5")
    assert (data["tier"], data["round"]) == ("augmented", 2)
    told = data["recipe"]["synthetic"]
    assert told["settings"]["per_class"] == PER_CLASS
    assert len(told["generator"]) == len(told["digest"]) == 64
    assert told["classes"]["red"]["passed"]
    assert told["classes"]["red"]["num_real"] >= 20


@pytest.mark.parametrize(("version", "num"), [("4", 0), ("5", PER_CLASS), ("latest", PER_CLASS)])
def test_versions_show_counts_them_beside_the_labels(call: Call, version: str, num: int) -> None:
    _, data = call("versions", "show", version)
    assert data["synthetic"] == ({"red": num} if num else {})
    assert sum(sum(one.values()) for one in data["classes"].values()) == data["labels"]


def test_versions_export_leaves_them_out_and_says_so(call: Call, tmp_path: Path) -> None:
    _, data = call("versions", "export", "latest", str(tmp_path / "out"), "--format", "folder")
    assert data["synthetic_left_out"] == PER_CLASS
    assert (
        data["samples"]
        == json.loads((tmp_path / "out" / "version.json").read_text())["splits"]["train"]
        + data["holdout"]
    )
    _, shown = call("versions", "show", "latest")
    assert data["samples"] == shown["labels"]


def test_explain_tells_that_an_image_is_synthetic(call: Call, lived: Path) -> None:
    with Project.open(lived) as project:
        uid = _admitted(project)[0].uid
    _, data = call("explain", uid[:10])
    assert data["synthetic"]
    assert data["uid"] == uid
    assert [(one["dataset_version"], one["class"]) for one in data["versions"]] == [(5, "red")]
    assert [one["round"] for one in data["models"]] == [2]


def test_explain_in_words_says_it_is_in_no_split(
    lived: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Project.open(lived) as project:
        uid = _admitted(project)[0].uid
    assert main(["--config", str(lived), "explain", uid]) == 0
    said = capsys.readouterr().out
    assert "no sample, and no holdout or query ever has it" in said
    assert "Models that learned with it" in said


def test_augment_synthetic_shows_what_was_drawn_and_changes_nothing(
    call: Call, lived: Path
) -> None:
    with Project.open(lived) as project:
        before = project.ledger.digest()
        drawn = project.synthetic.path
    files = sorted(path.name for path in drawn.rglob("*"))
    exit_code, data = call("augment", "--synthetic", "--top", "4")
    assert exit_code == 0
    page = Path(data["page"]).read_text()
    assert data["classes"]["red"]["passed"]
    assert page.count("<img") == 2
    assert "red: passed" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    with Project.open(lived) as project:
        assert project.ledger.digest() == before
    assert sorted(path.name for path in drawn.rglob("*")) == files


def test_augment_synthetic_with_a_policy_is_an_error(call: Call) -> None:
    exit_code, line = call("augment", "--synthetic", "--policy", "slight")
    assert exit_code == 2
    assert "leave one of them out" in line


def test_augment_synthetic_without_a_champion_says_what_to_do(
    tiny_project: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tiny_project()), "augment", "--synthetic"]) == 2
    assert "finish a round with `holdfast run` first" in capsys.readouterr().err


def test_round_with_strict_limits_admits_nothing_and_says_why(
    one_round: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(one_round, tmp_path / "p"))
    config = root / "holdfast.toml"
    config.write_text(config.read_text().replace("frechet = 1e9", "frechet = 1e-9"))
    with Project.open(root) as project:
        run_round(project)
        told = _outcome(project, 2, "snapshot")["synthetic"]
        assert "synthetic" not in _outcome(project, 2, "learn")
        assert not project.synthetic.path.exists()
    assert told["admitted"] == 0
    assert "above the limit" in told["classes"]["red"]["reason"]


def test_round_without_the_setting_draws_nothing(one_round: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(one_round, tmp_path / "p"))
    (root / "holdfast.toml").write_text(CONFIG)
    with Project.open(root) as project:
        run_round(project)
        assert "synthetic" not in _outcome(project, 2, "snapshot")
        with project.ledger.read() as connection:
            newest = models.newest_version(connection, tier="augmented")
        assert newest is not None
        assert "synthetic" not in newest.version.recipe
        assert not project.synthetic.path.parent.exists()


@pytest.mark.slow
def test_round_killed_after_drawing_ends_like_an_undisturbed_one(
    one_round: Path, lived: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(one_round, tmp_path / "p"))
    assert end_of(play, root, 1, failpoint="snapshot:drawn") == -signal.SIGKILL
    assert end_of(play, root, 1) == 0
    with Project.open(root) as project, Project.open(lived) as undisturbed:
        assert project.ledger.digest() == undisturbed.ledger.digest()
        uids = [one.uid for one in _admitted(project)]
        assert project.synthetic.read(uids) == undisturbed.synthetic.read(uids)
