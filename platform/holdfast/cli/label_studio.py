"""`holdfast label-studio`: join this project and a Label Studio server."""

from __future__ import annotations

from argparse import Namespace

from holdfast.cli.output import Result, facts
from holdfast.project import Project


def label_studio(options: Namespace) -> Result:
    """Make or adopt the project in Label Studio, and say what it is to know of `holdfast web`.

    Everything is looked up first, so calling it again changes nothing.

    Raises
    ------
    ConfigError
        If another oracle is named, or Label Studio does not take the token.
    BusyError
        If another process runs this project.
    TransientError
        If Label Studio does not answer.
    """
    from holdfast.loop import exclusive
    from holdfast.phases.label_studio import join

    with Project.open(options.config) as project, exclusive(project):
        joined = join(project, hooks=not options.no_hooks)
    said = {
        "project": f"{joined.project} in {joined.url}",
        "classes": ", ".join(joined.class_names),
        "images": joined.images,
        "guesses": joined.guesses,
        "answers": "label there, then `holdfast run`",
    }
    data = {
        "project": joined.project,
        "url": joined.url,
        "classes": list(joined.class_names),
        "images": joined.images,
        "guesses": joined.guesses,
    }
    return Result(data=data, text=facts(said))
