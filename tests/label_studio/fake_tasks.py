"""Tasks, annotations and predictions of the fake Label Studio."""

from __future__ import annotations

from typing import Any

from tests.label_studio.fake_hooks import emitted
from tests.label_studio.fake_interface import (
    RefusalError,
    check_data,
    invalid,
    is_checked,
    normal_result,
    unmodeled,
)
from tests.label_studio.fake_listing import page_of, read_query, select
from tests.label_studio.fake_projects import included
from tests.label_studio.fake_requests import PAGE_404, Call, Reply
from tests.label_studio.fake_rows import Task
from tests.label_studio.fake_views import (
    annotation_view,
    listed_task_view,
    moment,
    prediction_view,
    simple_task_view,
    task_row,
)


def list_tasks(call: Call) -> Reply:
    """Return a page of a project's tasks, with the totals of all that match."""
    params = call.request.params
    body = call.request.json()
    asked = params.get("project") or (body.get("project") if isinstance(body, dict) else None)
    if not asked:
        return Reply(404, {"detail": "Neither project nor view id specified"})
    if not str(asked).isdigit():
        raise invalid("project", "A valid integer is required.")
    project = call.state.project(int(asked))
    chosen = select(list(project.tasks.values()), read_query(params, body))
    everything = params.get("fields") == "all"
    return Reply(
        200,
        {
            "total_annotations": sum(task.total_annotations for task in chosen),
            "total_predictions": sum(len(task.predictions) for task in chosen),
            "total": len(chosen),
            "tasks": [
                included(call, listed_task_view(call.state, task, everything=everything))
                for task in page_of(chosen, params)
            ],
        },
    )


def create_task(call: Call) -> Reply:
    """Add one task; its id was never used before."""
    fields = call.request.fields()
    if "project" not in fields:
        raise invalid("project", "This field is required.")
    project = call.state.project(int(fields["project"]))
    try:
        check_data(project.interface, fields.get("data"))
    except RefusalError as error:
        raise invalid("non_field_errors", error.detail) from None
    task = call.state.add_task(project, fields["data"], fields.get("meta", {}), imported=False)
    return Reply(201, task_row(task) | {"updated_by": None})


def get_task(call: Call, task_id: int) -> Reply:
    """Return a task with everything; annotations say who gave them as an object."""
    task = call.state.task(task_id)
    return Reply(
        200, included(call, listed_task_view(call.state, task, everything=True, person=True))
    )


def patch_task(call: Call, task_id: int) -> Reply:
    """Change a task; data are replaced, unchecked."""
    task, fields = call.state.task(task_id), call.request.fields()
    if not isinstance(fields.get("data", {}), dict):
        raise unmodeled("data that are no object: they break a task for ever")
    for name in ("data", "meta", "overlap", "is_labeled"):
        if name in fields:
            setattr(task, name, fields[name])
    call.state.touch(task, None)
    return Reply(200, simple_task_view(call.state, task))


def delete_task(call: Call, task_id: int) -> Reply:
    """Delete a task, answered or not."""
    return _deleted(call, [call.state.task(task_id)])


def _deleted(call: Call, tasks: list[Task]) -> Reply:
    for task in tasks:
        call.state.remove_task(task)
    told = {"tasks": [{"id": task.id} for task in tasks]}
    project = tasks[0].project if tasks else 0
    return Reply(204, calls=emitted(call.state, "TASKS_DELETED", project, told))


def act(call: Call) -> Reply:
    """Delete the selected tasks, or their predictions; other actions are not modeled.

    Nothing named as selected means everything.
    """
    project = call.state.project(int(call.request.params.get("project", 0)))
    chosen = select(list(project.tasks.values()), call.request.fields())
    action = call.request.params.get("id")
    if action == "delete_tasks_predictions":
        number = call.state.drop_predictions(chosen)
        return Reply(200, {"processed_items": number, "detail": f"Deleted {number} predictions"})
    if action != "delete_tasks":
        raise unmodeled(f"the action {action}")
    calls = _deleted(call, chosen).calls
    body = {
        "processed_items": len(chosen),
        "reload": not project.tasks,
        "detail": f"Deleted {len(chosen)} tasks",
    }
    return Reply(200, body, calls=calls)


def list_annotations(call: Call, task_id: int) -> Reply:
    """Return a task's annotations."""
    answers = call.state.task(task_id).annotations
    return Reply(200, [annotation_view(call.state, answer) for answer in answers])


def create_annotation(call: Call, task_id: int) -> Reply:
    """Add an annotation, by whoever asks or whom it names; what it says is not checked."""
    task, fields = call.state.task(task_id), call.request.fields()
    _check_annotation(call, fields)
    answer = call.state.add_annotation(
        task,
        fields.get("result"),
        completed_by=fields.get("completed_by", call.user.id),
        updated_by=call.user,
        was_cancelled=fields.get("was_cancelled", False),
        lead_time=fields.get("lead_time"),
    )
    if "draft_id" in fields:
        task.drafts = [draft for draft in task.drafts if draft["id"] != fields["draft_id"]]
    view = annotation_view(call.state, answer)
    told = {"annotation": view, "task": task_row(task)}
    return Reply(201, view, calls=emitted(call.state, "ANNOTATION_CREATED", task.project, told))


def _check_annotation(call: Call, fields: dict[str, Any]) -> None:
    if "result" in fields:
        result = fields["result"]
        if result is None:
            raise invalid("result", "This field may not be null.")
        if isinstance(result, str):
            raise RefusalError(500, 'annotation "result" can\'t be parse from str to JSON')
        if not isinstance(result, list):
            raise invalid("result", 'annotation "result" field in annotation must be list')
        if not all(isinstance(item, dict) for item in result):
            raise RefusalError(500, "'str' object has no attribute 'get'")
    who = fields.get("completed_by", call.user.id)
    if who not in call.state.users:
        raise invalid("completed_by", f'Invalid pk "{who}" - object does not exist.')
    if not isinstance(fields.get("lead_time"), int | float | None):
        raise invalid("lead_time", "A valid number is required.")


def get_annotation(call: Call, annotation_id: int) -> Reply:
    """Return an annotation."""
    return Reply(200, annotation_view(call.state, call.state.annotation(annotation_id)))


def patch_annotation(call: Call, annotation_id: int) -> Reply:
    """Edit an annotation."""
    answer, fields = call.state.annotation(annotation_id), call.request.fields()
    _check_annotation(call, fields)
    if fields.get("task", answer.task) != answer.task:
        raise unmodeled("moving an annotation to another task")
    call.state.change_annotation(answer, fields, call.user)
    view = annotation_view(call.state, answer)
    told = {"annotation": view, "task": task_row(call.state.task(answer.task))}
    return Reply(200, view, calls=emitted(call.state, "ANNOTATION_UPDATED", answer.project, told))


def delete_annotation(call: Call, annotation_id: int) -> Reply:
    """Delete an annotation."""
    answer = call.state.annotation(annotation_id)
    call.state.remove_annotation(answer, call.user)
    told = {"annotations": [{"id": annotation_id}]}
    return Reply(204, calls=emitted(call.state, "ANNOTATIONS_DELETED", answer.project, told))


def create_draft(call: Call, task_id: int) -> Reply:
    """Keep what somebody has not submitted yet; the task does not count as changed."""
    task, fields = call.state.task(task_id), call.request.fields()
    now = moment(call.state.clock())
    draft = {
        "id": call.state.next_id("draft"),
        "user": call.user.email,
        "result": fields["result"],
        "lead_time": fields.get("lead_time"),
        "was_postponed": False,
        "created_at": now,
        "updated_at": now,
        "task": task.id,
        "annotation": None,
    }
    task.drafts.append(draft)
    return Reply(201, draft)


def list_predictions(call: Call) -> Reply:
    """Return predictions, of one task or project where it is named."""
    params = call.request.params
    rows = [
        guess
        for guess in call.state.predictions.values()
        if params.get("task", str(guess.task)) == str(guess.task)
        and params.get("project", str(guess.project)) == str(guess.project)
    ]
    return Reply(200, [prediction_view(guess) for guess in rows])


def create_prediction(call: Call) -> Reply:
    """Add a prediction, unchecked; its task counts as changed."""
    fields = call.request.fields()
    task = call.state.tasks.get(fields.get("task", 0))
    if task is None:
        raise invalid("task", f'Invalid pk "{fields.get("task")}" - object does not exist.')
    try:
        result = normal_result(call.state.project(task.project).interface, fields["result"])
    except TypeError:
        raise unmodeled("a prediction that is none") from None
    call.state.touch(task, call.user)
    guess = call.state.add_prediction(
        task, result, fields.get("score"), fields.get("model_version", "")
    )
    return Reply(201, prediction_view(guess))


def patch_prediction(call: Call, prediction_id: int) -> Reply:
    """Change a prediction; its task counts as changed."""
    guess, fields = call.state.prediction(prediction_id), call.request.fields()
    for name in ("result", "score", "model_version"):
        if name in fields:
            setattr(guess, name, fields[name])
    call.state.touch(call.state.task(guess.task), call.user)
    guess.updated_at = call.state.clock()
    return Reply(200, prediction_view(guess))


def delete_prediction(call: Call, prediction_id: int) -> Reply:
    """Delete a prediction; its task counts as changed."""
    call.state.remove_prediction(call.state.prediction(prediction_id), call.user)
    return Reply(204)


def import_predictions(call: Call, project_id: int) -> Reply:
    """Add predictions to tasks that are there, which do not count as changed.

    Those that do not fit the labeling interface vanish; a task that is not there stops all.
    """
    if project_id not in call.state.projects:
        return PAGE_404
    project = call.state.project(project_id)
    items = call.request.json()
    for item in items:
        if item.get("task") not in project.tasks:
            raise invalid("non_field_errors", f'{item} contains invalid "task" field')
    kept = [item for item in items if is_checked(project.interface, item)]
    for item in kept:
        call.state.add_prediction(
            project.tasks[item["task"]],
            item["result"],
            item.get("score"),
            str(item.get("model_version", "undefined")),
        )
    return Reply(201, {"created": len(kept)})
