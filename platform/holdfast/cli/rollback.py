"""`holdfast rollback`: return to the end of an earlier round."""

from __future__ import annotations

from argparse import Namespace

from holdfast import loop
from holdfast.cli.output import Result
from holdfast.cli.person import user_name
from holdfast.project import Project


def rollback(options: Namespace) -> Result:
    """Return champion and labels to what they were; nothing is deleted."""
    with Project.open(options.config) as project:
        promotion = loop.rollback(project, options.to, user_name())
    before = promotion.expected
    data = {
        "round": promotion.round_number,
        "champion": promotion.champion,
        "champion_before": before,
        "dataset_version": promotion.dataset_version,
        "who": promotion.who,
    }
    was = f" (was {before[:12]})" if before and before != promotion.champion else ""
    return Result(
        data=data,
        text=f"round-{promotion.round_number} is in force again: champion "
        f"{promotion.champion[:12]}{was}, dataset version {promotion.dataset_version}\n"
        "A rollback to a later round undoes this.",
    )
