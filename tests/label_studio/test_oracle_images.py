"""Annotators' browsers get the images of tasks from Label Studio itself, in two of three ways."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image

from deployments.label_studio.accounts import Account
from deployments.label_studio.server import LabelStudioServer
from holdfast.annotation.label_studio import LabelStudioOracle
from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.annotation.oracle import Card
from holdfast.annotation.task_images import LocalFolder, inline
from holdfast.errors import ConfigError
from tests.label_studio.questions import Asking, query_about

pytestmark = [pytest.mark.service, pytest.mark.slow]

QUERY = query_about([1])


def _image() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (200, 30, 60)).save(buffer, "PNG")
    return buffer.getvalue()


DATA = _image()
CARD = Card(sample_id=1, uid=hashlib.sha256(DATA).hexdigest(), reason="random")


def _oracle(client: LabelStudioClient, marker: str, link_images, prepare=None) -> LabelStudioOracle:
    return LabelStudioOracle(
        client,
        state={"marker": marker},
        title="images",
        class_names=["cat"],
        read_ids=lambda uids: dict.fromkeys(uids, 1),
        link_images=link_images,
        batch_size=10,
        prepare=prepare,
    )


def _files(server: LabelStudioServer) -> Path:
    """Return the folder whose images the fixture lets the server show."""
    return server.log.parent / "files"


def _served(client: LabelStudioClient, state) -> str:
    tasks = client.request("GET", "/api/tasks", params={"project": state["project"]})["tasks"]
    return str(tasks[0]["data"]["image"])


def test_inline_image_reaches_the_task_as_it_was_sent(label_studio):
    with connect(label_studio.url, label_studio.token) as client:
        oracle = _oracle(client, Asking(client).state["marker"], lambda _: inline([DATA]))
        sent = oracle.send(QUERY, [CARD])
        assert _served(client, sent.state) == inline([DATA])[0]


@pytest.mark.parametrize("subfolder", ["", "shared", "shared/more"])
def test_local_folder_is_served_to_people_of_the_project(
    label_studio: LabelStudioServer, new_annotator: Callable[[], Account], subfolder
):
    folder = LocalFolder(_files(label_studio) / subfolder)
    with connect(label_studio.url, label_studio.token) as client:
        oracle = _oracle(
            client,
            Asking(client).state["marker"],
            lambda cards: folder.put([card.uid for card in cards], [DATA]),
            folder.open_to,
        )
        sent = oracle.send(QUERY, [CARD])
        folder.open_to(client, sent.state["project"])
        storages = client.request(
            "GET", "/api/storages/localfiles", params={"project": sent.state["project"]}
        )
        assert len(storages) == 1
        link = _served(client, sent.state)
    headers = {"Authorization": f"Token {new_annotator().token}"}
    with httpx.Client(base_url=label_studio.url) as browser:
        assert browser.get(link, headers=headers).content == DATA
        assert browser.get(link).status_code in (302, 401, 403)


def test_local_folder_outside_of_the_servers_root_is_taken_for_it(label_studio, tmp_path):
    # As where the server runs in a container that mounts the folder as its root.
    folder = LocalFolder(tmp_path)
    with connect(label_studio.url, label_studio.token) as client:
        asking = Asking(client)
        asking.send(QUERY)
        target = _files(label_studio) / "holdfast-images"
        target.mkdir(exist_ok=True)
        folder.open_to(client, asking.project)
    assert folder.put(["ab"], [DATA]) == ["/data/local-files/?d=holdfast-images/ab.png"]


def test_local_folder_that_the_server_lacks_is_an_error(label_studio, tmp_path, fault_proxy):
    def refuse(exchange) -> None:
        body = b'{"detail": "LOCAL_FILES_SERVING_ENABLED is disabled by default"}'
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
        exchange.reply(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    fault_proxy.on(refuse, path="storages/localfiles")
    with connect(fault_proxy.url, label_studio.token) as client:
        asking = Asking(client)
        asking.send(QUERY)
        with pytest.raises(ConfigError, match="LOCAL_FILES_SERVING_ENABLED"):
            LocalFolder(tmp_path).open_to(client, asking.project)
