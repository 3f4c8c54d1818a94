"""How labels on record are checked, as read from the recipe."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.data.resampling_names import RESAMPLINGS
from holdfast.errors import ConfigError

PROBABILITIES = ("probe", "kfold", "ensemble")
RANKINGS = ("posterior", "self_confidence", "normalized_margin", "confidence_weighted_entropy")
CUTS = ("f1", "budget", "precision")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditConfig:
    """How labels on record are checked.

    Attributes
    ----------
    probabilities : str
        Where they come from that a label had no part in: `probe` (a linear model on
        embeddings, cross-validated), `kfold` (as many networks as folds) or `ensemble`
        (the mean of several models).
    folds : int
        Parts of the cross-validation, 2 to 20.
    neighbors : int
        Nearest labeled samples that vote on each label, at least 1; of the probe.
    vote_share : float
        Weight of the neighbors' vote beside the linear probe, in [0, 1]; of the probe.
    resampling : str
        How training embeddings are made equally many per class within each fold: `none` (the
        classes weigh the same all the same), `random_over`, `smote`, `adasyn`, `smote_enn` or
        `random_under`; of the probe.
    ranking : str
        What puts one label before another: `posterior` (probability of being wrong under
        the noise the labels show), `self_confidence`, `normalized_margin` or
        `confidence_weighted_entropy`.
    cut : str
        How many are flagged: `f1` (the best balance expected of wrong labels found and
        right ones flagged), `budget` (the first `review_budget`) or `precision` (as many
        as keep the share of wrong labels among them expected at `precision`).
    review_budget : int, optional
        Labels to flag, at least 1; for `cut = "budget"`.
    precision : float, optional
        In (0, 1]; for `cut = "precision"`.
    """

    probabilities: str = "probe"
    folds: int = 5
    neighbors: int = 10
    vote_share: float = 0.5
    resampling: str = "none"
    ranking: str = "posterior"
    cut: str = "f1"
    review_budget: int | None = None
    precision: float | None = None

    def __post_init__(self) -> None:
        _check_choice("probabilities", self.probabilities, PROBABILITIES)
        _check_choice("resampling", self.resampling, ("none", *RESAMPLINGS))
        _check_choice("ranking", self.ranking, RANKINGS)
        _check_choice("cut", self.cut, CUTS)
        if not 2 <= self.folds <= 20:
            raise ConfigError(
                f"audit.folds should lie between 2 and 20, not {self.folds}; 5 suits most sets"
            )
        if self.neighbors < 1:
            raise ConfigError(
                f"audit.neighbors should be at least 1, not {self.neighbors}; 10 suits most sets"
            )
        if not 0.0 <= self.vote_share <= 1.0:
            raise ConfigError(
                f"audit.vote_share should lie between 0 and 1, not {self.vote_share}; "
                "0.5 weighs probe and neighbors alike"
            )
        if self.probabilities != "probe":
            self._refuse_settings_of_the_probe()
        self._check_goal("review_budget", self.review_budget, "budget")
        self._check_goal("precision", self.precision, "precision")
        if self.review_budget is not None and self.review_budget < 1:
            raise ConfigError(f"audit.review_budget should be at least 1, not {self.review_budget}")
        if self.precision is not None and not 0.0 < self.precision <= 1.0:
            raise ConfigError(
                f"audit.precision should lie above 0 and at most at 1, not {self.precision}"
            )

    def _refuse_settings_of_the_probe(self) -> None:
        for name, default in (("neighbors", 10), ("vote_share", 0.5), ("resampling", "none")):
            value = getattr(self, name)
            if value != default:
                raise ConfigError(
                    f"audit.{name} = {value} has no effect with audit.probabilities = "
                    f'"{self.probabilities}"; leave it out, or set probabilities = "probe"'
                )

    def _check_goal(self, name: str, value: float | None, cut: str) -> None:
        if value is None and self.cut == cut:
            raise ConfigError(f'audit.cut = "{cut}" needs audit.{name}')
        if value is not None and self.cut != cut:
            raise ConfigError(
                f'audit.{name} = {value} has no effect with audit.cut = "{self.cut}"; leave it '
                f'out, or set cut = "{cut}"'
            )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f'audit.{name} should be one of {", ".join(choices)}, not "{value}"')
