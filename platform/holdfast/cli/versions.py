"""`holdfast versions`: what models learned from, how it differs, and files of it."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from holdfast.cli.output import Result, count, facts, table
from holdfast.cli.person import user_name
from holdfast.cli.screen import Screen
from holdfast.cli.usage import operands
from holdfast.data.export import export
from holdfast.data.versions import compare
from holdfast.errors import ConfigError
from holdfast.project import Project
from holdfast.store import differences, held_labels, labels, synthetic, version_names
from holdfast.store.differences import LabelChange
from holdfast.store.version_names import ListedVersion

_COLUMNS = ("uid", "source", "before", "after", "who", "when", "why", "round")
_OPERANDS = {
    "list": (),
    "show": ("V",),
    "diff": ("A", "B"),
    "tag": ("V", "NAME"),
    "export": ("V", "DIR"),
}


def versions(options: Namespace) -> Result:
    """List, show, compare, name or export dataset versions."""
    words = operands("versions", options.verb, options.operands, _OPERANDS[options.verb])
    for flag, verb in (("csv", "diff"), ("format", "export")):
        if getattr(options, flag) is not None and options.verb != verb:
            raise ConfigError(f"--{flag} goes with `holdfast versions {verb}`; leave it out")
    work: Mapping[str, Callable[..., Result]] = {
        "list": _list,
        "show": _show,
        "diff": _diff,
        "tag": _tag,
        "export": _export,
    }
    with Project.open(options.config) as project:
        return work[options.verb](project, options, *words)


def _list(project: Project, options: Namespace) -> Result:
    with project.ledger.read() as connection:
        rows = version_names.listed(connection, options.top)
    data = [_facts(one) for one in rows]
    header = ["version", "tier", "round", "labels", "parent", "digest", "made", "tags", "models"]
    lines = [
        [
            str(one.stored.id),
            one.stored.version.tier,
            f"round-{one.stored.version.round_number}",
            one.stored.version.num_labels,
            "-" if one.stored.version.parent is None else str(one.stored.version.parent),
            one.stored.version.digest[:12],
            one.created_at[:16].replace("T", " "),
            ", ".join(one.tags),
            ", ".join(sha256[:12] for sha256 in one.models),
        ]
        for one in rows
    ]
    text = table(header, lines) if rows else "No dataset version yet; `holdfast run` makes them."
    return Result(data={"versions": data}, text=text)


def _show(project: Project, _options: Namespace, name: str) -> Result:
    with project.ledger.read() as connection:
        stored = version_names.find(connection, name)
        one = version_names.shown(connection, stored)
        names = labels.class_names(connection)
        counts = held_labels.class_counts(connection, stored.version.moment or 0)
        admitted = Counter(one.class_id for one in synthetic.of_version(connection, stored.id))
    known = sorted({class_id for of_split in counts.values() for class_id in of_split})
    classes = {
        names[class_id]: {split: of_split.get(class_id, 0) for split, of_split in counts.items()}
        for class_id in known
    }
    drawn = {names[class_id]: number for class_id, number in sorted(admitted.items())}
    data = _facts(one) | {"classes": classes, "synthetic": drawn}
    version = stored.version
    said = {
        "version": f"{stored.id}, {version.tier} of round-{version.round_number}",
        "made": one.created_at,
        "parent": "none" if version.parent is None else str(version.parent),
        "tags": ", ".join(one.tags) or "none",
        "labels": f"{version.num_labels:,}, up to event {version.watermark:,}",
        "digest": version.digest,
        "models": ", ".join(sha256[:12] for sha256 in one.models) or "none",
        **_flat("", version.recipe),
    }
    rows = [[name, *of_class.values()] for name, of_class in classes.items()]
    head = ["class", "train", "holdout"]
    if drawn:
        # Beside the labels, never among them.
        rows = [[*row, drawn.get(str(row[0]), 0)] for row in rows]
        head.append("synthetic, beside train")
    return Result(data=data, text=f"{facts(said)}\n\n{table(head, rows)}")


def _diff(project: Project, options: Namespace, before: str, after: str) -> Result:
    with project.ledger.read() as connection:
        one, two = (version_names.find(connection, name) for name in (before, after))
        names = labels.class_names(connection)
        moments = (one.version.moment or 0, two.version.moment or 0)
        found = compare(differences.transitions(connection, *moments))
        changes = [
            _change(change, names)
            for change in differences.changes(connection, *moments, options.top)
        ]
        if options.csv is not None:
            _write(connection, options.csv, moments, names)
        counts = [held_labels.at(connection, moment).counts for moment in moments]
    totals = {
        "added": sum(found.added.values()),
        "removed": sum(found.removed.values()),
        "changed": sum(found.changed.values()),
    }
    classes = {
        names[k]: {
            "before": counts[0].get(k, 0),
            "after": counts[1].get(k, 0),
            "added": found.added.get(k, 0),
            "removed": found.removed.get(k, 0),
            "changed_to": found.changed.get(k, 0),
        }
        for k in sorted({*counts[0], *counts[1]})
    }
    data = {
        "before": one.id,
        "after": two.id,
        **totals,
        "classes": classes,
        "changes": changes,
        "csv": None if options.csv is None else str(options.csv),
    }
    return Result(data=data, text=_difference(data, totals))


def _difference(data: Mapping[str, Any], totals: Mapping[str, int]) -> str:
    total = sum(totals.values())
    head = f"version {data['before']} to {data['after']}: " + ", ".join(
        f"{number:,} {what}" for what, number in totals.items()
    )
    header = ["class", "before", "after", "added", "removed", "changed to it"]
    parts = [head, table(header, [[name, *of.values()] for name, of in data["classes"].items()])]
    changes = data["changes"]
    if changes:
        rows = [
            [
                one["uid"][:12],
                one["before"],
                one["after"],
                one["who"],
                one["when"][:16].replace("T", " "),
                one["why"],
            ]
            for one in changes
        ]
        parts.append(table(["sample", "before", "after", "who", "when", "why"], rows))
    if total > len(changes):
        more = count(total - len(changes), "sample")
        parts.append(f"and {more} more; --top shows more, --csv all")
    return "\n\n".join(parts)


def _tag(project: Project, _options: Namespace, name: str, tag: str) -> Result:
    with project.ledger.write() as connection:
        stored = version_names.find(connection, name)
        version_names.tag(connection, stored.id, tag, user_name())
    data = {"version": stored.id, "tag": tag}
    return Result(data=data, text=f"Version {stored.id} is {tag} now.")


def _export(project: Project, options: Namespace, name: str, folder: str) -> Result:
    with project.ledger.read() as connection:
        stored = version_names.find(connection, name)
        left_out = len(synthetic.of_version(connection, stored.id))
    form = options.format or "parquet"
    with Screen() as screen:
        done = export(project.ledger, project.images, stored, Path(folder), form, screen.show)
    data = {
        "version": stored.id,
        "digest": stored.version.digest,
        "format": form,
        "folder": str(done.folder),
        "samples": done.num_samples,
        "holdout": done.num_holdout,
        "bytes": done.num_bytes,
        "synthetic_left_out": left_out,
    }
    text = (
        f"Version {stored.id} is in {done.folder} as {form}: "
        f"{count(done.num_samples, 'sample')}, {done.num_holdout:,} of them holdout."
    )
    if left_out:
        text += f" {count(left_out, 'synthetic image')} beside them were left out."
    return Result(data=data, text=text)


def _facts(one: ListedVersion) -> dict[str, Any]:
    version = one.stored.version
    return {
        "version": one.stored.id,
        "tier": version.tier,
        "round": version.round_number,
        "parent": version.parent,
        "labels": version.num_labels,
        "watermark": version.watermark,
        "excluded": [list(pair) for pair in version.excluded],
        "digest": version.digest,
        "recipe": dict(version.recipe),
        "created_at": one.created_at,
        "tags": list(one.tags),
        "models": list(one.models),
    }


def _flat(prefix: str, recipe: Mapping[str, Any]) -> dict[str, str]:
    """Say a recipe in lines: `sampling.class_balance  1.0`."""
    lines: dict[str, str] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            lines |= _flat(f"{prefix}{name}.", value)
        else:
            lines[f"{prefix}{name}"] = str(value)
    return lines


def _change(change: LabelChange, names: list[str]) -> dict[str, Any]:
    return {
        "uid": change.uid,
        "source": change.source,
        "before": None if change.before is None else names[change.before],
        "after": None if change.after is None else names[change.after],
        "who": change.who,
        "when": change.when,
        "why": change.why,
        "round": change.round_number,
    }


def _write(connection: Connection, path: Path, moments: tuple[int, int], names: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for change in differences.changes(connection, *moments):
            writer.writerow(_change(change, names))
