"""What is kept of the labels that hold is what the rule says of the log, whatever happens."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sqlalchemy as sa

from holdfast.data.versions import compare, digest
from holdfast.errors import LedgerError
from holdfast.records import DatasetVersion, LabelEvent, LabelTable
from holdfast.store import (
    differences,
    held_labels,
    labels,
    models,
    quarantine,
    sample_story,
    samples,
    version_names,
)
from holdfast.store.label_digest import EMPTY
from holdfast.store.label_rule import Scope
from holdfast.store.ledger import Ledger

NUM_SAMPLES = 30
NAMES = ["cat", "dog", "owl"]


def fill(ledger: Ledger) -> None:
    with ledger.write() as connection:
        labels.add_classes(connection, NAMES)
        samples.register(
            connection,
            [
                samples.NewSample(
                    uid=f"{number:064x}",
                    num_bytes=10,
                    width=8,
                    height=8,
                    channels=1,
                    source=f"{number}.png",
                    split="holdout" if number % 3 == 0 else "train",
                )
                for number in range(1, NUM_SAMPLES + 1)
            ],
        )


def say(sample_id: int, kind: str, class_id: int | None, key: object) -> LabelEvent:
    return LabelEvent(
        sample_id=sample_id, kind=kind, class_id=class_id, annotator="ann", source_key=str(key)
    )


def as_dict(table: LabelTable) -> dict[int, tuple[int, bool]]:
    columns = (table.sample_ids_n, table.class_ids_n, table.verified_n)
    return {i: (k, v) for i, k, v in zip(*(c.tolist() for c in columns), strict=True)}


def live_through(ledger: Ledger, seed: int) -> list[tuple[Scope, dict[int, tuple[int, bool]]]]:
    """Do forty things at random; return what the rule said after each, at that time."""
    rng = np.random.default_rng(seed)
    seen = []
    for step in range(40):
        ids = rng.choice(np.arange(1, NUM_SAMPLES + 1), 4, replace=False).tolist()
        with ledger.write() as connection:
            act = rng.integers(8)
            if act == 0:
                quarantine.set_aside(connection, dict.fromkeys(ids[:2], "odd"), "ann")
            elif act == 1:
                quarantine.release(connection, list(range(1, NUM_SAMPLES + 1)), "ann")
            else:
                kinds = rng.choice(["given", "annotation", "consensus", "withdrawn"], 4)
                events = [
                    say(i, str(kind), None if kind == "withdrawn" else int(rng.integers(3)), key)
                    for key, (i, kind) in enumerate(zip(ids, kinds, strict=True), 4 * step)
                ]
                labels.append(connection, events, None)
            scope = labels.open_scope(connection)
            ruled = labels.resolve(connection, Scope(scope.watermark, scope.excluded))
        seen.append((scope, as_dict(ruled)))
    return seen


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_moment_stays_what_the_rule_said_then(ledger: Ledger, seed: int) -> None:
    fill(ledger)
    seen = live_through(ledger, seed)
    with ledger.read() as connection:
        for scope, ruled in seen:
            assert as_dict(labels.resolve(connection, scope)) == ruled
            moment = held_labels.at(connection, scope.moment or 0)
            ids = np.array(sorted(ruled), np.int64)
            classes = np.array([ruled[i][0] for i in ids.tolist()], np.int64)
            assert moment.num_labels == len(ruled)
            assert moment.digest == digest(samples.uids_of(connection, ids), classes, NAMES)
            counted = np.unique(classes, return_counts=True)
            assert dict(moment.counts) == dict(zip(*(c.tolist() for c in counted), strict=True))
            by_split = held_labels.class_counts(connection, moment.id).values()
            for k in range(3):
                assert sum(of.get(k, 0) for of in by_split) == moment.counts.get(k, 0)


SPLITS = ("train", "holdout")


def test_resolve_of_one_split_is_that_part_of_all(ledger: Ledger) -> None:
    fill(ledger)
    live_through(ledger, 0)
    with ledger.read() as connection:
        scope = labels.open_scope(connection)
        whole = as_dict(labels.resolve(connection, scope))
        for bare in (scope, Scope(scope.watermark)):
            sides = [as_dict(labels.resolve(connection, bare, s)) for s in SPLITS]
            assert sides[1] == {i: one for i, one in whole.items() if i % 3 == 0}
            assert sides[0] | sides[1] == whole


def test_differences_are_those_of_the_two_tables_in_both_directions(ledger: Ledger) -> None:
    fill(ledger)
    seen = live_through(ledger, 3)
    rng = np.random.default_rng(0)
    with ledger.read() as connection:
        for _ in range(60):
            (one, early), (two, late) = (seen[int(at)] for at in rng.integers(len(seen), size=2))
            changed = {
                i: (early.get(i, (None,))[0], late.get(i, (None,))[0])
                for i in {*early, *late}
                if early.get(i, (None,))[0] != late.get(i, (None,))[0]
            }
            moments = (one.moment or 0, two.moment or 0)
            counts: dict[tuple[int | None, int | None], int] = {}
            for pair in changed.values():
                counts[pair] = counts.get(pair, 0) + 1
            assert differences.transitions(connection, *moments) == counts
            found = list(differences.changes(connection, *moments))
            assert {c.sample_id: (c.before, c.after) for c in found} == changed
            assert [c.sample_id for c in found] == sorted(changed)
            few = list(differences.changes(connection, *moments, limit=2))
            assert few == found[:2]


def test_changes_say_who_and_why(ledger: Ledger) -> None:
    fill(ledger)
    with ledger.write() as connection:
        labels.append(connection, [say(i, "given", 0, i) for i in (1, 2, 3)], None)
        before = held_labels.newest(connection).id
        labels.append(connection, [say(1, "annotation", 1, "a"), say(2, "withdrawn", None, "b")], 4)
        quarantine.set_aside(connection, {3: "blurry"}, "eve")
        after = held_labels.newest(connection).id
        said = list(differences.changes(connection, before, after))
    assert [(c.who, c.why, c.round_number) for c in said] == [
        ("ann", "annotation", 4),
        ("ann", "withdrawn", 4),
        ("eve", "in quarantine: blurry", None),
    ]
    assert [(c.before, c.after) for c in said] == [(0, 1), (0, None), (0, None)]


def test_nothing_changed_is_no_new_moment(ledger: Ledger) -> None:
    fill(ledger)
    with ledger.write() as connection:
        assert held_labels.newest(connection).digest == EMPTY
        labels.append(connection, [say(1, "consensus", 0, "a")], None)
        first = held_labels.newest(connection)
        labels.append(connection, [say(1, "annotation", 1, "b")], None)
        assert held_labels.newest(connection) == first
        assert compare(differences.transitions(connection, first.id, first.id)).added == {}


def test_released_sample_has_its_label_again_and_the_release_is_on_record(ledger: Ledger) -> None:
    fill(ledger)
    with ledger.write() as connection:
        labels.append(connection, [say(1, "given", 2, "a"), say(2, "given", 1, "b")], None)
        whole = held_labels.newest(connection)
        quarantine.set_aside(connection, {1: "dark"}, "eve")
        assert held_labels.newest(connection).counts == {1: 1}
        (kept,) = quarantine.kept_aside(connection, 10)
        assert (kept.sample_id, kept.who, kept.reason) == (1, "eve", "dark")
        quarantine.release(connection, [1, 2], "ada")
        assert held_labels.newest(connection).digest == whole.digest
        assert quarantine.kept_aside(connection, 10) == []
        told = sample_story.story(connection, 1)["quarantine"]
        events = [(e["kind"], e["reason"], e["who"]) for e in told]
        assert events == [("set_aside", "dark", "eve"), ("released", "dark", "ada")]
        assert sample_story.story(connection, 2)["quarantine"] == []
        assert quarantine.released_for(connection, [1, 2]) == {1: "dark"}


def test_write_that_fails_keeps_the_moment(ledger: Ledger) -> None:
    fill(ledger)
    with pytest.raises(KeyError), ledger.write() as connection:
        labels.append(connection, [say(1, "given", 0, "a")], None)
        raise KeyError
    with ledger.read() as connection:
        assert held_labels.newest(connection).id == 0
        assert len(held_labels.held(connection, 1)) == 0


def add_version(ledger: Ledger, round_number: int, tier: str) -> int:
    with ledger.write() as connection:
        return models.add_version(
            connection,
            DatasetVersion(
                round_number=round_number,
                parent=None,
                watermark=labels.last_event(connection),
                excluded=(),
                digest=EMPTY,
                num_labels=0,
                tier=tier,
            ),
        )


def test_versions_are_found_by_id_round_tag_and_latest(ledger: Ledger) -> None:
    ids = [add_version(ledger, n, tier) for n in (1, 2) for tier in ("raw", "training")]
    rolled_back = add_version(ledger, 1, "raw")
    with ledger.write() as connection:
        version_names.tag(connection, ids[0], "first", "ada")
        version_names.tag(connection, ids[0], "first", "eve")
        wanted = {"first": ids[0], "round-1": ids[1], "latest": ids[3], str(rolled_back): 5}
        for name, version_id in wanted.items():
            assert version_names.find(connection, name).id == version_id
        assert [one.tags for one in version_names.listed(connection)][-1] == ("first",)
        assert len(version_names.listed(connection, 2)) == 2


@pytest.mark.parametrize("name", ["99", "round-7", "frist", "x", ""])
def test_unknown_version_is_an_error_that_helps(ledger: Ledger, name: str) -> None:
    version_id = add_version(ledger, 1, "training")
    with ledger.write() as connection:
        version_names.tag(connection, version_id, "first", "ada")
        with pytest.raises(LedgerError, match="versions list" if name != "frist" else "first"):
            version_names.find(connection, name)


@pytest.mark.parametrize("name", ["latest", "round-3", "7", "a b", "-x", "", "x" * 65])
def test_tag_that_could_be_mistaken_is_refused(ledger: Ledger, name: str) -> None:
    version_id = add_version(ledger, 1, "training")
    with ledger.write() as connection, pytest.raises(LedgerError, match="choose another"):
        version_names.tag(connection, version_id, name, "ada")


def test_tag_of_another_version_does_not_move(ledger: Ledger) -> None:
    one, two = add_version(ledger, 1, "training"), add_version(ledger, 2, "training")
    with ledger.write() as connection:
        version_names.tag(connection, one, "gold", "ada")
        with pytest.raises(LedgerError, match="tags do not move"):
            version_names.tag(connection, two, "gold", "ada")


def test_tiers_are_each_the_parent_of_the_next(ledger: Ledger) -> None:
    fill(ledger)
    new = [
        DatasetVersion(
            round_number=1,
            parent=None,
            watermark=0,
            excluded=(),
            digest=EMPTY,
            num_labels=0,
            tier=tier,
        )
        for tier in ("raw", "augmented", "training")
    ]
    with ledger.write() as connection:
        last = models.add_tiers(connection, new)
        training = models.version_by_id(connection, last)
        augmented = models.version_by_id(connection, training.version.parent or 0)
        raw = models.version_by_id(connection, augmented.version.parent or 0)
    tiers = [one.version.tier for one in (raw, augmented, training)]
    assert tiers == ["raw", "augmented", "training"]
    assert raw.version.parent is None


def test_spans_of_one_sample_do_not_overlap(ledger: Ledger) -> None:
    fill(ledger)
    live_through(ledger, 5)
    with ledger.read() as connection:
        rows = connection.execute(
            sa.text("SELECT sample_id, since, until FROM label_span ORDER BY sample_id, since")
        ).all()
    for one, two in itertools.pairwise(rows):
        if one.sample_id == two.sample_id:
            assert one.since < one.until <= two.since
