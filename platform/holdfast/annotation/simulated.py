"""Annotators made of known labels and chosen noise, for demos, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.annotation.oracle import Card, Collected, Sent
from holdfast.records import Answer, Query, QueryItem
from holdfast.seeds import generator

# Annotators move on by this much each round, so that a sample asked about again in a
# later round meets somebody new where there are enough of them.
STEP_PER_ROUND = 3


class SimulatedOracle:
    """Answers at once, wrong as often as wished, always the same to the same question.

    It keeps nothing: `collect` computes, and an annotator's answer about a sample depends
    on the seed, the sample and the annotator alone.

    Parameters
    ----------
    truth : mapping of int to str
        True class name by sample id.
    answer_noise : float
        Share of wrong answers, in [0, 1); uniform over the other class names.
    num_annotators : int
        People to ask. The n-th batch of a round asks another person than the batches
        before it; when nobody is left the answer is "cannot tell".
    seed : int
    class_names : sequence of str, optional
        What a wrong answer may say; the names in `truth` by default.
    votes : mapping of int to sequence of str, optional
        Real people's votes by sample id, one per annotator, "" for none. They are used
        instead of truth and noise, and a sample without a vote left gets "cannot tell".

    Raises
    ------
    ValueError
        If `answer_noise` or `num_annotators` lies out of range.

    Examples
    --------
    >>> oracle = SimulatedOracle({7: "cat"})
    >>> query = Query(round_number=1, batch=1, items=(
    ...     QueryItem(sample_id=7, reason="random", score=0.0),))
    >>> oracle.collect(query).answers[0].label
    'cat'
    """

    name = "simulated"

    def __init__(
        self,
        truth: Mapping[int, str],
        *,
        answer_noise: float = 0.0,
        num_annotators: int = 3,
        seed: int = 0,
        class_names: Sequence[str] | None = None,
        votes: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        if not 0.0 <= answer_noise < 1.0:
            raise ValueError(f"answer_noise should lie in [0, 1), not {answer_noise}")
        if num_annotators < 1:
            raise ValueError(f"num_annotators should be at least 1, not {num_annotators}")
        self._truth = truth
        self._answer_noise = answer_noise
        self._num_annotators = num_annotators
        self._seed = seed
        self._class_names = sorted(set(truth.values()) if class_names is None else class_names)
        self._votes = votes

    def send(self, query: Query, cards: Sequence[Card]) -> Sent:  # noqa: ARG002
        """Do nothing: nobody needs to be told."""
        return Sent()

    def collect(self, query: Query) -> Collected:
        """Answer every item of the query."""
        return Collected(answers=tuple(self._answer(query, item) for item in query.items))

    def withdraw(self, external_ids: Mapping[int, str]) -> None:
        """Do nothing: nobody is waiting."""

    def where(self, query: Query) -> str:
        """Say that nothing is to be done."""
        return f"simulated annotators ({query.key})"

    def _answer(self, query: Query, item: QueryItem) -> Answer:
        annotator = self._annotator(query, item.sample_id)
        label = None if annotator is None else self._label(item.sample_id, annotator)
        who = "nobody" if annotator is None else f"simulated-{annotator + 1}"
        return Answer(
            sample_id=item.sample_id,
            label=label,
            annotator=who,
            external_id=f"{query.key}/{item.sample_id}",
            updated_at="0",
        )

    def _annotator(self, query: Query, sample_id: int) -> int | None:
        available = list(range(self._num_annotators))
        if self._votes is not None:
            votes = self._votes.get(sample_id, ())
            available = [annotator for annotator, vote in enumerate(votes) if vote]
        if query.batch > len(available):
            return None
        turn = (query.round_number - 1) * STEP_PER_ROUND + query.batch - 1
        order = generator(self._seed, "annotators", sample_id).permutation(available)
        return int(order[turn % len(order)])

    def _label(self, sample_id: int, annotator: int) -> str | None:
        if self._votes is not None:
            return self._votes[sample_id][annotator]
        true = self._truth.get(sample_id)
        if true is None:
            return None
        rng = generator(self._seed, "answer", sample_id, annotator)
        others = [name for name in self._class_names if name != true]
        wrong = rng.random() < self._answer_noise
        return others[int(rng.integers(len(others)))] if wrong and others else true
