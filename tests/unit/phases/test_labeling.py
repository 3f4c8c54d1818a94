"""What settled answers do to labels where some of the answers came with the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.engine import Connection

from holdfast.phases.labeling import label
from holdfast.records import Answer, LabelEvent, RecordedAnswer
from holdfast.store import labels, samples
from holdfast.store.ledger import Ledger
from holdfast.store.samples import NewSample

CAT, DOG = 0, 1
ONE = np.array([1], np.int64)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """A sample that came as a cat, says ann, and that a round's answer made a dog."""
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    with ledger.write() as opened:
        new = NewSample(uid="1" * 64, num_bytes=1, width=8, height=8, channels=3, source="1")
        samples.register(opened, [new])
        labels.add_classes(opened, ["cat", "dog"])
        for key, class_id, round_number in (("came", CAT, None), ("asked", DOG, 1)):
            event = LabelEvent(
                sample_id=1,
                kind="annotation",
                class_id=class_id,
                annotator="ann",
                source_key=key,
            )
            labels.append(opened, [event], round_number)
        yield opened
    ledger.close()


def vote(number: int, class_id: int, query: str | None) -> RecordedAnswer:
    answer = Answer(
        sample_id=1,
        label="any",
        annotator=f"person {number}",
        external_id=str(number),
        updated_at="1",
    )
    return RecordedAnswer(
        answer=answer, query_key=query, oracle="any", class_id=class_id, id=number
    )


def held(connection: Connection) -> tuple[int, bool]:
    table = labels.resolve(connection, labels.open_scope(connection))
    return int(table.class_ids_n[0]), bool(table.verified_n[0])


def test_label_that_is_left_with_what_came_is_unconfirmed_again(connection: Connection) -> None:
    assert held(connection) == (DOG, True)
    done = label(connection, 2, [vote(1, CAT, None)], {1: CAT}, ONE)
    labels.append(connection, done.events, 2)
    assert held(connection) == (CAT, False)


def test_answers_that_came_count_beside_those_asked_for(connection: Connection) -> None:
    replies = [vote(1, CAT, None), vote(2, CAT, "round-1")]
    done = label(connection, 2, replies, {1: CAT}, ONE)
    # The one that came with the data has its label event since then.
    assert [(one.kind, one.annotator) for one in done.events] == [
        ("annotation", "person 2"),
        ("consensus", "consensus"),
    ]
    labels.append(connection, done.events, 2)
    assert held(connection) == (CAT, True)


def test_nobody_who_can_tell_changes_no_label(connection: Connection) -> None:
    assert label(connection, 2, [], {1: DOG}, np.empty(0, np.int64)).events == ()
