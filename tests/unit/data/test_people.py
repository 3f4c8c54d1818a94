"""What named people say of images that come in is answers, each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast.data import people
from holdfast.data.ingest import ingest, ingest_images, take_in
from holdfast.data.offers import OfferedImage, Source, Statement
from holdfast.data.report import IngestReport
from holdfast.project import Project
from holdfast.records import LabelEvent
from holdfast.store import answers, labels
from holdfast.store.schema import answer, label_event
from tests.image_server import png

CAT, DOG = 0, 1


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "holdfast.toml").touch()
    with Project.open(tmp_path) as opened:
        yield opened


def write(folder: Path, *lines: str) -> Path:
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(number))
    path = folder / "m.csv"
    path.write_text("\n".join(["path,label,annotator", *lines]))
    return path


def say(key: str, annotator: str, label: str, when: str = "1") -> Statement:
    return Statement(
        label=label,
        annotator=annotator,
        key=f"{key}@{when}",
        answer_id=key,
        updated_at=when,
        comment="blurred",
        seconds=2.5,
        answered_at="2026-01-01T00:00:00Z",
    )


def offer(project: Project, *statements: Statement) -> IngestReport:
    images = [
        OfferedImage(name="task", payload=png(0), statements=statements),
        OfferedImage(name="other", payload=png(1), label="dog"),
    ]
    source = Source(name="tasks", num_images=2, labels=("cat", "dog"), images=lambda: iter(images))
    return take_in(project, source)


def held(project: Project) -> list[tuple[int, str, str | None]]:
    with project.ledger.read() as connection:
        return [
            (one.answer.sample_id, one.answer.annotator, one.answer.label)
            for one in answers.current_answers(connection)
        ]


def current(project: Project) -> dict[int, tuple[int, bool]]:
    with project.ledger.read() as connection:
        table = labels.resolve(connection, labels.open_scope(connection))
        columns = (table.sample_ids_n, table.class_ids_n, table.verified_n)
        return {i: (k, v) for i, k, v in zip(*(one.tolist() for one in columns), strict=True)}


def num_rows(project: Project) -> tuple[int, int]:
    with project.ledger.read() as connection:
        return tuple(
            connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (answer, label_event)
        )


def settle(project: Project, sample_id: int, class_id: int) -> None:
    """Record a consensus, as a round does."""
    with project.ledger.write() as connection:
        event = LabelEvent(
            sample_id=sample_id,
            kind="consensus",
            class_id=class_id,
            annotator="consensus",
            source_key="consensus/1/1",
        )
        labels.append(connection, [event], 1)


def test_lines_of_a_manifest_with_annotators_are_answers(project: Project, tmp_path: Path) -> None:
    path = write(
        tmp_path, "0.png,cat,ann", "0.png,dog,bob", "0.png,cat,cho", "1.png,dog,", "2.png,,"
    )
    report = ingest(project, path)
    assert (report.num_labeled, report.num_answers) == (4, 3)
    assert held(project) == [(1, "ann", "cat"), (1, "bob", "dog"), (1, "cho", "cat")]
    with project.ledger.read() as connection:
        (row,) = {(r.query_key, r.oracle) for r in answers.current_answers(connection)}
        kinds = connection.execute(
            sa.select(label_event.c.kind, label_event.c.annotator).order_by(label_event.c.id)
        ).all()
    assert row == (None, "ingest")
    assert kinds == [
        ("annotation", "bob"),
        ("annotation", "ann"),
        ("annotation", "cho"),
        ("given", "source"),
    ]
    # Nobody has confirmed any of them yet: the audit doubts them as it doubts all others.
    assert current(project) == {1: (CAT, False), 2: (DOG, False)}


def test_manifest_ingested_again_adds_nothing(project: Project, tmp_path: Path) -> None:
    path = write(tmp_path, "0.png,cat,ann", "0.png,dog,bob", "1.png,dog,ann")
    ingest(project, path)
    digest = project.ledger.digest()
    assert ingest(project, path).num_answers == 0
    assert project.ledger.digest() == digest


def test_manifest_in_a_dry_run_writes_no_answer(project: Project, tmp_path: Path) -> None:
    path = write(tmp_path, "0.png,cat,ann", "1.png,dog,ann")
    assert ingest(project, path, keeping="nothing").num_answers == 2
    assert num_rows(project) == (0, 0)


def test_person_who_names_another_class_in_a_later_manifest_has_one_voice(
    project: Project, tmp_path: Path
) -> None:
    ingest(project, write(tmp_path, "0.png,cat,ann", "1.png,dog,ann"))
    assert ingest(project, write(tmp_path, "0.png,dog,ann", "1.png,dog,ann")).num_answers == 1
    assert held(project) == [(2, "ann", "dog"), (1, "ann", "dog")]
    assert current(project)[1] == (DOG, False)


def test_ledger_that_knows_the_labels_gains_the_answers(project: Project, tmp_path: Path) -> None:
    path = write(tmp_path, "0.png,cat,ann", "1.png,dog,ann")
    ingest(project, path)
    with project.ledger.write() as connection:
        # As an earlier release left it.
        connection.execute(sa.delete(answer))
        connection.execute(sa.update(label_event).values(kind="given"))
    before = current(project)
    report = ingest(project, path)
    assert (report.num_labeled, report.num_answers) == (0, 2)
    assert current(project) == before


def test_images_in_quarantine_bring_no_answers(project: Project) -> None:
    report = ingest_images(
        project, [b"no image", png(1), png(2)], ["cat", "cat", "dog"], annotators=["ann"] * 3
    )
    assert report.num_answers == 2


def test_statement_brings_time_seconds_and_comment(project: Project) -> None:
    assert offer(project, say("a", "ann", "cat")).num_answers == 1
    with project.ledger.read() as connection:
        (row,) = answers.current_answers(connection)
    said = row.answer
    assert (said.external_id, said.updated_at, said.comment) == ("a", "1", "blurred")
    assert (said.seconds, said.answered_at) == (2.5, "2026-01-01T00:00:00Z")


def test_answer_edited_at_its_source_replaces_the_earlier(project: Project) -> None:
    offer(project, say("a", "ann", "cat"))
    for when, label, class_id in (("2", "dog", DOG), ("3", "cat", CAT)):
        assert offer(project, say("a", "ann", label, when)).num_answers == 1
        assert held(project) == [(1, "ann", label)]
        assert current(project)[1] == (class_id, False)


def test_edit_ends_the_consensus_that_rested_on_it(project: Project) -> None:
    offer(project, say("a", "ann", "cat"), say("b", "bob", "cat"))
    settle(project, 1, CAT)
    assert current(project)[1] == (CAT, True)
    offer(project, say("a", "ann", "dog", "2"), say("b", "bob", "dog", "2"))
    assert current(project)[1] == (DOG, False)
    before = num_rows(project)
    offer(project, say("a", "ann", "dog", "2"), say("b", "bob", "dog", "2"))
    assert num_rows(project) == before


def test_answer_taken_back_takes_its_label_along(project: Project) -> None:
    offer(project, say("a", "ann", "cat"), say("b", "bob", "dog"), say("c", "cho", "cat"))
    for gone, left in (("a", (DOG, False)), ("c", (DOG, False)), ("b", None)):
        with project.ledger.write() as connection:
            assert people.take_back(connection, [gone]) == 1
        assert current(project).get(1) == left
    assert held(project) == []
    with project.ledger.write() as connection:
        assert people.take_back(connection, ["a", "b", "c", "never there"]) == 0


def test_label_given_by_the_source_holds_again_when_the_answer_is_gone(project: Project) -> None:
    ingest_images(project, [png(0), png(1)], ["dog", "cat"], names=["a", "b"])
    dog, cat = 0, 1
    offer(project, say("a", "ann", "cat"))
    assert current(project)[1] == (cat, False)
    with project.ledger.write() as connection:
        people.take_back(connection, ["a"])
    assert current(project)[1] == (dog, False)
