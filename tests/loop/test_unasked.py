"""Answers that come with the data: seen by the consensus, the reports and the exports."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from holdfast.cli.explain import explain
from holdfast.data.export import export
from holdfast.data.ingest import ingest
from holdfast.loop import advance, next_phase, open_round
from holdfast.phases.annotators import summarize
from holdfast.phases.gold import gold_labels
from holdfast.phases.pool import read_pool
from holdfast.project import Project
from holdfast.store import answers, labels, models, rounds, samples
from holdfast.store.schema import label_event

RED = "images/unlabeled/red"


@pytest.fixture
def project(tiny_project: Callable[[], Path]) -> Iterator[Project]:
    """A project into which a crowd's labels come: of 4 red images, and of one by one person."""
    root = tiny_project()
    folder = root / "images" / "unlabeled"
    reds = sorted(folder.glob("red-*.png"))
    lines = ["path,label,annotator"]
    for path in reds[:4]:
        lines += [f"{path.name},red,ann", f"{path.name},red,bob", f"{path.name},red,cho"]
    lines += [f"{reds[4].name},red,ann"]
    # Nobody can say who of these two is right.
    lines += [f"{reds[5].name},red,dora", f"{reds[5].name},blue,eve"]
    (folder / "crowd.csv").write_text("\n".join(lines))
    with Project.open(root) as opened:
        ingest(opened, folder / "crowd.csv")
        yield opened


def label_of(project: Project) -> dict[str, tuple[str, bool]]:
    """Return class and whether it is confirmed, by the name of the file, of unlabeled reds."""
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
        table = labels.resolve(connection, labels.open_scope(connection))
        sources = samples.sources_of(connection, table.sample_ids_n)
    return {
        Path(source).name: (names[k], verified)
        for source, k, verified in zip(
            sources, table.class_ids_n.tolist(), table.verified_n.tolist(), strict=True
        )
        if RED in source
    }


def play(project: Project, until: str = "snapshot") -> int:
    number = open_round(project)
    while next_phase(project, number) != until:
        advance(project, number)
    return number


def outcome(project: Project, number: int) -> dict[str, object]:
    with project.ledger.read() as connection:
        done = rounds.phases(connection, number)
    return dict(next(one.outcome for one in done if one.phase == "consensus"))


def test_labels_of_a_crowd_are_unconfirmed_until_a_consensus(project: Project) -> None:
    came = label_of(project)
    assert set(came.values()) == {("red", False)}
    assert len(came) == 6
    number = play(project)
    asked = {path for path, (_, verified) in label_of(project).items() if verified} - set(
        sorted(came)[:4]
    )
    settled = {path: label_of(project)[path] for path in sorted(came)[:4]}
    assert set(settled.values()) == {("red", True)}
    # What one person said, and what two contradict each other on, stays as it came.
    left = {path: label_of(project)[path] for path in sorted(came)[4:] if path not in asked}
    assert set(left.values()) <= {("red", False)}
    told = outcome(project, number)
    assert told["came_labeled"] == 4
    assert told["came_open"] == 1


def test_consensus_is_made_once_as_long_as_nothing_new_comes(project: Project) -> None:
    play(project, "report")
    while True:
        with project.ledger.read() as connection:
            newest = rounds.newest(connection)
        if newest.state == "finished":
            break
        advance(project, newest.number)
    number = play(project)
    assert outcome(project, number)["came_labeled"] == 0


def test_report_shows_the_crowd_and_how_far_it_agrees(project: Project) -> None:
    report = summarize(project, datetime(2031, 1, 1, tzinfo=UTC))
    by_name = {one.name: one for one in report.annotators}
    assert set(by_name) == {"ann", "bob", "cho", "dora", "eve"}
    assert (by_name["ann"].replies.labels, by_name["ann"].num_shared) == (5, 4)
    assert by_name["ann"].accuracy is not None
    assert report.undated == 15
    assert report.said["red"]["red"] >= 13


def test_gold_questions_rest_on_two_people(project: Project) -> None:
    play(project)
    with project.ledger.read() as connection:
        ids, _ = gold_labels(connection, read_pool(connection))
        vote_ids, _, _ = answers.votes(connection)
    assert set(ids.tolist()) >= {
        one for one in vote_ids.tolist() if vote_ids.tolist().count(one) == 3
    }


def test_sample_tells_who_said_what_though_nobody_asked(project: Project) -> None:
    path = sorted((project.root / "images" / "unlabeled").glob("red-*.png"))[0]
    told = explain(Namespace(config=project.root, sample=str(path)))
    assert [(one["annotator"], one["label"]) for one in told.data["answers"]] == [
        ("ann", "red"),
        ("bob", "red"),
        ("cho", "red"),
    ]
    assert "Answers" in told.text


def test_export_holds_what_each_person_said_once(project: Project, tmp_path: Path) -> None:
    play(project, "learn")
    with project.ledger.read() as connection:
        stored = models.newest_version(connection)
    export(project.ledger, project.images, stored, tmp_path / "out", "parquet")
    rows = [
        row
        for file in (tmp_path / "out").glob("*.parquet")
        for row in pq.read_table(file).to_pylist()
    ]
    first = sorted(label_of(project))[0]
    (row,) = [row for row in rows if row["source"].endswith(first)]
    assert row["verified"]
    assert json.loads(row["annotations"]) == [
        ["ann", "red"],
        ["bob", "red"],
        ["cho", "red"],
        ["consensus", "red"],
    ]


def test_round_that_asks_hears_what_came_and_labels_it_once(project: Project) -> None:
    play(project)
    with project.ledger.read() as connection:
        events = connection.execute(
            sa.select(label_event.c.sample_id, label_event.c.annotator, sa.func.count())
            .where(label_event.c.kind == "annotation")
            .group_by(label_event.c.sample_id, label_event.c.annotator)
        ).all()
    crowd = [number for _, who, number in events if who in ("ann", "bob", "cho", "dora", "eve")]
    assert crowd == [1] * 15
