"""What goes into a task, and what comes out of its annotations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from holdfast.annotation.labeling_interface import LabelingInterface
from holdfast.annotation.oracle import Card
from holdfast.records import BAD_IMAGE, NONE_OF_THESE, SKIPPED, Answer

# Fields of tasks and, all in one list, of the annotations inside them.
TASK_FIELDS = ("id", "data", "updated_at")
ANNOTATION_FIELDS = (
    "annotations",
    "result",
    "completed_by",
    "created_at",
    "lead_time",
    "was_cancelled",
)
_BETWEEN = ", "


def new_task(
    card: Card, image: str, query_key: str, interface: LabelingInterface
) -> dict[str, object]:
    """Return a task to import, with the model's guess where the interface offers it.

    Parameters
    ----------
    image : str
        What the browser loads: a link, or the image itself as a data URI.
    query_key : str
        Names the query in the task's field `question`.
    """
    # Label Studio takes a guess nobody can choose without a word and shows nothing; so it
    # is left out here. A guess is a hint: the question is complete without it.
    guess = prediction(card, interface)
    return {
        "data": task_data(card, image, (query_key,), interface),
        "predictions": [] if guess is None else [guess],
    }


def task_data(
    card: Card, image: str, query_keys: Sequence[str], interface: LabelingInterface
) -> dict[str, str]:
    """Return the data of a task that was asked in the queries named.

    Why a sample is asked about stands in plain English only: a gold question must not be
    told from others. Fields that an adopted interface shows and we do not know stay empty.
    """
    return {
        **dict.fromkeys(interface.fields, ""),
        "uid": card.uid,
        "question": _BETWEEN.join(query_keys),
        "why": card.why,
        interface.image_field: image,
    }


def queries_of(data: Mapping[str, object]) -> tuple[str, ...]:
    """Return the keys of the queries that a task was asked in."""
    keys = data.get("question")
    return tuple(key for key in keys.split(_BETWEEN) if key) if isinstance(keys, str) else ()


def uid_of(task: Mapping[str, Any]) -> str | None:
    """Return a task's uid; None for a task that Holdfast did not make."""
    data = task.get("data")
    uid = data.get("uid") if isinstance(data, dict) else None
    return uid if isinstance(uid, str) and uid else None


def prediction(card: Card, interface: LabelingInterface) -> dict[str, object] | None:
    """Return the guess as Label Studio shows it; None without one, or where it is no choice."""
    if card.guess is None or card.guess not in interface.choices:
        return None
    return {
        "model_version": card.model,
        "score": card.confidence,
        "result": [
            {
                "from_name": interface.control,
                "to_name": interface.image,
                "type": "choices",
                "value": {"choices": [card.guess]},
            }
        ],
    }


def read_answers(
    sample_id: int,
    annotations: Sequence[Mapping[str, Any]],
    control: str,
    class_names: Collection[str],
    people: Mapping[int, str],
) -> tuple[Answer, ...]:
    """Return what people answered about a sample: the latest of each, by rising id.

    Parameters
    ----------
    annotations : sequence of mapping
        All annotations of all tasks about the sample; drafts and guesses are none.
    control : str
        Name of the single-choice control that takes the answers.
    class_names : collection of str
        What an answer may name; any other name is a problem of the answer.
    people : mapping of int to str
        Names of users by id; others are named `user ID`.
    """
    latest: dict[object, Mapping[str, Any]] = {}
    for one in sorted(annotations, key=lambda one: (one["updated_at"], one["id"])):
        latest[one.get("completed_by")] = one
    return tuple(
        _answer(sample_id, one, _meaning(one, control, class_names), people)
        for one in sorted(latest.values(), key=lambda one: one["id"])
    )


def _answer(
    sample_id: int,
    annotation: Mapping[str, Any],
    meaning: tuple[str | None, str, str | None],
    people: Mapping[int, str],
) -> Answer:
    label, remark, problem = meaning
    who = annotation.get("completed_by")
    seconds = annotation.get("lead_time")
    return Answer(
        sample_id=sample_id,
        label=label,
        annotator=people.get(who, f"user {who}") if isinstance(who, int) else "nobody",
        external_id=str(annotation["id"]),
        updated_at=str(annotation["updated_at"]),
        remark=remark,
        comment=_comment(annotation.get("result")),
        problem=problem,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        answered_at=annotation.get("created_at"),
    )


def _meaning(
    annotation: Mapping[str, Any], control: str, class_names: Collection[str]
) -> tuple[str | None, str, str | None]:
    """Return an annotation's label, remark and problem."""
    if annotation.get("was_cancelled"):
        return None, SKIPPED, None
    result = annotation.get("result")
    if not isinstance(result, list) or not all(isinstance(part, dict) for part in result):
        return None, "", "the answer is not in the form that Label Studio gives answers"
    parts = [part for part in result if part.get("type") == "choices"]
    if not parts:
        return None, "", "the answer is empty: nothing was chosen"
    ours = [part for part in parts if part.get("from_name") == control]
    if not ours:
        controls = ", ".join(sorted({str(part.get("from_name")) for part in parts}))
        problem = f'the answer belongs to another control ({controls}) than "{control}"'
        return None, "", problem
    chosen = [name for part in ours for name in _chosen(part)]
    if not all(isinstance(name, str) for name in chosen):
        return None, "", "the answer is not in the form that Label Studio gives answers"
    if not chosen:
        return None, "", "the answer is empty: nothing was chosen"
    names = sorted({str(name) for name in chosen})
    if len(names) > 1:
        return None, "", f"the answer names several classes: {', '.join(names)}"
    if names[0] in (NONE_OF_THESE, BAD_IMAGE):
        return None, names[0], None
    if names[0] not in class_names:
        return names[0], "", f'"{names[0]}" is no class of this project'
    return names[0], "", None


def _chosen(part: Mapping[str, Any]) -> list[object]:
    value = part.get("value")
    chosen = value.get("choices") if isinstance(value, dict) else None
    return chosen if isinstance(chosen, list) else [None]


def _comment(result: object) -> str:
    if not isinstance(result, list):
        return ""
    texts: list[str] = []
    for part in result:
        if isinstance(part, dict) and part.get("type") == "textarea":
            value = part.get("value")
            text = value.get("text") if isinstance(value, dict) else None
            texts += [text] if isinstance(text, str) else text if isinstance(text, list) else []
    return " ".join(" ".join(str(text) for text in texts).split())
