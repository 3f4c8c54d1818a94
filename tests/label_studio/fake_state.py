"""The rules by which the rows of a Label Studio 1.23.2 with SQLite change."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tests.label_studio import fake_interface
from tests.label_studio.fake_interface import RefusalError, invalid
from tests.label_studio.fake_rows import Annotation, Prediction, Project, Task, User

Row = TypeVar("Row")

LOCK_SECONDS = 3600
DEFAULTS: dict[str, Any] = {
    "title": "",
    "description": "",
    "label_config": "<View></View>",
    "expert_instruction": "",
    "show_instruction": False,
    "show_skip_button": True,
    "enable_empty_annotation": True,
    "color": "#FFFFFF",
    "maximum_annotations": 1,
    "is_published": False,
    "model_version": "",
    "show_collab_predictions": True,
    "sampling": "Sequential sampling",
    "show_overlap_first": False,
    "evaluate_predictions_automatically": False,
    "skip_queue": "REQUEUE_FOR_OTHERS",
    "reveal_preannotations_interactively": False,
}


def _now() -> datetime:
    return datetime.now(UTC)


class State:
    """All rows.

    Ids: those of the database rise for ever, but an import takes the highest id there is
    plus one, so the id of a deleted newest task is given again.
    """

    def __init__(self) -> None:
        self.clock: Callable[[], datetime] = _now
        self.users: dict[int, User] = {}
        self.projects: dict[int, Project] = {}
        self.tasks: dict[int, Task] = {}
        self.annotations: dict[int, Annotation] = {}
        self.predictions: dict[int, Prediction] = {}
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.backends: dict[int, dict[str, Any]] = {}
        self.legacy_tokens = True
        self._last: dict[str, int] = {}

    def next_id(self, kind: str, rows: dict[int, Any] | None = None) -> int:
        """Return a fresh id; with `rows` the way an import does it."""
        last = self._last.get(kind, 0)
        # Rows are in the order of their ids: each new one is above all that are left.
        new = last + 1 if rows is None else next(reversed(rows), 0) + 1
        self._last[kind] = max(last, new)
        return new

    def project(self, project_id: int) -> Project:
        """Return a project or the server's 404."""
        return _found(self.projects, project_id, "Project")

    def task(self, task_id: int) -> Task:
        """Return a task or the server's 404."""
        return _found(self.tasks, task_id, "Task")

    def annotation(self, annotation_id: int) -> Annotation:
        """Return an annotation or the server's 404."""
        return _found(self.annotations, annotation_id, "Annotation")

    def prediction(self, prediction_id: int) -> Prediction:
        """Return a prediction or the server's 404."""
        return _found(self.predictions, prediction_id, "Prediction")

    def add_project(self, fields: dict[str, Any], user: User) -> Project:
        """Make a project; titles need not differ."""
        settings = DEFAULTS | _checked_settings(fields)
        if "label_config" in fields:
            fake_interface.read(settings["label_config"])
        project = Project(
            id=self.next_id("project"),
            settings=settings,
            created_by=user.id,
            created_at=self.clock(),
        )
        self.projects[project.id] = project
        return project

    def change_project(self, project: Project, fields: dict[str, Any]) -> None:
        """Change a project's settings; a new overlap is put on its tasks."""
        settings = _checked_settings(fields)
        if "label_config" in settings:
            self.check_interface(project, settings["label_config"], strict=False)
        version = settings.get("model_version", "")
        guesses = [guess for task in project.tasks.values() for guess in task.predictions]
        backends = [row for row in self.backends.values() if row["project"] == project.id]
        known = {guess.model_version for guess in guesses} | {row["title"] for row in backends}
        if version not in ("", project.settings["model_version"], *known):
            raise invalid(
                "model_version",
                "Model version doesn't exist either as live model or as static predictions.",
            )
        before = project.settings["maximum_annotations"]
        project.settings.update(settings)
        overlap = project.settings["maximum_annotations"]
        if overlap != before:
            some = [task for task in project.tasks.values() if task.overlap > 1 and overlap > 1]
            for task in some or project.tasks.values():
                task.overlap = overlap
                task.count()

    def check_interface(self, project: Project, config: str, *, strict: bool) -> None:
        """Refuse a configuration that is wrong, or contradicts the annotations there are."""
        interface = fake_interface.read(config)
        results = [
            item
            for answer in project.annotations()
            for item in answer.result or ()
            if answer.counted
        ]
        fake_interface.check_change(interface, results, strict)

    def remove_project(self, project: Project) -> None:
        """Delete a project with all that is in it."""
        for task in list(project.tasks.values()):
            self.remove_task(task)
        self.webhooks = {k: v for k, v in self.webhooks.items() if v["project"] != project.id}
        self.backends = {k: v for k, v in self.backends.items() if v["project"] != project.id}
        del self.projects[project.id]

    def add_task(self, project: Project, data: Any, meta: Any, *, imported: bool) -> Task:
        """Add a task; the same data twice are two tasks."""
        now = self.clock()
        newest = next(reversed(project.tasks.values()), None)
        task = Task(
            id=self.next_id("task", self.tasks if imported else None),
            project=project.id,
            data=data,
            meta=meta,
            overlap=project.settings["maximum_annotations"] if imported else 1,
            inner_id=1 if newest is None else newest.inner_id + 1,
            created_at=now,
            updated_at=now,
        )
        self.tasks[task.id] = project.tasks[task.id] = task
        return task

    def remove_task(self, task: Task) -> None:
        """Delete a task with its annotations and predictions."""
        for answer in task.annotations:
            del self.annotations[answer.id]
        for guess in task.predictions:
            del self.predictions[guess.id]
        del self.tasks[task.id], self.projects[task.project].tasks[task.id]

    def touch(self, task: Task, user: User | None) -> None:
        """Note that a task changed."""
        task.updated_at = self.clock()
        if user is not None:
            task.updated_by = user.id

    def add_annotation(
        self,
        task: Task,
        result: Any,
        *,
        completed_by: int,
        updated_by: User | None,
        was_cancelled: bool = False,
        lead_time: float | None = None,
        imported: bool = False,
        ground_truth: bool = False,
    ) -> Annotation:
        """Keep a reply, whatever it says; one person may reply any number of times."""
        now = self.clock()
        answer = Annotation(
            id=self.next_id("annotation", self.annotations if imported else None),
            task=task.id,
            project=task.project,
            result=result,
            completed_by=completed_by,
            was_cancelled=was_cancelled,
            ground_truth=ground_truth,
            lead_time=lead_time,
            created_at=now,
            updated_at=now,
            updated_by=None if updated_by is None else updated_by.id,
        )
        self.annotations[answer.id] = answer
        task.annotations.append(answer)
        if not imported:
            self.touch(task, updated_by)
            task.locks.pop(completed_by, None)
        task.count()
        return answer

    def change_annotation(self, answer: Annotation, fields: dict[str, Any], user: User) -> None:
        """Edit a reply; its task counts as changed, and is counted anew."""
        for name in ("result", "was_cancelled", "lead_time", "ground_truth", "completed_by"):
            if name in fields:
                setattr(answer, name, fields[name])
        answer.updated_at, answer.updated_by, answer.counted = self.clock(), user.id, True
        task = self.task(answer.task)
        self.touch(task, user)
        task.count()

    def remove_annotation(self, answer: Annotation, user: User) -> None:
        """Delete a reply; its task counts as changed, and is counted anew."""
        task = self.task(answer.task)
        task.annotations.remove(answer)
        del self.annotations[answer.id]
        left = self.project(task.project).annotations()
        if len(left) == 1:
            # The real server takes this for the last one, and forgets what it says.
            left[0].counted = False
        self.touch(task, user)
        task.count()

    def add_prediction(
        self, task: Task, result: Any, score: float | None, model_version: str
    ) -> Prediction:
        """Keep a guess, whatever it says."""
        now = self.clock()
        guess = Prediction(
            id=self.next_id("prediction"),
            task=task.id,
            project=task.project,
            result=result,
            score=score,
            model_version=model_version,
            created_at=now,
            updated_at=now,
        )
        self.predictions[guess.id] = guess
        task.predictions.append(guess)
        return guess

    def drop_predictions(self, tasks: Sequence[Task]) -> int:
        """Delete all guesses about some tasks, which do not count as changed; return how many."""
        gone = [guess.id for task in tasks for guess in task.predictions]
        for task in tasks:
            task.predictions.clear()
        for guess in gone:
            del self.predictions[guess]
        return len(gone)

    def remove_prediction(self, guess: Prediction, user: User) -> None:
        """Delete a guess; its task counts as changed."""
        task = self.task(guess.task)
        task.predictions.remove(guess)
        del self.predictions[guess.id]
        self.touch(task, user)

    def next_task(self, project: Project, user: User) -> tuple[Task, str] | None:
        """Return what a person is shown next, locked for an hour, and by which rule.

        Where several tasks have equally many answers the real server draws one of them at
        random; this takes the first.
        """
        now = self.clock()
        mine = [
            task
            for task in sorted(project.tasks.values(), key=lambda task: task.id)
            if not task.is_labeled and user.id not in {a.completed_by for a in task.annotations}
        ]
        for task in mine:
            if task.locks.get(user.id, (now, ""))[0] > now:
                return task, "Task lock"
        queue = "Sequence queue"
        free = [task for task in mine if not _is_taken(task, user, now)]
        if project.settings["maximum_annotations"] > 1 and mine:
            most = max(len(task.annotations) for task in mine)
            begun = [task for task in free if len(task.annotations) == most > 0]
            if begun:
                free, queue = begun, "Breadth first queue"
        if not free:
            return None
        free[0].locks[user.id] = now + timedelta(seconds=LOCK_SECONDS), str(uuid.uuid4())
        return free[0], queue


def _is_taken(task: Task, user: User, now: datetime) -> bool:
    locks = sum(until > now for who, (until, _) in task.locks.items() if who != user.id)
    answers = sum(
        not answer.ground_truth and not (answer.was_cancelled and answer.completed_by != user.id)
        for answer in task.annotations
    )
    return locks + answers >= task.overlap


def _found(rows: dict[int, Row], key: int, name: str) -> Row:
    if key not in rows:
        raise RefusalError(404, f"No {name} matches the given query.")
    return rows[key]


def _checked_settings(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a project has; others are ignored, as everywhere."""
    errors: dict[str, Sequence[str]] = {}
    title = fields.get("title", "")
    if title and len(title) < 3:
        errors["title"] = ["Ensure this field has at least 3 characters."]
    if len(title) > 50:
        errors["title"] = ["Ensure this field has no more than 50 characters."]
    if not isinstance(fields.get("maximum_annotations", 1), int):
        errors["maximum_annotations"] = ["A valid integer is required."]
    if errors:
        raise RefusalError(400, "Validation error", errors)
    known = {name: value for name, value in fields.items() if name in DEFAULTS}
    if known.get("skip_queue", DEFAULTS["skip_queue"]) != DEFAULTS["skip_queue"]:
        raise fake_interface.unmodeled("another skip queue than REQUEUE_FOR_OTHERS")
    return known
