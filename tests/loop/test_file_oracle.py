"""Your own images, from `init` to `rollback`, answered in CSV files."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from holdfast.data import versions
from holdfast.project import Project
from holdfast.store import answers, labels, models, samples


def digest_of_labels(root: Path) -> tuple[str, str, str]:
    """Digest of the labels that hold, of the version in force, and the champion."""
    with Project.open(root) as project, project.ledger.read() as connection:
        table = labels.resolve(connection, labels.open_scope(connection))
        names = labels.class_names(connection)
        uids = samples.uids_of(connection, table.sample_ids_n)
        champion = models.champion(connection)
        version = models.newest_version(connection)
    assert champion is not None
    assert version is not None
    holds = versions.digest(uids, table.class_ids_n, names)
    return holds, version.version.digest, champion.champion


def test_own_images_from_init_to_a_second_round_and_back(person, shelf):
    added = person.succeed("ingest", str(shelf.labeled))
    assert (added["num_added"], added["num_labeled"]) == (36, 36)
    added = person.succeed("ingest", str(shelf.unlabeled))
    assert (added["num_added"], added["num_labeled"]) == (24, 0)
    assert person.succeed("ingest", str(shelf.labeled))["num_added"] == 0

    exit_code, pending = person.run()
    assert (exit_code, pending["error"]) == (75, "AnnotationsPendingError")
    assert pending["facts"]["where"] == str(person.sheet("round-1"))
    page = person.sheet("round-1").with_suffix(".html").read_text()
    questions = person.questions("round-1")
    assert list(questions[0])[-1] == "label"
    assert len(questions) == page.count("<img") == 6
    assert all(row["uid"] in shelf.truth and row["reason"] for row in questions)
    status = person.succeed("status")
    assert (status["round"]["next_phase"], status["round"]["asked"]) == ("collect", 6)

    person.answer("round-1")
    exit_code, data = person.run()
    assert (exit_code, data["round"], data["finished"]) == (0, 1, True)
    first = digest_of_labels(person.root)
    assert first[0] == first[1]

    # The second round is answered in a copy, the file itself stays untouched.
    assert person.run()[0] == 75
    untouched = person.sheet("round-2").read_bytes()
    assert all(row["guess"] for row in person.questions("round-2"))
    person.answer("round-2", into=person.sheet("round-2").with_name("round-2 (copy).csv"))
    assert person.run()[0] == 0
    assert person.sheet("round-2").read_bytes() == untouched
    second = digest_of_labels(person.root)
    assert second[0] == second[1] != first[0]

    status = person.succeed("status")
    assert [(row["round"], row["state"]) for row in status["rounds"]] == [
        (1, "finished"),
        (2, "finished"),
    ]
    report = person.succeed("report", "--round", "1")
    assert [row["round"] for row in report["report"]["arms"][0]["rounds"]] == [1]
    assert Path(report["html"]).is_file()
    assert person.succeed("doctor")["ok"]

    for to, there in (("round-1", first), ("round-2", second), ("round-1", first)):
        assert person.succeed("rollback", "--to", to)["champion"] == there[2]
        assert digest_of_labels(person.root) == there

    # Life goes on from round 1: what round 2 was told is asked and learned anew.
    person.play("round-3")
    third = digest_of_labels(person.root)
    assert third[0] == third[1]
    assert person.succeed("status")["rounds"][2]["state"] == "finished"


def test_manifest_with_all_columns_makes_a_project(person, shelf, tmp_path):
    manifest = tmp_path / "manifest.csv"
    rows = [["path", "label", "group", "split", "annotator"]]
    for color in ("blue", "green", "red"):
        for number in range(12):
            path = shelf.labeled / color / f"{color}-{number}.png"
            known = number < 8
            rows.append(
                [
                    str(path),
                    color if known else "",
                    f"{color}-{number // 2}",
                    "holdout" if number < 2 else "train",
                    "ann" if known else "",
                ]
            )
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    added = person.succeed("ingest", str(manifest))
    assert (added["num_added"], added["num_labeled"], added["num_holdout"]) == (36, 24, 6)
    person.play("round-1")
    status = person.succeed("status")
    assert status["samples"] == {"train": 30, "holdout": 6, "quarantined": 0}
    assert status["champion"]["learned_in_round"] == 1


def test_cold_start_from_unlabeled_images_learns_from_answers_alone(person, shelf):
    person.set({"data.classes": '["red", "green", "blue"]', "query.budget": "12"})
    assert person.succeed("ingest", str(shelf.unlabeled))["num_labeled"] == 0
    assert person.run()[0] == 75
    assert all(not row["guess"] for row in person.questions("round-1"))
    person.answer("round-1")
    assert person.run()[0] == 0
    status = person.succeed("status")
    assert [one["name"] for one in status["classes"]] == ["red", "green", "blue"]
    assert sum(one["confirmed"] for one in status["classes"]) == 12
    assert status["champion"]["learned_in_round"] == 1
    assert person.run()[0] == 75
    assert all(row["guess"] for row in person.questions("round-2"))


def test_fully_labeled_folder_asks_again_about_suspects(person, shelf, tmp_path):
    folder = Path(shutil.copytree(shelf.labeled, tmp_path / "mixed"))
    wrong = folder / "red" / "not-red.png"
    (folder / "blue" / "blue-3.png").rename(wrong)
    person.succeed("ingest", str(folder))
    assert person.run()[0] == 75
    questions = person.questions("round-1")
    assert len(questions) == 6
    assert any(row["image"].endswith(" not-red.png") for row in questions)
    person.answer("round-1")
    assert person.run()[0] == 0
    status = person.succeed("status")
    assert status["findings"]["label_error"]["corrected"] == 1
    person.play("round-2")


def test_project_in_which_everything_is_confirmed_has_nothing_left_to_ask(person, shelf):
    person.set({"query.budget": "36"})
    person.succeed("ingest", str(shelf.labeled))
    person.play("round-1")
    before = person.digest()
    assert "nothing is left to ask about" in person.fail("run", "--no-prefect")
    assert person.digest() == before


def test_run_while_waiting_sends_nothing_again(person, shelf):
    person.succeed("ingest", str(shelf.labeled))
    person.succeed("ingest", str(shelf.unlabeled))
    assert person.run()[0] == 75
    before = person.digest(), person.sheet("round-1").read_bytes()
    person.sheet("round-1").with_suffix(".html").write_text("mine")
    assert person.run()[0] == 75
    assert (person.digest(), person.sheet("round-1").read_bytes()) == before
    assert person.sheet("round-1").with_suffix(".html").read_text() == "mine"
    assert person.succeed("status")["round"]["number"] == 1


@pytest.fixture
def asked(person, shelf):
    """A person before the first questions."""
    person.succeed("ingest", str(shelf.labeled))
    person.succeed("ingest", str(shelf.unlabeled))
    assert person.run()[0] == 75
    return person


def test_half_filled_sheet_waits_and_keeps_what_is_there(asked):
    before = asked.digest()
    asked.answer("round-1", lambda row, color: color if row < 4 else "")
    message = asked.fail("run", "--no-prefect", exit_code=75)
    assert "4 of 6 in" in message
    assert str(asked.sheet("round-1")) in message
    kept = asked.digest()
    assert kept != before
    assert asked.run()[0] == 75
    assert asked.digest() == kept
    asked.answer("round-1", lambda row, color: "" if row < 4 else color)
    assert asked.run()[0] == 0


def test_answer_changed_there_and_back_ends_as_it_began(asked):
    def say(first: str) -> None:
        asked.answer("round-1", lambda row, color: "" if row == 5 else color if row else first)
        assert asked.run()[0] == 75

    for first in ("red", "green", "red"):
        say(first)
    with Project.open(asked.root) as project, project.ledger.read() as connection:
        current = answers.current_answers(connection, 1)
        uids = samples.uids_of(connection, np.array([one.answer.sample_id for one in current]))
    said = {uid: one.answer.label for uid, one in zip(uids, current, strict=True)}
    assert said[asked.questions("round-1")[0]["uid"]] == "red"


def test_enough_answers_let_the_round_go_on_without_the_rest(asked):
    asked.set({"annotation.enough": "0.5"})
    asked.answer("round-1", lambda row, color: color if row < 3 else "")
    exit_code, data = asked.run()
    assert exit_code == 0
    (consensus,) = [one["outcome"] for one in data["phases"] if one["phase"] == "consensus"]
    assert (consensus["labeled"], consensus["unresolved"], consensus["unspent"]) == (3, 0, 3)
    # What nobody answered can be asked again, with the answers that were left over.
    assert asked.run()[0] == 75
    assert len(asked.questions("round-2")) == 9


def test_cannot_tell_makes_no_label_and_is_not_asked_again(asked):
    asked.answer("round-1", lambda row, color: color if row else "?")
    doubtful = asked.questions("round-1")[0]["uid"]
    assert asked.run()[0] == 0
    for number in range(2, 5):
        assert asked.run()[0] == 75
        assert doubtful not in {row["uid"] for row in asked.questions(f"round-{number}")}
        asked.answer(f"round-{number}")
        assert asked.run()[0] == 0


def test_answer_edited_after_its_round_changes_nothing(asked):
    asked.answer("round-1")
    assert asked.run()[0] == 0
    assert asked.run()[0] == 75
    before = asked.digest()
    asked.answer("round-1", lambda *_: "no such class")
    assert asked.run()[0] == 75
    assert asked.digest() == before
    asked.answer("round-2")
    assert asked.run()[0] == 0


def test_answers_after_a_new_class_in_the_config_are_accepted(asked):
    asked.answer("round-1", lambda row, color: color if row else "pink")
    assert "add a new class to data.classes" in asked.fail("run", "--no-prefect")
    asked.set({"data.classes": '["pink"]'})
    assert asked.run()[0] == 0
    classes = asked.succeed("status")["classes"]
    assert [(one["name"], one["confirmed"]) for one in classes][-1] == ("pink", 1)


def test_second_opinion_is_asked_in_a_sheet_of_its_own(asked):
    asked.set({"agreement.max_answers": "2", "agreement.confidence": "0.99"})
    others = {"red": "green", "green": "blue", "blue": "red"}
    asked.answer("round-1")
    assert asked.run()[0] == 0
    asked.set({"agreement.reserve_share": "0.5"})
    assert asked.run()[0] == 75
    asked.answer("round-2", lambda _, color: others[color])
    exit_code, pending = asked.run()
    assert (exit_code, pending["facts"]["where"]) == (75, str(asked.sheet("round-2.2")))
    again = {row["uid"] for row in asked.questions("round-2.2")}
    assert again <= {row["uid"] for row in asked.questions("round-2")}
    asked.answer("round-2.2")
    assert asked.run()[0] == 0


def test_rollback_while_questions_are_open_leaves_them_open(asked):
    asked.answer("round-1")
    assert asked.run()[0] == 0
    first = digest_of_labels(asked.root)
    asked.play("round-2")
    assert asked.run()[0] == 75
    questions = asked.sheet("round-3").read_bytes()
    asked.succeed("rollback", "--to", "round-1")
    assert digest_of_labels(asked.root) == first
    assert asked.run()[0] == 75
    assert asked.sheet("round-3").read_bytes() == questions
    asked.answer("round-3")
    assert asked.run()[0] == 0
    holds, version, _ = digest_of_labels(asked.root)
    assert holds == version
    status = asked.succeed("status")
    assert [row["state"] for row in status["rounds"]] == ["finished"] * 3
