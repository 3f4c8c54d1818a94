"""`holdfast augment`: what a policy makes of the project's images, or a generator of them."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter

from holdfast.cli.output import Result, count, facts, table
from holdfast.cli.screen import Screen
from holdfast.errors import ConfigError
from holdfast.phases.augment_sheet import make_sheet
from holdfast.phases.synthetic_sheet import make_synthetic_sheet
from holdfast.project import Project


def augment(options: Namespace) -> Result:
    """Show images before and after a policy, or generated ones; nothing of the project changes.

    Raises
    ------
    ConfigError
        If there is no such policy, no labeled image to show, or no champion to judge by.
    MissingExtraError
        If the policy needs albumentations, or the generator diffusers, and it is not installed.
    """
    if options.synthetic:
        return _synthetic(options)
    with Project.open(options.config) as project:
        sheet = make_sheet(project, options.policy, options.top, options.out)
    policy = json.loads(sheet.config.as_json())
    data = {
        "policy": policy,
        "seed": sheet.seed,
        "samples": [
            {"uid": uid, "class": name, "strength": strength}
            for uid, name, strength in zip(
                sheet.uids, sheet.class_names, sheet.strengths, strict=True
            )
        ],
        "page": str(sheet.page),
    }
    shown = Counter(sheet.class_names)
    left = Counter(
        name for name, one in zip(sheet.class_names, sheet.strengths, strict=True) if one == 0
    )
    said = {
        "policy": sheet.config.policy,
        "classes": sheet.config.classes.replace("_", " "),
        "shown": ", ".join(f"{number:,} {name}" for name, number in shown.items()),
    }
    if left:
        said["unchanged"] = f"{count(sum(left.values()), 'image')} of classes that are not rare"
    for name, settings in policy.items():
        if isinstance(settings, dict) and name != "albumentations":
            said[name] = ", ".join(
                f"{key.replace('_', ' ')} {value:g}" for key, value in settings.items()
            )
    said["page"] = str(sheet.page)
    return Result(data=data, text=facts(said))


def _synthetic(options: Namespace) -> Result:
    if options.policy is not None:
        raise ConfigError("--policy and --synthetic show different things; leave one of them out")
    with Project.open(options.config) as project, Screen() as screen:
        sheet = make_synthetic_sheet(project, options.top, options.out, screen.show)
    made, names = sheet.made, sheet.class_names
    data = made.as_json(names) | {"page": str(sheet.page)}
    said = {
        "in rounds": f"up to {made.config.per_class:,} for each rare class that passes"
        if made.config.per_class
        else "off; learning.synthetic.per_class turns it on",
        "generator": made.generator[:12] if made.generator else f"none: {made.reason}",
        "page": str(sheet.page),
    }
    rows = [
        [
            names[one.class_id],
            one.verdict.num_real,
            one.verdict.num_drawn,
            one.verdict.num_copies,
            "passed" if one.verdict.passed else "failed",
            one.verdict.reason,
        ]
        for one in made.classes
    ]
    head = ["class", "real", "drawn", "copies", "verdict", "why"]
    parts = [facts(said), table(head, rows)] if rows else [facts(said)]
    return Result(data=data, text="\n\n".join(parts))
