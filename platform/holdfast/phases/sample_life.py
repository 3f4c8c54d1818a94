"""A sample's whole life: where it came from, what was said of it, and who learned from it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import LedgerError
from holdfast.learning.replay import read_buffer
from holdfast.phases.scoring import champion_state
from holdfast.project import Project
from holdfast.store import sample_story, synthetic
from holdfast.store.sample_story import Facts

FEWEST_DIGITS = 8
_PREFIX = re.compile(r"[0-9a-f]+")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleLife:
    """What became of one sample.

    Attributes
    ----------
    told : dict of str to list
        As `store.sample_story.story` gives it; of the models only those that learned from
        the sample: none where it lies in the holdout.
    in_buffer : bool or None
        Whether the champion keeps a copy to rehearse; None without a champion.
    """

    sample_id: int
    uid: str
    label: str | None
    told: dict[str, list[Facts]]
    in_buffer: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticLife:
    """What became of one synthetic image; it is no sample.

    Attributes
    ----------
    told : dict of str to list
        As `store.synthetic.story` gives it.
    """

    uid: str
    told: dict[str, list[Facts]]


def life_of(project: Project, name: str) -> SampleLife:
    """Return the life of the sample of a uid, 8 or more of its first digits, or a path.

    A path may be that of a file with the same content, or one that was ingested, or its end.

    Raises
    ------
    LedgerError
        If there is no such sample, or several.
    """
    sample_id = find(project, name)
    with project.ledger.read() as connection:
        told = sample_story.story(connection, sample_id)
    sample = told["sample"][0]
    if sample["split"] == "holdout":
        told["models"] = []
    current = [span for span in told["spans"] if span["until"] is None]
    label = str(current[0]["class"]) if current else None
    return SampleLife(
        sample_id=sample_id,
        uid=str(sample["uid"]),
        label=label,
        told=told,
        in_buffer=_in_buffer(project, sample_id),
    )


def synthetic_life(project: Project, name: str) -> SyntheticLife | None:
    """Return the life of the synthetic image of a uid, or 8 or more of its first digits.

    None where no synthetic image has such a name.

    Raises
    ------
    LedgerError
        If there are several.
    """
    text = name.lower()
    if not (FEWEST_DIGITS <= len(text) <= sample_story.UID_DIGITS and _PREFIX.fullmatch(text)):
        return None
    with project.ledger.read() as connection:
        found = synthetic.named(connection, text, _SHOWN + 1)
        if len(found) > 1:
            several = ", ".join(uid[:16] for uid in found[:_SHOWN])
            raise LedgerError(f"{name!r} is several synthetic images: {several}; give more of it")
        if not found:
            return None
        return SyntheticLife(uid=found[0], told=synthetic.story(connection, found[0]))


def find(project: Project, name: str) -> int:
    """Return the id of the sample of a uid, 8 or more of its first digits, or a path."""
    found: list[tuple[int, str, str]] = []
    with project.ledger.read() as connection:
        text = name.lower()
        if FEWEST_DIGITS <= len(text) <= sample_story.UID_DIGITS and _PREFIX.fullmatch(text):
            found = sample_story.named(connection, text, _SHOWN + 1)
        path = Path(name)
        if not found and path.is_file():
            with path.open("rb") as file:
                uid = hashlib.file_digest(file, "sha256").hexdigest()
            found = sample_story.named(connection, uid, 1)
        if not found:
            paths = list(dict.fromkeys([name, str(path.absolute())]))
            found = sample_story.from_path(connection, paths, _SHOWN + 1)
    if not found:
        raise LedgerError(
            f"no sample {name!r}; give {FEWEST_DIGITS} or more of a uid's first digits, or the "
            "path of an image that was ingested"
        )
    if len(found) > 1:
        several = ", ".join(f"{uid[:16]} ({source})" for _, uid, source in found[:_SHOWN])
        raise LedgerError(
            f"{name!r} is {len(found) if len(found) <= _SHOWN else f'more than {_SHOWN}'} "
            f"samples: {several}; give more of it"
        )
    return found[0][0]


def _in_buffer(project: Project, sample_id: int) -> bool | None:
    state = champion_state(project)
    if state is None:
        return None
    return bool((read_buffer(state.tensors).sample_ids_n == sample_id).any())
