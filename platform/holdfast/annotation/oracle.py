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
    """

    sample_id: int
    uid: str
    reason: AskReason
    guess: str | None = None
    confidence: float = 0.0
    label: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    @property
    def why(self) -> str:
        """Why the sample is asked about, in plain English."""
        if self.reason == "suspect":
            better = f" More likely: {self.guess}." if self.guess not in (None, self.label) else ""
            return f"The label on record, {self.label}, looks wrong.{better}"
        if self.reason == "disagreement":
            return "The first answer was a surprise. A second opinion settles it."
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


class Oracle(Protocol):
    """Puts questions before people, or something like people, and fetches their answers."""

    @property
    def name(self) -> str:
        """Name of the oracle in the ledger."""
        ...

    def send(self, query: Query, cards: Sequence[Card]) -> None:
        """Put a query before people. Sending it again changes nothing.

        Parameters
        ----------
        cards : sequence of Card
            One per item of the query, in the same order.
        """
        ...

    def collect(self, query: Query) -> tuple[Answer, ...]:
        """Return all answers given so far, each the same however often it is fetched.

        Raises
        ------
        AnswerError
            If answers are there but cannot be read.
        """
        ...

    def where(self, query: Query) -> str:
        """Say where a person answers the query, for messages."""
        ...
