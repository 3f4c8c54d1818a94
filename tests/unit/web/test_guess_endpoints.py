from __future__ import annotations

import logging

import pytest

from holdfast.annotation.labeling_interface import build_interface, read_interface
from holdfast.phases.guesses import Guess
from holdfast.web import guess_endpoints
from holdfast.web.guess_endpoints import results
from tests.asked_project import crown

CLASSES = ("blue", "green", "red")
INTERFACE = build_interface(CLASSES)
FOREIGN = """<View><Image name="photo" value="$image"/>
<Choices name="color" toName="photo"><Choice value="red"/><Choice value="Blue" alias="blue"/>
</Choices></View>"""
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f001122334"  # noqa: S105


def predict(site, uids, config=INTERFACE, **more):
    body = {"tasks": [{"id": 1, "data": {"uid": uid}} for uid in uids], "label_config": config}
    return site.client.post("/predict", json=body | more, auth=site.login)


def test_guess_comes_in_the_shape_label_studio_reads(site) -> None:
    champion = crown(site.project, 0)
    (said,) = predict(site, site.asked[:1]).json()["results"]
    (one,) = said["result"]
    assert (one["from_name"], one["to_name"], one["type"]) == ("label", "image", "choices")
    assert one["value"]["choices"][0] in CLASSES
    assert 1 / 3 < said["score"] <= 1.0
    assert said["model_version"] == champion[:12]


def test_guesses_keep_the_order_of_tasks_and_pass_over_strangers(site) -> None:
    crown(site.project, 0)
    first, second = site.asked
    alone = [predict(site, [uid]).json()["results"][0] for uid in (first, second)]
    both = predict(site, [second, "f" * 64, first, first]).json()["results"]
    assert [one and one["result"] for one in both] == [
        alone[1]["result"],
        [],
        alone[0]["result"],
        alone[0]["result"],
    ]


def test_task_of_another_kind_gets_no_guess(site) -> None:
    crown(site.project, 0)
    body = {"tasks": [{"data": {}}, {"data": {"uid": 7}}], "label_config": INTERFACE}
    answer = site.client.post("/predict", json=body, auth=site.login)
    assert answer.json() == {"results": [[], []]}


def test_without_champion_there_is_no_guess_and_no_version(site) -> None:
    assert predict(site, site.asked).json() == {"results": [[], []]}
    assert site.client.get("/versions", auth=site.login).json() == {"versions": []}
    assert site.client.post("/setup", auth=site.login).json() == {"model_version": ""}


def test_guess_follows_the_names_of_the_interface() -> None:
    guesses = {"a": Guess("blue", 0.75, "m"), "b": Guess("green", 0.5, "m")}
    first, second = results(["a", "b"], guesses, read_interface(FOREIGN))
    assert first == {
        "result": [
            {
                "from_name": "color",
                "to_name": "photo",
                "type": "choices",
                "value": {"choices": ["blue"]},
            }
        ],
        "score": 0.75,
        "model_version": "m",
    }
    # Label Studio would refuse the whole answer for a choice it does not offer.
    assert second == []


def test_versions_are_those_of_the_champion(site) -> None:
    champion = crown(site.project, 0)
    assert site.client.get("/versions", auth=site.login).json() == {"versions": [champion[:12]]}


def test_health_is_told_to_everybody(site) -> None:
    assert site.client.get("/health").json() == {"status": "UP", "model_class": "Holdfast"}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/setup"), ("POST", "/predict"), ("GET", "/versions")]
)
@pytest.mark.parametrize("login", [None, ("holdfast", "wrong"), ("somebody", "")])
def test_guesses_without_the_password_are_refused(site, method, path, login) -> None:
    body = {"tasks": [], "label_config": INTERFACE} if method == "POST" else None
    answer = site.client.request(method, path, json=body, auth=login)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="holdfast"'


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"tasks": 1}', b'{"tasks": [1], "label_config": ""}', b"\xff", b"null"],
)
def test_question_that_is_none_is_refused_in_one_line(site, body: bytes) -> None:
    answer = site.client.post("/predict", content=body, auth=site.login)
    assert (answer.status_code, answer.text.count("\n")) == (400, 1)


@pytest.mark.parametrize("config", ["", "<View/>", "<View>", "no XML"])
def test_interface_without_choices_is_refused_in_one_line(site, config: str) -> None:
    answer = predict(site, site.asked, config)
    assert (answer.status_code, answer.text.count("\n")) == (400, 1)


def test_question_that_is_too_large_is_refused(site, monkeypatch) -> None:
    monkeypatch.setattr(guess_endpoints, "MAX_BODY_BYTES", 100)
    assert predict(site, site.asked).status_code == 413


def test_token_of_a_setup_is_neither_kept_nor_logged(site, caplog, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    crown(site.project, 0)
    body = {"project": "1.2", "schema": INTERFACE, "hostname": "x", "access_token": TOKEN}
    assert site.client.post("/setup", json=body, auth=site.login).status_code == 200
    assert site.client.post("/setup", json=body).status_code == 401
    login = {"params": {"login": "somebody", "password": TOKEN}}
    assert predict(site, site.asked, **login).status_code == 200
    assert predict(site, site.asked, "<View/>", **login).status_code == 400
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())
    files = [path for path in site.project.root.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
