"""A part of the first answers confirms the holdout's labels, rare classes first."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from holdfast.project import Project
from holdfast.store import rounds
from holdfast.store.schema import query_item, sample


@pytest.fixture
def checking(person, shelf):
    person.set({"data.holdout_fraction": "0.3", "query.share_holdout": "0.5"})
    person.succeed("ingest", str(shelf.labeled))
    person.succeed("ingest", str(shelf.unlabeled))
    return person


def asked(person, reason: str) -> list[tuple[str, str]]:
    """Return query and split of the samples that were asked about for a reason."""
    with Project.open(person.root) as project, project.ledger.read() as connection:
        rows = connection.execute(
            sa.select(query_item.c.query_key, sample.c.split)
            .join(sample, sample.c.id == query_item.c.sample_id)
            .where(query_item.c.reason == reason)
            .order_by(query_item.c.query_key)
        )
        return [(key, split) for key, split in rows]


def test_rounds_confirm_labels_of_the_holdout(checking) -> None:
    checking.play("round-1")
    assert asked(checking, "holdout") == [("round-1", "holdout")] * 3
    classes = checking.succeed("status")["classes"]
    with Project.open(checking.root) as project, project.ledger.read() as connection:
        outcome = next(r.outcome for r in rounds.phases(connection, 1) if r.phase == "evaluate")
    assert outcome["verified"] == 3
    assert all(one["confirmed"] >= 1 for one in classes)
    checking.play("round-2")
    assert len(asked(checking, "holdout")) == 6
