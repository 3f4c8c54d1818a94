"""Labeling configurations as Label Studio 1.23.2 reads and refuses them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

VERSION = "1.23.2"
# Controls that hold a list of named labels, and the tag that names one.
LABEL_TAGS = {"Choices": "Choice", "Labels": "Label", "RectangleLabels": "Label"}
OBJECT_TYPES = {"Image": (str, list), "Text": (str,), "HyperText": (str,)}


class RefusalError(Exception):
    """The server answers with an error."""

    def __init__(self, status: int, detail: str, errors: object = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, errors


def invalid(where: str, *messages: object) -> RefusalError:
    """Return the refusal of a request's content, as Django REST framework words it."""
    return RefusalError(400, "Validation error", {where: list(messages)})


def unmodeled(what: str) -> RefusalError:
    """Return the refusal of what the fake cannot do as the real server does it."""
    return RefusalError(501, f"the fake Label Studio does not model {what}; use the real one")


@dataclass(frozen=True, slots=True)
class Control:
    """One control tag: what it is called, what it is about, what it may say."""

    name: str
    type: str
    to_names: tuple[str, ...]
    labels: tuple[str, ...] = ()
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def result_type(self) -> str:
        """What a result of this control carries as its type."""
        return self.type.lower()


@dataclass(frozen=True, slots=True)
class Interface:
    """A labeling configuration: objects by name (type, data key), controls by name."""

    objects: dict[str, tuple[str, str]]
    controls: dict[str, Control]

    @property
    def data_types(self) -> dict[str, str]:
        """Type of each data key that a task needs."""
        return {key: kind for kind, key in self.objects.values()}

    def parsed(self) -> dict[str, object]:
        """Return `parsed_label_config` of a project."""
        return {
            control.name: {
                "type": control.type,
                "to_name": list(control.to_names),
                "inputs": [
                    {
                        "type": self.objects[name][0],
                        "valueType": None,
                        "value": self.objects[name][1],
                    }
                    for name in control.to_names
                    if name in self.objects
                ],
                "labels": list(control.labels),
                "labels_attrs": control.attributes,
            }
            for control in self.controls.values()
        }


def read(config: str) -> Interface:
    """Parse a labeling configuration; refuse what the server refuses."""
    try:
        root = ET.fromstring(config)  # noqa: S314  # tests write what the fake reads
    except ET.ParseError as error:
        raise invalid("label_config", str(error)) from None
    objects: dict[str, tuple[str, str]] = {}
    controls: dict[str, Control] = {}
    names = [tag.attrib["name"] for tag in root.iter() if "name" in tag.attrib]
    for tag in root.iter():
        name, target = tag.attrib.get("name"), tag.attrib.get("toName")
        if name is None:
            continue
        if target is None:
            objects[name] = (tag.tag, tag.attrib.get("value", "").removeprefix("$"))
            continue
        entries = list(tag.iter(LABEL_TAGS[tag.tag])) if tag.tag in LABEL_TAGS else []
        if tag.tag in LABEL_TAGS and not entries:
            raise invalid(
                "label_config",
                f"Validation failed on : '{LABEL_TAGS[tag.tag]}' is a required property",
            )
        controls[name] = Control(
            name,
            tag.tag,
            tuple(target.split(",")),
            tuple(entry.attrib["value"] for entry in entries),
            {entry.attrib["value"]: dict(entry.attrib) for entry in entries},
        )
    if len(set(names)) != len(names):
        raise invalid("label_config", "Label config contains non-unique names")
    for control in controls.values():
        for target in control.to_names:
            if target not in names:
                raise invalid(
                    "label_config", f'toName="{target}" not found in names: {sorted(names)}'
                )
    return Interface(objects, controls)


def check_change(interface: Interface, results: Iterable[dict[str, object]], strict: bool) -> None:
    """Refuse a configuration that contradicts annotations.

    A control that annotations use may not go. A choice that they use may: only
    `/validate` (strict) refuses that.
    """
    items = [item for item in results if {"from_name", "to_name", "type"} <= set(item)]
    lost: dict[tuple[object, object, object], int] = {}
    for item in items:
        control = interface.controls.get(str(item["from_name"]))
        fits = (
            control is not None
            and item["to_name"] in control.to_names
            and item["type"] == control.result_type
        )
        if not fits and item["type"] != "textarea":
            key = (item["from_name"], item["to_name"], item["type"])
            lost[key] = lost.get(key, 0) + 1
    where = "non_field_errors" if strict else "label_config"
    if lost:
        found = "\n".join(
            f"{count} with from_name={name}, to_name={target}, type={kind}"
            for (name, target, kind), count in lost.items()
        )
        raise invalid(
            where,
            "Created annotations are incompatible with provided labeling schema, we found:\n"
            f"{found}",
        )
    if not strict:
        return
    for control in interface.controls.values():
        unknown: dict[str, int] = {}
        for item in items:
            value = item.get("value")
            if control.labels and item["from_name"] == control.name and isinstance(value, dict):
                for label in value.get(control.result_type, ()):
                    if label not in control.labels:
                        unknown[label] = unknown.get(label, 0) + 1
        if unknown:
            found = "".join(
                f"{label} ({count} annotation{'s' if count > 1 else ''})\n"
                for label, count in unknown.items()
            )
            raise invalid(
                where,
                f"These labels still exist in annotations or drafts:\n{found}"
                f'Please add labels to tag with name="{control.name}".',
            )


def check_data(interface: Interface, data: object) -> None:
    """Refuse a new task whose data lacks what the configuration shows.

    Raises
    ------
    RefusalError
        With the bare message; an import says beside it which item it was.
    """
    hint = '[assume: item["data"] = task root with values]'
    if not isinstance(data, dict):
        raise RefusalError(400, "Task is missing dict with data")
    for key, kind in interface.data_types.items():
        if not key:
            continue
        if key not in data:
            raise RefusalError(400, f'"{key}" key is expected in task data {hint}')
        expected: Sequence[type] = OBJECT_TYPES.get(kind, (object,))
        if not isinstance(data[key], tuple(expected)):
            raise RefusalError(
                400,
                f"data['{key}']={data[key]} is of type '{type(data[key]).__name__}', but the "
                f"object tag {kind} expects the following types: "
                f"{[kind.__name__ for kind in expected]} {hint}",
            )


def normal_result(interface: Interface, result: object) -> object:
    """Return a prediction's result as the server stores it.

    Raises
    ------
    TypeError
        Where the server fails: neither a list of objects, nor an object, nor a choice.
    """
    if isinstance(result, list):
        if not all(isinstance(item, dict) for item in result):
            raise TypeError("Each item in prediction result should be dict")
        return result
    if isinstance(result, dict):
        for control in interface.controls.values():
            if control.result_type in result:
                return [_item(control, result)]
        return None
    if isinstance(result, str):
        for control in interface.controls.values():
            if control.type in ("Choices", "TextArea"):
                return [_item(control, {control.result_type: [result]})]
        return None
    if isinstance(result, int):
        return None
    raise TypeError(f"Incorrect format {type(result)} for prediction result {result}")


def is_checked(interface: Interface, guess: dict[str, object]) -> bool:
    """Return whether a prediction passes the check that predictions sent alone go through."""
    result, score = guess.get("result"), guess.get("score")
    if not isinstance(result, list) or not isinstance(score, int | float | None):
        return False
    return (score is None or 0 <= score <= 1) and all(_fits(interface, item) for item in result)


def _fits(interface: Interface, item: object) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("value"), dict):
        return False
    control = interface.controls.get(item.get("from_name", ""))
    if control is None or item.get("to_name") not in control.to_names:
        return False
    said = item["value"].get(control.result_type, ())
    known = not control.labels or set(said) <= set(control.labels)
    return item.get("type") == control.result_type and known


def _item(control: Control, value: dict[str, object]) -> dict[str, object]:
    return {
        "from_name": control.name,
        "to_name": ",".join(control.to_names),
        "type": control.result_type,
        "value": value,
    }
