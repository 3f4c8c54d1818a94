"""What the Label Studio oracle remembers between calls: JSON in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Which project is ours, and how much of it is known.

    Attributes
    ----------
    marker : str
        Stands in the description of a project of ours.
    project : int or None
    created_at : str
        When the project was made.
    adopted : bool
        Somebody else made the project.
    model_version : str
        Whose guesses we showed people last.
    tasks, highest : int
        How many tasks there were, and the highest id of them, when each was last known.
    annotations : int or None
        How many annotations there were when each was known; None while more came in.
    newest : str or None
        The latest time a task known to us changed, by the server's clock.
    watermark : str or None
        Every change up to here is known: at most `newest`, and earlier while changes of that
        time may still come to light.
    seen : str or None
        When we looked last and something had changed, by the server's clock.
    zone : (int, int) or None
        How many tasks changed after the watermark, and annotations they have; None where
        tasks without an answer were not counted.
    twins : mapping of str to sequence of int
        Tasks of a sample that has several, by uid.
    """

    marker: str = ""
    project: int | None = None
    created_at: str = ""
    adopted: bool = False
    model_version: str = ""
    tasks: int = 0
    highest: int = 0
    annotations: int | None = None
    newest: str | None = None
    watermark: str | None = None
    seen: str | None = None
    zone: Sequence[int] | None = None
    twins: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, state: Mapping[str, Any], adopt: int) -> Self:
        """Return what a state says; of another project than the config wants, the marker only.

        Parameters
        ----------
        adopt : int
            Id of the project to adopt; 0 for one of ours.
        """
        memory = cls(**state)
        if memory.project is None:
            return memory
        same = memory.project == adopt if adopt else not memory.adopted
        return memory if same else cls(marker=memory.marker)

    def as_json(self) -> dict[str, object]:
        """Return a state that `read` takes."""
        return asdict(self)

    def of_project(self, project: int, created_at: str, *, adopted: bool) -> Memory:
        """Return what is known of a project: nothing, if it is another one than before."""
        if (self.project, self.created_at) == (project, created_at):
            return self
        return Memory(marker=self.marker, project=project, created_at=created_at, adopted=adopted)

    def after_sending(
        self,
        *,
        tasks_before: int,
        highest_before: int,
        made: Sequence[int],
        model_version: str,
    ) -> Memory:
        """Return what is known once tasks were made.

        Where the project was not as we knew it, `tasks` and `highest` stay, so that collecting
        sees the difference and looks at every task.
        """
        known = (tasks_before, highest_before) == (self.tasks, self.highest)
        return replace(
            self,
            model_version=model_version,
            tasks=self.tasks + len(made) if known else self.tasks,
            highest=max(self.highest, *made) if known and made else self.highest,
        )


def moment(text: str) -> datetime:
    """Return a time as Label Studio writes it."""
    return datetime.fromisoformat(text)
