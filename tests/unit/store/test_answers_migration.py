"""A ledger of an earlier release keeps its answers, and takes such as nobody asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from holdfast.store import answers
from holdfast.store.ledger import Ledger

NOW = "2026-01-01T00:00:00.000+00:00"


def row(**changed: Any) -> dict[str, Any]:
    return {
        "query_key": "round-1",
        "sample_id": 1,
        "oracle": "csv",
        "external_id": "a",
        "updated_at": "1",
        "annotator": "ann",
        "label": "cat",
        "class_id": 0,
        "state": "ok",
        "created_at": NOW,
    } | changed


@pytest.fixture
def old_url(ledger_at: Callable[..., str]) -> str:
    """A ledger of revision 0003 with one answer."""
    return ledger_at("0003", _write)


def _write(connection: sa.Connection) -> None:
    tables = sa.MetaData()
    tables.reflect(connection)
    sample = {
        "id": 1,
        "uid": "1" * 64,
        "num_bytes": 1,
        "width": 8,
        "height": 8,
        "channels": 1,
        "source": "1.png",
        "split": "train",
        "state": "ok",
        "created_at": NOW,
    }
    started = {"number": 1, "state": "open", "config_digest": "0" * 64, "started_at": NOW}
    for name, values in {
        "class": {"id": 0, "name": "cat", "created_at": NOW},
        "sample": sample,
        "round": started,
        "query": {"key": "round-1", "round": 1, "batch": 1},
        "answer": row(),
    }.items():
        connection.execute(sa.insert(tables.tables[name]), values)


def test_answers_of_before_are_kept_and_unasked_ones_fit(old_url: str) -> None:
    ledger = Ledger(old_url)
    with ledger.write() as connection:
        (kept,) = answers.current_answers(connection)
        assert (kept.query_key, kept.answer.annotator, kept.id) == ("round-1", "ann", 1)
        tables = sa.MetaData()
        tables.reflect(connection)
        table = tables.tables["answer"]
        connection.execute(sa.insert(table), row(query_key=None, external_id="b"))
    with ledger.read() as connection:
        assert [one.query_key for one in answers.current_answers(connection)] == ["round-1", None]
        assert len(answers.current_answers(connection, 1)) == 1
    ledger.close()


@pytest.mark.parametrize(
    "wrong",
    [{}, {"external_id": "b", "state": "odd"}, {"external_id": "b", "query_key": "round-9"}],
    ids=["twice", "state", "query"],
)
def test_rules_about_answers_still_hold(old_url: str, wrong: dict[str, Any]) -> None:
    ledger = Ledger(old_url)
    tables = sa.MetaData()
    with ledger.read() as connection:
        tables.reflect(connection)
        indexes = {one["name"] for one in sa.inspect(connection).get_indexes("answer")}
    assert {"ix_answer_query_key", "ix_answer_sample_id"} <= indexes
    with pytest.raises(sa.exc.IntegrityError), ledger.write() as connection:
        connection.execute(sa.insert(tables.tables["answer"]), row(**wrong))
    ledger.close()
