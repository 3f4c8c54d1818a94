"""Findings in the ledger: which are about labels, and what an answer settles."""

import pytest

from holdfast.records import Changes, Finding, Settlement
from holdfast.store import labels, rounds, samples
from holdfast.store.rounds import PhaseRecord
from holdfast.store.samples import NewSample


@pytest.fixture
def connection(ledger):
    """Three samples, two classes, round 1 open."""
    new = [
        NewSample(uid=c * 64, num_bytes=1, width=8, height=8, channels=3, source=c) for c in "abc"
    ]
    with ledger.write() as connection:
        samples.register(connection, new)
        labels.add_classes(connection, ["cat", "dog"])
        rounds.start(connection, "digest")
        yield connection


def finding(sample_id, kind, score=0.5):
    return Finding(sample_id=sample_id, kind=kind, score=score, given=0, suggested=1)


def done(step, **changes):
    record = PhaseRecord(
        round_number=1, step=step, phase="audit", next_phase="query", outcome={}, seconds=0.0
    )
    return record, Changes(**changes)


def kinds(rows):
    return [row.finding.kind for row in rows]


def test_findings_are_about_labels_unless_kinds_are_named(connection):
    found = (finding(1, "label_error"), finding(1, "near_duplicate"), finding(2, "dark", 0.1))
    rounds.record(connection, *done(1, findings=found))
    assert kinds(rounds.findings(connection)) == ["label_error"]
    assert kinds(rounds.open_findings(connection, 1)) == ["label_error"]
    assert kinds(rounds.findings(connection, kinds=("dark",))) == ["dark"]
    assert kinds(rounds.findings(connection, 1, kinds=None)) == [
        "dark",
        "label_error",
        "near_duplicate",
    ]


def test_answer_settles_doubts_about_the_label_alone(connection):
    found = (finding(1, "label_error"), finding(1, "near_duplicate"))
    rounds.add_findings(connection, [finding(1, "label_conflict")], None)
    rounds.record(connection, *done(1, findings=found))
    settled = (Settlement(sample_id=1, outcome="corrected"),)
    rounds.record(connection, *done(2, settlements=settled))
    outcomes = {row.finding.kind: row.outcome for row in rounds.findings(connection, kinds=None)}
    assert outcomes == {
        "label_error": "corrected",
        "label_conflict": "corrected",
        "near_duplicate": None,
    }


def test_found_before_lists_samples_by_kind_without_doubts_about_labels(connection):
    assert rounds.found_before(connection) == {}
    found = (
        finding(3, "dark"),
        finding(1, "dark"),
        finding(2, "blurry"),
        finding(2, "label_error"),
    )
    rounds.record(connection, *done(1, findings=found))
    before = rounds.found_before(connection)
    assert {kind: ids.tolist() for kind, ids in before.items()} == {"dark": [1, 3], "blurry": [2]}
