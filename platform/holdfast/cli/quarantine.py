"""`holdfast quarantine`: what is kept aside and why; out of it, and back."""

from __future__ import annotations

from argparse import Namespace

from holdfast.cli.output import Result, count, table
from holdfast.cli.person import user_name
from holdfast.cli.usage import operands
from holdfast.phases.releasing import release, undo
from holdfast.project import Project
from holdfast.store import quarantine as store

_OPERANDS = {"list": (), "release": ("UID...",), "undo": ("UID...",)}


def quarantine(options: Namespace) -> Result:
    """List what is in quarantine, release samples, or undo a release."""
    names = operands("quarantine", options.verb, options.operands, _OPERANDS[options.verb])
    with Project.open(options.config) as project:
        if options.verb == "list":
            return _list(project, options.top)
        act = release if options.verb == "release" else undo
        who = user_name()
        moved = act(project, names, who)
    word = "released" if options.verb == "release" else "put back"
    lines = [f"{one.uid[:12]} {word}: {one.reason}" for one in moved]
    if options.verb == "release":
        lines.append("`holdfast quarantine undo UID` puts them back.")
    data = {word.replace(" ", "_"): [one.uid for one in moved], "who": who}
    return Result(data=data, text="\n".join(lines))


def _list(project: Project, top: int) -> Result:
    with project.ledger.read() as connection:
        total = store.num_kept_aside(connection)
        reasons = store.by_reason(connection)
        rows = store.kept_aside(connection, top)
    data = {
        "quarantined": total,
        "reasons": reasons,
        "samples": [
            {
                "uid": row.uid,
                "source": row.source,
                "reason": row.reason,
                "who": row.who,
                "since": row.since,
            }
            for row in rows
        ],
    }
    if not total:
        return Result(data=data, text="Nothing is in quarantine.")
    parts = [table(["reason", "samples"], [[reason, n] for reason, n in reasons.items()])]
    cells = [
        [row.uid[:12], row.who, row.since[:16].replace("T", " "), row.source, row.reason]
        for row in rows
    ]
    parts.append(table(["sample", "by", "since", "source", "reason"], cells))
    if total > len(rows):
        parts.append(f"and {count(total - len(rows), 'sample')} more; --top shows more")
    return Result(data=data, text="\n\n".join(parts))
