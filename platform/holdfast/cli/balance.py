"""`holdfast balance`: how evenly labels are spread, what that triggers, and what is done."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from holdfast.cli.output import Result, count, facts, table
from holdfast.config import Config
from holdfast.phases.balancing import BalanceFound, as_json, look
from holdfast.project import Project
from holdfast.store import rounds

_SAID = {
    "acquisition_target": "ask for more of it",
    "balanced_sampling": "draw classes equally often",
    "stronger_augmentation": "change its images more",
}


def balance(options: Namespace) -> Result:
    """Measure the training labels as they are now; the ledger stays as it was."""
    with Project.open(options.config) as project, project.ledger.read() as connection:
        newest = rounds.newest(connection)
        # As the next audit would see it.
        found = look(connection, project.config, 1 if newest is None else newest.number + 1)
        config = project.config
    return Result(data=_data(found, config), text=_text(found, config))


def _data(found: BalanceFound, config: Config) -> dict[str, object]:
    measured = found.balance
    return {
        "acts": config.balance.act,
        **as_json(found),
        "classes": [
            {
                "name": name,
                "labels": int(measured.counts_k[k]),
                "verified": int(measured.verified_k[k]),
                "share": float(measured.shares_k[k]),
                "effective_number": float(measured.effective_k[k]),
            }
            for k, name in enumerate(found.names)
        ],
    }


def _text(found: BalanceFound, config: Config) -> str:
    measured = found.balance
    num, verified = int(measured.counts_k.sum()), int(measured.verified_k.sum())
    said = {
        "labels": f"{num:,} for training, of which people confirmed {verified:,}",
        "classes": _classes(len(found.names), measured.num_missing),
        "ratio": "none" if measured.ratio is None else f"{measured.ratio:.1f} to 1",
        "entropy": "none" if measured.entropy is None else f"{measured.entropy:.3f} (1 is even)",
        "gini": "none" if measured.gini is None else f"{measured.gini:.3f} (0 is even)",
        "triggers": _triggers(found, config),
    }
    parts = [facts(said)]
    if found.triggers:
        rows: list[list[object]] = [
            [
                one.name,
                "all" if one.class_id is None else found.names[one.class_id],
                f"{one.value:.1f} to 1"
                if one.class_id is None
                else f"{one.value:.0%} of the mean, {one.lacking:,} lacking",
                f"round-{one.since}",
                "; ".join(_SAID[action] for action in one.actions),
            ]
            for one in found.triggers
        ]
        parts.append(table(["trigger", "class", "found", "since", "action"], rows))
    if found.names:
        columns = (
            found.names,
            measured.counts_k.tolist(),
            measured.verified_k.tolist(),
            measured.shares_k.tolist(),
            measured.effective_k.tolist(),
        )
        by_class: list[list[Any]] = [list(row) for row in zip(*columns, strict=True)]
        header = ["class", "labels", "verified", "share", "effective number"]
        parts.append(table(header, by_class))
    return "\n\n".join(parts)


def _classes(num: int, missing: int) -> str:
    return count(num, "class", "classes") + (f", {missing:,} without a label" if missing else "")


def _triggers(found: BalanceFound, config: Config) -> str:
    if not found.triggers:
        return "none has fired"
    held = f"{len(found.triggers):,} " + ("holds" if len(found.triggers) == 1 else "hold")
    if config.balance.act:
        return f"{held}, and the next round acts"
    return f"{held}, reported only; set balance.act = true to let the rounds act"
