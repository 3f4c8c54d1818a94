"""Projects of the fake Label Studio: settings, imports, exports, the label stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.label_studio.fake_hooks import emitted
from tests.label_studio.fake_interface import (
    RefusalError,
    check_data,
    invalid,
    normal_result,
    unmodeled,
)
from tests.label_studio.fake_listing import page_of
from tests.label_studio.fake_requests import PAGE_404, Call, Reply
from tests.label_studio.fake_rows import Project, Task
from tests.label_studio.fake_state import State
from tests.label_studio.fake_views import exported_task_view, offered_task_view, project_view


def list_projects(call: Call) -> Reply:
    """Return projects, the newest first; `title` is a part of it, of either case."""
    params = call.request.params
    wanted = {int(text) for text in params["ids"].split(",")} if "ids" in params else None
    rows = [
        project
        for project in reversed(call.state.projects.values())
        if params.get("title", "").lower() in project.settings["title"].lower()
        and (wanted is None or project.id in wanted)
    ]
    shown = page_of(rows, params)
    more = bool(shown) and shown[-1] is not rows[-1]
    page = int(params.get("page", "1"))
    others = "".join(f"&{name}={value}" for name, value in sorted(params.items()) if name != "page")
    return Reply(
        200,
        {
            "count": len(rows),
            "next": f"{call.request.url}/api/projects/?page={page + 1}{others}" if more else None,
            "previous": None if page == 1 else f"{call.request.url}/api/projects/?page={page - 1}",
            "results": [included(call, project_view(call.state, project)) for project in shown],
        },
    )


def included(call: Call, view: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that `include` names; all without it."""
    names = call.request.params.get("include")
    return view if not names else {k: v for k, v in view.items() if k in names.split(",")}


def create_project(call: Call) -> Reply:
    """Make a project; nothing about it has to be new."""
    project = call.state.add_project(call.request.fields(), call.user)
    return Reply(201, project_view(call.state, project, counts=False))


def get_project(call: Call, project_id: int) -> Reply:
    """Return a project."""
    return Reply(200, included(call, project_view(call.state, call.state.project(project_id))))


def patch_project(call: Call, project_id: int) -> Reply:
    """Change a project."""
    project = call.state.project(project_id)
    call.state.change_project(project, call.request.fields())
    return Reply(
        200,
        project_view(call.state, project),
        calls=emitted(call.state, "PROJECT_UPDATED", project_id, {}),
    )


def validate_project(call: Call, project_id: int) -> Reply:
    """Check a labeling interface strictly, without changing anything."""
    project = call.state.project(project_id)
    config = call.request.fields()["label_config"]
    call.state.check_interface(project, config, strict=True)
    return Reply(200, {"config_essential_data_has_changed": True})


def delete_project(call: Call, project_id: int) -> Reply:
    """Delete a project with its tasks."""
    call.state.remove_project(call.state.project(project_id))
    return Reply(204)


def delete_project_tasks(call: Call, project_id: int) -> Reply:
    """Delete all tasks of a project."""
    for task in list(call.state.project(project_id).tasks.values()):
        call.state.remove_task(task)
    return Reply(204)


def next_task(call: Call, project_id: int) -> Reply:
    """Return the next task for whoever asks."""
    project = call.state.project(project_id)
    offer = call.state.next_task(project, call.user)
    if offer is None:
        raise RefusalError(404, f"There are no tasks for {call.user.email}")
    return Reply(200, offered_task_view(project, offer[0], call.user, offer[1]))


def export(call: Call, project_id: int) -> Reply:
    """Return the tasks with annotations (or all), as JSON only."""
    if call.request.params.get("exportType", "JSON") != "JSON":
        raise unmodeled("exports other than JSON")
    every = call.request.flag("download_all_tasks")
    tasks = [t for t in call.state.project(project_id).tasks.values() if every or t.annotations]
    return Reply(200, [exported_task_view(call.state, task) for task in tasks], "application/.json")


def import_tasks(call: Call, project_id: int) -> Reply:
    """Import tasks, all or none; see the fake's own words on malformed predictions."""
    if project_id not in call.state.projects:
        # This one endpoint answers with a page.
        return PAGE_404
    if not call.request.body:
        raise invalid("non_field_errors", "load_tasks: No tasks added")
    content = call.request.json()
    items = content if isinstance(content, list) else [content]
    if not items:
        raise invalid("non_field_errors", "load_tasks: No tasks added")
    project = call.state.project(project_id)
    rows = _validated(call.state, project, items)
    if call.request.params.get("commit_to_project", "true").lower() in ("false", "0"):
        raise unmodeled("imports that are not committed")
    tasks = [_add(call, project, row) for row in rows]
    num_predictions = _add_predictions(call.state, project, tasks, rows)
    created = {
        "task_count": len(tasks),
        "annotation_count": sum(len(task.annotations) for task in tasks),
        "prediction_count": num_predictions,
        "duration": 0.0,
        "file_upload_ids": [],
        "could_be_tasks_list": False,
        "found_formats": [],
        "data_columns": [],
    }
    if call.request.flag("return_task_ids"):
        created["task_ids"] = [task.id for task in tasks]
    told = {"tasks": [{"id": task.id, "data": task.data} for task in tasks]}
    return Reply(201, created, calls=emitted(call.state, "TASKS_CREATED", project_id, told))


def _validated(state: State, project: Project, items: list[Any]) -> list[dict[str, Any]]:
    interface = project.interface
    rows: list[dict[str, Any]] = []
    errors: list[object] = []
    for place, item in enumerate(items):
        try:
            if not isinstance(item, dict):
                raise RefusalError(
                    400,
                    'Task root must be dict with "data", "meta", "annotations", '
                    '"predictions" fields',
                )
            row = item if "data" in item else {"data": item}
            check_data(interface, row["data"])
            for guess in row.get("predictions", ()):
                if isinstance(guess, dict) and "result" not in guess:
                    raise RefusalError(400, 'Prediction must have "result" fields')
            rows.append(row)
            errors.append({})
        except RefusalError as error:
            errors.append(f"Error at item {place}: {error.detail} :: {item}")
    if any(errors):
        raise RefusalError(400, "Validation error", {"non_field_errors": errors})
    for row in rows:
        for answer in row.get("annotations", ()):
            answer["by"] = _whose(state, answer.get("completed_by"))
    return rows


def _whose(state: State, who: object) -> int | None:
    if who is None:
        return None
    if isinstance(who, dict):
        for user in state.users.values():
            if user.email == who["email"]:
                return user.id
        raise invalid("non_field_errors", f"Unknown annotator's email {who['email']}")
    if isinstance(who, int) and who in state.users:
        return who
    raise invalid(
        "non_field_errors",
        f"Import data contains completed_by={who} which is not a valid annotator's email or ID",
    )


def _add(call: Call, project: Project, row: dict[str, Any]) -> Task:
    task = call.state.add_task(project, row["data"], row.get("meta", {}), imported=True)
    for answer in row.get("annotations", ()):
        call.state.add_annotation(
            task,
            answer["result"],
            completed_by=answer["by"] or call.user.id,
            updated_by=None,
            was_cancelled=answer.get("was_cancelled", False),
            lead_time=answer.get("lead_time"),
            imported=True,
            ground_truth=answer.get("ground_truth", True),
        )
    # Here, and here only, skips count.
    task.is_labeled = len({answer.completed_by for answer in task.annotations}) >= task.overlap
    return task


def _add_predictions(
    state: State, project: Project, tasks: list[Task], rows: list[dict[str, Any]]
) -> int:
    interface, version = project.interface, None
    ready: list[Callable[[], object]] = []
    for task, row in zip(tasks, rows, strict=True):
        for guess in row.get("predictions", ()):
            try:
                result = normal_result(interface, guess["result"])
            except (TypeError, KeyError):
                # INVARIANT: the tasks stay. The real server trips here after it kept them.
                raise RefusalError(
                    500, "'BaseTaskSerializerBulk' object has no attribute 'db_predictions'"
                ) from None
            version = guess.get("model_version", "undefined")
            ready.append(_adding(state, task, result, _score(guess.get("score")), version))
    for add in ready:
        add()
    if not project.settings["model_version"] and version is not None:
        project.settings["model_version"] = version
    return len(ready)


def _adding(
    state: State, task: Task, result: Any, score: float | None, version: str
) -> Callable[[], object]:
    return lambda: state.add_prediction(task, result, score, version)


def _score(score: object) -> float | None:
    try:
        return None if score is None else float(score)  # type: ignore[arg-type]
    except ValueError:
        return None
