"""`holdfast doctor`: versions, device and stores, and how to get what is missing."""

from __future__ import annotations

import platform
import re
import shutil
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from holdfast.cli.output import Result, count, table
from holdfast.config import Config, load
from holdfast.errors import CheckpointMismatchError, ConfigError, HoldfastError
from holdfast.project import Project
from holdfast.store import checkpoints, models, samples

# Free space below which a round may not be able to write its models and reports.
LITTLE_SPACE = 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `remedy` says what to do unless it is fine."""

    what: str
    found: str
    remedy: str = ""


def doctor(options: Namespace) -> Result:
    """Look at everything a run needs. Exit code 2 when something must be corrected."""
    checks = [*_versions(), *_project(options.config)]
    broken = [check for check in checks if check.remedy]
    rows = [["fix" if check.remedy else "ok", check.what, check.found] for check in checks]
    lines = [table(["", "what", "found"], rows), ""]
    lines += [f"{check.what}: {check.remedy}" for check in broken] or ["everything is in place"]
    return Result(
        data={"ok": not broken, "checks": [asdict(check) for check in checks]},
        text="\n".join(lines),
        exit_code=ConfigError.exit_code if broken else 0,
    )


def _versions() -> Iterator[Check]:
    yield Check("python", platform.python_version())
    try:
        required = metadata.requires("holdfast") or []
        yield Check("holdfast", metadata.version("holdfast"))
    except metadata.PackageNotFoundError:
        yield Check("holdfast", "not installed", "run `make setup`, or `pip install .`")
        return
    for requirement in required:
        name = re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", requirement)
        try:
            yield Check(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            if extra:
                get = f"not installed; optional: pip install 'holdfast[{extra[1]}]'"
                yield Check(name, get)
            else:
                yield Check(name, "not installed", f"pip install '{requirement}'")


def _project(path: Path) -> Iterator[Check]:
    try:
        config = load(path)
    except ConfigError as error:
        yield Check("config", "cannot be read", str(error))
        yield _device(Config())
        return
    yield Check("config", str(path))
    yield _device(config)
    try:
        project = Project.open(path)
    except HoldfastError as error:
        yield Check("ledger", "cannot be opened", str(error))
        return
    with project:
        yield from _stores(project)


def _device(config: Config) -> Check:
    try:
        from holdfast.model.network import resolve_device

        return Check("device", str(resolve_device(config.network.device)))
    except HoldfastError as error:
        return Check("device", config.network.device, str(error))
    except ImportError as error:
        return Check("device", "unknown", f"{error}; run `make setup`, or pip install torch")


def _stores(project: Project) -> Iterator[Check]:
    with project.ledger.read() as connection:
        ids = np.concatenate(
            [samples.usable_ids(connection, side) for side in ("train", "holdout")]
        )
        uids = samples.uids_of(connection, ids)
        champion = models.champion(connection)
    engine = project.ledger.engine
    yield Check("ledger", f"{engine.dialect.name}, {count(len(uids), 'usable sample')}")
    lost = project.images.missing(uids)
    yield Check(
        "images",
        f"{len(uids) - len(lost):,} of {len(uids):,} in {project.images.path}",
        f"{count(len(lost), 'image')} missing; ingest the same files again" if lost else "",
    )
    if champion is None:
        yield Check("champion", "none yet")
    else:
        yield _champion(project.models, champion.champion)
    free = shutil.disk_usage(project.root).free
    yield Check(
        "disk",
        f"{free / 2**30:.1f} GiB free",
        "" if free >= LITTLE_SPACE else f"free some space on the disk of {project.root}",
    )


def _champion(folder: Path, sha256: str) -> Check:
    """Read the champion as a round would, which compares its checksum."""
    try:
        checkpoints.load(folder, sha256)
    except CheckpointMismatchError as error:
        return Check("champion", f"{sha256[:12]}, unreadable", str(error))
    return Check("champion", f"{sha256[:12]}, intact")
