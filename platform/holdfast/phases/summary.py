"""A project as a report: what the ledger says, put into one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.errors import ConfigError
from holdfast.evaluation import report
from holdfast.evaluation.gate import Verdict
from holdfast.evaluation.metrics import Metrics
from holdfast.evaluation.report_data import Arm, FoundError, ReportData, Retention, RoundResult
from holdfast.evaluation.retention import compare_rounds
from holdfast.phases import measured
from holdfast.project import Project
from holdfast.records import LabelTable
from holdfast.seeds import generator
from holdfast.store import labels, models, queries, rounds, samples
from holdfast.store.rounds import FindingRow, PhaseRecord

# Pictures in the gallery: more make the page heavy, and nobody looks at them all.
_GALLERY = 60

Outcomes = dict[str, Mapping[str, Any]]


def write_report(project: Project, round_number: int | None = None) -> tuple[Path, Path]:
    """Write a round's report, the newest round's by default; return the page and the JSON.

    Raises
    ------
    ConfigError
        If the round does not exist.
    """
    with project.ledger.read() as connection:
        newest = rounds.newest(connection)
    if newest is None or (round_number is not None and not 1 <= round_number <= newest.number):
        known = "no round has begun" if newest is None else f"rounds 1 to {newest.number} exist"
        raise ConfigError(
            f"there is no round {round_number or 1}: {known}; run `holdfast run` first"
        )
    number = newest.number if round_number is None else round_number
    project.reports.mkdir(exist_ok=True)
    page = project.reports / f"round-{number}.html"
    data = project.reports / f"round-{number}.json"
    report.write(page, data, summarize(project, number))
    return page, data


def summarize(project: Project, last_round: int) -> ReportData:
    """Return what happened up to and including a round."""
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
        version = models.newest_version(connection, last_round, "training")
        scope = version.scope if version else labels.open_scope(connection)
        table = labels.resolve(connection, scope, "train")
        holdout = labels.resolve(connection, scope, "holdout")
        done = {n: _last(rounds.phases(connection, n)) for n in range(1, last_round + 1)}
        findings = [
            row for row in rounds.findings(connection) if (row.round_number or 0) <= last_round
        ]
        corrected = [row for row in findings if row.outcome == "corrected"]
        versions = [models.newest_version(connection, n, "training") for n in done]
        found = _found_errors(project, connection, corrected[-_GALLERY:])
        queue = _queue(connection, done)
    verdicts = {
        n: Verdict.from_json(outcomes["evaluate"]["verdict"])
        for n, outcomes in done.items()
        if outcomes.get("evaluate", {}).get("verdict")
    }
    results = _results(done, corrected)
    rng = generator(project.config.seed, "report", last_round)
    retention = _retention([done[r.number] for r in results if r.metrics], holdout, rng)
    champions = [o["promote"]["champion"] for o in done.values() if "promote" in o]
    return ReportData(
        title=project.root.name,
        made_at=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        class_names=tuple(names),
        labeled_counts=tuple(np.bincount(table.class_ids_n, minlength=len(names)).tolist()),
        arms=(Arm(name="holdfast", rounds=tuple(results), retention=retention),),
        found_errors=found,
        num_found_errors=len(corrected),
        queue=queue,
        verdicts=verdicts,
        versions=tuple(one.version for one in versions if one is not None),
        audit=done[last_round].get("audit", {}),
        champion=champions[-1] or "" if champions else "",
        config_digest=project.config.digest(),
    )


def _last(records: Sequence[PhaseRecord]) -> Outcomes:
    """Return each phase's last outcome, with the round's seconds under `round`."""
    outcomes: Outcomes = {record.phase: record.outcome for record in records}
    return outcomes | {"round": {"seconds": sum(record.seconds for record in records)}}


def _results(done: dict[int, Outcomes], corrected: list[FindingRow]) -> list[RoundResult]:
    results = []
    for number, outcomes in done.items():
        judged = outcomes.get("evaluate", {})
        name = measured.in_force(outcomes)
        results.append(
            RoundResult(
                number=number,
                metrics=Metrics.from_json(judged[name]) if name in judged else None,
                dataset_version=judged.get("dataset_version"),
                labels_used=int(outcomes.get("snapshot", {}).get("labels", 0)),
                wrong_labels_found=sum((row.round_number or 0) <= number for row in corrected),
                seconds=float(outcomes["round"]["seconds"]),
            )
        )
    return results


def _retention(
    done: Sequence[Outcomes], holdout: LabelTable, rng: np.random.Generator
) -> Retention | None:
    """Compare the measured rounds; None unless every one of them kept its predictions."""
    said = [measured.predictions(outcomes) for outcomes in done]
    kept = [one for one in said if one is not None]
    if not kept or len(kept) < len(said):
        return None
    pairs = compare_rounds(kept, holdout.sample_ids_n, holdout.class_ids_n)
    return Retention(
        pairs=pairs,
        forgetting=pairs.forgetting(rng),
        backward_transfer=pairs.backward_transfer(rng),
    )


def _found_errors(
    project: Project, connection: Connection, corrected: list[FindingRow]
) -> tuple[FoundError, ...]:
    table = labels.resolve(connection, labels.open_scope(connection))
    now = dict(zip(table.sample_ids_n.tolist(), table.class_ids_n.tolist(), strict=True))
    kept = [
        row for row in corrected if row.finding.sample_id in now and row.finding.given is not None
    ]
    ids = np.array([row.finding.sample_id for row in kept], np.int64)
    payloads = project.images.read(samples.uids_of(connection, ids))
    return tuple(
        FoundError(
            sample_id=row.finding.sample_id,
            image=payload,
            given=row.finding.given or 0,
            corrected=now[row.finding.sample_id],
            score=row.finding.score,
            when=f"round {row.round_number}",
        )
        for row, payload in zip(kept, payloads, strict=True)
    )


def _queue(connection: Connection, done: dict[int, Outcomes]) -> dict[str, int]:
    asked = sum(len(q.items) for n in done for q in queries.queries_of(connection, n))
    ends = [outcomes["consensus"] for outcomes in done.values() if "consensus" in outcomes]
    return {
        "asked": asked,
        "answered": sum(int(end.get("answers", 0)) for end in ends),
        "labeled": sum(int(end.get("labeled", 0)) for end in ends),
        "unresolved": sum(int(end.get("unresolved", 0)) for end in ends),
        "disputed": sum(int(end.get("disputed", 0)) for end in ends),
    }
