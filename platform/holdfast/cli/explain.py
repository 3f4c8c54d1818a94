"""`holdfast explain`: one sample's whole life."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from holdfast.cli.output import Result, facts, table
from holdfast.phases.sample_life import SampleLife, SyntheticLife, life_of, synthetic_life
from holdfast.project import Project

# Which columns of each part are shown, under which heads.
_PARTS = {
    "events": (
        "Labels",
        {"kind": "kind", "class": "class", "annotator": "who", "round": "round"},
    ),
    "quarantine": ("Quarantine", {"kind": "what", "reason": "reason", "who": "who"}),
    "findings": (
        "Findings",
        {
            "kind": "kind",
            "score": "score",
            "given": "on record",
            "suggested": "suggested",
            "round": "round",
            "outcome": "outcome",
        },
    ),
    "queries": (
        "Queries",
        {
            "query_key": "query",
            "reason": "reason",
            "score": "score",
            "guess": "guess",
            "confidence": "confidence",
        },
    ),
    "questions": ("Questions", {"query_key": "query", "state": "state", "reason": "reason"}),
    "answers": (
        "Answers",
        {
            "query_key": "query",
            "annotator": "who",
            "label": "answer",
            "state": "state",
            "remark": "remark",
            "reason": "reason",
        },
    ),
}
_TIMES = ("created_at", "answered_at", "closed_at", "opened_at")


def explain(options: Namespace) -> Result:
    """Tell where a sample came from, what was said of it, and who learned from it."""
    with Project.open(options.config) as project:
        drawn = synthetic_life(project, options.sample)
        if drawn is not None:
            return _synthetic(drawn)
        life = life_of(project, options.sample)
    (sample,) = life.told["sample"]
    data: dict[str, Any] = {
        "sample": sample,
        "label": life.label,
        "in_champions_buffer": life.in_buffer,
        **{part: rows for part, rows in life.told.items() if part != "sample"},
    }
    return Result(data=data, text=_text(life, sample))


def _text(life: SampleLife, sample: dict[str, Any]) -> str:
    state = "usable" if sample["state"] == "ok" else f"in quarantine: {sample['reason']}"
    rehearsed = {None: "there is no champion yet", True: "yes", False: "no"}[life.in_buffer]
    parts = [
        facts(
            {
                "sample": life.uid,
                "source": sample["source"],
                "taken in": sample["created_at"],
                "image": f"{sample['width']}x{sample['height']}, {sample['channels']} channels, "
                f"{sample['num_bytes']:,} bytes",
                "split": sample["split"],
                "group": sample["group"] or "none",
                "state": state,
                "label": life.label or "none",
                "in champion's buffer": rehearsed,
            }
        )
    ]
    for part, (title, columns) in _PARTS.items():
        rows = life.told[part]
        if rows:
            cells = [[_when(row), *(row.get(name) for name in columns)] for row in rows]
            shown = table(["when", *columns.values()], cells)
            parts.append(f"{title}\n{shown}")
    parts.append(_models(life))
    return "\n\n".join(parts)


def _synthetic(life: SyntheticLife) -> Result:
    """Tell of an image that a generator drew."""
    versions: list[Any] = life.told["versions"]
    models: list[Any] = life.told["models"]
    data: dict[str, Any] = {"uid": life.uid, "synthetic": True, **life.told}
    first = versions[0]
    said = facts(
        {
            "synthetic image": life.uid,
            "class": first["class"],
            "drawn by": f"generator {first['generator'][:12]} of round-{first['round']}",
            "split": "none: it is no sample, and no holdout or query ever has it",
        }
    )
    rows = [[_when(row), f"round-{row['round']}", row["dataset_version"]] for row in versions]
    parts = [said, "Augmented versions that admit it\n" + table(["when", "round", "version"], rows)]
    if models:
        cells = [
            [
                row["sha256"][:12],
                f"round-{row['round']}",
                row["dataset_version"],
                "champion" if row["champion"] else "",
            ]
            for row in models
        ]
        head = ["model", "round", "version", ""]
        parts.append("Models that learned with it\n" + table(head, cells))
    else:
        parts.append("No model learned with it.")
    return Result(data=data, text="\n\n".join(parts))


def _models(life: SampleLife) -> str:
    rows: list[Any] = life.told["models"]
    if not rows:
        return "No model learned from it."
    cells = [
        [
            row["sha256"][:12],
            f"round-{row['round']}",
            str(row["dataset_version"]),
            row["class"],
            "champion" if row["champion"] else "",
        ]
        for row in rows
    ]
    return "Models that learned from it\n" + table(["model", "round", "version", "as", ""], cells)


def _when(row: dict[str, Any]) -> str | None:
    for name in _TIMES:
        if row.get(name):
            return str(row[name])[:16].replace("T", " ")
    return None
