"""Label Studio is installed from its lock, and finds our settings and nobody else's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployments.label_studio import install
from holdfast.errors import ConfigError


def test_lock_file_of_label_studio_names_no_address() -> None:
    lock = install.LOCK.read_text()
    assert "label-studio==1.23.2\n" in lock
    assert not re.findall(r"\w+://|--index-url|--find-links", lock)


def test_environment_holds_no_setting_of_whoever_starts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = install.environment(tmp_path)
    for name in ("LABEL_STUDIO_SENTRY_DSN", "HEARTEX_DEBUG", "DEBUG", "POSTGRE_HOST", "PORT"):
        monkeypatch.setenv(name, "true")
    assert install.environment(tmp_path) == plain


def test_environment_without_folder_of_files_serves_none(tmp_path: Path) -> None:
    serves = "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED"
    assert install.environment(tmp_path)[serves] == "false"
    assert install.environment(tmp_path, tmp_path / "files")[serves] == "true"


def test_installation_that_fails_says_where_and_is_not_taken_for_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home, lock = tmp_path / "home", tmp_path / "requirements.lock"
    lock.write_text("this is no requirement\n")
    monkeypatch.setattr(install, "HOME", home)
    monkeypatch.setattr(install, "PYTHON", home / "env" / "bin" / "python")
    monkeypatch.setattr(install, "READY", home / ".ready")
    monkeypatch.setattr(install, "LOCK", lock)
    with pytest.raises(ConfigError, match=rf"into {home}: uv ended with \d+ \(.*run again$"):
        install.ensure_installed()
    assert not install.READY.exists()
