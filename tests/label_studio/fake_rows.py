"""The rows of the fake Label Studio: people, projects, tasks and what hangs on them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.label_studio import fake_interface


@dataclass(kw_only=True)
class User:
    """A person with a legacy token."""

    id: int
    email: str
    token: str
    username: str = ""
    joined: datetime
    refresh_token: str | None = None


@dataclass(kw_only=True)
class Project:
    """A project; `settings` are the fields that a client may change."""

    id: int
    settings: dict[str, Any]
    created_by: int
    created_at: datetime
    tasks: dict[int, Task] = field(default_factory=dict)

    @property
    def interface(self) -> fake_interface.Interface:
        """The labeling configuration, read."""
        return fake_interface.read(self.settings["label_config"])

    def annotations(self) -> list[Annotation]:
        """Return all annotations of all tasks."""
        return [answer for task in self.tasks.values() for answer in task.annotations]


@dataclass(kw_only=True)
class Annotation:
    """One annotator's reply, unchecked; `counted`: the server's own guard knows of it."""

    id: int
    task: int
    project: int
    result: Any
    completed_by: int
    was_cancelled: bool
    ground_truth: bool
    lead_time: float | None
    created_at: datetime
    updated_at: datetime
    updated_by: int | None = None
    counted: bool = True
    unique_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(kw_only=True)
class Prediction:
    """One model's guess, unchecked."""

    id: int
    task: int
    project: int
    result: Any
    score: float | None
    model_version: str
    created_at: datetime
    updated_at: datetime


@dataclass(kw_only=True)
class Task:
    """One task with all that hangs on it."""

    id: int
    project: int
    data: dict[str, Any]
    meta: Any
    overlap: int
    inner_id: int
    created_at: datetime
    updated_at: datetime
    is_labeled: bool = False
    updated_by: int | None = None
    annotations: list[Annotation] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    drafts: list[dict[str, Any]] = field(default_factory=list)
    locks: dict[int, tuple[datetime, str]] = field(default_factory=dict)

    @property
    def total_annotations(self) -> int:
        """Replies that are no skips."""
        return sum(not answer.was_cancelled for answer in self.annotations)

    @property
    def total_predictions(self) -> int:
        """Guesses about it."""
        return len(self.predictions)

    @property
    def cancelled_annotations(self) -> int:
        """Skips."""
        return sum(answer.was_cancelled for answer in self.annotations)

    @property
    def completed_at(self) -> datetime | None:
        """When the newest reply came, once the task counts as labeled."""
        return self.annotations[-1].created_at if self.is_labeled and self.annotations else None

    def count(self) -> None:
        """Set `is_labeled`: as many different people as `overlap` gave a reply that is no skip."""
        people = {
            answer.completed_by
            for answer in self.annotations
            if not answer.was_cancelled and answer.result is not None
        }
        self.is_labeled = len(people) >= self.overlap
