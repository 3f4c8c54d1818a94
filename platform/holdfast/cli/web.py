"""`holdfast web`: what Label Studio and its annotators read from this project."""

from __future__ import annotations

import importlib
from argparse import Namespace

from holdfast.cli.output import Result
from holdfast.project import Project

# The web application stands beside the command line in the import layers, so this is
# reached by name like a command.
_SERVING = "holdfast.web.serving"


def web(options: Namespace) -> Result:
    """Serve images, guesses and the webhook until Ctrl-C.

    Raises
    ------
    ConfigError
        If `web.host` and `web.port` cannot be listened on.
    """
    with Project.open(options.config) as project:
        importlib.import_module(_SERVING).serve(project)
        url = project.config.web.base
    return Result(data={"url": url}, text=f"{url} is served no more")
