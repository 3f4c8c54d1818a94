"""Where images of tasks come from, and what is said of those that do not come."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.annotation import task_downloads
from holdfast.annotation.label_studio_client import connect
from holdfast.annotation.task_downloads import DOWN_AFTER, TaskDownloads
from holdfast.errors import ConfigError, IngestError, TransientError
from tests.image_server import ImageServer, Reply, png

IMAGE = png(0)


@pytest.fixture
def label_studio() -> Iterator[ImageServer]:
    with ImageServer() as server:
        yield server


@pytest.fixture
def web() -> Iterator[ImageServer]:
    with ImageServer() as server:
        yield server


@pytest.fixture
def downloads(
    label_studio: ImageServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TaskDownloads]:
    monkeypatch.setattr(task_downloads, "PAUSES", (0.0, 0.0))
    with (
        connect(label_studio.url, "secret") as client,
        TaskDownloads(client) as opened,
    ):
        yield opened


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    "path",
    [
        "/data/upload/3/a%20b.png",
        "/data/local-files/?d=photos%2Fa.png",
        "/tasks/7/resolve/?fileuri=czM6Ly9i",
    ],
)
def test_image_of_label_studio_is_asked_for_with_its_token(downloads, label_studio, path):
    label_studio.show(path, IMAGE)
    assert downloads.fetch(7, path) == IMAGE
    assert downloads.fetch(7, f"{label_studio.url}{path}") == IMAGE
    assert label_studio.asked == [(path, "Token secret")] * 2


def test_label_studio_below_a_path_is_asked_for_below_it(label_studio):
    label_studio.show("/studio/data/upload/3/a.png", IMAGE)
    url = f"{label_studio.url}/studio"
    with connect(url, "secret") as client, TaskDownloads(client) as downloads:
        assert downloads.fetch(7, "/data/upload/3/a.png") == IMAGE
        assert downloads.fetch(7, "/studio/data/upload/3/a.png") == IMAGE


def test_image_in_a_storage_is_asked_for_through_its_task(downloads, label_studio):
    address = "s3://bucket/some/a.png"
    name = base64.urlsafe_b64encode(address.encode()).decode()
    label_studio.show(f"/tasks/7/resolve/?fileuri={name.replace('=', '%3D')}", IMAGE)
    assert downloads.fetch(7, address) == IMAGE


def test_image_elsewhere_is_asked_for_without_the_token(downloads, label_studio, web):
    there = web.show("/a.png?expires=5", IMAGE)
    label_studio.show("/data/upload/a.png", Reply(status=303, headers={"Location": there}))
    moved = web.show("/moved.png", Reply(status=302, headers={"Location": "/a.png?expires=5"}))
    for address in (there, moved, "/data/upload/a.png"):
        assert downloads.fetch(7, address) == IMAGE
    assert {token for _, token in web.asked} == {""}


@pytest.mark.parametrize(
    "address",
    [
        "data:image/png;base64," + base64.b64encode(IMAGE).decode(),
        "data:image/png," + "".join(f"%{byte:02x}" for byte in IMAGE),
    ],
)
def test_image_inside_the_task_is_taken_from_it(downloads, label_studio, address):
    assert downloads.fetch(7, address) == IMAGE
    assert label_studio.asked == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("data:image/png;base64", "cut off"),
        ("data:image/png;base64,A", "no base64"),
        ("a.png", "a.png is no address of an image"),
        ("mailto:a@example.com", "no address"),
        ("http://[broken/a.png", "no address"),
        ("/login", "does not show /login to this token's user"),
        ("/secret.png", "answered 403: it may not be seen with this token"),
        ("/gone.png", "answered 404: it is not there"),
        ("/lost.png", "answered 500: it is probably gone"),
        ("/page.png", "answered with a web page, not an image"),
    ],
)
def test_image_that_cannot_be_had_is_refused_with_the_reason(
    downloads, label_studio, address, reason
):
    label_studio.show("/login", Reply(status=302, headers={"Location": "/user/login/?next=/"}))
    label_studio.show("/secret.png", Reply(status=403))
    label_studio.show("/lost.png", Reply(status=500))
    label_studio.show("/page.png", Reply(b"<html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(IngestError, match=reason):
        downloads.fetch(7, address)


def test_busy_server_is_asked_again(downloads, web):
    address = web.show("/a.png", Reply(status=429), Reply(status=503), IMAGE)
    assert downloads.fetch(7, address) == IMAGE


def test_server_that_is_down_is_not_asked_for_ever(downloads, web):
    nowhere = closed_port()
    for _ in range(DOWN_AFTER):
        with pytest.raises(IngestError, match=r"cannot be reached: .*refused"):
            downloads.fetch(7, f"{nowhere}/a.png")
    with pytest.raises(IngestError, match=f"did not answer {DOWN_AFTER} times in a row"):
        downloads.fetch(7, f"{nowhere}/b.png")
    assert downloads.fetch(7, web.show("/a.png", IMAGE)) == IMAGE


def test_label_studio_that_is_down_ends_the_import(monkeypatch):
    monkeypatch.setattr(task_downloads, "PAUSES", ())
    with connect(closed_port(), "secret") as client, TaskDownloads(client) as downloads:
        for _ in range(DOWN_AFTER - 1):
            with pytest.raises(IngestError, match="cannot be reached"):
                downloads.fetch(7, "/data/upload/a.png")
        with pytest.raises(TransientError, match="start it, or check"):
            downloads.fetch(7, "/data/upload/a.png")


def test_refused_token_ends_the_import(downloads, label_studio):
    label_studio.show("/data/upload/a.png", Reply(status=401))
    with pytest.raises(ConfigError, match="refuses the legacy token"):
        downloads.fetch(7, "/data/upload/a.png")


def test_images_fetched_at_once_are_each_the_right_one(downloads, web):
    addresses = [web.show(f"/{number}.png", png(number)) for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        fetched = list(pool.map(lambda address: downloads.fetch(7, address), addresses))
    assert fetched == [png(number) for number in range(64)]
