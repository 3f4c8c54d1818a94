"""What a light command may not import: each of these costs seconds."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "avalanche", "prefect", "cleanlab", "modAL", "sklearn", "faiss", "timm")
LOOK = """
import json, sys
from holdfast.__main__ import main
exit_code = main(sys.argv[1:])
print("\\n" + json.dumps([exit_code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported_by(*argv, cwd):
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *argv], cwd=cwd, capture_output=True, text=True, check=True
    )
    exit_code, modules = json.loads(done.stdout.splitlines()[-1])
    assert exit_code == 0, done.stderr
    return set(modules)


def test_help_imports_nothing_but_the_standard_library(tmp_path):
    imported = imported_by("--help", cwd=tmp_path)
    assert not imported & {*HEAVY, "sqlalchemy", "numpy", "lance", "pandas", "PIL", "rich"}


def test_config_and_status_import_no_learning_library(tmp_path):
    imported_by("init", ".", cwd=tmp_path)
    # The first time a ledger is made, Alembic has to be imported.
    imported_by("status", cwd=tmp_path)
    imported = imported_by("status", cwd=tmp_path) | imported_by("queue", cwd=tmp_path)
    servers = {"label_studio_sdk", "starlette", "uvicorn"}
    assert not imported & {*HEAVY, *servers, "matplotlib", "lance", "pandas", "alembic"}


@pytest.mark.parametrize(
    "command",
    [
        "annotators",
        "audit",
        "collect",
        "doctor",
        "ingest",
        "init",
        "label-studio",
        "query",
        "queue",
        "report",
        "rollback",
        "run",
        "web",
    ],
)
def test_help_of_a_command_imports_none_of_it(tmp_path, command):
    assert not imported_by(command, "--help", cwd=tmp_path) & {*HEAVY, "sqlalchemy", "numpy"}
