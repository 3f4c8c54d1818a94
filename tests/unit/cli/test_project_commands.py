"""Commands on a small project, through the same door as a person's."""

import json
import shutil
import sys
from io import BytesIO
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from holdfast import loop
from holdfast.__main__ import main
from holdfast.errors import AnnotationsPendingError
from holdfast.loop import RoundOutcome
from holdfast.project import Project
from holdfast.records import Changes, Promotion, Query, QueryItem
from holdfast.store import rounds
from holdfast.store.rounds import PhaseRecord


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def images(tmp_path):
    for number in range(60):
        path = tmp_path / "in" / ("cat" if number % 3 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    (tmp_path / "in" / "dog" / "Thumbs.db").write_bytes(b"no image")
    return tmp_path / "in"


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    assert main(["init", str(tmp_path / "p")]) == 0
    monkeypatch.chdir(tmp_path / "p")
    capsys.readouterr()
    return tmp_path / "p"


@pytest.fixture
def call(capsys):
    """Run a command with --json; give exit code and data."""

    def run(*argv):
        exit_code = main([*argv, "--json"])
        out = capsys.readouterr().out
        return exit_code, json.loads(out)

    return run


def one_line_error(capsys, argv):
    """Run a command that must fail; give its message."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def outcome():
    record = PhaseRecord(
        round_number=1,
        step=1,
        phase="audit",
        next_phase=None,
        outcome={"labels": 60, "verdict": {"reason": "because"}},
        seconds=0.5,
    )
    return RoundOutcome(round_number=1, finished=True, phases=(record,))


def test_init_writes_a_config_and_says_what_is_next(tmp_path, capsys):
    assert main(["init", str(tmp_path / "a" / "b")]) == 0
    assert (tmp_path / "a" / "b" / "holdfast.toml").exists()
    assert "holdfast ingest PATH" in capsys.readouterr().out


def test_init_never_overwrites(project, capsys):
    (project / "holdfast.toml").write_text("seed = 7\n")
    assert "exists already; edit it" in one_line_error(capsys, ["init", str(project)])
    assert (project / "holdfast.toml").read_text() == "seed = 7\n"


def test_init_on_a_file_raises(tmp_path, capsys):
    (tmp_path / "f").write_text("")
    assert "is a file; give a folder" in one_line_error(capsys, ["init", str(tmp_path / "f")])


@pytest.mark.usefixtures("project")
def test_ingest_reports_and_status_agrees(images, call):
    exit_code, report = call("ingest", str(images))
    assert exit_code == 0
    assert (report["num_added"], report["num_labeled"]) == (60, 60)
    assert report["classes_added"] == ["cat", "dog"]
    _, status = call("status")
    assert status["samples"] == {"train": 54, "holdout": 6, "quarantined": 1}
    assert [(c["name"], c["train"], c["holdout"]) for c in status["classes"]] == [
        ("cat", 36, 4),
        ("dog", 18, 2),
    ]
    assert status["quarantine"][0]["source"].endswith("Thumbs.db")
    assert (status["round"], status["champion"], status["rounds"]) == (None, None, [])


@pytest.mark.usefixtures("project")
def test_ingest_text_names_what_is_in_quarantine(images, capsys):
    assert main(["ingest", str(images)]) == 0
    out = capsys.readouterr().out
    assert "1 file in quarantine:" in out
    assert "Thumbs.db: not an image" in out


@pytest.mark.usefixtures("project")
def test_status_of_an_empty_project_says_what_to_do(capsys):
    assert main(["status"]) == 0
    assert "`holdfast run` starts the first" in capsys.readouterr().out


@pytest.mark.usefixtures("project")
def test_status_counts_conflicting_labels_and_the_pool(images, call, capsys):
    (images / "cat" / "copy.png").write_bytes((images / "dog" / "0.png").read_bytes())
    (images / "loose.png").write_bytes(png(1000))
    _, report = call("ingest", str(images))
    assert len(report["conflicts"]) == 1
    _, status = call("status")
    assert status["findings"] == {"label_conflict": {"open": 1}}
    main(["status"])
    out = capsys.readouterr().out
    assert "conflicts  1 label contradicted by another file" in out
    assert "pool       1 sample without a label" in out


def test_status_follows_a_round(project, images, call, capsys):
    call("ingest", str(images))
    with Project.open(project) as opened:
        number = loop.open_round(opened)
        items = tuple(QueryItem(sample_id=n, reason="random", score=0.0) for n in (1, 2, 3))
        query = Query(round_number=number, batch=1, items=items)
        step = PhaseRecord(
            round_number=number, step=1, phase="send", next_phase="collect", outcome={}, seconds=1
        )
        with opened.ledger.write() as connection:
            rounds.record(connection, step, Changes(query=query))
    _, status = call("status")
    assert status["round"] == {
        "number": 1,
        "state": "open",
        "next_phase": "collect",
        "asked": 3,
        "answered": 0,
    }
    main(["status"])
    assert "1, next phase collect (0 of 3 questions answered)" in capsys.readouterr().out


@pytest.mark.parametrize("prefect", [True, False])
@pytest.mark.usefixtures("project")
def test_run_shows_what_came_of_each_phase(call, monkeypatch, prefect):
    seen = []

    def run(target, on_phase, progress, **_):
        progress("learning", 1, 2)
        on_phase(outcome().phases[0])
        seen.append(target)
        return outcome()

    flow = ModuleType("holdfast.flows.closed_loop")
    flow.run = run
    monkeypatch.setitem(sys.modules, flow.__name__, flow)
    monkeypatch.setattr("holdfast.cli.run.run_round", run)
    exit_code, data = call("run", *([] if prefect else ["--no-prefect"]))
    assert (exit_code, data["round"], data["finished"]) == (0, 1, True)
    assert data["phases"][0]["phase"] == "audit"
    assert isinstance(seen[0], Project) == (not prefect)


@pytest.mark.usefixtures("project")
def test_run_waiting_for_answers_exits_75(monkeypatch, capsys):
    def wait(*_):
        raise AnnotationsPendingError(1, 0, 25, "queries/round-1.csv")

    monkeypatch.setattr("holdfast.cli.run.run_round", wait)
    assert main(["run", "--no-prefect"]) == 75
    assert capsys.readouterr().err == (
        "holdfast: round 1 is waiting for answers (0 of 25 in): "
        "answer in queries/round-1.csv, then run again\n"
    )


def test_run_beside_a_running_one_is_busy(project, images, capsys):
    main(["ingest", str(images)])
    capsys.readouterr()
    with Project.open(project) as opened, loop.exclusive(opened):
        assert main(["run", "--no-prefect"]) == 75
    assert "busy: another run (process" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_rollback_reports_champion_before_and_after(call, monkeypatch):
    asked = []

    def back(_, to_round, who):
        asked.append((to_round, bool(who)))
        return Promotion(
            round_number=to_round,
            expected="b" * 64,
            champion="a" * 64,
            dataset_version=4,
            kind="rollback",
            verdict={},
            who=who,
        )

    monkeypatch.setattr(loop, "rollback", back)
    for to in ("round-2", "2"):
        exit_code, data = call("rollback", "--to", to)
        assert (exit_code, data["champion"], data["champion_before"]) == (0, "a" * 64, "b" * 64)
    assert asked == [(2, True), (2, True)]


@pytest.mark.usefixtures("project")
def test_rollback_to_a_round_that_never_was_says_so(capsys):
    error = one_line_error(capsys, ["rollback", "--to", "round-3"])
    assert "round-3 did not finish; `holdfast status`" in error


@pytest.mark.usefixtures("project")
def test_report_before_the_first_round_says_so(capsys):
    assert "run `holdfast run` first" in one_line_error(capsys, ["report"])


def test_doctor_finds_lost_images_and_says_what_to_do(project, images, call):
    assert call("ingest", str(images))[0] == 0
    exit_code, data = call("doctor")
    assert (exit_code, data["ok"]) == (0, True)
    shutil.rmtree(project / ".holdfast" / "samples.lance")
    exit_code, data = call("doctor")
    assert (exit_code, data["ok"]) == (2, False)
    remedies = {check["what"]: check["remedy"] for check in data["checks"] if check["remedy"]}
    assert remedies == {"images": "60 images missing; ingest the same files again"}
    assert call("ingest", str(images))[0] == 0
    assert call("doctor")[0] == 0


def test_doctor_outside_a_project_names_init(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    exit_code, data = call("doctor")
    assert exit_code == 2
    assert [check["what"] for check in data["checks"] if check["remedy"]] == ["config"]


@pytest.mark.parametrize("argv", [["status"], ["run"], ["ingest", "."], ["report"]])
def test_command_outside_a_project_names_init(tmp_path, monkeypatch, capsys, argv):
    monkeypatch.chdir(tmp_path)
    flow = ModuleType("holdfast.flows.closed_loop")
    flow.run = lambda config, *_, **__: Project.open(config)
    monkeypatch.setitem(sys.modules, flow.__name__, flow)
    assert "run `holdfast init DIR`" in one_line_error(capsys, argv)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("sede = 1", "unknown key sede; did you mean seed?"),
        ("[data]\nimage_sise = 32", "unknown key data.image_sise; did you mean image_size?"),
        ("[data]\nimage_size = 4", "data.image_size must be 8 to 1024 pixels, got 4"),
        ('[data]\nclasses = "cat"', "data.classes should be a list"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_config_that_cannot_be_used_is_one_line(project, capsys, toml, message):
    (project / "holdfast.toml").write_text(toml)
    assert message in one_line_error(capsys, ["status"])


def test_ingest_bad_input_is_one_line_and_leaves_the_ledger_alone(project, images, capsys):
    empty = project / "empty"
    empty.mkdir()
    one_class = project / "one"
    (one_class / "cat").mkdir(parents=True)
    (one_class / "cat" / "1.png").write_bytes(png(1))
    manifest = images / "m.csv"
    manifest.write_text("path,label\ncat/1.png,cat\ncat/gone.png,cat\n")
    unknown = images / "u.csv"
    unknown.write_text("path,lable\ncat/1.png,cat\n")
    with Project.open(project) as opened:
        before = opened.ledger.digest()
    for path, message in [
        (empty, "holds no files"),
        (project / "nowhere", "does not exist"),
        (one_class, "only one class (cat)"),
        (manifest, "line 3"),
        (unknown, "did you mean 'label'"),
    ]:
        assert message in one_line_error(capsys, ["ingest", str(path)])
    with Project.open(project) as opened:
        assert opened.ledger.digest() == before


@pytest.mark.usefixtures("project")
def test_ingest_only_broken_images_keeps_the_reasons(tmp_path, call):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "half.png").write_bytes(png(1)[:50])
    exit_code, error = call("ingest", str(broken))
    assert (exit_code, error["error"]) == (2, "IngestError")
    _, status = call("status")
    assert status["samples"] == {"train": 0, "holdout": 0, "quarantined": 1}
    assert "corrupt or truncated" in status["quarantine"][0]["reason"]
