"""`holdfast init`: start a project."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from holdfast.cli.output import Result
from holdfast.cli.template import template
from holdfast.config import FILE_NAME
from holdfast.errors import ConfigError


def init(options: Namespace) -> Result:
    """Write a commented config into a folder, which is made if it is missing.

    Raises
    ------
    ConfigError
        If the folder is a project already, or cannot be made.
    """
    folder = Path(options.folder)
    file = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(template())
    except FileExistsError as error:
        if file.exists():
            raise ConfigError(f"{file} exists already; edit it, or remove it first") from error
        raise ConfigError(f"{folder} is a file; give a folder") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be written ({error.strerror}); check {folder}") from error
    return Result(
        data={"config": str(file)},
        text=f"wrote {file}\n\nNext: cd {folder} && holdfast ingest PATH && holdfast run",
    )
