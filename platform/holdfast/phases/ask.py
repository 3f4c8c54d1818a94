"""What to ask: query, send."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from holdfast.annotation.oracle import Sent
from holdfast.failpoints import reach
from holdfast.phases.choosing import choose
from holdfast.phases.oracles import cards_of, newest_query, open_oracle
from holdfast.phases.turn import PhaseResult, Turn
from holdfast.records import Changes, Query
from holdfast.store import questions, rounds


def query(turn: Turn) -> PhaseResult:
    """Choose the samples whose answers are worth most.

    Raises
    ------
    PoolExhaustedError
        When nothing is left to ask about.
    DayLimitError
        When people were asked enough for today.
    """
    with turn.project.ledger.read() as connection:
        found = rounds.open_findings(connection, turn.round_number)
    chosen = choose(turn, [row.finding for row in found])
    asked = Query(round_number=turn.round_number, batch=1, items=chosen.items)
    reasons, counts = np.unique([item.reason for item in asked.items], return_counts=True)
    return PhaseResult(
        changes=Changes(query=asked),
        outcome={
            "budget": chosen.budget,
            "asked": len(asked.items),
            "reserve": chosen.reserve,
            "strange_groups": len(chosen.strange),
            "at_least": dict(chosen.at_least),
            "advice": {"stop": chosen.advice.stop, "reason": chosen.advice.reason},
            "reasons": dict(zip(reasons.tolist(), counts.tolist(), strict=True)),
        },
    )


def send(turn: Turn) -> PhaseResult:
    """Put the newest query before people; sending it again changes nothing.

    Raises
    ------
    TransientError
        When the oracle cannot be reached, or another process sends this query.
    """
    project = turn.project
    asked = newest_query(turn)
    with project.ledger.write() as connection:
        left = set(questions.lease(connection, asked.key))
    items = tuple(item for item in asked.items if item.sample_id in left)
    part = replace(asked, items=items)
    oracle = open_oracle(project)
    sent = oracle.send(part, cards_of(project, part)) if items else Sent()
    reach("send:delivered")
    external_ids = {item.sample_id: sent.external_ids.get(item.sample_id) for item in items}
    return PhaseResult(
        outcome={"query": asked.key, "oracle": oracle.name, "sent": len(items)},
        changes=Changes(
            sent=(asked.key, external_ids),
            oracle_state=None if sent.state is None else (oracle.name, sent.state),
        ),
    )
