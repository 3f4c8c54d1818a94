"""Several people's labels of one image, each known by a key of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from holdfast.data.ingest import take_in
from holdfast.data.offers import OfferedImage, Source, Statement
from holdfast.data.report import IngestReport
from holdfast.project import Project
from holdfast.store import labels
from holdfast.store.schema import label_event
from tests.image_server import png


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "holdfast.toml").touch()
    with Project.open(tmp_path) as opened:
        yield opened


def say(key: str, annotator: str, label: str) -> Statement:
    return Statement(label=label, annotator=annotator, key=key)


def offer(project: Project, *images: tuple[Statement, ...]) -> IngestReport:
    offered = [
        OfferedImage(name=f"task {number}", payload=png(0), statements=statements)
        for number, statements in enumerate(images)
    ]
    source = Source(
        name="tasks",
        num_images=len(offered),
        labels=("cat", "dog"),
        images=lambda: iter(offered),
    )
    return take_in(project, source)


def events(project: Project) -> list[tuple[str, str]]:
    with project.ledger.read() as connection:
        rows = connection.execute(
            sa.select(label_event.c.annotator, label_event.c.source_key).order_by(label_event.c.id)
        )
        return [(annotator, key) for annotator, key in rows]


def current(project: Project) -> list[str]:
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
        table = labels.resolve(connection, labels.open_scope(connection))
        return [names[one] for one in np.asarray(table.class_ids_n).tolist()]


def test_every_statement_is_recorded_and_the_majority_holds(project):
    said = (say("1", "ann", "cat"), say("2", "bob", "dog"), say("3", "cho", "cat"))
    assert offer(project, said).num_labeled == 3
    assert sorted(events(project)) == [("ann", "1"), ("bob", "2"), ("cho", "3")]
    assert current(project) == ["cat"]


def test_statement_offered_again_is_the_same_one(project):
    assert offer(project, (say("1", "ann", "cat"),)).num_labeled == 1
    assert offer(project, (say("1", "ann", "cat"),)).num_labeled == 0
    # Two tasks show one image, and one person said the same of both.
    assert offer(project, (say("1", "ann", "cat"),), (say("2", "ann", "cat"),)).num_labeled == 1
    assert offer(project, (say("2", "ann", "cat"),)).num_labeled == 0


def test_answer_changed_there_and_back_holds(project):
    for key, label in (("1", "cat"), ("2", "dog"), ("3", "cat")):
        offer(project, (say(key, "ann", label),))
        assert current(project) == [label]


def test_source_of_which_nothing_comes_is_taken_in_as_nothing(project):
    report = offer(project)
    assert (report.num_offered, report.num_added, report.quarantined) == (0, 0, ())
