"""`holdfast report`: a round as a page and as JSON."""

from __future__ import annotations

import json
from argparse import Namespace

from holdfast.cli.output import Result, facts, table
from holdfast.phases.summary import write_report
from holdfast.project import Project


def report(options: Namespace) -> Result:
    """Write the report of a round, the newest by default, from what the ledger says.

    Raises
    ------
    ConfigError
        If there is no such round.
    """
    with Project.open(options.config) as project:
        page, numbers = write_report(project, options.round)
    data = json.loads(numbers.read_text(encoding="utf-8"))
    rows = [
        [
            f"round-{one['round']}",
            one["labels_used"],
            (one["metrics"] or {}).get("macro_f1"),
            one["rare_recall"],
            one["forgetting"],
            one["wrong_labels_found"],
        ]
        for arm in data["arms"][:1]
        for one in arm["rounds"]
    ]
    header = ["round", "labels", "macro-F1", "rare recall", "forgetting", "wrong labels found"]
    places = facts({"page": str(page), "JSON": str(numbers)})
    return Result(
        data={"html": str(page), "json": str(numbers), "report": data},
        text=f"{table(header, rows)}\n\n{places}",
    )
