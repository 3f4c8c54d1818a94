import json

import pytest

from holdfast.__main__ import main
from holdfast.phases.audit import audit
from holdfast.phases.balancing import holding
from holdfast.phases.choosing import choose
from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.store import rounds
from holdfast.store.rounds import PhaseRecord
from tests.unit.cli.test_project_commands import png


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    """A project with 40 cats, 30 dogs, 4 owls and 40 images without a label."""
    number = 0
    for name, size in (("cat", 40), ("dog", 30), ("owl", 4), ("", 40)):
        folder = tmp_path / ("images" if name else "pool") / name
        folder.mkdir(parents=True)
        for _ in range(size):
            number += 1
            (folder / f"{number}.png").write_bytes(png(number))
    assert main(["init", str(tmp_path / "project")]) == 0
    monkeypatch.chdir(tmp_path / "project")
    settings = "[data]\nimage_size = 8\nholdout_fraction = 0.0\n[balance]\nact = true\n"
    (tmp_path / "project" / "holdfast.toml").write_text(settings)
    for folder in ("images", "pool"):
        assert main(["ingest", str(tmp_path / folder)]) == 0
    capsys.readouterr()
    return tmp_path / "project"


@pytest.mark.usefixtures("project")
def test_balance_shows_measures_triggers_and_actions(capsys):
    assert main(["balance"]) == 0
    text = capsys.readouterr().out
    assert "10.0 to 1" in text
    assert "the next round acts" in text
    assert main(["balance", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ratio"] == 10
    assert [(one["name"], one["class"]) for one in said["triggers"]] == [
        ("uneven", None),
        ("scarce", "owl"),
    ]
    assert said["triggers"][1]["actions"] == ["acquisition_target", "stronger_augmentation"]
    by_name = {one["name"]: one for one in said["classes"]}
    assert by_name["owl"]["labels"] == 4
    assert sum(one["share"] for one in said["classes"]) == pytest.approx(1.0)


def test_audit_records_the_balance_and_the_next_one_goes_by_it(project):
    with Project.open(project) as opened:
        turn = Turn(project=opened, round_number=1, done=())
        outcome = audit(turn).outcome
        done = PhaseRecord(
            round_number=1,
            step=0,
            phase="audit",
            next_phase="query",
            outcome=json.loads(json.dumps(outcome)),
            seconds=0.0,
        )
        held = holding(Turn(project=opened, round_number=1, done=(done,)))
        assert held == holding(turn)
        with opened.ledger.write() as connection:
            rounds.start(connection, "digest")
            rounds.record(connection, done, rounds.Changes())
        later = holding(Turn(project=opened, round_number=2, done=()))
        assert [one.since for one in later] == [1, 1]


def test_choose_asks_for_scarce_classes_only_where_triggers_act(project):
    with Project.open(project) as opened:
        acting = choose(Turn(project=opened, round_number=1, done=()), ())
    file = project / "holdfast.toml"
    file.write_text(file.read_text().replace("act = true", "act = false"))
    with Project.open(project) as opened:
        reporting = choose(Turn(project=opened, round_number=1, done=()), ())
    assert acting.at_least == {"owl": 6}
    assert reporting.at_least == {}
