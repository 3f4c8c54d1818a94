import xml.etree.ElementTree as ET

import pytest

from holdfast.annotation.labeling_interface import (
    SPECIAL,
    build_interface,
    change_interface,
    missing_choices,
    read_interface,
    surplus_choices,
)
from holdfast.errors import ConfigError

THEIRS = (
    '<View><Header value="Where: $site"/><Image name="photo" value="$url"/>'
    '<Choices name="kind" toName="photo"><Choice value="Cat" alias="cat" hotkey="q"/>'
    '<Choice value="dog" hotkey="1"/></Choices></View>'
)


def _tree(xml):
    return ET.fromstring(xml)  # noqa: S314


def _keys(xml):
    return [one.get("hotkey") for one in _tree(xml).iter("Choice") if one.get("hotkey")]


def test_built_interface_offers_classes_then_the_special_answers():
    interface = read_interface(build_interface(["cat", "dog"]))
    assert interface.choices == ("cat", "dog", *SPECIAL)
    assert (interface.control, interface.image, interface.image_field) == (
        "label",
        "image",
        "image",
    )
    assert interface.fields == ("image", "why")


@pytest.mark.parametrize("num_classes", [0, 1, 9, 10, 30, 200])
def test_built_interface_gives_no_key_twice(num_classes):
    keys = _keys(build_interface([f"class {k}" for k in range(num_classes)]))
    assert len(keys) == len(set(keys))
    assert keys[: min(num_classes, 9)] == [str(k + 1) for k in range(min(num_classes, 9))]
    assert {"0", "x"} <= set(keys)


def test_built_interface_takes_any_class_name():
    names = ['<a & "b">', "日本", "a|b$c", " spaced  "]
    assert read_interface(build_interface(names)).choices == (*names, *SPECIAL)


@pytest.mark.parametrize("names", [["none of these"], ["bad image"], ["a", "a"], [""], [" "]])
def test_built_interface_with_clashing_class_names_is_refused(names):
    with pytest.raises(ConfigError, match="rename"):
        build_interface(names)


def test_read_interface_of_somebody_else_keeps_its_names():
    interface = read_interface(THEIRS)
    assert (interface.control, interface.image, interface.image_field) == ("kind", "photo", "url")
    assert interface.choices == ("cat", "dog")
    assert interface.fields == ("site", "url")


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("<View", "is no XML"),
        ("<View/>", "shows no image"),
        ('<View><Image name="i" value="http://x"/></View>', "shows no image"),
        ('<View><Image name="i" value="$i"/></View>', r"it has none"),
        (
            '<View><Image name="i" value="$i"/><Choices name="c" toName="i" choice="multiple"/>'
            "</View>",
            "only choices of several",
        ),
        (
            '<View><Image name="i" value="$i"/><Choices name="c" toName="i" perRegion="true"/>'
            "</View>",
            "only choices of several or per region",
        ),
        (
            '<View><Image name="i" value="$i"/><Text name="t" value="$t"/>'
            '<Choices name="c" toName="t"/></View>',
            "toName is i",
        ),
    ],
)
def test_read_interface_that_does_not_fit_says_what_is_missing(xml, words):
    with pytest.raises(ConfigError, match=words):
        read_interface(xml)


def test_change_interface_adds_before_the_special_answers_with_free_keys():
    changed = change_interface(build_interface(["cat"]), add=["emu", "cat"])
    assert read_interface(changed).choices == ("cat", "emu", *SPECIAL)
    assert len(_keys(changed)) == len(set(_keys(changed))) == 4


def test_change_interface_leaves_all_else():
    changed = change_interface(THEIRS, add=["emu", *SPECIAL])
    before, after = _tree(THEIRS), _tree(changed)
    assert [one.tag for one in after] == [one.tag for one in before]
    assert after.find("Header").attrib == before.find("Header").attrib
    assert [one.attrib for one in after.iter("Choice")][:2] == [
        one.attrib for one in before.iter("Choice")
    ]
    assert len(_keys(changed)) == len(set(_keys(changed)))


def test_change_interface_there_and_back_is_what_it_was():
    xml = build_interface(["cat", "dog"])
    there = change_interface(xml, add=["emu"])
    assert change_interface(there, remove=["emu"]) == xml


def test_missing_and_surplus_choices_are_told_apart():
    interface = read_interface(change_interface(THEIRS, add=["bad image"]))
    assert missing_choices(interface, ["cat", "emu"]) == ("emu", "none of these")
    assert surplus_choices(interface, ["cat", "emu"]) == ("dog",)
