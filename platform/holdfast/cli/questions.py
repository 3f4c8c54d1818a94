"""`holdfast queue` and `holdfast collect`: what waits for people, and what they answered."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from holdfast.cli.output import Result, count, facts, table
from holdfast.project import Project
from holdfast.records import RecordedAnswer
from holdfast.store import answers, questions
from holdfast.store.questions import Backlog, Question

_LISTED = 1000
_SHOWN_UID = 12


def queue(options: Namespace) -> Result:
    """Read the ledger, and nothing else, and say where its questions stand."""
    with Project.open(options.config) as project, project.ledger.read() as connection:
        backlog = questions.backlog(connection)
        waiting = questions.standing(connection, limit=max(_LISTED, options.top))
        aside = [
            one for one in answers.current_answers(connection) if one.answer.problem is not None
        ]
    now = datetime.now(UTC)
    data = {
        "oracle": project.config.annotation.oracle,
        "backlog": [asdict(one) | {"age_hours": _hours(one.oldest, now)} for one in backlog],
        "questions": [asdict(one) | {"age_hours": _hours(one.opened_at, now)} for one in waiting],
        "quarantined_answers": [_aside(one) for one in aside],
    }
    return Result(data=data, text=_text(backlog, waiting[: options.top], aside, now))


def _aside(one: RecordedAnswer) -> dict[str, Any]:
    return {
        "query": one.query_key,
        "sample_id": one.answer.sample_id,
        "annotator": one.answer.annotator,
        "external_id": one.answer.external_id,
        "problem": one.answer.problem,
    }


def _text(
    backlog: Sequence[Backlog],
    waiting: Sequence[Question],
    aside: Sequence[RecordedAnswer],
    now: datetime,
) -> str:
    if not backlog:
        return "nothing was asked yet; `holdfast run` asks the first questions"
    said = {str(one.state): _state_text(one, now) for one in backlog}
    parts = [facts(said)]
    if waiting:
        rows = [
            [
                one.query_key,
                one.state,
                one.ask_reason,
                one.uid[:_SHOWN_UID],
                _age(one.opened_at, now),
                one.external_id,
                one.reason,
            ]
            for one in waiting
        ]
        header = ["query", "state", "asked because", "sample", "age", "task", "note"]
        parts.append(table(header, rows))
    if aside:
        lines = [f"{count(len(aside), 'answer')} in quarantine:"]
        lines += [
            f"  {one.answer.annotator} about sample {one.answer.sample_id} "
            f"({one.query_key}): {one.answer.problem}"
            for one in aside[:_LISTED]
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _state_text(one: Backlog, now: datetime) -> str:
    since = "" if one.state in ("settled", "withdrawn") else f", oldest {_age(one.oldest, now)}"
    return f"{one.count:,}{since}"


def _age(moment: str, now: datetime) -> str:
    hours = _hours(moment, now)
    if hours < 1:
        return f"{int(hours * 60)} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _hours(moment: str, now: datetime) -> float:
    return max((now - datetime.fromisoformat(moment)).total_seconds() / 3600.0, 0.0)


def collect(options: Namespace) -> Result:
    """Take in the answers that are there, and say whether the round can go on.

    Raises
    ------
    BusyError
        When another process runs this project.
    """
    from holdfast.loop import collect_now

    with Project.open(options.config) as project:
        before = _num_answers(project)
        ready = collect_now(project)
        taken = _num_answers(project) - before
    goes_on = "the round can go on: `holdfast run`" if ready else "the round waits for more"
    data: Mapping[str, object] = {"answers": taken, "ready": ready}
    return Result(data=data, text=f"{count(taken, 'answer')} taken in; {goes_on}")


def _num_answers(project: Project) -> int:
    with project.ledger.read() as connection:
        return answers.num_answers(connection)
