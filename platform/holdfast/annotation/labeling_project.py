"""The project in Label Studio: found, made or adopted, with our classes to choose from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.annotation.label_studio_client import LabelStudioClient
from holdfast.annotation.labeling_interface import (
    LabelingInterface,
    build_interface,
    change_interface,
    missing_choices,
    read_interface,
    surplus_choices,
)
from holdfast.annotation.task_filters import text_filter
from holdfast.errors import ConfigError

# Label Studio's own limits on a title.
_SHORTEST, _LONGEST = 3, 50
_SETTINGS = {
    # In our order, each to somebody who has not answered it yet, one answer unless asked again.
    "sampling": "Sequential sampling",
    "maximum_annotations": 1,
    "show_collab_predictions": True,
    "show_skip_button": True,
    "skip_queue": "REQUEUE_FOR_OTHERS",
    # Pressing Submit without a choice would be an answer that says nothing.
    "enable_empty_annotation": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelingProject:
    """A project that can take our questions.

    Attributes
    ----------
    model_version : str
        Whose guesses people see; empty for nobody's.
    adopted : bool
        Somebody else made it.
    created_at : str
        When it was made: an id may be another project's on a server set up anew.
    skips_count : bool
        Label Studio takes a skip for an answer when it decides who is asked next.
    """

    id: int
    interface: LabelingInterface
    model_version: str
    adopted: bool
    created_at: str
    skips_count: bool

    def answers_of(self, task: Mapping[str, Any]) -> int:
        """Return how many answers a task has, as Label Studio counts them for its queue."""
        skips = task["cancelled_annotations"] if self.skips_count else 0
        count: int = task["total_annotations"] + skips
        return count


def gone(client: LabelStudioClient, project: int) -> str:
    """Return what to tell people about a project that does not exist (any more)."""
    return (
        f"Label Studio at {client.url} has no project {project}; restore it, or set "
        "annotation.label_studio.project to the id of one that exists, or to 0 to have one made"
    )


def find_project(
    client: LabelStudioClient, *, known: int | None, created_at: str, marker: str, adopt: int
) -> LabelingProject | None:
    """Return the project that takes our questions, None where it is still to be made.

    Parameters
    ----------
    known : int or None
        Its id, where it is known from before.
    created_at : str
        When that was made.
    marker : str
        What the description of a project of ours contains.
    adopt : int
        Id of a project somebody else made; 0 for one of ours.

    Raises
    ------
    ConfigError
        If the project to adopt does not exist, or nothing in it asks for one class an image.
    """
    if adopt:
        found = client.find(f"/api/projects/{adopt}")
        if found is None:
            raise ConfigError(gone(client, adopt))
        return _read(found, adopted=True)
    found = None if known is None else client.find(f"/api/projects/{known}")
    if found is None or found["created_at"] != created_at:
        found = _marked(client, marker)
    return None if found is None else _read(found, adopted=False)


def make_project(
    client: LabelStudioClient, *, title: str, marker: str, class_names: Sequence[str]
) -> LabelingProject:
    """Return a new project, unless a lost request made it already; see `find_project`.

    Raises
    ------
    ConfigError
        If class names clash.
    """
    # Looked up again by its marker after a lost response, it is made once.
    made = client.write(
        "create-project",
        "POST",
        "/api/projects",
        json={
            "title": title[:_LONGEST].strip().ljust(_SHORTEST, "_"),
            "description": f"Questions of Holdfast. Keep this line: {marker}",
            "label_config": build_interface(class_names),
            **_SETTINGS,
        },
    )
    return _read(made, adopted=False)


def offer_classes(
    client: LabelStudioClient, project: LabelingProject, class_names: Sequence[str]
) -> LabelingProject:
    """Let people choose exactly our classes; in an adopted project, at least these.

    What people changed about the interface besides stays.

    Raises
    ------
    ConfigError
        If answers use a choice that is no class any more.
    """
    missing = missing_choices(project.interface, class_names)
    surplus = () if project.adopted else surplus_choices(project.interface, class_names)
    if not missing and not surplus:
        return project
    _refuse_used(client, project, surplus)
    path = f"/api/projects/{project.id}"
    # Read again: the interface may have changed since, and it is written as a whole.
    xml = client.request("GET", path)["label_config"]
    changed = change_interface(xml, add=missing, remove=surplus)
    answer = client.write("set-interface", "PATCH", path, json={"label_config": changed})
    return _read(answer, adopted=project.adopted)


def show_guesses_of(
    client: LabelStudioClient, project: LabelingProject, model: str, ours: str
) -> str:
    """Let people see the guesses of a model; return whose guesses of ours they see now.

    Label Studio shows the guesses of one model version. One that somebody else chose, such
    as a live backend, stays.

    Parameters
    ----------
    model : str
        The model that guessed what is about to be sent; empty for none.
    ours : str
        Whose guesses we showed last; empty for nobody's.
    """
    if not model or project.model_version not in ("", ours, model):
        return ours
    if project.model_version != model:
        client.write(
            "show-guesses",
            "PATCH",
            f"/api/projects/{project.id}",
            json={"model_version": model, "show_collab_predictions": True},
        )
    return model


def _marked(client: LabelStudioClient, marker: str) -> Mapping[str, Any] | None:
    number, found, seen = 1, [], 0
    while True:
        page = client.request(
            "GET",
            "/api/projects",
            params={"page": number, "page_size": 100, "include": "id,description"},
        )
        seen += len(page["results"])
        found += [one["id"] for one in page["results"] if marker in (one["description"] or "")]
        if not page["results"] or seen >= page["count"]:
            break
        number += 1
    # The oldest counts, should two runs ever have made one each.
    return client.find(f"/api/projects/{min(found)}") if found else None


def _read(project: Mapping[str, Any], *, adopted: bool) -> LabelingProject:
    try:
        interface = read_interface(project["label_config"])
    except ConfigError as error:
        raise ConfigError(f"project {project['id']} of Label Studio: {error}") from error
    return LabelingProject(
        id=project["id"],
        interface=interface,
        model_version=project["model_version"] or "",
        adopted=adopted,
        created_at=project["created_at"],
        skips_count=project["skip_queue"] == "IGNORE_SKIPPED",
    )


def _refuse_used(client: LabelStudioClient, project: LabelingProject, names: Sequence[str]) -> None:
    """Raise if answers name one of these choices: Label Studio itself would let them go."""
    for name in names:
        # The filter looks for text anywhere in an answer, written as its database writes it.
        for text in {json.dumps(name), json.dumps(name, ensure_ascii=False)}:
            tasks = client.tasks(
                project.id,
                [text_filter("annotations_results", "contains", text)],
                include=("id", "annotations", "result"),
                annotations=True,
            )
            for task in tasks:
                if any(_names(one, name, project.interface.control) for one in task["annotations"]):
                    raise ConfigError(
                        f'"{name}" is no class any more, but answers in project {project.id} of '
                        f"Label Studio name it (task {task['id']}); keep the class, or change or "
                        "delete those answers there first"
                    )


def _names(annotation: Mapping[str, Any], name: str, control: str) -> bool:
    return any(
        isinstance(part, dict)
        and part.get("from_name") == control
        and name in (part.get("value") or {}).get("choices", [])
        for part in annotation["result"] or []
    )
