"""`holdfast status`: where the project stands."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.cli.leaks import moved_out
from holdfast.cli.output import Result, count, facts, table
from holdfast.phases.leak_reasons import num_moved_out
from holdfast.project import Project
from holdfast.store import answers, intake, labels, models, queries, rounds, samples

_QUARANTINED_SHOWN = 5
_QUARANTINED_LISTED = 1000


def status(options: Namespace) -> Result:
    """Read the ledger, and nothing else, and say what is in it."""
    with Project.open(options.config) as project, project.ledger.read() as connection:
        data = {
            "project": str(project.root),
            "samples": dict(samples.counts(connection)),
            "classes": _classes(connection),
            "round": _round(connection),
            "champion": _champion(connection),
            "rounds": _rounds(connection),
            "findings": _findings(connection),
            "moved_out": num_moved_out(connection),
            "quarantine": [
                {"source": one.source, "reason": one.reason}
                for one in intake.quarantined(connection, _QUARANTINED_LISTED)
            ],
        }
    return Result(data=data, text=_text(data))


def _classes(connection: Connection) -> list[dict[str, Any]]:
    names = labels.class_names(connection)
    scope = labels.open_scope(connection)
    train, holdout = (labels.resolve(connection, scope, side) for side in ("train", "holdout"))
    confirmed = np.concatenate([table.class_ids_n[table.verified_n] for table in (train, holdout)])
    columns = [
        np.bincount(ids, minlength=len(names)).tolist()
        for ids in (train.class_ids_n, holdout.class_ids_n, confirmed)
    ]
    return [
        {"name": name, "train": in_train, "holdout": held, "confirmed": by_people}
        for name, in_train, held, by_people in zip(names, *columns, strict=True)
    ]


def _round(connection: Connection) -> dict[str, Any] | None:
    newest = rounds.newest(connection)
    if newest is None:
        return None
    done = rounds.phases(connection, newest.number)
    asked = {
        item.sample_id for q in queries.queries_of(connection, newest.number) for item in q.items
    }
    answered = {one.answer.sample_id for one in answers.current_answers(connection, newest.number)}
    return {
        "number": newest.number,
        "state": newest.state,
        "next_phase": done[-1].next_phase if done else "audit",
        "asked": len(asked),
        "answered": len(answered),
    }


def _champion(connection: Connection) -> dict[str, Any] | None:
    current = models.champion(connection)
    if current is None:
        return None
    made = {model.sha256: model.round_number for model in models.models(connection)}
    return {
        "model": current.champion,
        "learned_in_round": made.get(current.champion),
        "dataset_version": current.dataset_version,
        "by": current.kind,
        "who": current.who,
        "reason": current.verdict.get("reason", ""),
    }


def _rounds(connection: Connection) -> list[dict[str, Any]]:
    newest = rounds.newest(connection)
    described = []
    for number in range(1, (newest.number if newest else 0) + 1):
        done = rounds.phases(connection, number)
        outcomes: dict[str, Mapping[str, Any]] = {record.phase: record.outcome for record in done}
        promoted = outcomes.get("promote", {}).get("promoted")
        judged = outcomes.get("evaluate", {}).get("candidate" if promoted else "champion", {})
        described.append(
            {
                "round": number,
                "state": "finished" if done and done[-1].next_phase is None else "open",
                "labels": outcomes.get("snapshot", {}).get("labels"),
                "macro_f1": judged.get("macro_f1"),
                "promoted": promoted,
                "seconds": sum(record.seconds for record in done),
                "report": outcomes.get("report", {}).get("html"),
            }
        )
    return described


def _findings(connection: Connection) -> dict[str, dict[str, int]]:
    counted = Counter(
        (row.finding.kind, row.outcome or "open") for row in rounds.findings(connection)
    )
    found: dict[str, dict[str, int]] = {}
    for (kind, outcome), number in sorted(counted.items()):
        found.setdefault(kind, {})[outcome] = number
    return found


def _text(data: Mapping[str, Any]) -> str:
    held = data["samples"]
    labeled = sum(one["train"] + one["holdout"] for one in data["classes"])
    confirmed = sum(one["confirmed"] for one in data["classes"])
    pool = held["train"] - sum(one["train"] for one in data["classes"])
    parts = [
        facts(
            {
                "project": data["project"],
                "samples": f"{held['train']:,} for training, {held['holdout']:,} held out, "
                f"{held['quarantined']:,} in quarantine",
                "labels": f"{labeled:,}, of which people confirmed {confirmed:,}",
                "pool": f"{count(pool, 'sample')} without a label",
                **_findings_text(data["findings"]),
                **moved_out(data["moved_out"]),
                "round": _round_text(data["round"]),
                "champion": _champion_text(data["champion"]),
            }
        )
    ]
    if data["classes"]:
        rows = [
            [one["name"], one["train"], one["holdout"], one["confirmed"]] for one in data["classes"]
        ]
        parts.append(table(["class", "train", "holdout", "confirmed"], rows))
    if data["rounds"]:
        rows = [
            [
                f"round-{one['round']}",
                one["state"],
                one["labels"],
                one["macro_f1"],
                {True: "promoted", False: "kept", None: "-"}[one["promoted"]],
                f"{one['seconds']:.1f} s",
            ]
            for one in data["rounds"]
        ]
        parts.append(table(["round", "state", "labels", "macro-F1", "champion", "time"], rows))
    if data["quarantine"]:
        shown = data["quarantine"][:_QUARANTINED_SHOWN]
        lines = [f"  {one['source']}: {one['reason']}" for one in shown]
        if held["quarantined"] > len(shown):
            lines.append(f"  and {held['quarantined'] - len(shown):,} more; see --json")
        parts.append("\n".join(["in quarantine:", *lines]))
    return "\n\n".join(parts)


def _findings_text(findings: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Say what came of the suspects, and how many labels contradict each other."""
    said = {}
    # Those still open are only a ranking: each round makes a new one.
    judged = {k: v for k, v in findings.get("label_error", {}).items() if k != "open"}
    if judged:
        said["suspects"] = ", ".join(f"{number:,} {what}" for what, number in judged.items())
    conflicts = findings.get(intake.CONFLICT, {}).get("open", 0)
    if conflicts:
        said["conflicts"] = f"{count(conflicts, 'label')} contradicted by another file at ingest"
    return said


def _round_text(newest: Mapping[str, Any] | None) -> str:
    if newest is None:
        return "none yet; `holdfast run` starts the first"
    if newest["state"] == "finished":
        return f"{newest['number']}, finished; `holdfast run` starts the next"
    waits = ""
    if newest["next_phase"] == "collect":
        waits = f" ({newest['answered']} of {count(newest['asked'], 'question')} answered)"
    return f"{newest['number']}, next phase {newest['next_phase']}{waits}"


def _champion_text(champion: Mapping[str, Any] | None) -> str:
    if champion is None:
        return "none yet"
    return (
        f"{champion['model'][:12]}, learned in round {champion['learned_in_round']} "
        f"({champion['reason'] or champion['by']})"
    )
