"""Label Studio's own environment and its empty database, made once under `.label-studio`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from holdfast.errors import ConfigError

HOME = Path(__file__).parents[2] / ".label-studio"
LOCK = Path(__file__).with_name("requirements.lock")
PYTHON = HOME / "env" / "bin" / "python"
# Migrating an empty database takes most of a first start; a copy of one takes none.
EMPTY_DATABASE = HOME / "empty.sqlite3"
READY = HOME / ".ready"
SERVING = Path(__file__).with_name("serving.py")


def ensure_installed() -> None:
    """Install what `requirements.lock` names, unless that has been done.

    Raises
    ------
    ConfigError
        If a step of the installation fails.
    """
    if READY.exists() and READY.read_bytes() == LOCK.read_bytes():
        return
    uv = Path(sys.executable).with_name("uv")
    HOME.mkdir(exist_ok=True)
    _run(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, HOME / "env")
    _run(uv, "pip", "sync", "--quiet", "--python", PYTHON, LOCK)
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        file = Path(folder) / EMPTY_DATABASE.name
        _run(PYTHON, SERVING, "migrate", file, environment=environment(Path(folder)))
        file.replace(EMPTY_DATABASE)
    READY.write_bytes(LOCK.read_bytes())


def environment(data: Path, files: Path | None = None) -> dict[str, str]:
    """Return what Label Studio finds in its environment: its settings, and no others.

    Parameters
    ----------
    data : Path
        Folder for its database and uploads.
    files : Path or None
        Folder whose images tasks may name, for `images = "local-files"`; None: no such folder.
    """
    passed_on = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")
    settings = {
        "BASE_DATA_DIR": str(data),
        "DJANGO_DB": "sqlite",
        "DEBUG": "false",
        "LOG_LEVEL": "WARNING",
        # It starts offline, and tells nobody that it did.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        # Images, hints and guesses come from loopback.
        "SSRF_PROTECTION_ENABLED": "false",
        "ML_BLOCK_LOCAL_IP": "false",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LOCAL_FILES_SERVING_ENABLED": str(files is not None).lower(),
        "LOCAL_FILES_DOCUMENT_ROOT": str(files or data),
    }
    return {
        **{name: os.environ[name] for name in passed_on if name in os.environ},
        **{f"LABEL_STUDIO_{name}": value for name, value in settings.items()},
    }


def _run(*command: Path | str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603
        list(map(str, command)),
        # As in the Makefile: trust the certificates that the machine trusts.
        env=environment or {"UV_SYSTEM_CERTS": "1", **os.environ},
        text=True,
        capture_output=True,
    )
    if done.returncode:
        tail = " ".join(done.stderr.split())[-500:]
        raise ConfigError(
            f"Label Studio could not be installed into {HOME}: {Path(command[0]).name} ended "
            f"with {done.returncode} ({tail}); see that the network is there, then run again"
        )


if __name__ == "__main__":
    ensure_installed()
