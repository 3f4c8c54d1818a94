"""`holdfast ingest`: take in images, also those of a project in Label Studio."""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.collection import lines_about
from holdfast.cli.output import Result, count, facts
from holdfast.cli.screen import Screen
from holdfast.data import ingest as intake
from holdfast.data.examine import Keeping
from holdfast.data.named_dataset import (
    is_dataset_name,
    open_dataset,
    read_arguments,
    record_name,
)
from holdfast.data.report import IngestReport, NearDuplicateFacts, SetAside
from holdfast.errors import ConfigError
from holdfast.project import Project

# Speaking to a server takes the time to import its library.
if TYPE_CHECKING:
    from holdfast.phases.label_studio_import import ImportReport

LABEL_STUDIO = "label-studio"
_SHOWN = 10


def ingest(options: Namespace) -> Result:
    """Take in what a path or a project offers, and say what became of every file."""
    if options.path == LABEL_STUDIO:
        if options.arguments:
            raise ConfigError(f"--with has no effect with {LABEL_STUDIO}; leave it out")
        if options.dry_run or options.reference:
            raise ConfigError(
                f"--dry-run and --reference have no effect with {LABEL_STUDIO}; leave them out"
            )
        return _import(options)
    if options.project is not None:
        raise ConfigError(
            f"--project {options.project} has no effect with {options.path}; it goes with "
            f"`holdfast ingest {LABEL_STUDIO}`"
        )
    if is_dataset_name(options.path) and not Path(options.path).exists():
        return _ingest_dataset(options)
    if options.arguments:
        raise ConfigError(
            f"--with {options.arguments[0]} has no effect with {options.path}; it goes with a data "
            "set, as in: holdfast ingest torchvision.datasets:CIFAR10 --with root=data"
        )
    if options.dry_run and options.reference:
        raise ConfigError("--dry-run keeps nothing, so --reference has no effect; leave one out")
    keeping: Keeping = "reference" if options.reference else "copy"
    if options.dry_run:
        keeping = "nothing"
    with Project.open(options.config) as project, Screen() as screen:
        report = intake.ingest(project, options.path, keeping=keeping, progress=screen.show)
    return Result(data=dataclasses.asdict(report), text=_text(report))


def _ingest_dataset(options: Namespace) -> Result:
    if options.reference:
        raise ConfigError(
            f"--reference has no effect with {options.path}: the images of a data set have no "
            "files of their own; leave it out"
        )
    arguments = read_arguments(options.arguments or ())
    # Libraries write that files are there already, or how far a download is.
    with (
        Project.open(options.config) as project,
        redirect_stdout(sys.stderr),
        Screen() as screen,
    ):
        report = intake.ingest_dataset(
            project,
            open_dataset(options.path, arguments),
            name=record_name(options.path, arguments),
            keeping="nothing" if options.dry_run else "copy",
            progress=screen.show,
        )
    return Result(data=dataclasses.asdict(report), text=_text(report))


def _import(options: Namespace) -> Result:
    if options.project is None:
        folder = (
            f"; a folder of that name is ./{LABEL_STUDIO}" if Path(LABEL_STUDIO).exists() else ""
        )
        raise ConfigError(
            "which project of Label Studio? Give its number, which stands in its address after "
            f"/projects/, as in: holdfast ingest {LABEL_STUDIO} --project 3{folder}"
        )
    from holdfast.phases.label_studio_import import import_project

    with Project.open(options.config) as project, Screen() as screen:
        report = import_project(project, options.project, progress=screen.show)
    return Result(data=dataclasses.asdict(report), text=_text_of_import(report))


def _text(report: IngestReport) -> str:
    lines = [
        *(["dry run: nothing was written; this is what would happen"] if report.dry_run else []),
        facts(
            {
                "files": f"{report.num_offered:,}",
                "added": count(report.num_added, "sample"),
                "known": f"{report.num_known:,} already in the ledger",
                "duplicates": f"{report.num_duplicates:,} with the bytes of another file",
                "labels": f"{report.num_labeled:,} added",
                **_answers(report.num_answers),
                "classes": _classes(report.classes_added),
                "holdout": f"{count(report.num_holdout, 'sample')} kept for evaluation",
                **_near_duplicates(report.near_duplicates),
                "quarantine": count(len(report.quarantined), "file"),
            }
        ),
        *lines_about(report.images),
        *_set_aside("in quarantine", report.quarantined),
        *_set_aside("with contradicting labels", report.conflicts),
    ]
    return "\n".join(lines)


def _text_of_import(report: ImportReport) -> str:
    lines = [
        facts(
            {
                "project": report.project,
                "tasks": f"{report.num_tasks:,}",
                "added": count(report.num_added, "sample"),
                "known": f"{report.num_known:,} already in the ledger",
                "duplicates": f"{report.num_duplicates:,} with the image of another task",
                "passed over": count(len(report.passed_over), "task"),
                "not fetched": count(len(report.unfetched), "image"),
                "quarantine": count(len(report.quarantined), "image"),
                "labels": f"{report.num_labeled:,} added",
                **_answers(report.num_answers, report.num_withdrawn),
                "unlabeled": f"{count(report.num_unlabeled, 'task')}, for the pool",
                "classes": _classes(report.classes_added),
                "holdout": f"{count(report.num_holdout, 'sample')} kept for evaluation",
                "left alone": f"{count(report.num_replaced, 'answer')} replaced by a later one of "
                f"the same person, {count(report.num_drafts, 'draft')}, "
                f"{count(report.num_predictions, 'guess', 'guesses')} of models",
            }
        ),
        *_set_aside("in quarantine", report.quarantined, "image"),
        *_set_aside("not fetched, tried again next time", report.unfetched, "image"),
        *_set_aside("passed over", report.passed_over, "task"),
        *_set_aside("without a class, not used", report.answers_set_aside, "answer"),
    ]
    return "\n".join(lines)


def _answers(num_added: int, num_withdrawn: int = 0) -> dict[str, str]:
    """Say how many answers of people came along, where any did."""
    if not num_added + num_withdrawn:
        return {}
    gone = f", {num_withdrawn:,} withdrawn" if num_withdrawn else ""
    return {"answers": f"{num_added:,} added{gone}; `holdfast annotators` compares them"}


def _near_duplicates(found: NearDuplicateFacts) -> dict[str, str]:
    """Say what is kept on one side of the split because it looks the same, if anything is."""
    said = {}
    if found.num_groups:
        said["near-copies"] = (
            f"{count(found.num_groups, 'group')} kept on one side, "
            f"{count(found.num_images, 'image')}, {found.largest_group:,} in the largest"
        )
    if found.num_across:
        said["leaks"] = (
            f"{count(found.num_across, 'pair')} of near-copies on both sides, as the source or "
            "the ledger has it; the next round's audit moves clear ones out of training"
        )
    return said


def _classes(added: Sequence[str]) -> str:
    names = f" ({', '.join(added)})" if added else ""
    return f"{len(added)} new{names}"


def _set_aside(what: str, files: Sequence[SetAside], noun: str = "file") -> list[str]:
    if not files:
        return []
    lines = ["", f"{count(len(files), noun)} {what}:"]
    lines += [f"  {one.name}: {one.reason}" for one in files[:_SHOWN]]
    if len(files) > _SHOWN:
        lines.append(f"  and {len(files) - _SHOWN:,} more; --json lists them all")
    return lines
