"""Projects that people already have in Label Studio: their tasks and answers, in our words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.annotation.label_studio_client import LabelStudioClient, Task
from holdfast.annotation.labeling_interface import SPECIAL, LabelingInterface, read_interface
from holdfast.annotation.task_content import (
    ANNOTATION_FIELDS,
    TASK_FIELDS,
    read_answers,
    uid_of,
)
from holdfast.data.offers import Statement
from holdfast.errors import ConfigError
from holdfast.records import Answer

# Drafts themselves would take half as long again to list, and be those of the token's user alone.
_FIELDS = (*TASK_FIELDS, *ANNOTATION_FIELDS, "draft_exists", "total_predictions")
# Where Label Studio keeps an image that was uploaded before there was an interface.
_UNDEFINED = "$undefined$"
# Between the name of a task and the number of an answer to it.
ANSWER = "&annotation="


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignProject:
    """A project somebody made.

    Attributes
    ----------
    name : str
        Where a person opens it.
    classes : tuple of str
        What may be chosen, as class names, in the order of the interface.
    unusable : mapping of str to str
        Choices that cannot be a class, and why not.
    people : mapping of int to str
        E-mail addresses by user id.
    num_tasks : int
        When it was opened.
    """

    id: int
    title: str
    name: str
    interface: LabelingInterface
    classes: tuple[str, ...]
    unusable: Mapping[str, str]
    people: Mapping[int, str]
    num_tasks: int

    @property
    def prefix(self) -> str:
        """What the names of all its tasks begin with."""
        return f"{self.name}?task="


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignTask:
    """One task, with what people said about its image.

    Attributes
    ----------
    name : str
        Where a person opens it; another one once the task holds another image.
    uid : str or None
        Names the sample, in a task that Holdfast made.
    address : str
        Where the image is; empty where that cannot be said.
    problem : str
        Why `address` is empty.
    statements : tuple of Statement
        What each person said last, if it names a class.
    set_aside : tuple of str
        Why each other answer names none.
    num_replaced : int
        Answers that the same person replaced by a later one.
    has_draft : bool
        Somebody began an answer and did not send it off.
    num_predictions : int
        Guesses of models.
    """

    id: int
    name: str
    uid: str | None
    address: str
    problem: str
    statements: tuple[Statement, ...]
    set_aside: tuple[str, ...]
    num_replaced: int
    has_draft: bool
    num_predictions: int


def open_project(client: LabelStudioClient, number: int) -> ForeignProject:
    """Return a project with a single-choice control on an image.

    Raises
    ------
    ConfigError
        If there is no such project, or no such control in it.
    TransientError
        If the server cannot be reached.
    """
    found = client.find(f"/api/projects/{number}")
    if found is None:
        raise ConfigError(
            f"Label Studio at {client.url} has no project {number} that this token's user may "
            "see; the number is in the project's address there, after /projects/"
        )
    try:
        interface = read_interface(found["label_config"])
    except ConfigError as error:
        raise ConfigError(f"project {number} of Label Studio: {error}") from error
    users = client.request("GET", "/api/users/")
    choices = [choice for choice in interface.choices if choice not in SPECIAL]
    return ForeignProject(
        id=number,
        title=found["title"] or "",
        name=f"{client.url}/projects/{number}/data",
        interface=interface,
        classes=tuple(dict.fromkeys(choice.strip() for choice in choices if not _unusable(choice))),
        unusable={choice: why for choice in choices if (why := _unusable(choice))},
        people={one["id"]: one["email"] for one in users if one.get("email")},
        num_tasks=client.page(number, size=1).total,
    )


def read_tasks(client: LabelStudioClient, project: ForeignProject) -> Iterator[ForeignTask]:
    """Give all tasks of a project, by rising id.

    Raises
    ------
    ConfigError, TransientError
        As the client raises them.
    """
    for task in client.tasks(project.id, include=_FIELDS, annotations=True):
        yield read_task(project, task)


def read_task(project: ForeignProject, task: Task) -> ForeignTask:
    """Return what a task says; `task` is as Label Studio lists it."""
    address, problem = _image(task.get("data"), project.interface.image_field)
    mark = hashlib.blake2b(address.encode(), digest_size=4).hexdigest()
    # Label Studio gives the number of a deleted task to another one.
    name = f"{project.prefix}{task['id']}&image={mark}"
    annotations = task.get("annotations") or []
    # The number of the sample is not known before its image is.
    answers = read_answers(
        0, annotations, project.interface.control, project.interface.choices, project.people
    )
    said, set_aside = [], []
    for answer in answers:
        why = _why_no_class(project, answer)
        if why is None:
            said.append(answer)
        else:
            set_aside.append(f"{why} ({answer.annotator})")
    return ForeignTask(
        id=task["id"],
        name=name,
        uid=uid_of(task),
        address=address,
        problem=problem,
        statements=_statements(name, said),
        set_aside=tuple(set_aside),
        num_replaced=len(annotations) - len(answers),
        has_draft=bool(task.get("draft_exists")),
        num_predictions=task.get("total_predictions") or 0,
    )


def _statements(name: str, answers: Sequence[Answer]) -> tuple[Statement, ...]:
    """Return answers that name a class, each with a key that holds its own time."""
    keys = [f"{name}{ANSWER}{one.external_id}@{one.updated_at}" for one in answers]
    # INVARIANT: of several people's labels the one recorded last holds. So whenever one of
    # them changes, all are new statements, to be recorded again in the right order.
    together = hashlib.blake2b(json.dumps(keys).encode(), digest_size=4).hexdigest()
    ending = f"/{together}" if len(keys) > 1 else ""
    return tuple(
        Statement(
            label=(one.label or "").strip(),
            annotator=one.annotator,
            key=f"{key}{ending}",
            answer_id=f"{name}{ANSWER}{one.external_id}",
            updated_at=one.updated_at,
            comment=one.comment,
            seconds=one.seconds,
            answered_at=one.answered_at,
        )
        for one, key in zip(answers, keys, strict=True)
    )


def _why_no_class(project: ForeignProject, answer: Answer) -> str | None:
    if answer.problem is not None:
        return answer.problem
    if answer.label is None:
        return f"no class was named: {answer.remark}"
    return project.unusable.get(answer.label)


def _unusable(choice: str) -> str | None:
    if not choice.isprintable():
        return f"the choice {choice!r} is not printable; rename it there"
    return None if choice.strip() else "the choice has no name; give it one there"


def _image(data: object, field: str) -> tuple[str, str]:
    """Return the address of a task's image, or an empty one and why."""
    if not isinstance(data, dict):
        return "", "the task has no data"
    value: Any = data.get(field, data.get(_UNDEFINED))
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and value.strip():
        return value.strip(), ""
    if isinstance(value, list) and value:
        return "", f'the task has {len(value)} images in "{field}", but one is needed'
    if value in (None, "", []) or isinstance(value, str):
        return "", f'the task has no image: its field "{field}" is empty'
    return "", f'the field "{field}" of the task holds no address but a {type(value).__name__}'
