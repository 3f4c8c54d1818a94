"""`holdfast audit`: what is wrong with labels and images."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from holdfast.annotation.csv_files import plain_cell
from holdfast.cli.leaks import moved_out
from holdfast.cli.output import Result, count, facts, table
from holdfast.cli.screen import Screen
from holdfast.phases.audit_now import AuditNow, Row, audit_now, listing
from holdfast.phases.audit_sheet import write_page
from holdfast.phases.found import KINDS
from holdfast.project import Project
from holdfast.store.checkpoints import write_whole

_COLUMNS = ("uid", "source", "kind", "score", "given", "suggested")


def audit(options: Namespace) -> Result:
    """Audit the project as it is; the ledger stays as it was.

    Raises
    ------
    ConfigError
        If there are no images or no labels yet, or no kind of finding has that name.
    """
    started = time.perf_counter()
    with Project.open(options.config) as project, Screen() as screen:
        done = audit_now(project, options.kind, screen.show)
        page = write_page(project, done)
        kind = options.kind or "label_error"
        top = listing(project, done, kind, options.top)
        worst = {
            one: Path(listing(project, done, one, 1)[0].source).name
            for one, rows in done.found.items()
            if len(rows)
        }
        if options.csv is not None:
            everything = [row for one in done.found for row in listing(project, done, one)]
            write_whole(options.csv, _sheet(everything).encode())
    data: dict[str, Any] = {
        "found": {one: len(rows) for one, rows in done.found.items()},
        "errors": list(done.errors),
        "moved_out": done.num_moved_out,
        **done.numbers,
        "kind": kind,
        "findings": [dataclasses.asdict(row) for row in top],
        "page": str(page),
        "csv": None if options.csv is None else str(options.csv),
        "seconds": time.perf_counter() - started,
    }
    return Result(data=data, text=_text(done, data, top, worst))


def _text(done: AuditNow, data: dict[str, Any], top: list[Row], worst: dict[str, str]) -> str:
    said = {}
    if done.audit.labels is not None:
        report = done.audit.labels.report
        flagged = len(done.audit.labels.flagged())
        said["labels"] = (
            f"{len(done.audit.labels.table):,}, of which about {report.num_errors:,} are wrong; "
            f"{flagged:,} look so"
        )
    if done.audit.images is not None:
        copies = done.audit.images.copies
        said["images"] = f"{len(done.audit.images.sample_ids_n):,}, with " + (
            count(copies.num_sets, "set") + " of copies"
        )
        said["order"] = _order(done)
        for kind, share in done.audit.images.common.items():
            said[kind.replace("_", " ")] = f"{share:.0%} of the images: how this set is"
    said |= moved_out(done.num_moved_out)
    said["page"] = data["page"]
    if data["csv"]:
        said["csv"] = data["csv"]
    parts = [facts(said), *(f"error: {one}" for one in done.errors)]
    rows = [[kind, len(found), KINDS[kind], worst.get(kind)] for kind, found in done.found.items()]
    parts.append(table(["kind", "samples", "what it means", "worst"], rows))
    if done.audit.labels is not None:
        parts += _label_tables(done, data)
    if top:
        parts.append(_top(data["kind"], top, len(done.found[data["kind"]])))
    return "\n\n".join(parts)


def _label_tables(done: AuditNow, data: dict[str, Any]) -> list[str]:
    flags = data["flagged_by_class"]
    classes = [
        [name, size, flags.get(name, 0), flags.get(name, 0) / size]
        for name, size in zip(done.class_names, done.class_sizes, strict=True)
        if size
    ]
    parts = [table(["class", "labels", "look wrong", "share"], classes)]
    if data["confused"]:
        pairs = [
            [
                f"{one['first']} / {one['second']}",
                one["first_as_second"],
                one["first_rate"],
                one["second_as_first"],
                one["second_rate"],
            ]
            for one in data["confused"]
        ]
        header = ["confused classes", "first as second", "rate", "second as first", "rate"]
        parts.append(table(header, pairs))
    if data["weak_groups"]:
        groups = [
            [
                f"like {one['name']}" if one["is_cluster"] else one["name"],
                one["size"],
                one["rate"],
                one["expected"],
                f"{one['p_value']:.1g}",
            ]
            for one in data["weak_groups"]
        ]
        header = ["weak group", "samples", "disagree", "expected", "by chance"]
        parts.append(table(header, groups))
    return parts


def _top(kind: str, top: list[Row], total: int) -> str:
    # Files mostly lie in one folder: it is named once.
    folder = os.path.commonpath([Path(row.source).parent for row in top])
    proposes = any(row.suggested is not None for row in top)
    rows = [
        [
            os.path.relpath(row.source, folder),
            row.given,
            *([row.suggested] if proposes else []),
            row.score,
        ]
        for row in top
    ]
    header = ["image", "on record", *(["suggested"] if proposes else []), "score"]
    more = total - len(top)
    tail = f"\nand {count(more, 'sample')} more; --top shows more, --csv all" if more > 0 else ""
    return f"{KINDS[kind]}, worst first; images in {folder or '.'}\n{table(header, rows)}{tail}"


def _order(done: AuditNow) -> str:
    images = done.audit.images
    if images is None or not images.order.dependent:
        return "says nothing about the pictures"
    inside = images.order_inside
    if not inside.dependent:
        return f"follows the pictures ({images.order.statistic:.3f}), as classes or groups explain"
    return (
        f"images that look alike came in near each other ({images.order.statistic:.3f}), within "
        f"classes and groups as well ({inside.statistic:.3f}): bursts or drift? Give what belongs "
        "together one group"
    )


def _sheet(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        [plain_cell(cell) if isinstance(cell, str) else cell for cell in dataclasses.astuple(row)]
        for row in rows
    )
    return text.getvalue()
