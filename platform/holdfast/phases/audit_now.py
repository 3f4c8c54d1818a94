"""The audit at any time, without a round: nothing is written to the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.catalog import suggestion
from holdfast.errors import ConfigError
from holdfast.phases.audit import (
    LABEL_ERROR,
    Audit,
    examine,
    images_outcome,
    labels_outcome,
    leak_sources,
)
from holdfast.phases.found import KINDS, Found, collect
from holdfast.phases.leak_reasons import num_moved_out
from holdfast.phases.leaks import FEW_LABELS, RELEASED, UNSURE, Leaks
from holdfast.phases.turn import Progress, Turn
from holdfast.project import Project
from holdfast.store import intake, labels, rounds, samples

# Leaks that are named, and files of each.
_LEAKS, _FILES = 3, 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditNow:
    """An audit, and what a person or a program is told of it.

    Attributes
    ----------
    found : mapping of str to Found
        By kind, the gravest first; only the kind that was asked for, where one was.
    numbers : mapping
        JSON: counts, confused classes, weak groups, the order.
    errors : tuple of str
        What makes measurements untrue until somebody acts.
    class_names : tuple of str
        By class id.
    class_sizes : tuple of int
        Labels of each class, by class id.
    num_moved_out : int
        Copies of held-out samples that audits before have moved to quarantine.
    """

    audit: Audit
    found: Mapping[str, Found]
    numbers: Mapping[str, object]
    errors: tuple[str, ...]
    class_names: tuple[str, ...]
    class_sizes: tuple[int, ...]
    num_moved_out: int

    def class_name(self, class_id: int) -> str | None:
        """Return the name of a class, None for -1."""
        return None if class_id < 0 else self.class_names[class_id]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One finding as a person reads it; `given` and `suggested` are class names."""

    uid: str
    source: str
    kind: str
    score: float
    given: str | None
    suggested: str | None


def audit_now(
    project: Project, kind: str | None = None, progress: Progress | None = None
) -> AuditNow:
    """Audit a project as it is; the draws are those of the round that would come next.

    Parameters
    ----------
    kind : str, optional
        Look for one kind of finding alone, which saves what only others need.

    Raises
    ------
    ConfigError
        If there are no images, nobody has labeled any where labels are needed, or no kind
        has that name.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f'no kind of finding is called "{kind}"; {suggestion(kind, KINDS)}')
    with project.ledger.read() as connection:
        newest = rounds.newest(connection)
        conflicts = _conflicts(connection)
        counts = samples.counts(connection)
        moved_out = num_moved_out(connection)
        names = labels.class_names(connection)
        table = labels.resolve(connection, labels.open_scope(connection))
    if counts["train"] + counts["holdout"] == 0:
        raise ConfigError("there are no images yet; run `holdfast ingest PATH` first")
    if not len(table) and kind in (None, LABEL_ERROR):
        raise ConfigError(
            "there are no labels to audit yet; ingest labeled images or answer a round's "
            "questions first, or look at the images alone, as with --kind near_duplicate"
        )
    number = 1 if newest is None else newest.number + (newest.state != "open")
    turn = Turn(project=project, round_number=number, done=(), progress=progress)
    about_labels = kind in (None, LABEL_ERROR)
    about_images = kind not in (LABEL_ERROR, intake.CONFLICT)
    done = examine(turn, label=about_labels, images=about_images)
    found = done.found() | {intake.CONFLICT: conflicts}
    return AuditNow(
        audit=done,
        found={one: found[one] for one in KINDS if one in found and kind in (None, one)},
        numbers={
            **({} if done.labels is None else labels_outcome(turn, done.labels)),
            **(
                {}
                if done.images is None
                else {"images": images_outcome(turn, done.images, done.leaks)}
            ),
        },
        errors=_errors(turn, done),
        class_names=tuple(names),
        class_sizes=tuple(np.bincount(table.class_ids_n, minlength=len(names)).tolist()),
        num_moved_out=moved_out,
    )


def listing(project: Project, done: AuditNow, kind: str, top: int | None = None) -> list[Row]:
    """Return the findings of a kind as rows, most suspect first; `top` of them, or all."""
    table = done.found[kind]
    ids = table.sample_ids_s[:top]
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, ids)
        sources = samples.sources_of(connection, ids)
    columns = (table.scores_s, table.given_s, table.suggested_s)
    return [
        Row(
            uid=uid,
            source=source,
            kind=kind,
            score=score,
            given=done.class_name(given),
            suggested=done.class_name(suggested),
        )
        for uid, source, score, given, suggested in zip(
            uids, sources, *(column[:top].tolist() for column in columns), strict=True
        )
    ]


def _conflicts(connection: Connection) -> Found:
    """Return what ingest found: labels that another file of the same content contradicts."""
    rows = rounds.findings(connection, kinds=(intake.CONFLICT,))
    open_ones = [row.finding for row in rows if row.outcome is None]
    return collect(
        np.array([one.sample_id for one in open_ones], np.int64),
        np.array([one.score for one in open_ones], np.float64),
        np.array([-1 if one.given is None else one.given for one in open_ones], np.int64),
        np.array([-1 if one.suggested is None else one.suggested for one in open_ones], np.int64),
    )


def _errors(turn: Turn, done: Audit) -> tuple[str, ...]:
    """Say which pictures are on both sides, and what the next round does about it."""
    images, leaks = done.images, done.leaks
    if images is None or not (len(images.leaks) or len(leaks.pairs_p2)):
        return ()
    named = []
    for number in images.leaks[:_LEAKS].tolist():
        sides = leak_sources(turn, images, number)
        named.append(" is ".join(", ".join(sides[side][:_FILES]) for side in ("holdout", "train")))
    if not named:
        named = _pairs(turn, leaks)
    number = max(len(images.leaks), len(np.unique(leaks.pairs_p2[:, 1])))
    more = f" and {number - len(named):,} more" if number > len(named) else ""
    what = "1 picture lies" if number == 1 else f"{number:,} pictures lie"
    return (
        f"{what} in the holdout and, copied or nearly so, in training ({'; '.join(named)}{more}): "
        "the holdout then measures what was learned by heart. The next round "
        f"{_what_happens(leaks)}. Copies that get one name in the group column of a manifest "
        "stay on one side from the start",
    )


def _pairs(turn: Turn, leaks: Leaks) -> list[str]:
    closest = leaks.pairs_p2[np.argsort(leaks.closeness_p, kind="stable")[:_LEAKS]]
    with turn.project.ledger.read() as connection:
        sources = samples.sources_of(connection, closest.ravel())
    names = [Path(one).name for one in sources]
    return [f"{held} is {ours}" for ours, held in zip(names[::2], names[1::2], strict=True)]


def _what_happens(leaks: Leaks) -> str:
    """Say what becomes of the training side, as what the next round does."""
    if not leaks.pairs_p2.size:
        return "leaves them there, because they are flat or not clear copies: look at them"
    parts = [f"moves {len(leaks.moved):,} of the training samples to quarantine"]
    stay = Counter(leaks.kept.values())
    whys = {
        FEW_LABELS: "because their classes have too few labels to lose one",
        UNSURE: "because they may be pictures of their own: look at them",
        RELEASED: "because a person has released them",
    }
    parts += [f"leaves {stay[one]:,} {why}" for one, why in whys.items() if stay[one]]
    return ", and ".join(parts)
