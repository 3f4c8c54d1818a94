"""The command line is a promise to scripts: a change here must be meant."""

import argparse

from holdfast.cli.parser import build_parser

COMMON = ["--config", "--debug", "--help", "--json"]
PROMISED = {
    "init": ["DIR"],
    "ingest": ["PATH", "--with", "--project", "--dry-run", "--reference"],
    "audit": ["--top", "--kind", "--csv"],
    "augment": ["--policy", "--synthetic", "--out", "--top"],
    "query": ["--top"],
    "run": ["--no-prefect"],
    "collect": [],
    "queue": ["--top"],
    "annotators": [],
    "label-studio": ["--no-hooks"],
    "web": [],
    "balance": [],
    "status": [],
    "report": ["--round"],
    "rollback": ["--to"],
    "versions": ["VERB", "V", "--format", "--top", "--csv"],
    "explain": ["UID"],
    "quarantine": ["VERB", "UID", "--top"],
    "doctor": [],
}


def options_of(parser):
    names = []
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            names.append(action.option_strings[-1] if action.option_strings else action.metavar)
    return sorted(names)


def test_commands_and_their_options_are_those_promised():
    parser = build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    found = {name: options_of(sub) for name, sub in commands.choices.items()}
    assert found == {name: sorted([*own, *COMMON]) for name, own in PROMISED.items()}
    assert options_of(parser) == sorted([*COMMON, "--version"])


def test_every_command_says_what_it_does():
    parser = build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert all(sub.description for sub in commands.choices.values())
    undocumented = [
        (name, action.dest)
        for name, sub in commands.choices.items()
        for action in sub._actions
        if not action.help
    ]
    assert undocumented == []
