"""The contract between a query and whatever answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.records import NEW_CLASS, Answer, AskReason, Query

# From here a part of an acquisition score, in [0, 1], is worth a word.
HIGH = 0.7


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a person sees of one sample.

    Attributes
    ----------
    uid : str
        Names the sample in files; sha256 of its bytes.
    guess : str or None
        Class name the model believes in; None without a model.
    confidence : float
        Probability of the guess, in [0, 1].
    label : str or None
        Class name on record; None for a sample without a label.
    parts : mapping of str to float
        What the acquisition score is made of, from the query item.
    source : str
        Where the image came from, for people who know their files; may be empty.
    model : str
        Names the model that guessed: the first 12 characters of its sha256; empty without.
    """

    sample_id: int
    uid: str
    reason: AskReason
    guess: str | None = None
    confidence: float = 0.0
    label: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    model: str = ""

    @property
    def why(self) -> str:
        """Why the sample is asked about, in plain English."""
        if self.reason == "suspect":
            better = f" More likely: {self.guess}." if self.guess not in (None, self.label) else ""
            return f"The label on record, {self.label}, looks wrong.{better}"
        if self.reason == "disagreement":
            return "The first answer was a surprise. A second opinion settles it."
        if self.reason == "gold":
            # Nobody answers a question they know to be a test as they answer the others.
            return "An answer here teaches the model more than most others would."
        if self.reason == "holdout":
            return "Models are judged by it, so its label has to be beyond doubt."
        if self.reason == "random":
            return "Drawn at random, to measure how good labels and model really are."
        if self.parts.get(NEW_CLASS):
            return "One of a group that looks like no known class. None of these?"
        if self.guess is None:
            return "Unlike anything labeled so far."
        novel = self.parts.get("novelty", 0.0) >= HIGH
        unsure = self.parts.get("uncertainty", 0.0) >= HIGH
        if novel and unsure:
            return "The model cannot decide, and has seen little like it."
        if novel:
            return "Unlike anything labeled so far."
        if unsure:
            return "The model cannot decide."
        return "An answer here teaches the model more than most others would."


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What an oracle did with a query.

    Attributes
    ----------
    external_ids : mapping of int to str
        The oracle's own id of each question, by sample id; empty where it has none.
    state : mapping or None
        What the oracle is to be built with from now on, as JSON; None: nothing changed.
    """

    external_ids: Mapping[int, str] = field(default_factory=dict)
    state: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What people answered.

    Attributes
    ----------
    answers : tuple of Answer
        Each the same however often it is fetched. They may be about samples of earlier
        queries: people edit what they said, and answer late.
    complete_for : tuple of int
        Ids of samples all of whose answers are in `answers`: one that the ledger has and
        this lacks was taken back.
    missing : tuple of int
        Ids of samples of the query whose question is gone: somebody deleted it. It is to be
        sent again.
    state : mapping or None
        What the oracle is to be built with once these answers are recorded, as JSON: its
        watermark lies here. None: nothing changed.
    strangers : int
        Tasks with answers that Holdfast never sent, left alone.
    """

    answers: tuple[Answer, ...] = ()
    complete_for: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    state: Mapping[str, object] | None = None
    strangers: int = 0


class Oracle(Protocol):
    """Puts questions before people, or something like people, and fetches their answers.

    An oracle keeps nothing between calls but what the ledger keeps for it: it is built with
    the `state` that it returned last.
    """

    @property
    def name(self) -> str:
        """Name of the oracle in the ledger."""
        ...

    def send(self, query: Query, cards: Sequence[Card]) -> Sent:
        """Put a query before people. Sending it again changes nothing.

        Parameters
        ----------
        cards : sequence of Card
            One per item of the query, in the same order. A query may be sent in parts.

        Raises
        ------
        TransientError
            If the oracle cannot be reached for the moment. What it took before stays.
        """
        ...

    def collect(self, query: Query) -> Collected:
        """Return the answers given to a query, or all answers given since `state`.

        Raises
        ------
        AnswerError
            If answers are there but cannot be read.
        TransientError
            If the oracle cannot be reached for the moment. Nothing counts as collected.
        """
        ...

    def withdraw(self, external_ids: Mapping[int, str]) -> None:
        """Take back questions nobody needs an answer to, by sample id; safe to repeat."""
        ...

    def where(self, query: Query) -> str:
        """Say where a person answers the query, for messages."""
        ...
