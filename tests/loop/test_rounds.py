"""What a round does and never does, phase by phase, with annotators who know the answers."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from holdfast import loop
from holdfast.config import Config
from holdfast.data.stream import StoredImages
from holdfast.errors import LedgerError
from holdfast.evaluation import gate
from holdfast.evaluation.gate import Verdict
from holdfast.learning.replay import read_buffer
from holdfast.loop import PHASES, advance, next_phase, open_round, rollback, run_round
from holdfast.phases.scoring import champion_state
from holdfast.project import Project
from holdfast.records import Changes, LabelEvent
from holdfast.store import answers, labels, models, queries, rounds
from holdfast.store.rounds import PhaseRecord
from holdfast.store.schema import answer, label_event, query_item, question

Open = Callable[..., Project]


@pytest.fixture
def opened(tiny_project):
    """Open fresh copies of the tiny project, with sections of the config replaced."""
    projects = []

    def make(name: str = "project", **sections: dict[str, Any]) -> Project:
        project = Project.open(tiny_project(name))
        projects.append(project)
        project.config = changed(project.config, **sections)
        return project

    yield make
    for project in projects:
        project.close()


def changed(config: Config, **sections: dict[str, Any]) -> Config:
    parts = {name: replace(getattr(config, name), **part) for name, part in sections.items()}
    return replace(config, **parts)


def spread_votes(root: Path, votes: Callable[[str], list[str]]) -> None:
    """Give every sample the votes of several people, made of its true color."""
    with (root / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (root / "truth.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uid", "label", "votes"])
        writer.writerows([row["uid"], row["label"], "|".join(votes(row["label"]))] for row in rows)


def other(color: str) -> str:
    return {"red": "green", "green": "blue", "blue": "red"}[color]


def play_until(project: Project, phase: str) -> int:
    """Advance the open round, or a new one, until `phase` comes next; its number."""
    number = open_round(project)
    while next_phase(project, number) != phase:
        advance(project, number)
    return number


def outcomes(project: Project, number: int) -> dict[str, Any]:
    with project.ledger.read() as connection:
        return {record.phase: record.outcome for record in rounds.phases(connection, number)}


def rows_of(project: Project, table: sa.Table) -> list[sa.Row[Any]]:
    with project.ledger.read() as connection:
        return list(connection.execute(sa.select(table)))


def labels_now(project: Project, split: Any = None) -> dict[int, int]:
    with project.ledger.read() as connection:
        table = labels.resolve(connection, labels.open_scope(connection), split)
    return dict(zip(table.sample_ids_n.tolist(), table.class_ids_n.tolist(), strict=True))


def champion(project: Project) -> str | None:
    with project.ledger.read() as connection:
        current = models.champion(connection)
    return None if current is None else current.champion


def refuse(*_: object, **__: object) -> Verdict:
    return Verdict(promote=False, reason="kept the champion: the test says so")


def test_phases_of_a_round_run_in_order_and_then_it_is_finished(opened):
    project = opened()
    number = open_round(project)
    seen = []
    while next_phase(project, number) is not None:
        seen.append(advance(project, number).phase)
    assert tuple(seen) == PHASES
    with pytest.raises(LedgerError, match="round 1 is finished; run again to start the next"):
        advance(project, number)
    assert open_round(project) == 2


def test_open_round_is_taken_up_not_doubled(opened):
    project = opened()
    assert open_round(project) == open_round(project) == 1


def test_same_seed_gives_the_same_ledger_twice_and_another_seed_another(opened):
    digests = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        project = opened(name)
        project.config = replace(project.config, seed=seed)
        run_round(project)
        digests.append(project.ledger.digest())
    assert digests[0] == digests[1] != digests[2]


def test_experience_too_large_for_memory_is_read_and_teaches_the_same(opened, monkeypatch):
    read, asked = StoredImages.__getitem__, []

    def watch(self, rows):
        asked.append(rows)
        return read(self, rows)

    models_learned, whole = [], []
    for name, memory_mib in (("held", 4096), ("read", 0)):
        project = opened(name, learning={"memory_mib": memory_mib})
        number = play_until(project, "learn")
        asked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(StoredImages, "__getitem__", watch)
            advance(project, number)
        models_learned.append(outcomes(project, number)["learn"]["model"])
        whole.append(any(isinstance(rows, slice) for rows in asked))
    assert whole == [True, False]
    assert models_learned[0] == models_learned[1]


def test_surprising_answers_are_asked_again_within_the_budget(opened):
    project = opened(
        agreement={"max_answers": 3, "confidence": 0.99, "reserve_share": 0.5},
        annotation={"num_annotators": 3},
    )
    spread_votes(project.root, lambda color: [other(color), other(color), color])
    outcome = run_round(project)
    path = [record.phase for record in outcome.phases]
    assert path[:8] == [
        *("audit", "query", "send", "collect", "consensus"),
        *("send", "collect", "consensus"),
    ]
    assert len(rows_of(project, answer)) <= 6
    with project.ledger.read() as connection:
        first, *more = queries.queries_of(connection, 1)
        replies = answers.current_answers(connection, 1)
    assert len(first.items) == 3
    assert {item.reason for one in more for item in one.items} == {"disagreement"}
    # Nobody is asked twice about the same sample.
    asked = Counter((one.answer.sample_id, one.answer.annotator) for one in replies)
    assert max(asked.values()) == 1


def test_surprising_answer_is_final_without_budget_for_another(opened):
    project = opened(agreement={"max_answers": 3, "confidence": 0.99})
    spread_votes(project.root, lambda color: [other(color)] * 3)
    outcome = run_round(project)
    assert [record.phase for record in outcome.phases] == list(PHASES)
    ended = outcomes(project, 1)["consensus"]
    assert (ended["answers"], ended["labeled"], ended["unspent"]) == (6, 6, 0)


def test_answers_that_were_not_needed_are_spent_in_the_next_round(opened):
    project = opened(agreement={"max_answers": 2, "reserve_share": 0.5, "confidence": 0.9})
    run_round(project)
    run_round(project)
    first, second = outcomes(project, 1), outcomes(project, 2)
    assert first["consensus"]["unspent"] == 6 - first["consensus"]["answers"] > 0
    assert second["query"]["budget"] == 6 + first["consensus"]["unspent"]
    assert len(rows_of(project, answer)) + second["consensus"]["unspent"] == 12


def test_person_who_cannot_tell_uses_up_a_question(opened):
    project = opened(
        agreement={"max_answers": 2, "confidence": 0.99, "reserve_share": 0.5},
        query={"budget": 12},
    )
    spread_votes(project.root, lambda color: [other(color)])  # nobody else can tell
    run_round(project)
    assert max(Counter(row.sample_id for row in rows_of(project, answer)).values()) <= 2


def test_sample_nobody_can_tell_is_never_asked_about_again(opened):
    project = opened(query={"budget": 20})
    spread_votes(project.root, lambda color: [""] if color == "red" else [color] * 3)
    for _ in range(3):
        run_round(project)
    asked = Counter(row.sample_id for row in rows_of(project, query_item))
    refused = {row.sample_id for row in rows_of(project, answer) if row.state == "unknown"}
    assert refused
    assert all(asked[sample_id] == 1 for sample_id in refused)


def test_every_answer_becomes_one_label_event_and_no_other_is_made(opened):
    agreement = {"max_answers": 2, "confidence": 0.99, "reserve_share": 0.3, "dispute_below": 0.0}
    project = opened(agreement=agreement)
    project.config = changed(project.config, annotation={"answer_noise": 0.3})
    given = len(rows_of(project, label_event))
    for _ in range(3):
        run_round(project)
    events = Counter(row.kind for row in rows_of(project, label_event))
    answered = [row for row in rows_of(project, answer) if row.state == "ok"]
    assert events["given"] == given
    assert events["annotation"] == len(answered)
    assert len({row.source_key for row in rows_of(project, label_event)}) == sum(events.values())
    several = Counter((row.query_key.partition(".")[0], row.sample_id) for row in answered)
    assert events["consensus"] == sum(number > 1 for number in several.values())


def test_disputed_sample_trains_nothing_and_its_label_on_record_goes(opened):
    agreement = {"max_answers": 2, "confidence": 0.99, "reserve_share": 0.5, "dispute_below": 0.95}
    project = opened(agreement=agreement, query={"budget": 12, "floor_suspects": 0.5})
    spread_votes(project.root, lambda color: [color, other(color)])
    run_round(project)
    disputed = {row.sample_id for row in rows_of(project, question) if row.state == "disputed"}
    assert outcomes(project, 1)["consensus"]["disputed"] > 0
    with project.ledger.read() as connection:
        (version,) = [models.newest_version(connection, 1)]
        table = labels.resolve(connection, version.scope)
    assert not disputed & set(table.sample_ids_n.tolist())
    on_record = {row.sample_id for row in rows_of(project, label_event) if row.kind == "given"}
    assert disputed & on_record
    said = {row.sample_id for row in rows_of(project, label_event) if row.kind == "withdrawn"}
    assert said == disputed & on_record


def test_gold_questions_cost_answers_but_change_no_label(opened):
    project = opened(agreement={"gold_share": 0.3}, query={"budget": 10, "floor_suspects": 0.5})
    for _ in range(3):
        run_round(project)
    gold = [row for row in rows_of(project, query_item) if row.reason == "gold"]
    assert gold
    keys = {(row.query_key, row.sample_id) for row in gold}
    answered = [row for row in rows_of(project, answer) if (row.query_key, row.sample_id) in keys]
    assert len(answered) == len(gold)
    events = {row.source_key for row in rows_of(project, label_event)}
    assert not events & {f"answer/{row.id}" for row in answered}
    states = {(row.query_key, row.sample_id): row.state for row in rows_of(project, question)}
    assert {states[key] for key in keys} == {"settled"}


def test_withdrawn_label_leaves_the_buffer(opened):
    project = opened()
    run_round(project)
    state = champion_state(project)
    assert state is not None
    gone = int(read_buffer(state.tensors).sample_ids_n[0])
    number = play_until(project, "snapshot")  # too late to be asked about again
    withdrawn = LabelEvent(
        sample_id=gone, kind="withdrawn", class_id=None, annotator="test", source_key="test/1"
    )
    with project.ledger.write() as connection:
        labels.append(connection, [withdrawn], None)
    run_round(project)
    assert outcomes(project, number)["learn"]["withdrawn"] == 1
    state = champion_state(project)
    assert state is not None
    held = read_buffer(state.tensors)
    assert gone not in held.sample_ids_n
    learned = dict(zip(held.sample_ids_n.tolist(), held.labels_n.tolist(), strict=True))
    assert learned == labels_now(project, "train")


def test_rejected_candidate_changes_nothing_and_its_labels_are_learned_next(opened, monkeypatch):
    project = opened()
    run_round(project)
    before, known = champion(project), labels_now(project, "train")
    with monkeypatch.context() as patch:
        patch.setattr(gate, "decide", refuse)
        run_round(project)
    assert champion(project) == before
    assert not outcomes(project, 2)["promote"]["promoted"]
    run_round(project)
    learned = outcomes(project, 3)["learn"]
    now = labels_now(project, "train")
    assert learned["parent"] == before
    assert learned["samples"] == sum(known.get(one) != label for one, label in now.items())


def test_rollback_to_a_round_whose_candidate_was_rejected_loses_no_label(opened, monkeypatch):
    project = opened()
    run_round(project)
    before, known = champion(project), labels_now(project, "train")
    with monkeypatch.context() as patch:
        patch.setattr(gate, "decide", refuse)
        run_round(project)
    run_round(project)
    assert rollback(project, 2, "test").champion == before
    now = labels_now(project, "train")
    assert len(now) > len(known)
    run_round(project)
    learned, now = outcomes(project, 4)["learn"], labels_now(project, "train")
    assert learned["samples"] == sum(known.get(one) != label for one, label in now.items())


def test_candidate_that_learned_from_a_former_champion_learns_again(opened):
    project = opened()
    run_round(project)
    first = champion(project)
    run_round(project)
    number = play_until(project, "promote")
    rollback(project, 1, "test")
    with loop.exclusive(project):
        stale = advance(project, number)
    assert (stale.phase, stale.next_phase) == ("promote", "snapshot")
    assert champion(project) == first
    outcome = run_round(project)
    assert outcome.round_number == number
    assert outcomes(project, number)["learn"]["parent"] == first
    with project.ledger.read() as connection:
        version = models.newest_version(connection)
        assert version is not None
        held = labels.resolve(connection, version.scope, "train")
    assert labels_now(project, "train") == dict(
        zip(held.sample_ids_n.tolist(), held.class_ids_n.tolist(), strict=True)
    )


def test_candidate_that_learned_labels_since_rolled_back_learns_again(opened, monkeypatch):
    # The champion is the same before and after the rollback; the labels are not.
    project = opened()
    run_round(project)
    with monkeypatch.context() as patch:
        patch.setattr(gate, "decide", refuse)
        run_round(project)
    number = play_until(project, "promote")
    rollback(project, 1, "test")
    assert advance(project, number).next_phase == "snapshot"
    run_round(project)
    state = champion_state(project)
    assert state is not None
    held = read_buffer(state.tensors)
    assert set(held.sample_ids_n.tolist()) <= labels_now(project, "train").keys()


def test_rollback_back_and_forth_any_number_of_times_keeps_every_event(opened):
    project = opened()
    for _ in range(3):
        run_round(project)
    events = len(rows_of(project, label_event))
    seen: dict[int, tuple[str | None, dict[int, int]]] = {}
    for to in (3, 1, 2, 1, 3, 2, 3):
        rollback(project, to, "test")
        seen.setdefault(to, (champion(project), labels_now(project)))
        assert seen[to] == (champion(project), labels_now(project))
    assert len(rows_of(project, label_event)) == events
    assert len(seen[1][1]) < len(seen[2][1]) < len(seen[3][1])


def test_two_processes_that_record_the_same_step_make_one(opened):
    project = opened()
    number = open_round(project)
    advance(project, number)
    again = PhaseRecord(
        round_number=number, step=1, phase="audit", next_phase="query", outcome={}, seconds=0.0
    )
    before = project.ledger.digest()
    with (
        pytest.raises(LedgerError, match="another process recorded step 1 first"),
        project.ledger.write() as connection,
    ):
        rounds.record(connection, again, Changes(classes=("pink",)))
    assert project.ledger.digest() == before


def test_holdout_never_enters_the_pool_or_the_buffer(opened):
    project = opened()
    for _ in range(2):
        run_round(project)
    held = labels_now(project, "holdout").keys()
    state = champion_state(project)
    assert state is not None
    assert held
    assert not held & set(read_buffer(state.tensors).sample_ids_n.tolist())
    new = {row.sample_id for row in rows_of(project, query_item) if row.reason != "suspect"}
    assert not held & new
    assert np.isfinite(outcomes(project, 2)["evaluate"]["candidate"]["macro_f1"])
