import json
import re
import subprocess
import sys
from types import ModuleType

import pytest

from holdfast.__main__ import main
from holdfast.cli.commands import COMMANDS, Command
from holdfast.cli.output import Result
from holdfast.errors import AnnotationsPendingError, ConfigError


@pytest.fixture
def command(monkeypatch):
    """Make `holdfast status` do what the test says."""

    def set_function(function):
        module = ModuleType("command_of_a_test")
        module.function = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "status", Command("", "command_of_a_test:function"))

    return set_function


def fail_with(error):
    def function(_):
        raise error

    return function


def test_main_result_goes_to_stdout(command, capsys):
    command(lambda _: Result(data={"n": 1}, text="one"))
    assert main(["status"]) == 0
    assert capsys.readouterr() == ("one\n", "")
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"n": 1}


def test_main_result_carries_its_exit_code(command):
    command(lambda _: Result(data={}, text="", exit_code=2))
    assert main(["status"]) == 2


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ConfigError("fix\nthis"), 2),
        (AnnotationsPendingError(3, 1, 5, "queries/round-3.csv"), 75),
        (KeyError("x"), 1),
    ],
)
def test_main_error_is_one_line_on_stderr(command, capsys, error, exit_code):
    command(fail_with(error))
    assert main(["status"]) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("holdfast: ")
    assert err.count("\n") == 1


def test_main_unexpected_error_points_to_debug(command, capsys):
    command(fail_with(KeyError("x")))
    main(["status"])
    assert "unexpected KeyError: 'x'; run with --debug" in capsys.readouterr().err


def test_main_debug_shows_the_traceback(command, capsys):
    command(fail_with(ConfigError("fix this")))
    assert main(["--debug", "status"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_main_json_error_can_be_read_by_a_program(command, capsys):
    command(fail_with(AnnotationsPendingError(3, 1, 5, "here")))
    assert main(["status", "--json"]) == 75
    described = json.loads(capsys.readouterr().out)
    assert described["error"] == "AnnotationsPendingError"
    assert described["exit_code"] == 75
    assert "1 of 5" in described["message"]
    assert described["facts"] == {"round_number": 3, "answered": 1, "asked": 5, "where": "here"}


def test_main_interrupt_exits_130(command, capsys):
    command(fail_with(KeyboardInterrupt()))
    assert main(["status"]) == 130
    assert capsys.readouterr().err == "holdfast: interrupted; run again to go on\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["--config", "x", "--json", "status"],
        ["status", "--config", "x", "--json"],
        ["--config", "x", "status", "--json"],
    ],
)
def test_main_common_options_stand_before_or_after_the_command(command, argv):
    seen = []
    command(lambda options: seen.append(options) or Result(data={}, text=""))
    main(argv)
    assert (str(seen[0].config), seen[0].json, seen[0].debug) == ("x", True, False)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["stauts"], "unknown command 'stauts'; did you mean status?"),
        (["zzz"], "unknown command 'zzz'; choose from init, ingest"),
        ([], "which command?"),
        (["status", "--jsn"], "unrecognized arguments: --jsn"),
        (["rollback"], "the following arguments are required: --to"),
        (["rollback", "--to", "yesterday"], "invalid round-N value: 'yesterday'"),
        (["report", "--round", "0"], "invalid round-N value: '0'"),
        (["ingest"], "the following arguments are required: PATH"),
    ],
)
def test_main_command_line_that_makes_no_sense_exits_2_in_one_line(capsys, argv, message):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_main_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    # A long name has its line to itself.
    assert all(re.search(rf"^    {name}\s", out, re.M) for name in COMMANDS)


def test_main_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"holdfast {version('holdfast')}\n"


def test_main_reader_that_leaves_early_is_no_error():
    run = f"{sys.executable} -m holdfast --help | true"
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
