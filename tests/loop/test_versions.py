"""Versions, one sample's life and the quarantine, from the command line of a lived project."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.__main__ import main
from holdfast.data.ingest import ingest
from holdfast.loop import rollback, run_round
from holdfast.project import Project
from holdfast.store import held_labels, labels, models, quarantine, sample_story
from holdfast.store.label_rule import Scope

Call = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def lived(ingested_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after two rounds; tests read it, or change what others do not look at."""
    root = Path(shutil.copytree(ingested_project, tmp_path_factory.mktemp("lived") / "p"))
    (root / "broken.png").write_bytes(b"no image")
    with Project.open(root) as project:
        with (root / "more.csv").open("w", newline="") as file:
            known = "images/labeled/red/red-0.png"
            csv.writer(file).writerows([("path",), (known,), ("broken.png",)])
        ingest(project, root / "more.csv")
        for _ in range(2):
            run_round(project)
    return root


@pytest.fixture
def call(lived: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command with --json; its exit code, and its data or its one line of error."""

    def run(*argv: str) -> tuple[int, Any]:
        exit_code = main(["--config", str(lived), *argv, "--json"])
        out, err = capsys.readouterr()
        if exit_code:
            (line,) = err.splitlines()
            return exit_code, line
        return exit_code, json.loads(out)

    return run


def test_each_round_makes_three_tiers_that_name_their_parents(call: Call) -> None:
    _, data = call("versions", "list")
    tiers = [(one["tier"], one["round"], one["parent"]) for one in data["versions"][::-1]]
    assert tiers == [
        ("raw", 1, None),
        ("augmented", 1, 1),
        ("training", 1, 2),
        ("raw", 2, 1),
        ("augmented", 2, 4),
        ("training", 2, 5),
    ]
    assert [len(one["models"]) for one in data["versions"][::-1]] == [0, 0, 1, 0, 0, 1]
    assert len({one["digest"] for one in data["versions"]}) == 2


def test_show_tells_policy_sampling_and_exclusions(call: Call, lived: Path) -> None:
    _, augmented = call("versions", "show", "2")
    assert augmented["recipe"]["seed"] == {"seed": 0, "place": "learn", "round": 1}
    assert augmented["recipe"]["policy"]
    _, training = call("versions", "show", "round-1")
    assert training["recipe"]["sampling"]["sampling"] == "systematic"
    assert training["recipe"]["exclusions"]["quarantined"] == 1
    assert training["recipe"]["weights"]["loss"] == "cross_entropy"
    with Project.open(lived) as project, project.ledger.read() as connection:
        table = labels.resolve(connection, models.version_by_id(connection, 3).scope)
    total = sum(of["train"] + of["holdout"] for of in training["classes"].values())
    assert total == training["labels"] == len(table)


def test_diff_counts_what_a_round_changed_and_names_who(call: Call, tmp_path: Path) -> None:
    _, data = call("versions", "diff", "round-1", "latest", "--csv", str(tmp_path / "d.csv"))
    assert (data["before"], data["after"]) == (3, 6)
    assert data["added"] > 0
    for of in data["classes"].values():
        moved = of["added"] - of["removed"]
        assert of["changed_to"] or of["before"] + moved >= of["after"]
    total = data["added"] + data["changed"] + data["removed"]
    assert len(data["changes"]) == min(total, 20)
    assert all(one["who"] and one["why"] and one["round"] == 2 for one in data["changes"])
    with (tmp_path / "d.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == total
    _, back = call("versions", "diff", "latest", "round-1")
    assert (back["removed"], back["added"]) == (data["added"], data["removed"])


def test_tag_names_a_version_everywhere(call: Call) -> None:
    assert call("versions", "tag", "round-1", "before-summer")[1]["version"] == 3
    assert call("versions", "show", "before-summer")[1]["tags"] == ["before-summer"]


def test_export_from_the_command_line(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, data = call("versions", "export", "latest", str(out), "--format", "folder")
    assert len(list(out.glob("*/*/*.png"))) == data["samples"] > 0
    code, error = call("versions", "export", "latest", str(out))
    assert code == 2
    assert "exists" in error


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("versions", "diff", "latest"), "diff A B` takes 2 names"),
        (("versions", "list", "3"), "takes no names"),
        (("versions", "show", "round-9"), "no dataset version"),
        (("versions", "show", "latest", "--format", "folder"), "goes with"),
        (("quarantine", "release"), "takes 1 or more"),
        (("quarantine", "release", "0123456789ab"), "no sample"),
        (("explain", "nothing.png"), "no sample"),
    ],
)
def test_what_cannot_be_done_is_one_line(call: Call, argv: tuple[str, ...], said: str) -> None:
    code, error = call(*argv)
    assert code == 2
    assert said in error


def test_explain_by_uid_prefix_path_and_end_of_path_is_one_life(call: Call, lived: Path) -> None:
    path = lived / "images" / "labeled" / "red" / "red-1.png"
    lives = [call("explain", name)[1] for name in (str(path), "labeled/red/red-1.png")]
    uid = lives[0]["sample"]["uid"]
    lives.append(call("explain", uid[:12])[1])
    assert lives[0] == lives[1] == lives[2]


def test_explain_tells_labels_queries_models_and_buffer(call: Call, lived: Path) -> None:
    with Project.open(lived) as project, project.ledger.read() as connection:
        asked = connection.exec_driver_sql(
            "SELECT s.uid FROM query_item i JOIN sample s ON s.id = i.sample_id "
            "JOIN query q ON q.key = i.query_key WHERE q.round = 1 AND s.split = 'train' "
            "AND EXISTS (SELECT 1 FROM label_span p WHERE p.sample_id = s.id AND p.until IS NULL)"
        ).scalars()
        uid = next(iter(asked))
        champion = models.champion(connection)
    _, life = call("explain", uid[:16])
    assert life["label"] == life["events"][-1]["class"]
    assert life["queries"][0]["round"] == 1
    assert life["answers"]
    assert life["questions"][0]["state"] == "settled"
    assert [one["round"] for one in life["models"]] == [1, 2]
    assert champion is not None
    assert [one["sha256"] for one in life["models"] if one["champion"]] == [champion.champion]
    assert life["in_champions_buffer"] is True


def test_explain_of_a_holdout_sample_names_no_model(call: Call, lived: Path) -> None:
    with Project.open(lived) as project, project.ledger.read() as connection:
        uid = connection.exec_driver_sql(
            "SELECT uid FROM sample WHERE split = 'holdout' LIMIT 1"
        ).scalar()
    _, life = call("explain", str(uid))
    assert life["events"]
    assert life["models"] == []
    assert life["in_champions_buffer"] is False


def test_unreadable_file_cannot_be_released(call: Call) -> None:
    _, data = call("quarantine", "list")
    (broken,) = [one for one in data["samples"] if one["source"].endswith("broken.png")]
    assert broken["who"] == "ingest"
    code, error = call("quarantine", "release", broken["uid"])
    assert code == 2
    assert "cannot be read" in error
    assert "not an image" in error


def test_release_and_its_undoing_are_on_record(
    tiny_project: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny_project()
    with Project.open(root) as project, project.ledger.write() as connection:
        quarantine.set_aside(connection, {1: "bad image, says ann"}, "annotators")
        uid = str(connection.exec_driver_sql("SELECT uid FROM sample WHERE id = 1").scalar())
    assert main(["--config", str(root), "quarantine", "undo", uid]) == 2
    assert main(["--config", str(root), "quarantine", "release", uid]) == 0
    assert main(["--config", str(root), "quarantine", "release", uid]) == 2
    assert main(["--config", str(root), "quarantine", "undo", uid[:8]]) == 0
    assert main(["--config", str(root), "quarantine", "list"]) == 0
    out = capsys.readouterr().out
    assert "bad image, says ann" in out
    with Project.open(root) as project, project.ledger.read() as connection:
        kinds = [one["kind"] for one in sample_story.story(connection, 1)["quarantine"]]
        assert kinds == ["set_aside", "released", "set_aside"]
        (kept,) = quarantine.kept_aside(connection, 5)
        assert kept.reason == "bad image, says ann"


def test_texts_for_people_name_what_matters(
    lived: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for argv, words in [
        (["versions", "list"], ["training", "round-2"]),
        (["versions", "show", "latest"], ["sampling.class_balance", "holdout", "digest"]),
        (["versions", "diff", "round-1", "round-2"], ["version 3 to 6", "changed to it"]),
        (["explain", "red-2.png"], ["Labels", "in champion's buffer"]),
        (["quarantine", "list"], ["not an image", "broken.png"]),
    ]:
        assert main(["--config", str(lived), *argv]) == 0
        out = capsys.readouterr().out
        assert all(word in out for word in words), out


def test_rollback_and_return_bring_labels_back_exactly(lived: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(lived, tmp_path / "p"))
    with Project.open(root) as project:
        for to_round in (1, 2, 1):
            rollback(project, to_round, "test")
            with project.ledger.read() as connection:
                target = models.newest_version(connection, to_round, "training")
                newest = models.newest_version(connection)
                assert target is not None
                assert newest is not None
                assert newest.version.digest == target.version.digest
                assert newest.version.num_labels == target.version.num_labels
                scope = labels.open_scope(connection)
                kept = labels.resolve(connection, scope)
                ruled = labels.resolve(connection, Scope(scope.watermark, scope.excluded))
                assert kept.class_ids_n.tolist() == ruled.class_ids_n.tolist()
                assert kept.sample_ids_n.tolist() == ruled.sample_ids_n.tolist()
                assert held_labels.newest(connection).digest == target.version.digest
