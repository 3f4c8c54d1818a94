"""Gold questions: samples whose class is known, mixed in to see how well people answer."""

from __future__ import annotations

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.phases import scoring
from holdfast.phases.pool import Pool
from holdfast.phases.turn import Turn
from holdfast.records import Ids, QueryItem
from holdfast.store import answers, labels

# A class is known when this many statements agree: answers, and the label on record.
_STATEMENTS = 2


def gold_labels(connection: Connection, pool: Pool) -> tuple[Ids, Ids]:
    """Return the samples whose class is beyond doubt, ascending, and their class ids.

    People confirmed the label, and two statements or more agree on it: answers of
    different questions, or an answer and the label on record. Cost: linear in the number
    of answers.
    """
    labeled = pool.labeled
    ids = labeled.sample_ids_n[labeled.verified_n]
    classes = labeled.class_ids_n[labeled.verified_n]
    if not len(ids):
        return ids, classes
    vote_ids, _, vote_classes = answers.votes(connection)
    place = np.minimum(np.searchsorted(ids, vote_ids), len(ids) - 1)
    agrees = (ids[place] == vote_ids) & (classes[place] == vote_classes)
    statements = np.bincount(place[agrees], minlength=len(ids))
    given = labels.given_of(connection, ids)
    on_record = np.array([given.get(sample_id, -1) for sample_id in ids.tolist()], np.int64)
    sure = statements + (on_record == classes) >= _STATEMENTS
    return ids[sure], classes[sure]


def gold_items(turn: Turn, pool: Pool, wanted: int) -> tuple[QueryItem, ...]:
    """Return gold questions, drawn at random, that look like all others; as many as there are.

    They carry what the champion guesses: a question without a guess would stand out.
    """
    if not wanted:
        return ()
    with turn.project.ledger.read() as connection:
        ids, _ = gold_labels(connection, pool)
    ids = np.sort(turn.rng("gold").choice(ids, min(wanted, len(ids)), replace=False))
    state = scoring.champion_state(turn.project)
    if state is None or not len(ids):
        return tuple(QueryItem(sample_id=one, reason="gold", score=0.0) for one in ids.tolist())
    said = scoring.score(turn.project, state, ids, turn.progress, keep_embeddings=False)
    best = said.pred_probs_nk.argmax(axis=1)
    return tuple(
        QueryItem(
            sample_id=sample_id,
            reason="gold",
            score=0.0,
            guess=int(said.class_ids_k[column]),
            confidence=float(probs[column]),
        )
        for sample_id, column, probs in zip(
            ids.tolist(), best.tolist(), said.pred_probs_nk, strict=True
        )
    )


def mixed_in(
    items: tuple[QueryItem, ...], gold: tuple[QueryItem, ...], rng: np.random.Generator
) -> tuple[QueryItem, ...]:
    """Put gold questions at random places among the others, whose order stays."""
    slots = np.zeros(len(items) + len(gold), np.bool_)
    slots[rng.choice(len(slots), len(gold), replace=False)] = True
    plain, known = iter(items), iter(gold)
    return tuple(next(known) if is_gold else next(plain) for is_gold in slots.tolist())
