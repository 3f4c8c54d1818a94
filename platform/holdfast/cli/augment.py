"""`holdfast augment`: what an augmentation policy makes of the project's images."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter

from holdfast.cli.output import Result, count, facts
from holdfast.phases.augment_sheet import make_sheet
from holdfast.project import Project


def augment(options: Namespace) -> Result:
    """Show images before and after a policy; nothing of the project changes.

    Raises
    ------
    ConfigError
        If there is no such policy, or no labeled image to show.
    MissingExtraError
        If the policy needs albumentations, and it is not installed.
    """
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
