"""A ledger of an earlier release keeps what its versions held."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sqlalchemy as sa

from holdfast.data.versions import digest
from holdfast.records import LabelEvent
from holdfast.store import labels, models, samples
from holdfast.store.label_rule import Scope
from holdfast.store.ledger import Ledger

NOW = "2026-01-01T00:00:00.000+00:00"


@pytest.fixture
def old_url(ledger_at: Callable[..., str]) -> str:
    """A ledger of revision 0002 with four samples, three versions and a rollback."""
    return ledger_at("0002", _write)


def _write(connection: sa.Connection) -> None:
    tables = sa.MetaData()
    tables.reflect(connection)

    def add(name: str, *rows: dict[str, object]) -> None:
        connection.execute(sa.insert(tables.tables[name]), list(rows))

    add("class", *({"id": k, "name": n, "created_at": NOW} for k, n in enumerate(("cat", "dog"))))
    add(
        "sample",
        *(
            {
                "id": i,
                "uid": f"{i:064x}",
                "num_bytes": 1,
                "width": 8,
                "height": 8,
                "channels": 1,
                "source": f"{i}.png",
                "split": "train",
                "state": "quarantined" if i == 4 else "ok",
                "created_at": NOW,
            }
            for i in range(1, 5)
        ),
    )
    said = [(1, "given", 0), (2, "given", 0), (4, "given", 1)]
    said += [(1, "annotation", 1), (3, "given", 1), (2, "withdrawn", None), (2, "given", 1)]
    add(
        "label_event",
        *(
            {
                "sample_id": i,
                "kind": kind,
                "class_id": k,
                "annotator": "ann",
                "source_key": str(n),
                "created_at": NOW,
            }
            for n, (i, kind, k) in enumerate(said)
        ),
    )
    for watermark, excluded, recipe in [
        (3, [], {"config": "x"}),
        (6, [], {"config": "x"}),
        (6, [[4, 6]], {"rollback_to": 1}),
    ]:
        add(
            "dataset_version",
            {
                "round": 1,
                "tier": "raw",
                "watermark": watermark,
                "excluded": excluded,
                "digest": "0" * 64,
                "num_labels": 0,
                "recipe": recipe,
                "created_at": NOW,
            },
        )


def test_versions_of_before_hold_what_they_held(old_url: str) -> None:
    ledger = Ledger(old_url)
    with ledger.read() as connection:
        for version_id, held in [(1, {1: 0, 2: 0}), (2, {1: 1, 3: 1}), (3, {1: 0, 2: 0})]:
            stored = models.version_by_id(connection, version_id)
            bare = Scope(stored.version.watermark, stored.version.excluded)
            for scope in (stored.scope, bare):
                table = labels.resolve(connection, scope)
                found = zip(table.sample_ids_n.tolist(), table.class_ids_n.tolist(), strict=True)
                assert dict(found) == held
            uids = samples.uids_of(connection, np.array(list(held), np.int64))
            classes = np.array(list(held.values()), np.int64)
            assert stored.version.digest == digest(uids, classes, ["cat", "dog"])
            assert stored.version.tier == ("raw" if version_id == 3 else "training")
        now = labels.resolve(connection, labels.open_scope(connection))
        # The rollback left event 7 in: it was said afterwards.
        assert dict(zip(now.sample_ids_n.tolist(), now.class_ids_n.tolist(), strict=True)) == {
            1: 0,
            2: 1,
        }
    ledger.close()


def test_ledger_of_before_goes_on(old_url: str) -> None:
    ledger = Ledger(old_url)
    with ledger.write() as connection:
        said = LabelEvent(sample_id=3, kind="given", class_id=0, annotator="ann", source_key="new")
        assert labels.append(connection, [said], 2) == 1
        scope = labels.open_scope(connection)
        kept = labels.resolve(connection, scope)
        ruled = labels.resolve(connection, Scope(scope.watermark, scope.excluded))
        assert kept.sample_ids_n.tolist() == ruled.sample_ids_n.tolist() == [1, 2, 3]
        assert kept.class_ids_n.tolist() == ruled.class_ids_n.tolist()
    ledger.close()
