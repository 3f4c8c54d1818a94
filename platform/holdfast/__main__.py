"""The command `holdfast`: one line on stderr for an error, results on stdout."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence

from holdfast.cli.commands import COMMANDS
from holdfast.cli.parser import parse
from holdfast.errors import HoldfastError

INTERRUPTED = 130
UNEXPECTED = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns
    -------
    int
        Exit code: 0 done, 2 something to correct, 75 come back later, 130 interrupted,
        1 an error nobody foresaw.
    """
    try:
        exit_code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of stdout (`head`) is gone; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return exit_code


def _run(argv: Sequence[str] | None) -> int:
    try:
        options = parse(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        result = COMMANDS[options.command].load()(options)
        sys.stdout.write(result.render(options.json) + "\n")
        return result.exit_code
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        sys.stderr.write("holdfast: interrupted; run again to go on\n")
        return INTERRUPTED
    except HoldfastError as error:
        return _fail(error, str(error), error.exit_code, options.debug, options.json)
    except Exception as error:
        said = f"{type(error).__name__}: {error}; run with --debug to see where it happened"
        return _fail(error, f"unexpected {said}", UNEXPECTED, options.debug, options.json)


def _fail(error: Exception, message: str, exit_code: int, debug: bool, as_json: bool) -> int:
    if debug:
        traceback.print_exception(error)
    line = " ".join(message.split())
    if as_json:
        described = {
            "error": type(error).__name__,
            "message": line,
            "exit_code": exit_code,
            "facts": vars(error),
        }
        sys.stdout.write(json.dumps(described, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stderr.write(f"holdfast: {line}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
