"""`holdfast ingest`: take in images."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from holdfast.cli.output import Result, count, facts
from holdfast.cli.screen import Screen
from holdfast.data import ingest as intake
from holdfast.data.registration import IngestReport, SetAside
from holdfast.project import Project

_SHOWN = 10


def ingest(options: Namespace) -> Result:
    """Take in what a path offers, and say what became of every file."""
    with Project.open(options.config) as project, Screen() as screen:
        report = intake.ingest(project, Path(options.path), progress=screen.show)
    return Result(data=dataclasses.asdict(report), text=_text(report))


def _text(report: IngestReport) -> str:
    classes = f" ({', '.join(report.classes_added)})" if report.classes_added else ""
    lines = [
        facts(
            {
                "files": f"{report.num_offered:,}",
                "added": count(report.num_added, "sample"),
                "known": f"{report.num_known:,} already in the ledger",
                "duplicates": f"{report.num_duplicates:,} with the bytes of another file",
                "labels": f"{report.num_labeled:,} added",
                "classes": f"{len(report.classes_added)} new{classes}",
                "holdout": f"{count(report.num_holdout, 'sample')} kept for evaluation",
                "quarantine": count(len(report.quarantined), "file"),
            }
        ),
        *_set_aside("in quarantine", report.quarantined),
        *_set_aside("with contradicting labels", report.conflicts),
    ]
    return "\n".join(lines)


def _set_aside(what: str, files: Sequence[SetAside]) -> list[str]:
    if not files:
        return []
    lines = ["", f"{count(len(files), 'file')} {what}:"]
    lines += [f"  {one.name}: {one.reason}" for one in files[:_SHOWN]]
    if len(files) > _SHOWN:
        lines.append(f"  and {len(files) - _SHOWN:,} more; --json lists them all")
    return lines
