"""What the last audit of a round found, as a section of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.evaluation.report_data import ReportData
from holdfast.evaluation.tables import count, section, table

_LEAD = (
    "What looked wrong with labels and images when the round began. The holdfast audit command "
    "shows the samples, now or at any time."
)


def audit(data: ReportData) -> str:
    """Return counts of findings, labels that look wrong by class, and confused classes.

    Empty where nothing was audited, as in a comparison of ways of learning.
    """
    found = data.audit
    if not found:
        return ""
    images: Mapping[str, Any] = found.get("images", {})
    parts = [_kinds(found, images), _classes(data, found), _pairs(found), _groups(found)]
    return section("What the audit found", _LEAD, "".join(parts))


def leak(data: ReportData) -> str | None:
    """Return what to do about copies on both sides of the split; None where there are none."""
    across = data.audit.get("images", {}).get("across_splits", {})
    kept = sum(across.get("kept", {}).values())
    moved = across.get("moved", 0)
    if not kept and (moved or not across.get("sets")):
        return None
    number = kept or across["sets"]
    pictures = "1 picture lies" if number == 1 else f"{number:,} pictures lie"
    named = ""
    if across.get("examples"):
        sides = across["examples"][0]
        named = f" (as {sides['holdout'][0]} is {sides['train'][0]})"
    return (
        f"{pictures} in the holdout and, copied or nearly so, in training{named}, so the holdout "
        "may measure what was learned by heart. Run holdfast audit to see them and why they "
        "were left there."
    )


def _kinds(found: Mapping[str, Any], images: Mapping[str, Any]) -> str:
    flagged = sum(found.get("flagged_by_class", {}).values())
    rows = [["labels that look wrong", count(flagged)]]
    rows += [[kind.replace("_", " "), count(n)] for kind, n in images.get("found", {}).items()]
    rows += _moved_out(images.get("across_splits", {}))
    rows += [
        [kind.replace("_", " "), f"{share:.0%} of the images, which is how this set is"]
        for kind, share in images.get("common", {}).items()
    ]
    return table("Findings", ["Kind", "Samples"], rows)


def _moved_out(across: Mapping[str, Any]) -> list[list[str]]:
    """Return rows about copies of held-out samples: those that left training, and the others."""
    rows = []
    if across.get("moved"):
        what = f"{across['moved_exact']:,} exact, {across['moved_near']:,} nearly so"
        rows.append(["copies of held-out samples", f"{count(across['moved'])} moved to quarantine"])
        rows[-1][1] += f" ({what}); holdfast quarantine list shows them"
    rows += [
        ["copies of held-out samples", f"{count(number)} left in training: {why}"]
        for why, number in across.get("kept", {}).items()
    ]
    return rows


def _classes(data: ReportData, found: Mapping[str, Any]) -> str:
    flags = found.get("flagged_by_class", {})
    if not flags:
        return ""
    rows = [[name, count(flags.get(name, 0))] for name in data.class_names]
    return table("Labels that look wrong, by class on record", ["Class", "Labels"], rows)


def _pairs(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{pair['first']} and {pair['second']}",
            f"{pair['first_as_second']:,} ({pair['first_rate']:.1%})",
            f"{pair['second_as_first']:,} ({pair['second_rate']:.1%})",
        ]
        for pair in found.get("confused", [])
    ]
    head = ["Classes", "First looks like second", "Second looks like first"]
    return table("Classes taken for each other", head, rows) if rows else ""


def _groups(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"like {one['name']}" if one["is_cluster"] else str(one["name"]),
            count(one["size"]),
            f"{one['rate']:.1%}",
            f"{one['expected']:.1%}",
        ]
        for one in found.get("weak_groups", [])
    ]
    head = ["Group", "Samples", "Disagree with their labels", "Expected of their classes"]
    return table("Groups that do worse", head, rows) if rows else ""
