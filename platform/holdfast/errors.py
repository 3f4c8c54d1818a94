"""Every exception Holdfast raises on purpose, divided by what the caller can do."""

from __future__ import annotations

from pathlib import Path


class HoldfastError(Exception):
    """Root of all errors below; `str(error)` is one line that says what to do."""

    exit_code = 2


class ConfigError(HoldfastError):
    """The recipe is wrong: fix `holdfast.toml`."""


class IngestError(HoldfastError):
    """The files offered cannot be used as they are: fix them and ingest again."""


class ExportError(HoldfastError):
    """A version cannot be written there: name another place, or make room."""


class AnswerError(HoldfastError):
    """A file of answers cannot be read as one: fix the file and run again."""


class PoolExhaustedError(HoldfastError):
    """More samples were asked for than the pool holds."""

    def __init__(self, requested: int, available: int) -> None:
        super().__init__(
            f"query asked for {requested} samples but only {available} can be asked about; "
            f"lower query.budget to {available} or less, or ingest more images"
            if available
            else "nothing is left to ask about: people confirmed every label or could not tell; "
            "ingest more images"
        )
        self.requested = requested
        self.available = available


class PendingError(HoldfastError):
    """Nothing can be done before somebody or something is ready: a state, not a failure."""

    exit_code = 75


class AnnotationsPendingError(PendingError):
    """People have not answered yet."""

    def __init__(self, round_number: int, answered: int, asked: int, where: str) -> None:
        super().__init__(
            f"round {round_number} is waiting for answers ({answered} of {asked} in): "
            f"answer in {where}, then run again"
        )
        self.round_number = round_number
        self.answered = answered
        self.asked = asked
        self.where = where


class DayLimitError(PendingError):
    """People were asked as much as they may be within 24 hours."""

    def __init__(self, per_day: int, again_at: str) -> None:
        super().__init__(
            f"{per_day} answers were asked for within the last 24 hours, as many as "
            f"query.per_day allows; run again after {again_at}, or raise query.per_day"
        )
        self.per_day = per_day
        self.again_at = again_at


class CheckpointMismatchError(HoldfastError):
    """A checkpoint does not hold what its reader expects."""

    def __init__(self, path: Path, key: str, expected: object, found: object) -> None:
        super().__init__(
            f"checkpoint {path}: {key} should be {expected} but is {found}; "
            "restore the file from a backup, or roll back to a round whose model is intact"
        )
        self.path = path
        self.key = key
        self.expected = expected
        self.found = found


class DivergedError(HoldfastError):
    """Learning ran into losses that are no number; the champion stays as it was."""

    def __init__(self, step: int, steps: int, learning_rate: float) -> None:
        super().__init__(
            f"learning diverged: by step {step} of {steps} the loss was no number any more, also "
            f"at half the learning rate ({learning_rate:g}); the champion is untouched. Lower "
            "learning.optimizer.learning_rate and run again"
        )
        self.step = step
        self.steps = steps
        self.learning_rate = learning_rate


class DiskFullError(HoldfastError):
    """No room for what must be written; what was written before is whole."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no space left to write {path}; what was there before is whole. "
            "Free some space and run again: the round goes on where it stopped"
        )
        self.path = path


class LedgerError(HoldfastError):
    """The ledger contradicts what is being done: stop and look."""


class MissingExtraError(HoldfastError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; run: pip install 'holdfast[{extra}]'")
        self.library = library
        self.extra = extra


class TransientError(HoldfastError):
    """Something outside failed for the moment; the only error that flows retry."""

    exit_code = 75


class BusyError(HoldfastError):
    """Another process is running this project."""

    exit_code = 75

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(
            f"busy: another run ({owner}) holds {path}; run again when it has finished"
        )
        self.path = path
        self.owner = owner
