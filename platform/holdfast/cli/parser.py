"""The command line: the table's commands under one parser, errors on one line."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from holdfast.cli.commands import COMMANDS


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line and suggests what was meant."""

    def error(self, message: str) -> NoReturn:
        """Write one line to stderr and exit with 2."""
        self.exit(2, f"holdfast: {message}; see `{self.prog} --help`\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest != "command" or value in COMMANDS:
            super()._check_value(action, value)
            return
        close = difflib.get_close_matches(str(value), COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(COMMANDS)}"
        self.error(f"unknown command {value!r}; {hint}")


class _ShowVersion(argparse.Action):
    """Look the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"holdfast {version('holdfast')}\n")
        parser.exit()


def build_parser() -> Parser:
    """Build the parser of all commands without importing any of them."""
    parser = Parser(
        prog="holdfast",
        description="Keeps an image classifier learning while its world moves.",
        epilog="Exit codes: 0 done, 2 something to correct, 75 come back later "
        "(waiting for answers, or busy), 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version")
    _add_common(parser, {"config": Path("holdfast.toml"), "debug": False, "json": False})
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=Parser
    )
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name, help=command.summary, description=command.summary, allow_abbrev=False
        )
        for argument in command.arguments:
            added.add_argument(argument.flag, **argument.settings)
        # Without SUPPRESS a command's default would undo the same option given before it.
        _add_common(added, dict.fromkeys(("config", "debug", "json"), argparse.SUPPRESS))
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; SystemExit with 2 when it cannot be understood."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.error(f"which command? choose from {', '.join(COMMANDS)}")
    return options


def _add_common(parser: argparse.ArgumentParser, defaults: dict[str, Any]) -> None:
    group = parser.add_argument_group("everywhere")
    group.add_argument(
        "--config",
        metavar="PATH",
        type=Path,
        default=defaults["config"],
        help="the project's holdfast.toml or its folder (default: ./holdfast.toml)",
    )
    group.add_argument(
        "--json", action="store_true", default=defaults["json"], help="print results as JSON"
    )
    group.add_argument(
        "--debug", action="store_true", default=defaults["debug"], help="show tracebacks"
    )
