"""Where answers come from."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationConfig:
    """Who is asked, and how many answers make a round go on.

    Attributes
    ----------
    oracle : str
        `csv` asks people through files; `simulated` answers from known labels.
    enough : float
        Share of a query that must be answered before the round goes on, in (0, 1].
    truth : str
        For `simulated`: CSV file with the columns uid, label and, where several people's
        votes are known, votes (class names separated by `|`, empty for none). Relative
        to the project.
    answer_noise : float
        For `simulated`: share of wrong answers, in [0, 1).
    num_annotators : int
        For `simulated`: how many people there are to ask.
    """

    oracle: str = "csv"
    enough: float = 1.0
    truth: str = ""
    answer_noise: float = 0.0
    num_annotators: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.enough <= 1:
            raise ConfigError(f"annotation.enough should lie in (0, 1], not {self.enough}")
        if not 0 <= self.answer_noise < 1:
            raise ConfigError(
                f"annotation.answer_noise should lie in [0, 1), not {self.answer_noise}"
            )
        if self.num_annotators < 1:
            raise ConfigError(
                f"annotation.num_annotators should be 1 or more, not {self.num_annotators}"
            )
        if self.oracle == "simulated" and not self.truth:
            raise ConfigError(
                "annotation.truth is empty; name the CSV file the simulated oracle answers from"
            )
        if self.oracle != "simulated" and (self.truth or self.answer_noise):
            raise ConfigError(
                "annotation.truth and annotation.answer_noise have no effect unless "
                f'annotation.oracle is "simulated" (it is "{self.oracle}"); remove them'
            )
