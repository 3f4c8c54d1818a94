"""Rows as the JSON of Label Studio 1.23.2's API.

Texts that only its own pages show (`annotations_results`, `created_ago`...) are left empty
or constant.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.label_studio.fake_rows import Annotation, Prediction, Project, Task, User
from tests.label_studio.fake_state import State


def moment(time: datetime | None) -> str | None:
    """Return a time as the API writes it: without a fraction when that is zero."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def user_view(user: User) -> dict[str, Any]:
    """Return a user as `/api/users` and `whoami` show one."""
    return {
        "id": user.id,
        "first_name": "",
        "last_name": "",
        "username": user.username,
        "email": user.email,
        "last_activity": moment(user.joined),
        "avatar": None,
        "initials": user.email[:2],
        "phone": "",
        "active_organization": 1,
        "date_joined": moment(user.joined),
    }


def _person(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "first_name": "",
        "last_name": "",
        "avatar": None,
        "email": user.email,
        "initials": user.email[:2],
    }


def project_view(state: State, project: Project, *, counts: bool = True) -> dict[str, Any]:
    """Return a project; just made it has no counts."""
    tasks, answers = list(project.tasks.values()), project.annotations()
    interface = project.interface
    useful = [a for a in answers if not a.was_cancelled and not a.ground_truth]
    numbers = {
        "num_tasks_with_annotations": sum(task.total_annotations > 0 for task in tasks),
        "task_number": len(tasks),
        "useful_annotation_number": len(useful),
        "ground_truth_number": sum(a.ground_truth for a in answers),
        "skipped_annotations_number": sum(a.was_cancelled for a in answers),
        "total_annotations_number": sum(task.total_annotations for task in tasks),
        "total_predictions_number": sum(len(task.predictions) for task in tasks),
        "finished_task_number": sum(task.is_labeled for task in tasks),
    }
    return {
        "id": project.id,
        **project.settings,
        "organization": 1,
        "is_draft": False,
        "created_by": _person(state.users[project.created_by]),
        "created_at": moment(project.created_at),
        **(numbers if counts else dict.fromkeys(numbers)),
        "parsed_label_config": interface.parsed(),
        "config_has_control_tags": bool(interface.controls),
    }


def annotation_view(state: State, answer: Annotation, *, person: bool = False) -> dict[str, Any]:
    """Return an annotation; `person`: with whoever gave it as an object, not an id."""
    user = state.users[answer.completed_by]
    return {
        "id": answer.id,
        "result": answer.result,
        "created_username": f" {user.email}, {user.id}",
        "created_ago": "0\u00a0minutes",
        "completed_by": _person(user) if person else user.id,
        "was_cancelled": answer.was_cancelled,
        "ground_truth": answer.ground_truth,
        "created_at": moment(answer.created_at),
        "updated_at": moment(answer.updated_at),
        "draft_created_at": None,
        "lead_time": answer.lead_time,
        "import_id": None,
        "last_action": None,
        "bulk_created": False,
        "task": answer.task,
        "project": answer.project,
        "updated_by": answer.updated_by,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    }


def prediction_view(guess: Prediction) -> dict[str, Any]:
    """Return a prediction."""
    return {
        "id": guess.id,
        "result": guess.result,
        "model_version": guess.model_version,
        "created_ago": "0\u00a0minutes",
        "score": guess.score,
        "cluster": None,
        "neighbors": None,
        "mislabeling": 0.0,
        "created_at": moment(guess.created_at),
        "updated_at": moment(guess.updated_at),
        "model": None,
        "model_run": None,
        "task": guess.task,
        "project": guess.project,
    }


def task_row(task: Task) -> dict[str, Any]:
    """Return the fields that every view of a task has."""
    return {
        "id": task.id,
        "data": task.data,
        "meta": task.meta,
        "created_at": moment(task.created_at),
        "updated_at": moment(task.updated_at),
        "is_labeled": task.is_labeled,
        "overlap": task.overlap,
        "inner_id": task.inner_id,
        "total_annotations": task.total_annotations,
        "cancelled_annotations": task.cancelled_annotations,
        "total_predictions": task.total_predictions,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": task.project,
        "file_upload": None,
        "comment_authors": [],
    }


def simple_task_view(state: State, task: Task) -> dict[str, Any]:
    """Return a task as writing one answers."""
    return task_row(task) | {
        "updated_by": task.updated_by,
        "annotations": [annotation_view(state, answer) for answer in task.annotations],
        "predictions": [prediction_view(guess) for guess in task.predictions],
    }


def listed_task_view(
    state: State, task: Task, *, everything: bool, person: bool = False
) -> dict[str, Any]:
    """Return a task as lists show it; `everything`: with annotations and predictions.

    Without `everything` the list of annotators is empty, whoever answered.
    """
    view = task_row(task) | {
        "drafts": task.drafts if everything else [],
        "annotators": [],
        "annotations_results": "",
        "predictions_results": "",
        "storage_filename": None,
        "annotations_ids": "",
        "predictions_model_versions": "",
        "updated_by": [] if task.updated_by is None else [{"user_id": task.updated_by}],
    }
    if not everything:
        return view
    times = [answer.lead_time for answer in task.annotations if answer.lead_time is not None]
    scores = [guess.score for guess in task.predictions if guess.score is not None]
    return view | {
        "annotators": sorted({answer.completed_by for answer in task.annotations}),
        "annotations": [
            annotation_view(state, answer, person=person) for answer in task.annotations
        ],
        "predictions": [prediction_view(guess) for guess in task.predictions],
        "completed_at": moment(task.completed_at),
        "avg_lead_time": sum(times) / len(times) if times else None,
        "predictions_score": sum(scores) / len(scores) if scores else None,
        "draft_exists": bool(task.drafts),
    }


def offered_task_view(project: Project, task: Task, user: User, queue: str) -> dict[str, Any]:
    """Return a task as the label stream offers it.

    Only guesses of the project's own model version are shown, and nobody else's replies.
    """
    version = project.settings["model_version"]
    shown = [
        prediction_view(guess)
        for guess in task.predictions
        if project.settings["show_collab_predictions"] and guess.model_version == version
    ]
    return task_row(task) | {
        "predictions": shown,
        "annotations": [],
        "drafts": [],
        "updated_by": [] if task.updated_by is None else [{"user_id": task.updated_by}],
        "unique_lock_id": task.locks[user.id][1],
        "queue": queue,
    }


def exported_task_view(state: State, task: Task) -> dict[str, Any]:
    """Return a task as the JSON export holds it: annotations whole, predictions as ids."""
    left_out = {"created_username", "created_ago"}
    return task_row(task) | {
        "allow_skip": True,
        "drafts": task.drafts,
        "annotations": [
            {
                name: value
                for name, value in annotation_view(state, answer).items()
                if name not in left_out
            }
            | {"unique_id": answer.unique_id, "prediction": {}}
            for answer in task.annotations
        ],
        "predictions": [guess.id for guess in task.predictions],
        "updated_by": task.updated_by,
    }
