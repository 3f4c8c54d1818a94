"""Whatever is wrong, one line says what to do, and nothing is left half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.loop import exclusive
from holdfast.project import Project

HOLD_LOCK = """
import sys, time
from pathlib import Path
from holdfast.loop import exclusive
from holdfast.project import Project
with Project.open(Path(sys.argv[1])) as project, exclusive(project):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def ready(person, shelf):
    """A person who has taken in labeled and unlabeled images."""
    person.succeed("ingest", str(shelf.labeled))
    person.succeed("ingest", str(shelf.unlabeled))
    return person


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def any_image(shelf) -> Path:
    return shelf.labeled / "red" / "red-0.png"


def two_classes(shelf, folder: Path) -> Path:
    for color in ("red", "blue"):
        for number in range(3):
            name = f"{color}-{number}.png"
            write(folder / color / name, (shelf.labeled / color / name).read_bytes())
    return folder


def test_command_without_a_project_says_how_to_start_one(person, tmp_path):
    for command in (["run", "--no-prefect"], ["status"], ["ingest", "x"], ["report"]):
        message = person.fail("--config", str(tmp_path), *command)
        assert "holdfast init DIR" in message
    assert not (tmp_path / ".holdfast").exists()


def test_run_before_ingest_says_to_ingest(person):
    before = person.digest()
    assert "holdfast ingest PATH" in person.fail("run", "--no-prefect")
    assert person.digest() == before


def test_empty_folder_says_what_to_give(person, tmp_path):
    before = person.digest()
    (tmp_path / "empty").mkdir()
    assert "holds no files; give a folder of images" in person.fail(
        "ingest", str(tmp_path / "empty")
    )
    assert "does not exist" in person.fail("ingest", str(tmp_path / "nowhere"))
    assert person.digest() == before


def test_one_class_only_says_to_add_another(person, shelf, tmp_path):
    before = person.digest()
    write(tmp_path / "one" / "red" / "1.png", any_image(shelf).read_bytes())
    assert "only one class (red)" in person.fail("ingest", str(tmp_path / "one"))
    assert person.digest() == before


def test_run_on_images_of_no_known_class_says_where_to_list_classes(person, shelf):
    person.succeed("ingest", str(shelf.unlabeled))
    before = person.digest()
    assert "list them in data.classes" in person.fail("run", "--no-prefect")
    person.set({"data.classes": '["red"]'})
    assert "only the class red is known" in person.fail("run", "--no-prefect")
    assert person.digest() == before


def test_corrupt_image_and_other_files_go_to_quarantine_with_a_reason(person, shelf, tmp_path):
    folder = two_classes(shelf, tmp_path / "mixed")
    whole = any_image(shelf).read_bytes()
    write(folder / "red" / "cut.png", whole[: len(whole) // 2])
    write(folder / "red" / "notes.txt", "not an image")
    write(folder / "blue" / "nothing.jpg", "")
    report = person.succeed("ingest", str(folder))
    assert report["num_added"] == 6
    status = person.succeed("status")
    reasons = {Path(row["source"]).name: row["reason"] for row in status["quarantine"]}
    assert reasons.keys() == {"cut.png", "notes.txt", "nothing.jpg"}
    assert "corrupt or truncated" in reasons["cut.png"]
    assert "not an image" in reasons["notes.txt"]
    assert "empty" in reasons["nothing.jpg"]
    assert all(";" in reason for reason in reasons.values())  # each says what to do
    before = person.digest()
    assert person.succeed("ingest", str(folder))["num_added"] == 0
    assert person.digest() == before


def test_folder_without_a_single_usable_image_says_why(person, tmp_path):
    write(tmp_path / "junk" / "a.txt", "a")
    write(tmp_path / "junk" / "b.txt", "b")
    message = person.fail("ingest", str(tmp_path / "junk"))
    assert "holds no usable image" in message
    assert "a.txt: not an image" in message
    assert person.succeed("status")["samples"] == {"train": 0, "holdout": 0, "quarantined": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\nred-0.png,red\ngone.png,blue\n", "line 3: "),
        ("path,lable\nred-0.png,red\n", "did you mean 'label'?"),
        ("label\nred\n", "no column 'path'"),
        ("path,label\nred-0.png\n", "line 2 has 1 cells but the header has 2"),
        ("path,label,split\nred-0.png,red,test\n", "split is 'test'"),
        ("path,label\n", "names no images"),
        ("path,label\nred-0.png,red\n", "only one class (red)"),
    ],
)
def test_manifest_that_cannot_be_used_names_the_line_and_adds_nothing(
    person, shelf, tmp_path, text, said
):
    before = person.digest()
    write(tmp_path / "in" / "red-0.png", any_image(shelf).read_bytes())
    manifest = write(tmp_path / "in" / "manifest.csv", text)
    message = person.fail("ingest", str(manifest))
    assert said in message
    assert str(manifest) in message
    assert person.digest() == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sede = 1", "unknown key sede; did you mean seed?"),
        ("seed = -1", "seed should be 0 or more, not -1"),
        ('seed = "one"', "seed should be a whole number"),
        ("seed = ", "not valid TOML"),
        ("[qeury]\nbudget = 5", "unknown key qeury; did you mean query?"),
        ("[query]\nbugdet = 5", "unknown key query.bugdet; did you mean budget?"),
        ("[query]\nbudget = 0", "query.budget should be at least 1, not 0"),
        ("[query]\nbudget = 2.5", "query.budget should be a whole number, not 2.5"),
        ("[query]\nbudget = true", "query.budget should be a whole number, not True"),
        ("[query]\nshare_random = 2", "between 0.0 and 1.0, not 2.0"),
        ('[query]\nstrategy = "margni"', "did you mean margin?"),
        ("[data]\nclasses = 3", "data.classes should be a list"),
        ("[data]\nclasses = [3]", "data.classes should be text in quotes"),
        ('[data]\nclasses = ["a", "a"]', "names a class twice"),
        ("[data]\nimage_size = 7", "data.image_size must be 8 to 1024 pixels, got 7"),
        ('[annotation]\noracle = "email"', "annotation.oracle"),
        ('[annotation]\ntruth = "x.csv"', "have no effect"),
        ('[annotation]\noracle = "simulated"', "annotation.truth is empty"),
        ("[agreement]\nreserve_share = 0.1", "has no effect when"),
        ('[learning.imbalance]\nloss = "hinge"', "learning.imbalance.loss"),
        ('[learning]\nstrategy = "repaly"', "learning.strategy names 'repaly'"),
        ('[learning]\nstrategy = "naive+ewc"', "ewc alone cannot hold old classes"),
        ("[learning.buffer]\ncapacity = 0", "ewc alone cannot hold old classes"),
        ('[learning]\nstrategy = "gdumb"\nreplay_share = 0.5', "replay_share has no effect"),
        ("[learning]\nsteps = 0", "learning.steps should be 1 or more, not 0"),
        ("gate = 1", "gate is a section; write [gate]"),
    ],
)
def test_setting_that_is_wrong_names_the_file_and_the_key(person, line, said):
    path = write(person.root / "holdfast.toml", line + "\n")
    message = person.fail("run", "--no-prefect")
    assert said in message
    assert message.startswith(str(path))
    assert not (person.root / ".holdfast").exists()


def test_ledger_url_that_is_none_says_what_is_expected(person):
    person.set({"ledger.url": '"nonsense"'})
    assert "expected sqlite:///FILE or postgresql" in person.fail("status")


def test_budget_above_the_pool_says_how_many_can_be_asked(ready):
    ready.set({"query.budget": "1000"})
    before = ready.digest()
    message = ready.fail("run", "--no-prefect")
    assert "asked for 1000 samples but only 60 can be asked about" in message
    assert ready.digest() == before
    assert ready.succeed("status")["round"] is None


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("gren", "did you mean green?"),
        ("Red", "did you mean red?"),
        ("=cmd()", "1 answer names no known class"),
    ],
)
def test_answer_of_an_unknown_class_changes_nothing_until_it_is_corrected(ready, label, said):
    assert ready.run()[0] == 75
    before = ready.digest()
    ready.answer("round-1", lambda row, color: color if row else label)
    message = ready.fail("run", "--no-prefect")
    assert said in message
    assert str(ready.sheet("round-1")) in message
    assert ready.digest() == before
    ready.answer("round-1")
    assert ready.run()[0] == 0


def test_answers_that_contradict_each_other_name_both_files(ready):
    assert ready.run()[0] == 75
    before = ready.digest()
    ready.answer("round-1", lambda *_: "green", into=ready.sheet("round-1-ann"))
    ready.answer("round-1", lambda *_: "blue")
    message = ready.fail("run", "--no-prefect")
    assert "round-1-ann.csv" in message
    assert "round-1.csv" in message
    assert ready.digest() == before


def test_sheet_that_lost_its_header_names_the_file(ready):
    assert ready.run()[0] == 75
    lines = ready.sheet("round-1").read_text().splitlines(keepends=True)
    write(ready.sheet("round-1"), "".join(lines[1:]))
    message = ready.fail("run", "--no-prefect")
    assert f"{ready.sheet('round-1')}, line 1" in message
    assert "restore the header" in message


def test_sheet_that_is_gone_is_written_again(ready):
    assert ready.run()[0] == 75
    sheet = ready.sheet("round-1")
    text = sheet.read_bytes()
    sheet.unlink()
    exit_code, _ = ready.run()
    assert exit_code == 75
    assert sheet.read_bytes() == text


def test_sheet_that_is_gone_comes_back_with_what_is_not_answered(ready):
    assert ready.run()[0] == 75
    ready.answer("round-1", lambda row, color: color if row < 2 else "")
    assert ready.run()[0] == 75
    open_questions = {row["uid"] for row in ready.questions("round-1")[2:]}
    ready.sheet("round-1").unlink()
    assert ready.run()[0] == 75
    assert {row["uid"] for row in ready.questions("round-1")} == open_questions
    ready.answer("round-1")
    assert ready.run()[0] == 0


def test_rollback_and_report_of_rounds_that_are_not_there_say_which_are(ready):
    assert ready.run()[0] == 75
    before = ready.digest()
    assert "round-1 did not finish" in ready.fail("rollback", "--to", "round-1")
    assert "round-7 did not finish" in ready.fail("rollback", "--to", "round-7")
    assert "invalid round-N value: 'x'" in ready.fail("rollback", "--to", "x")
    assert "there is no round 7" in ready.fail("report", "--round", "7")
    assert ready.digest() == before


def test_rollback_to_a_round_without_a_champion_says_to_choose_another(person, shelf):
    person.set({"data.classes": '["red", "green", "blue"]'})
    person.succeed("ingest", str(shelf.unlabeled))
    assert person.run()[0] == 75
    person.answer("round-1", lambda *_: "red")  # one class alone teaches nothing
    assert person.run()[0] == 0
    before = person.digest()
    assert "left no champion" in person.fail("rollback", "--to", "round-1")
    assert person.digest() == before
    assert person.succeed("status")["champion"] is None


def test_simulated_annotators_without_their_file_say_which_columns_it_needs(ready):
    ready.set({"annotation.oracle": '"simulated"', "annotation.truth": '"truth.csv"'})
    assert "truth.csv cannot be read" in ready.fail("run", "--no-prefect")
    write(ready.root / "truth.csv", "uid,class\n")
    assert "has no column label" in ready.fail("run", "--no-prefect")


def test_command_beside_a_run_in_another_process_is_busy(ready):
    before = ready.digest()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(ready.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        for command in (["run", "--no-prefect"], ["rollback", "--to", "round-1"]):
            message = ready.fail(*command, exit_code=75)
            assert message.startswith(f"busy: another run (process {holder.pid} on ")
        assert ready.succeed("status")["round"] is None
        assert holder.stdin is not None
        holder.stdin.close()
    assert ready.digest() == before
    with Project.open(ready.root) as project, exclusive(project):
        pass


def test_champion_that_is_damaged_is_found_before_anything_is_learned(ready):
    ready.play("round-1")
    champion = ready.succeed("status")["champion"]["model"]
    for path in (ready.root / ".holdfast" / "models").glob(f"{champion}*"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    before = ready.digest()
    message = ready.fail("run", "--no-prefect")
    assert "restore the file from a backup" in message
    exit_code, data = ready.call("doctor")
    assert exit_code == 2
    assert [one["what"] for one in data["checks"] if one["remedy"]] == ["champion"]
    # The audit reads no model, so the round began; nothing else was written.
    assert ready.digest() != before
    assert ready.succeed("status")["round"]["next_phase"] == "query"


def test_error_as_json_holds_the_facts(ready):
    ready.set({"query.budget": "1000"})
    exit_code, data = ready.call("run", "--no-prefect")
    assert (exit_code, data["exit_code"]) == (2, 2)
    assert data["facts"] == {"requested": 1000, "available": 60}
    assert json.dumps(data)
