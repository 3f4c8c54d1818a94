"""The command table: what each command takes, and where its code lives. Loaded on use."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.cli.output import Result


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command, as argparse takes it."""

    flag: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes
    ----------
    summary : str
        What it does, for the list of commands.
    home : str
        ``module:function``; the function takes the parsed options and returns a Result.
    """

    summary: str
    home: str
    arguments: tuple[Argument, ...] = ()

    def load(self) -> Callable[[Namespace], Result]:
        """Import and return the command's function."""
        module, _, name = self.home.partition(":")
        function: Callable[[Namespace], Result] = getattr(importlib.import_module(module), name)
        return function


def round_number(text: str) -> int:
    """Read `round-3` or `3`; argparse reports a ValueError as a bad argument."""
    number = int(text.removeprefix("round-"))
    if number < 1:
        raise ValueError(text)
    return number


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


# argparse names the type in its message: "invalid round-N value: 'x'".
round_number.__name__ = "round-N"
positive.__name__ = "whole number above 0"

COMMANDS: dict[str, Command] = {
    "init": Command(
        "start a project: write a commented holdfast.toml",
        "holdfast.cli.init:init",
        (Argument("folder", {"metavar": "DIR", "help": "the project's folder"}),),
    ),
    "ingest": Command(
        "take in images: folders, manifests, archives, tables, URLs or data sets",
        "holdfast.cli.ingest:ingest",
        (
            Argument(
                "path",
                {
                    "metavar": "PATH",
                    "help": "a folder of class-named folders or of unlabeled images; a .csv, "
                    ".jsonl or .parquet file with the columns path,label[,group,split,annotator]; "
                    "a .parquet, .npz, IDX or .tar file that holds images, or a folder of such; "
                    "the URL of one of these; a data set of a Python library as module:name, as in "
                    "torchvision.datasets:CIFAR10; `label-studio` takes in a project that exists "
                    "there",
                },
            ),
            Argument(
                "--with",
                {
                    "metavar": "NAME=VALUE",
                    "dest": "arguments",
                    "action": "append",
                    "help": "with a data set: an argument it is made with, as in root=data or "
                    "train=true; give one --with for each",
                },
            ),
            Argument(
                "--dry-run",
                {"action": "store_true", "help": "report what would happen and write nothing"},
            ),
            Argument(
                "--reference",
                {
                    "action": "store_true",
                    "help": "leave the images where they are and keep only where that is; they "
                    "must stay and must not change",
                },
            ),
            Argument(
                "--project",
                {
                    "metavar": "N",
                    "type": positive,
                    "help": "with `label-studio`: the id of the project there",
                },
            ),
        ),
    ),
    "audit": Command(
        "show which labels look wrong and what is wrong with the images",
        "holdfast.cli.audit:audit",
        (
            Argument(
                "--top",
                {
                    "metavar": "N",
                    "type": positive,
                    "default": 20,
                    "help": "samples shown in the terminal (default: 20)",
                },
            ),
            Argument(
                "--kind",
                {"metavar": "KIND", "help": "look for one kind of finding, as in label_error"},
            ),
            Argument(
                "--csv",
                {
                    "metavar": "FILE",
                    "type": Path,
                    "help": "write every finding: uid, source, kind, score, given, suggested",
                },
            ),
        ),
    ),
    "augment": Command(
        "show what an augmentation policy makes of the project's images",
        "holdfast.cli.augment:augment",
        (
            Argument(
                "--policy",
                {
                    "metavar": "NAME",
                    "help": "slight, geometric, visual, randaugment, albumentations, mixup or "
                    "cutmix, joined by +; default: that of holdfast.toml",
                },
            ),
            Argument(
                "--synthetic",
                {
                    "action": "store_true",
                    "help": "teach a generator the rare classes instead, judge what it draws and "
                    "show it beside real images; takes minutes",
                },
            ),
            Argument(
                "--out",
                {
                    "metavar": "FILE",
                    "type": Path,
                    "help": "where the page goes (default: reports/augment.html, or "
                    "reports/synthetic.html)",
                },
            ),
            Argument(
                "--top",
                {
                    "metavar": "N",
                    "type": positive,
                    "default": 12,
                    "help": "images shown, classes in turns; with --synthetic of each class "
                    "(default: 12)",
                },
            ),
        ),
    ),
    "query": Command(
        "show what the next round would ask, without asking",
        "holdfast.cli.query:query",
        (
            Argument(
                "--top",
                {
                    "metavar": "N",
                    "type": positive,
                    "default": 20,
                    "help": "samples shown in the terminal (default: 20); the page shows all",
                },
            ),
        ),
    ),
    "run": Command(
        "take the round as far as it can go",
        "holdfast.cli.run:run",
        (
            Argument(
                "--no-prefect",
                {"action": "store_true", "help": "run the phases without a Prefect server"},
            ),
        ),
    ),
    "collect": Command(
        "take in the answers that are there, and go no further",
        "holdfast.cli.questions:collect",
    ),
    "queue": Command(
        "show which questions wait for people, since when, and which answers cannot count",
        "holdfast.cli.questions:queue",
        (
            Argument(
                "--top",
                {
                    "metavar": "N",
                    "type": positive,
                    "default": 20,
                    "help": "questions shown in the terminal (default: 20)",
                },
            ),
        ),
    ),
    "annotators": Command(
        "report how well and how fast people answer",
        "holdfast.cli.annotators:annotators",
    ),
    "label-studio": Command(
        "make or adopt this project in Label Studio, and join the two",
        "holdfast.cli.label_studio:label_studio",
        (
            Argument(
                "--no-hooks",
                {
                    "action": "store_true",
                    "help": "do not tell Label Studio about `holdfast web`: no live guesses, no "
                    "hints",
                },
            ),
        ),
    ),
    "web": Command(
        "serve images, guesses and hints for Label Studio until Ctrl-C",
        "holdfast.cli.web:web",
    ),
    "balance": Command(
        "show how evenly labels are spread over classes, and what that triggers",
        "holdfast.cli.balance:balance",
    ),
    "status": Command(
        "show samples, labels, the open round and the champion", "holdfast.cli.status:status"
    ),
    "report": Command(
        "show where a round's report is and what it says",
        "holdfast.cli.report:report",
        (
            Argument(
                "--round",
                {"metavar": "N", "type": round_number, "help": "default: the newest finished"},
            ),
        ),
    ),
    "rollback": Command(
        "return champion and labels to the end of an earlier round",
        "holdfast.cli.rollback:rollback",
        (
            Argument(
                "--to",
                {
                    "metavar": "round-N",
                    "type": round_number,
                    "required": True,
                    "help": "a later round undoes the rollback",
                },
            ),
        ),
    ),
    "versions": Command(
        "list, show, compare, name or export what models learned from",
        "holdfast.cli.versions:versions",
        (
            Argument(
                "verb",
                {
                    "metavar": "VERB",
                    "choices": ("list", "show", "diff", "tag", "export"),
                    "help": "list; show V; diff A B; tag V NAME; export V DIR",
                },
            ),
            Argument(
                "operands",
                {
                    "metavar": "V",
                    "nargs": "*",
                    "help": "versions: an id, a tag, round-N or latest; then NAME or DIR",
                },
            ),
            Argument(
                "--format",
                {
                    "metavar": "FORMAT",
                    "choices": ("parquet", "folder", "webdataset", "huggingface"),
                    "help": "export: parquet (default), folder, webdataset or huggingface",
                },
            ),
            Argument(
                "--top",
                {
                    "metavar": "N",
                    "type": positive,
                    "default": 20,
                    "help": "list and diff: versions or samples shown (default: 20)",
                },
            ),
            Argument(
                "--csv",
                {
                    "metavar": "FILE",
                    "type": Path,
                    "help": "diff: write every sample whose label differs",
                },
            ),
        ),
    ),
    "explain": Command(
        "tell one sample's whole life: labels, findings, queries, models",
        "holdfast.cli.explain:explain",
        (
            Argument(
                "sample",
                {
                    "metavar": "UID",
                    "help": "8 or more of a uid's first digits, or the path of an image that "
                    "was ingested",
                },
            ),
        ),
    ),
    "quarantine": Command(
        "show what is kept aside and why, release samples, or undo that",
        "holdfast.cli.quarantine:quarantine",
        (
            Argument(
                "verb",
                {
                    "metavar": "VERB",
                    "choices": ("list", "release", "undo"),
                    "help": "list; release UID...; undo UID..., which puts released ones back",
                },
            ),
            Argument(
                "operands",
                {
                    "metavar": "UID",
                    "nargs": "*",
                    "help": "8 or more of a uid's first digits, or the path of an image",
                },
            ),
            Argument(
                "--top",
                {
                    "metavar": "N",
                    "type": positive,
                    "default": 20,
                    "help": "samples shown in the terminal (default: 20)",
                },
            ),
        ),
    ),
    "doctor": Command(
        "check versions, device and stores, and say what is missing",
        "holdfast.cli.doctor:doctor",
    ),
}
