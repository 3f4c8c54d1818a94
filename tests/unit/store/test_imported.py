"""What the ledger has of another system's project."""

from __future__ import annotations

from holdfast.records import Query, QueryItem
from holdfast.store import imported, queries, rounds, samples
from holdfast.store.ledger import Ledger
from holdfast.store.samples import NewSample


def new_sample(number: int, source: str, reason: str | None = None) -> NewSample:
    return NewSample(
        uid=f"{number:064x}",
        num_bytes=1,
        width=8,
        height=8,
        channels=3,
        source=source,
        reason=reason,
    )


def test_sources_are_those_below_the_prefix(ledger: Ledger) -> None:
    with ledger.write() as connection:
        samples.register(
            connection,
            [
                new_sample(1, "http://a_b/3?task=1"),
                new_sample(2, "http://a_b/33?task=1"),
                new_sample(3, "http://axb/3?task=1"),
                new_sample(4, "http://a_b/3?task=2", reason="broken"),
            ],
        )
    with ledger.read() as connection:
        found = imported.sources_below(connection, "http://a_b/3?task=")
    assert found == {"http://a_b/3?task=1": f"{1:064x}"}


def test_asked_uids_are_those_with_a_question(ledger: Ledger) -> None:
    uids = [f"{number:064x}" for number in (1, 2, 3)]
    with ledger.write() as connection:
        samples.register(connection, [new_sample(1, "a"), new_sample(2, "b")])
        number = rounds.start(connection, "0" * 64)
        item = QueryItem(sample_id=2, reason="random", score=0.0)
        queries.add_query(connection, Query(round_number=number, batch=1, items=(item,)))
        assert imported.asked_uids(connection, uids) == {uids[1]}
        assert imported.asked_uids(connection, []) == set()
