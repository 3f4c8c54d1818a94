"""The JSON file of a benchmark: whole after each row, so that an interrupt loses nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.store.checkpoints import write_whole


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options as JSON values, without where the file goes."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name != "json"
    }


def write_result(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write what has been measured so far; nothing where no file is wanted."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())
