"""Every code block of the README does what it says; a walk through it has a file of its own."""

from __future__ import annotations

from tests.architecture.readme import ROOT, SHELL, block, shell


def test_every_shell_block_is_run_by_a_test() -> None:
    known = (
        "make demo",
        "make test",
        "make label-studio",
        "export PATH=",
        "holdfast run",
        "holdfast audit",
        "holdfast rollback",
        "holdfast init",
        "holdfast web",
        "holdfast label-studio",
        "holdfast queue",
        "export PREFECT",
    )
    assert sorted(text.split("\n")[0] for text in SHELL) == sorted(
        text.split("\n")[0] for text in SHELL if text.startswith(known)
    )
    assert len(SHELL) == len(known)


def test_make_test_is_what_continuous_integration_runs() -> None:
    planned = shell("make --dry-run test", ROOT)
    assert planned.returncode == 0
    assert "-m pytest" in planned.stdout
    assert block("make test").strip() in (ROOT / ".ci" / "run").read_text()
