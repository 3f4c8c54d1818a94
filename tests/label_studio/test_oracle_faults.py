"""Nothing is lost and nothing done twice, whatever happens to requests on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deployments.label_studio.server import LabelStudioServer
from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.errors import ConfigError, TransientError
from tests.label_studio.proxy import (
    FaultProxy,
    after,
    answer,
    before,
    hang,
    lose_request,
    lose_response,
)
from tests.label_studio.questions import Asking, cards_of, choice, query_about, say, uid_of

pytestmark = [pytest.mark.service, pytest.mark.slow]

QUERY = query_about([1, 2, 3, 4, 5])
IMPORT = r"/import\?"
MARKER = "Keep this line: "


@pytest.fixture
def client(label_studio: LabelStudioServer) -> Iterator[LabelStudioClient]:
    """Speaks to the server past the proxy."""
    with connect(label_studio.url, label_studio.token) as opened:
        yield opened


@pytest.fixture
def asking(label_studio: LabelStudioServer, fault_proxy: FaultProxy) -> Iterator[Asking]:
    """Asks through the proxy, and writes and reads two tasks at a time."""
    with connect(fault_proxy.url, label_studio.token, page_size=2) as faulty:
        yield Asking(faulty, batch_size=2)


@pytest.fixture
def impatient(
    label_studio: LabelStudioServer, fault_proxy: FaultProxy
) -> Iterator[LabelStudioClient]:
    """Waits for what never comes; on a busy machine it may not wait for what does."""
    with connect(fault_proxy.url, label_studio.token, timeout=2.0, page_size=2) as opened:
        yield opened


def _ours(client: LabelStudioClient, asking: Asking) -> list[int]:
    projects = client.request("GET", "/api/projects", params={"page_size": 1000})["results"]
    marker = str(asking.state["marker"])
    return [one["id"] for one in projects if marker in (one["description"] or "")]


@pytest.mark.parametrize("fault", [lose_response, lose_request])
def test_send_that_loses_the_making_of_the_project_makes_one(asking, client, fault_proxy, fault):
    fault_proxy.on(fault, method="POST", path=r"/api/projects$")
    with pytest.raises(TransientError, match="cannot be reached"):
        asking.send(QUERY)
    asking.send(QUERY)
    assert len(_ours(client, asking)) == 1


@pytest.mark.parametrize("fault", [lose_response, lose_request, answer(500), answer(429)])
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_send_that_loses_an_import_makes_each_task_once(asking, fault_proxy, fault, skip):
    fault_proxy.on(fault, method="POST", path=IMPORT, skip=skip)
    with pytest.raises(TransientError):
        asking.send(QUERY)
    asking.send(QUERY)
    tasks = asking.tasks()
    assert [task["data"]["uid"] for task in tasks] == [uid_of(one) for one in range(1, 6)]
    assert all(len(task["predictions"]) == 1 for task in tasks)


def test_send_whose_lost_import_comes_through_later_keeps_one_task(asking, client, fault_proxy):
    asking.send(query_about([1]))
    imported = {"image": "x", "uid": uid_of(2), "question": "round-1", "why": ""}
    path = f"/api/projects/{asking.project}/import"
    # The first request counts as lost, is repeated, and only then reaches the server.
    late = after(lambda: client.request("POST", path, json=[imported]))
    fault_proxy.on(late, method="POST", path=IMPORT)
    asking.send(query_about([1, 2]))
    assert len(asking.tasks()) == 3
    asking.send(query_about([1, 2]))
    assert [task["data"]["uid"] for task in asking.tasks()] == [uid_of(1), uid_of(2)]


def test_send_whose_guesses_are_dropped_sends_them_again(asking, fault_proxy):
    # What 1.23.2 does when it finds SQLite locked: the tasks without the guesses, and a 201.
    asking.send(query_about([1]))
    path = f"/api/projects/{asking.project}/import/predictions"
    forged = fault_proxy.on(_without_guesses, method="POST", path=IMPORT)
    asking.send(query_about([1, 2]))
    assert forged.struck == 1
    assert fault_proxy.count("POST", path) == 1
    assert [len(task["predictions"]) for task in asking.tasks()] == [1, 1]


def _without_guesses(exchange) -> None:
    response = exchange.forward()
    assert b'"prediction_count":1' in response
    exchange.reply(response.replace(b'"prediction_count":1', b'"prediction_count":0'))


@pytest.mark.parametrize("fault", [lose_response, lose_request, answer(500)])
@pytest.mark.parametrize(
    "write", [r"delete_tasks_predictions", r"import/predictions", r"/tasks/\d"]
)
def test_asking_again_with_a_lost_request_asks_for_one_more(asking, fault_proxy, fault, write):
    sent = asking.send(query_about([1, 2]))
    for task in sent.external_ids.values():
        say(asking.client, task, "cat")
    fault_proxy.on(fault, path=write)
    second = query_about([1, 2], batch=2)
    cards = cards_of([1, 2], guess="dog", model="m2")
    with pytest.raises(TransientError):
        asking.send(second, cards)
    asking.send(second, cards)
    for task in asking.tasks():
        assert (task["overlap"], task["is_labeled"]) == (2, False)
        assert [one["model_version"] for one in task["predictions"]] == ["m2"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (answer(500), "answered 500"),
        (answer(502), "answered 502"),
        (answer(429, retry_after=7), "run again in 7 seconds"),
        (lose_response, "cannot be reached"),
        (hang, "within 2 seconds"),
    ],
)
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_collect_with_a_failing_request_counts_nothing_and_later_all(
    asking, impatient, fault_proxy, fault, words, skip
):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[3], "cat")
    state, patient = asking.state, asking.client
    rule = fault_proxy.on(fault, method="GET", skip=skip, times=None)
    asking.client = impatient if fault is hang else patient
    with pytest.raises(TransientError, match=words):
        asking.collect(QUERY)
    rule.release()
    asking.client = patient
    assert asking.state == state
    assert [(one.sample_id, one.label) for one in asking.collect(QUERY).answers] == [(3, "cat")]


def test_server_that_is_down_is_a_passing_error_that_says_what_to_check():
    with (
        connect("http://127.0.0.1:9", "0123456789abcdef") as nobody,
        pytest.raises(TransientError, match=r"check annotation\.label_studio\.url"),
    ):
        Asking(nobody).send(QUERY)


def test_project_deleted_while_collecting_counts_nothing(asking, client, fault_proxy):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    state, project = asking.state, asking.project
    gone = before(lambda: client.request("DELETE", f"/api/projects/{project}"))
    fault_proxy.on(gone, method="GET", path="fields=all")
    with pytest.raises(TransientError, match="is gone from Label Studio"):
        asking.collect(QUERY)
    assert asking.state == state
    assert asking.collect(QUERY).missing == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("when", [before, after])
@pytest.mark.parametrize("page", [0, 1])
def test_answers_given_while_paging_come_in_once_each(
    asking, client, fault_proxy, when: Callable, page
):
    sent = asking.send(QUERY)
    for one in (2, 3, 4, 5):
        say(asking.client, sent.external_ids[one], "cat")
    given = iter((1,))

    def interfere() -> None:
        say(client, sent.external_ids[next(given)], "dog")

    rule = fault_proxy.on(when(interfere), method="GET", path="fields=all", skip=page)
    seen = {}
    for _ in range(2):
        for one in asking.collect(QUERY).answers:
            seen[one.external_id] = (one.sample_id, one.label)
    assert rule.struck == 1
    assert sorted(seen.values()) == [(1, "dog"), *((one, "cat") for one in (2, 3, 4, 5))]


def test_task_deleted_while_paging_loses_no_answer(asking, client, fault_proxy):
    sent = asking.send(QUERY)
    for one in (2, 3, 4, 5):
        say(asking.client, sent.external_ids[one], "cat")
    gone = after(lambda: client.request("DELETE", f"/api/tasks/{sent.external_ids[1]}"))
    fault_proxy.on(gone, method="GET", path="fields=all")
    assert [one.sample_id for one in asking.collect(QUERY).answers] == [2, 3, 4, 5]
    assert asking.collect(QUERY).missing == (1,)


def test_edit_right_after_collecting_is_seen(asking, client, fault_proxy):
    sent = asking.send(QUERY)
    said = say(asking.client, sent.external_ids[1], "cat")
    path = f"/api/annotations/{said['id']}/"
    edit = after(lambda: client.request("PATCH", path, json={"result": [choice("dog")]}))
    fault_proxy.on(edit, method="GET", path="fields=all")
    assert [one.label for one in asking.collect(QUERY).answers] == ["cat"]
    assert [one.label for one in asking.collect(QUERY).answers if one.sample_id == 1] == ["dog"]


def test_withdraw_whose_response_is_lost_may_be_repeated(asking, fault_proxy):
    sent = asking.send(QUERY)
    fault_proxy.on(lose_response, method="POST", path="delete_tasks")
    with pytest.raises(TransientError):
        asking.oracle.withdraw(sent.external_ids)
    asking.oracle.withdraw(sent.external_ids)
    assert asking.tasks() == []


@pytest.mark.parametrize("body", [b"<html>", b"[1,23]"])
def test_something_else_than_label_studio_is_named_as_such(asking, fault_proxy, body):
    asking.send(QUERY)
    fault_proxy.on(
        lambda exchange: exchange.reply(
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n" + body
        ),
        times=None,
    )
    with pytest.raises(ConfigError, match="as no Label Studio does"):
        asking.collect(QUERY)


def test_redirecting_server_is_an_error_that_names_the_setting(asking, fault_proxy):
    fault_proxy.on(
        lambda exchange: exchange.reply(
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: https://b/\r\nContent-Length: 0\r\n\r\n"
        ),
        times=None,
    )
    with pytest.raises(ConfigError, match=r"a redirect; set annotation\.label_studio\.url"):
        asking.send(QUERY)
