"""The labeling interface: what people see beside an image, and which answers they may give."""

from __future__ import annotations

# The parser is Python's own: since expat 2.4.1 it refuses entities that grow without bounds.
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.errors import ConfigError
from holdfast.records import BAD_IMAGE, NONE_OF_THESE

# One key an answer. H, V and U are left out: Label Studio uses them around images.
_CLASS_KEYS = "123456789qwertyiopasdfgjklzcbnm"
_SPECIAL_KEYS = {NONE_OF_THESE: "0", BAD_IMAGE: "x"}
SPECIAL = tuple(_SPECIAL_KEYS)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelingInterface:
    """What answers must look like to be understood.

    Attributes
    ----------
    control, image : str
        Names of the single-choice control, and of the image it is about.
    image_field : str
        Field of a task's data that holds the image, as `image`.
    choices : tuple of str
        What may be chosen, as it stands in answers.
    fields : tuple of str
        All fields of a task's data that the interface shows.
    """

    control: str
    image: str
    image_field: str
    choices: tuple[str, ...]
    fields: tuple[str, ...] = ()


def build_interface(class_names: Sequence[str]) -> str:
    """Return the XML of a new interface: one choice per class, with a key where one is left.

    Raises
    ------
    ConfigError
        If two classes are named alike, or one as a special choice, or as nothing.

    Examples
    --------
    >>> read_interface(build_interface(["cat", "dog"])).choices
    ('cat', 'dog', 'none of these', 'bad image')
    """
    _check(class_names)
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="$why", size="5")
    # Choices first: below a tall image they would be out of sight.
    choices = ET.SubElement(
        view,
        "Choices",
        name="label",
        toName="image",
        choice="single",
        showInline="true",
        # The key of the guess, pressed, takes the guess back: an empty answer would follow.
        required="true",
        requiredMessage="Choose one, or skip the task.",
    )
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true", zoomControl="true")
    _add_choices(view, choices, [*class_names, *SPECIAL])
    ET.SubElement(
        view,
        "TextArea",
        name="comment",
        toName="image",
        rows="1",
        maxSubmissions="1",
        editable="true",
        placeholder="Comment (optional)",
    )
    return _text(view)


def read_interface(xml: str) -> LabelingInterface:
    """Return what an interface offers.

    Raises
    ------
    ConfigError
        If it is no XML, or has no single-choice control on an image; it says what is missing.
    """
    view = _parse(xml)
    image, choices = _controls(view)
    fields = {
        word
        for element in view.iter()
        for value in element.attrib.values()
        for word in _variables(value)
    }
    return LabelingInterface(
        control=choices.get("name", ""),
        image=image.get("name", ""),
        image_field=image.get("value", "")[1:],
        choices=tuple(_said(choice) for choice in choices.iter("Choice")),
        fields=tuple(sorted(fields)),
    )


def change_interface(xml: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> str:
    """Return an interface with other choices; all else stays as people made it.

    Parameters
    ----------
    add : sequence of str
        Choices to offer as well, before the special ones; those there already stay.
    remove : sequence of str
        Choices to offer no more.

    Raises
    ------
    ConfigError
        As `read_interface`, and as `build_interface` for what is added.
    """
    view = _parse(xml)
    _, choices = _controls(view)
    parents = {child: parent for parent in view.iter() for child in parent}
    for choice in list(choices.iter("Choice")):
        if _said(choice) in remove:
            parents[choice].remove(choice)
    there = {_said(choice) for choice in choices.iter("Choice")}
    wanted = [name for name in add if name not in there]
    _check([name for name in wanted if name not in SPECIAL])
    _add_choices(view, choices, wanted)
    return _text(view)


def missing_choices(interface: LabelingInterface, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return what an interface lacks of the classes and the special choices."""
    return tuple(name for name in (*class_names, *SPECIAL) if name not in interface.choices)


def surplus_choices(interface: LabelingInterface, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return choices that are neither a class nor special."""
    return tuple(name for name in interface.choices if name not in (*class_names, *SPECIAL))


def _parse(xml: str) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314  (see the import)
    except ET.ParseError as error:
        raise ConfigError(
            f"the labeling interface is no XML ({error}); repair it in Label Studio under "
            "Settings > Labeling Interface"
        ) from error


def _controls(view: ET.Element) -> tuple[ET.Element, ET.Element]:
    """Return the image and the single-choice control on it."""
    images = {
        image.get("name", ""): image
        for image in view.iter("Image")
        if image.get("value", "").startswith("$")
    }
    if not images:
        raise ConfigError(
            "the labeling interface shows no image: it lacks an <Image> whose value is a field "
            "as $image; add one in Label Studio under Settings > Labeling Interface"
        )
    found = [choices for choices in view.iter("Choices") if choices.get("toName") in images]
    single = [
        choices
        for choices in found
        if choices.get("choice", "single") in ("single", "single-radio")
        and choices.get("perRegion") != "true"
        # Choices read from the task cannot be known beforehand.
        and not choices.get("value")
    ]
    if not single:
        has = "only choices of several or per region" if found else "none"
        raise ConfigError(
            f"the labeling interface lacks a single-choice control on the image: a <Choices "
            f'choice="single"> whose toName is {" or ".join(images)} (it has {has}); add one in '
            "Label Studio under Settings > Labeling Interface"
        )
    return images[single[0].get("toName", "")], single[0]


def _add_choices(view: ET.Element, choices: ET.Element, names: Sequence[str]) -> None:
    used = {element.get("hotkey", "").lower() for element in view.iter()}
    taken = used | set(_SPECIAL_KEYS.values())
    free = iter([key for key in _CLASS_KEYS if key not in taken])
    special = [choice for choice in choices if _said(choice) in SPECIAL]
    place = list(choices).index(special[0]) if special else len(choices)
    for name in names:
        choice = ET.Element("Choice", value=name)
        key = _SPECIAL_KEYS.get(name) or next(free, None)
        if key is not None and key not in used:
            choice.set("hotkey", key)
        if name in SPECIAL:
            choices.append(choice)
        else:
            choices.insert(place, choice)
            place += 1


def _said(choice: ET.Element) -> str:
    # Answers carry the alias where there is one.
    return choice.get("alias") or choice.get("value") or ""


def _variables(value: str) -> Iterator[str]:
    return (word[1:] for word in value.split() if word.startswith("$") and len(word) > 1)


def _check(class_names: Sequence[str]) -> None:
    for name in class_names:
        if not name.strip() or name in SPECIAL:
            raise ConfigError(
                f'a class is named "{name}", which means something else in Label Studio; rename it'
            )
    doubled = [name for name in class_names if class_names.count(name) > 1]
    if doubled:
        raise ConfigError(f'two classes are named "{doubled[0]}"; rename one')


def _text(view: ET.Element) -> str:
    ET.indent(view)
    text: str = ET.tostring(view, encoding="unicode")
    return text
