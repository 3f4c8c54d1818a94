from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from holdfast.annotation.image_links import KEY_BYTES, ImageLinks, load_key
from holdfast.errors import ConfigError

UID = "ab" * 32
OTHER = "cd" * 32
BASE = "https://holdfast.example.org/images-of-ours"
LINKS = ImageLinks(bytes(range(KEY_BYTES)), f"{BASE}/")


def parts(link: str) -> dict[str, str]:
    return {name: one for name, (one,) in parse_qs(urlsplit(link).query).items()}


def test_task_link_is_good_for_its_image_alone() -> None:
    link = LINKS.task_link(UID)
    assert link.startswith(f"https://holdfast.example.org/images-of-ours/images/{UID}?task=")
    assert LINKS.check_task(UID, parts(link)["task"]) is None
    assert LINKS.check_task(OTHER, parts(link)["task"]) == "the link is forged"


def test_task_link_is_the_same_whenever_it_is_made() -> None:
    # A task that is sent again must not change.
    assert LINKS.task_link(UID) == ImageLinks(bytes(range(KEY_BYTES)), BASE).task_link(UID)


def test_signed_link_works_until_it_expires() -> None:
    said = parts(LINKS.signed_link(UID, 1000))
    assert said["expires"] == "1000"
    assert LINKS.check_signed(UID, "1000", said["signature"], 999.9) is None
    refused = LINKS.check_signed(UID, "1000", said["signature"], 1000.0)
    assert refused is not None
    assert "expired" in refused


@pytest.mark.parametrize(
    ("uid", "expires"), [(OTHER, "1000"), (UID, "2000"), (UID, "01000"), (UID, ""), (UID, "x")]
)
def test_signed_link_with_another_part_is_forged(uid: str, expires: str) -> None:
    signature = parts(LINKS.signed_link(UID, 1000))["signature"]
    assert LINKS.check_signed(uid, expires, signature, 0.0) == "the link is forged"


def test_right_of_a_task_shows_no_image() -> None:
    task = parts(LINKS.task_link(UID))["task"]
    assert LINKS.check_signed(UID, "", task, 0.0) == "the link is forged"
    signature = parts(LINKS.signed_link(UID, 1000))["signature"]
    assert LINKS.check_task(UID, signature) == "the link is forged"


@pytest.mark.parametrize("signature", ["", "ä", "A" * 43, "=" * 4000])
def test_signature_of_nobody_is_forged(signature: str) -> None:
    assert LINKS.check_task(UID, signature) == "the link is forged"
    assert LINKS.check_signed(UID, "1000", signature, 0.0) == "the link is forged"


def test_link_of_another_project_is_forged() -> None:
    other = ImageLinks(bytes(KEY_BYTES), BASE)
    assert LINKS.check_task(UID, parts(other.task_link(UID))["task"]) == "the link is forged"


def test_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "web.key"
    key = load_key(path)
    assert len(key) == KEY_BYTES
    assert load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(tmp_path / "other.key") != key


def test_key_made_by_many_at_once_is_one(tmp_path: Path) -> None:
    path = tmp_path / "web.key"
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(load_key, [path] * 64))
    assert keys == {path.read_bytes()}
    assert list(tmp_path.iterdir()) == [path]


def test_key_that_was_cut_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "web.key"
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="32 bytes but holds 5; restore it"):
        load_key(path)
