"""The ledger keeps its promises on every database it runs on."""

from __future__ import annotations

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Connection

from holdfast.errors import LedgerError
from holdfast.records import Changes, DatasetVersion, LabelEvent, ModelRecord, Promotion
from holdfast.store import labels, models, rounds, samples
from holdfast.store.label_rule import Scope
from holdfast.store.ledger import Ledger
from holdfast.store.rounds import PhaseRecord
from holdfast.store.schema import metadata


def add_samples(connection: Connection, count: int) -> None:
    samples.register(
        connection,
        [
            samples.NewSample(
                uid=f"{number:064d}",
                num_bytes=10,
                width=8,
                height=8,
                channels=1,
                source=f"{number}.png",
            )
            for number in range(1, count + 1)
        ],
    )


def say(sample_id: int, kind: str, class_id: int | None, key: str) -> LabelEvent:
    return LabelEvent(
        sample_id=sample_id, kind=kind, class_id=class_id, annotator="a", source_key=key
    )


def labels_now(ledger: Ledger) -> dict[int, int]:
    with ledger.read() as connection:
        table = labels.resolve(connection, labels.open_scope(connection))
    return dict(zip(table.sample_ids_n.tolist(), table.class_ids_n.tolist(), strict=True))


def add_model(connection: Connection, sha256: str, round_number: int) -> int:
    version = models.add_version(
        connection,
        DatasetVersion(
            round_number=round_number,
            parent=None,
            watermark=labels.last_event(connection),
            excluded=(),
            digest="0" * 64,
            num_labels=0,
        ),
    )
    models.add_model(
        connection,
        ModelRecord(sha256=sha256, round_number=round_number, parent=None, dataset_version=version),
    )
    return version


def test_migrations_after_upgrade_match_the_tables(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_register_twice_adds_nothing(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_samples(connection, 3)
    before = ledger.digest()
    with ledger.write() as connection:
        add_samples(connection, 3)
    assert ledger.digest() == before


def test_resolve_prefers_consensus_then_annotation_then_given(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_samples(connection, 4)
        labels.add_classes(connection, ["ant", "bee", "cat"])
        labels.append(
            connection,
            [
                say(1, "consensus", 2, "1"),
                say(1, "annotation", 1, "2"),
                say(1, "given", 0, "3"),
                say(2, "annotation", 1, "4"),
                say(2, "given", 0, "5"),
                say(3, "given", 0, "6"),
                say(3, "given", 1, "7"),
            ],
            None,
        )
    assert labels_now(ledger) == {1: 2, 2: 1, 3: 1}


def test_resolve_after_withdrawal_counts_only_what_was_said_later(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_samples(connection, 2)
        labels.add_classes(connection, ["ant", "bee"])
        labels.append(
            connection,
            [say(1, "consensus", 1, "1"), say(2, "given", 0, "2")],
            None,
        )
        labels.append(connection, [say(1, "withdrawn", None, "3")], None)
    assert labels_now(ledger) == {2: 0}
    with ledger.write() as connection:
        labels.append(connection, [say(1, "given", 0, "4")], None)
    assert labels_now(ledger) == {1: 0, 2: 0}


def test_resolve_within_a_scope_sees_that_moment_without_excluded_ranges(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_samples(connection, 3)
        labels.add_classes(connection, ["ant", "bee"])
        for number in (1, 2, 3):
            labels.append(connection, [say(number, "given", 0, str(number))], None)
        early = labels.resolve(connection, Scope(2))
        holed = labels.resolve(connection, Scope(3, ((2, 2),)))
    assert early.sample_ids_n.tolist() == [1, 2]
    assert holed.sample_ids_n.tolist() == [1, 3]


def test_append_of_a_known_source_key_is_one_event(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_samples(connection, 1)
        labels.add_classes(connection, ["ant", "bee"])
        assert labels.append(connection, [say(1, "given", 0, "same")], None) == 1
        assert labels.append(connection, [say(1, "given", 1, "same")], None) == 0
    assert labels_now(ledger) == {1: 0}


def test_write_that_fails_leaves_nothing(ledger: Ledger) -> None:
    before = ledger.digest()
    with pytest.raises(KeyError), ledger.write() as connection:
        add_samples(connection, 2)
        raise KeyError
    assert ledger.digest() == before


def test_uids_of_keeps_the_order_asked_for(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_samples(connection, 5)
        found = samples.uids_of(connection, np.array([4, 1, 5]))
    assert found == [f"{number:064d}" for number in (4, 1, 5)]


def test_uids_of_an_unknown_sample_is_an_error(ledger: Ledger) -> None:
    with ledger.read() as connection, pytest.raises(LedgerError, match="no sample 7"):
        samples.uids_of(connection, np.array([7]))


def test_promote_against_an_outdated_champion_changes_nothing(ledger: Ledger) -> None:
    def promotion(expected: str | None, champion: str) -> Promotion:
        return Promotion(
            round_number=1,
            expected=expected,
            champion=champion,
            dataset_version=version,
            kind="promote",
            verdict={},
            who="gate",
        )

    with ledger.write() as connection:
        rounds.start(connection, "0" * 64)
        version = add_model(connection, "a" * 64, 1)
        add_model(connection, "b" * 64, 1)
        models.promote(connection, promotion(None, "a" * 64))
    with pytest.raises(LedgerError, match="champion is now aaaa"), ledger.write() as connection:
        models.promote(connection, promotion(None, "b" * 64))
    with ledger.read() as connection:
        assert [one.champion for one in models.promotions(connection)] == ["a" * 64]


def test_record_of_a_step_that_is_done_changes_nothing(ledger: Ledger) -> None:
    with ledger.write() as connection:
        number = rounds.start(connection, "0" * 64)
    done = PhaseRecord(
        round_number=number, step=1, phase="audit", next_phase="query", outcome={}, seconds=0.0
    )
    with ledger.write() as connection:
        rounds.record(connection, done, Changes(classes=("ant",)))
    before = ledger.digest()
    with pytest.raises(LedgerError, match="step 1 first"), ledger.write() as connection:
        rounds.record(connection, done, Changes(classes=("bee",)))
    assert ledger.digest() == before


def test_start_while_a_round_is_open_is_an_error(ledger: Ledger) -> None:
    with ledger.write() as connection:
        rounds.start(connection, "0" * 64)
    with pytest.raises(LedgerError, match="round 1 is still open"), ledger.write() as connection:
        rounds.start(connection, "0" * 64)


def test_ledger_of_a_newer_release_is_refused(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger(url)
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    ledger.close()
    with pytest.raises(LedgerError, match="upgrade Holdfast"):
        Ledger(url)
