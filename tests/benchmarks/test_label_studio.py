"""The benchmark of the queue, on few questions."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from benchmarks import label_studio
from benchmarks.label_studio_world import open_world

KEYS = {"operation", "tasks", "seconds", "per_second", "requests", "peak_mb"}
OPERATIONS = [
    *("send", "answer", "list", "export"),
    *("collect_oracle", "collect", "collect_last_look"),
]

pytestmark = [pytest.mark.service, pytest.mark.slow]


def test_every_question_is_sent_answered_and_collected_once(tmp_path, capsys):
    path = tmp_path / "out" / "rows.json"
    assert label_studio.main(["--tasks", "30", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert (result["lost"], result["doubled"]) == (0, 0)
    rows = result["rows"]
    quiet = ["collect_nothing_new"] * label_studio.QUIET_LOOKS
    assert [row["operation"] for row in rows] == [*OPERATIONS, *quiet, "collect_one"]
    assert all(row.keys() == KEYS for row in rows)
    by_name = {row["operation"]: row for row in rows}
    assert by_name["collect"]["tasks"] == 29
    assert all(row["requests"] <= 3 for row in rows if row["operation"] in quiet)
    assert result["collect_ratio"] == pytest.approx(
        by_name["collect"]["per_second"]
        / max(by_name[name]["per_second"] for name in label_studio.PEERS)
    )
    assert "0 lost, 0 doubled" in capsys.readouterr().out


def test_what_is_lost_and_doubled_is_counted(tmp_path):
    with open_world(tmp_path, 4, Console(quiet=True)) as world:
        world.step()
        ids = world.list_pages()
        world.accept_guesses(ids[:3])
        assert world.count_faults() == (4, 0)
        world.collect()
        assert world.count_faults() == (1, 0)
        said = world.http.get(f"/api/tasks/{ids[0]}").json()
        again = {"result": said["annotations"][0]["result"]}
        world.http.post(f"/api/tasks/{ids[0]}/annotations", json=again).raise_for_status()
        twin = [{"data": said["data"]}]
        world.http.post(f"/api/projects/{said['project']}/import", json=twin).raise_for_status()
        assert world.count_faults() == (1, 2)


def test_one_question_is_too_few(capsys):
    assert label_studio.main(["--tasks", "1"]) == 2
    assert "--tasks should be at least 2" in capsys.readouterr().err
