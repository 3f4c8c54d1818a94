"""Many values in one condition, many rows in one statement."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from holdfast.store.ledger import Ledger
from holdfast.store.many import among, insert
from holdfast.store.schema import class_

COLUMNS = ("id", "name", "created_at")
NAMES = ['it\'s a "cat"', "50 %", "naïve, dog", "?"]


def found(ledger: Ledger, condition: sa.ColumnElement[bool]) -> list[str]:
    with ledger.read() as connection:
        rows = connection.execute(sa.select(class_.c.name).where(condition).order_by(class_.c.id))
        return list(rows.scalars())


@pytest.fixture
def named(ledger: Ledger) -> Ledger:
    with ledger.write() as connection:
        insert(connection, class_, COLUMNS, [(k, name, "") for k, name in enumerate(NAMES)])
    return ledger


def test_among_finds_numbers_and_texts_as_they_are(named: Ledger) -> None:
    assert found(named, among(class_.c.id, np.array([3, 0, 77]))) == [NAMES[0], NAMES[3]]
    assert found(named, among(class_.c.name, [NAMES[2], NAMES[1], "cat"])) == NAMES[1:3]
    assert found(named, among(class_.c.id, [])) == []


def test_among_takes_more_values_than_a_statement_has_places(named: Ledger) -> None:
    assert found(named, among(class_.c.id, range(1, 100_000))) == NAMES[1:]


def test_among_of_other_values_is_not_answered_from_the_statement_before(named: Ledger) -> None:
    for number, name in enumerate(NAMES):
        assert found(named, among(class_.c.id, [number])) == [name]


def test_insert_passes_over_known_keys_or_refuses_them(named: Ledger) -> None:
    rows = [(0, "another", ""), (4, "new", "")]
    with pytest.raises(sa.exc.IntegrityError), named.write() as connection:
        insert(connection, class_, COLUMNS, rows)
    assert found(named, sa.true()) == NAMES
    with named.write() as connection:
        insert(connection, class_, COLUMNS, rows, pass_over=True)
    assert found(named, sa.true()) == [*NAMES, "new"]
