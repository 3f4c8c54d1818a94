"""Whether a candidate may replace the champion.

Both models answer the same holdout samples, so they are compared pair by pair. The gate
turns a candidate down only on evidence of harm; too small a holdout gives none, and then
the newer model, which has learned from more labels, is promoted.

Evidence needs two things at once. The paired bootstrap must say with confidence that the
loss exceeds its budget. And an exact paired test must say that the loss is no accident: on a
handful of samples the bootstrap is too sure of itself (two lost of two looks certain).

Shape suffixes: n samples, k classes, m distinct (label, candidate, champion) cells, r resamples.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.data.balance import rare_classes
from holdfast.errors import ConfigError
from holdfast.evaluation.flips import negative_flips
from holdfast.evaluation.pairing import (
    Pairs,
    bootstrap,
    largest_testable,
    pair_up,
    sign_test,
    swap_test,
)
from holdfast.evaluation.rates import macro_f1
from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """How much harm a new model may do, and how sure the gate must be of it.

    Attributes
    ----------
    confidence : float
        In [0.5, 1): a candidate is turned down only when harm is this certain.
    macro_f1_budget : float
        Macro-F1 that may be lost, in [0, 1].
    recall_budget : float
        Recall that any one class may lose, in [0, 1].
    rare_recall_budget : float
        The same for a rare class, and for the mean over rare classes; at most
        `recall_budget`.
    class_budgets : mapping of str to float
        Recall that a class may lose, by class name, where it should not be one of the two
        above: `{ "stop sign" = 0.0 }`.
    resamples : int
        Bootstrap resamples, at least 200.
    """

    confidence: float = 0.95
    macro_f1_budget: float = 0.0
    recall_budget: float = 0.05
    rare_recall_budget: float = 0.02
    class_budgets: Mapping[str, float] = field(default_factory=dict)
    resamples: int = 2000

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise ConfigError(
                f"gate.confidence should be at least 0.5 and below 1, not {self.confidence}"
            )
        for name in ("macro_f1_budget", "recall_budget", "rare_recall_budget"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"gate.{name} should lie between 0 and 1, not {value}")
        for name, value in self.class_budgets.items():
            if not 0 <= value <= 1:
                raise ConfigError(
                    f"gate.class_budgets.{name} should lie between 0 and 1, not {value}"
                )
        if self.rare_recall_budget > self.recall_budget:
            raise ConfigError(
                f"gate.rare_recall_budget should be at most gate.recall_budget "
                f"({self.recall_budget}), not {self.rare_recall_budget}; rare classes are "
                "protected more, not less"
            )
        if self.resamples < 200:
            raise ConfigError(
                f"gate.resamples should be at least 200, not {self.resamples}; "
                "fewer cannot tell 95 % from chance"
            )

    def budgets(self, class_names: Sequence[str], rare_k: NDArray[np.bool_]) -> list[float]:
        """Return the recall each class may lose, by class id.

        Parameters
        ----------
        class_names : sequence of str
            By class id.
        rare_k : ndarray of bool, shape (K,)
            By class id.

        Raises
        ------
        ConfigError
            If `class_budgets` names a class that does not exist.
        """
        for name in self.class_budgets:
            if name not in class_names:
                close = difflib.get_close_matches(name, class_names, n=1)
                do = f"did you mean '{close[0]}'?" if close else "correct the name or remove it"
                raise ConfigError(f"gate.class_budgets names '{name}', which is no class; {do}")
        return [
            self.class_budgets.get(name, self.rare_recall_budget if rare else self.recall_budget)
            for name, rare in zip(class_names, rare_k.tolist(), strict=True)
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether to promote, why in plain English, and the numbers behind it.

    Attributes
    ----------
    numbers : mapping
        Plain JSON values: `samples`, and where there were two models to compare
        `macro_f1`, `rare_recall` (None when no class is rare) and `recall` by class id.
        Each comparison holds `champion`, `candidate`, `change` (negative is worse), `low` and
        `high` (one-sided limits of the change), `chance` (probability of so large a loss
        between equal models), `budget` and `harmed`. `negative_flips` is what
        `flips.negative_flips` returns: samples the champion had right and the candidate
        has wrong. It decides nothing by itself.
    """

    promote: bool
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"promote": self.promote, "reason": self.reason, "numbers": dict(self.numbers)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Verdict:
        """Rebuild what `to_json` returned."""
        return cls(
            promote=bool(values["promote"]),
            reason=str(values["reason"]),
            numbers=values.get("numbers", {}),
        )


def decide(
    labels_n: Ids,
    candidate_n: Ids,
    champion_n: Ids | None,
    *,
    counts_k: Ids,
    class_names: Sequence[str],
    config: GateConfig,
    rng: np.random.Generator,
) -> Verdict:
    """Compare two models on the same holdout and say whether the candidate takes over.

    The candidate is turned down when macro-F1, the mean recall over rare classes, or the
    recall of one class went down by more than its budget, each with the configured
    confidence. Over the classes the confidence holds for all of them together, so a gate
    with a hundred classes does not block five good models in a hundred for each of them.

    Parameters
    ----------
    labels_n : ndarray of int64, shape (N,)
        True class ids; may be empty.
    candidate_n, champion_n : ndarray of int64, shape (N,)
        Predicted class ids. None for the champion when there is none yet. A model is wrong
        wherever it does not know the class.
    counts_k : ndarray of int64, shape (K,)
        Labels of each class in training, by class id; they decide what is rare.
    class_names : sequence of str
        By class id; longer than every label.

    Raises
    ------
    ValueError
        If the arrays differ in length, a label has no name, or names and counts differ in
        number.
    ConfigError
        If `config.class_budgets` names a class that does not exist.

    Notes
    -----
    Time grows with resamples * M, where M is the number of distinct (label, candidate,
    champion) combinations, at most N and for good models close to K. Memory does not grow
    with the number of resamples.

    Examples
    --------
    >>> nobody = decide(np.array([0]), np.array([0]), None, counts_k=np.array([1]),
    ...                 class_names=["cat"], config=GateConfig(), rng=np.random.default_rng(0))
    >>> nobody.promote, nobody.reason
    (True, 'promoted: first model')
    """
    rare_k = rare_classes(counts_k)
    budgets = config.budgets(class_names, rare_k)
    if champion_n is None:
        return Verdict(
            promote=True, reason="promoted: first model", numbers={"samples": len(labels_n)}
        )
    if not len(labels_n) == len(candidate_n) == len(champion_n):
        raise ValueError(
            f"holdout of {len(labels_n)} samples, but {len(candidate_n)} predictions of the "
            f"candidate and {len(champion_n)} of the champion"
        )
    if not len(labels_n):
        return Verdict(
            promote=True,
            reason="promoted without comparison: there is no holdout; "
            "set samples aside to protect the champion",
            numbers={"samples": 0},
        )
    if labels_n.max() >= len(class_names):
        raise ValueError(f"class {labels_n.max()} has no name")
    pairs = pair_up(labels_n, candidate_n, champion_n)
    rare_k = rare_k[pairs.class_ids_k]
    budget_k = [budgets[k] for k in pairs.class_ids_k]
    recall, rare, overall = _compare(pairs, rare_k, budget_k, config, rng)
    flips = negative_flips(pairs, confidence=config.confidence, resamples=config.resamples, rng=rng)
    names = [class_names[k] for k in pairs.class_ids_k]
    numbers = {
        "samples": len(labels_n),
        "macro_f1": overall,
        "rare_recall": rare,
        "recall": {str(k): row for k, row in zip(pairs.class_ids_k, recall, strict=True)},
        "negative_flips": flips,
    }
    harm = _harm(names, rare_k, recall, rare, overall, config)
    if harm:
        return Verdict(promote=False, reason=f"kept the champion: {harm}", numbers=numbers)
    return Verdict(
        promote=True,
        reason=f"promoted: macro-F1 {overall['candidate']:.3f} against the champion's "
        f"{overall['champion']:.3f} on {len(labels_n)} holdout samples "
        f"(the change lies between {overall['low']:+.3f} and {overall['high']:+.3f}); "
        "no class shows a loss beyond its budget; "
        f"samples right before and wrong now: {flips['flips']}",
        numbers=numbers,
    )


def _compare(
    pairs: Pairs,
    rare_k: NDArray[np.bool_],
    budget_k: Sequence[float],
    config: GateConfig,
    rng: np.random.Generator,
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, dict[str, Any]]:
    """Compare by class, over the rare classes, and over all."""
    alpha = 1 - config.confidence
    candidate, champion = pairs.recall()
    recall_rk, f1_r = bootstrap(pairs, config.resamples, rng)
    limits = np.quantile(recall_rk, [alpha, config.confidence], axis=0)
    chance_k = sign_test(pairs.lost_k, pairs.gained_k)
    # Classes with too few changed samples could never be found harmed, so they do not
    # count among the comparisons that the confidence is shared between.
    shared = alpha / largest_testable(pairs.lost_k + pairs.gained_k, alpha)
    recall = []
    for k, rare in enumerate(rare_k):
        row = _comparison(candidate[k], champion[k], limits[:, k], chance_k[k], budget_k[k], shared)
        recall.append(row | {"rare": bool(rare), "samples": int(pairs.support_k[k])})
    together = None
    if rare_k.any():
        chance = sign_test(pairs.lost_k[rare_k].sum(), pairs.gained_k[rare_k].sum())
        together = _comparison(
            candidate[rare_k].mean(),
            champion[rare_k].mean(),
            np.quantile(recall_rk[:, rare_k].mean(axis=1), [alpha, config.confidence]),
            float(chance),
            config.rare_recall_budget,
            alpha,
        )
    overall = _comparison(
        macro_f1(*pairs.counts(pairs.cells_m, 0 * pairs.cells_m)),
        macro_f1(*pairs.counts(0 * pairs.cells_m, pairs.cells_m)),
        np.quantile(f1_r, [alpha, config.confidence]),
        swap_test(pairs, config.resamples, rng),
        config.macro_f1_budget,
        alpha,
    )
    return recall, together, overall


def _comparison(
    candidate: Any,
    champion: Any,
    limits: NDArray[np.floating],
    chance: float,
    budget: float,
    alpha: float,
) -> dict[str, Any]:
    low, high = limits.tolist()
    return {
        "champion": float(champion),
        "candidate": float(candidate),
        "change": float(candidate - champion),
        "low": low,
        "high": high,
        "chance": float(chance),
        "budget": budget,
        "harmed": bool(high < -budget and chance <= alpha),
    }


def _harm(
    names: Sequence[str],
    rare_k: NDArray[np.bool_],
    recall: Sequence[Mapping[str, Any]],
    rare: Mapping[str, Any] | None,
    overall: Mapping[str, Any],
    config: GateConfig,
) -> str:
    """Say what was lost, worst class first; empty when nothing was."""
    said = []
    harmed = sorted(
        (k for k, row in enumerate(recall) if row["harmed"]),
        key=lambda k: float(recall[k]["change"]),
    )
    for k in harmed[:3]:
        kind = "rare class" if rare_k[k] else "class"
        said.append(
            f"recall of {kind} '{names[k]}' {_fell(recall[k], config)} "
            f"({recall[k]['samples']} holdout samples)"
        )
    if len(harmed) > 3:
        said.append(f"and {len(harmed) - 3} more classes lost too much")
    if rare and rare["harmed"] and not any(rare_k[k] for k in harmed):
        said.append(f"mean recall of the rare classes {_fell(rare, config)}")
    if overall["harmed"]:
        said.append(f"macro-F1 {_fell(overall, config)}")
    return "; ".join(said)


def _fell(row: Mapping[str, Any], config: GateConfig) -> str:
    return (
        f"fell from {row['champion']:.3f} to {row['candidate']:.3f}, with "
        f"{100 * config.confidence:g} % confidence by more than {-row['high']:.3f} "
        f"where {row['budget']:g} is allowed"
    )
