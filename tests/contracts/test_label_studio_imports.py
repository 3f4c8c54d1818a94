"""Imports into Label Studio: one suite over the real server and the fake."""

from __future__ import annotations

import httpx
import pytest

from tests.label_studio.contract_server import NOBODY, Server, guess, row, said, where
from tests.label_studio.proxy import FaultProxy, lose_response


def test_import_returns_task_ids_in_the_order_sent(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, "b", "a", "c")
    assert tasks == sorted(tasks)
    assert [server.task(task)["data"]["uid"] for task in tasks] == ["b", "a", "c"]


def test_import_without_asking_for_ids_returns_none(server: Server) -> None:
    created = server.ok("POST", f"projects/{server.project()}/import", [row("a")])
    assert created["task_count"] == 1
    assert "task_ids" not in created


def test_import_of_the_same_task_twice_makes_two(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, "same", "same") + server.put(project, "same")
    assert len(set(tasks)) == 3
    assert server.ids(project, where("data.uid", "equal", "same", "String")) == tasks


def test_import_with_one_bad_task_takes_none(server: Server) -> None:
    project = server.project()
    answer = server.call("POST", f"projects/{project}/import", [row("a"), {"data": {"uid": "b"}}])
    assert answer.status_code == 400
    assert answer.json()["validation_errors"]["non_field_errors"][1].startswith(
        'Error at item 1: "image" key is expected in task data'
    )
    assert server.list(project)["total"] == 0


def test_import_ignores_ids_and_overlap_sent_along(server: Server) -> None:
    project = server.project(maximum_annotations=2)
    (task,) = server.put(project, row("a", id=1, overlap=9, is_labeled=True, meta={"k": 1}))
    seen = server.task(task)
    assert (seen["id"], seen["overlap"], seen["is_labeled"]) == (task, 2, False)
    assert seen["meta"] == {"k": 1}


def test_import_gives_the_id_of_a_deleted_newest_task_again(server: Server) -> None:
    project = server.project()
    newest = server.put(project, "a", "b")[-1]
    server.ok("DELETE", f"tasks/{newest}")
    assert server.put(project, "c") == [newest]
    assert server.task(newest)["data"]["uid"] == "c"


def test_import_keeps_predictions_with_unknown_labels(server: Server) -> None:
    project = server.project()
    odd = [said("zebra"), said("cat", name="nothing"), []]
    rows = [row(str(place), predictions=[guess(result)]) for place, result in enumerate(odd)]
    created = server.ok("POST", f"projects/{project}/import", rows, return_task_ids="true")
    assert created["prediction_count"] == 3
    kept = [server.task(task)["predictions"][0] for task in created["task_ids"]]
    assert [prediction["result"] for prediction in kept] == odd
    assert {(p["score"], p["model_version"]) for p in kept} == {(0.5, "m1")}


@pytest.mark.parametrize("result", [None, 5.5, ["cat"]])
def test_import_with_a_malformed_prediction_fails_but_keeps_the_tasks(
    server: Server, result: object
) -> None:
    project = server.project()
    rows = [row("a", predictions=[guess(said("cat"))]), row("b", predictions=[guess(result)])]
    assert server.call("POST", f"projects/{project}/import", rows).status_code == 500
    tasks = server.list(project, fields="all")["tasks"]
    assert [task["data"]["uid"] for task in tasks] == ["a", "b"]
    assert [task["predictions"] for task in tasks] == [[], []]


def test_import_of_a_prediction_without_a_result_takes_nothing(server: Server) -> None:
    project = server.project()
    answer = server.call("POST", f"projects/{project}/import", [row("a", predictions=[{}])])
    assert answer.status_code == 400
    assert server.list(project)["total"] == 0


def test_import_takes_annotations_of_named_people(server: Server) -> None:
    project, person = server.project(), server.new_person()
    sent = [
        {"result": said("cat"), "completed_by": person.id, "lead_time": 3.5},
        {"result": [], "was_cancelled": True, "completed_by": {"email": person.email}},
    ]
    (task,) = server.put(project, row("a", annotations=sent))
    seen = server.task(task)
    assert [a["completed_by"]["email"] for a in seen["annotations"]] == [person.email] * 2
    assert [a["lead_time"] for a in seen["annotations"]] == [3.5, None]
    assert (seen["total_annotations"], seen["cancelled_annotations"]) == (1, 1)


def test_import_whose_response_is_lost_was_done(server: Server) -> None:
    project = server.project()
    with FaultProxy(server.url) as proxy:
        proxy.on(lose_response, method="POST", path="/import")
        headers = {"Authorization": f"Token {server.token}"}
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(
                f"{proxy.url}/api/projects/{project}/import", json=[row("a")], headers=headers
            )
    assert server.list(project)["total"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"result": said("zebra")},
        {"result": said("cat", name="nothing")},
        {"result": "cat"},
        {"score": 2},
        {"score": "high"},
    ],
)
def test_predictions_imported_alone_vanish_when_they_do_not_fit(
    server: Server, change: dict[str, object]
) -> None:
    project = server.project()
    (task,) = server.put(project, "a")
    before = server.task(task)["updated_at"]
    good = {"task": task, **guess(said("cat"))}
    done = server.call(
        "POST", f"projects/{project}/import/predictions", [good, good | change, good]
    )
    assert (done.status_code, done.json()) == (201, {"created": 2})
    seen = server.task(task)
    assert [prediction["result"] for prediction in seen["predictions"]] == [said("cat")] * 2
    assert (seen["updated_at"], seen["total_predictions"]) == (before, 2)
    assert server.ok("GET", f"projects/{project}")["model_version"] == ""


def test_predictions_imported_alone_for_a_missing_task_take_none(server: Server) -> None:
    project = server.project()
    (task,) = server.put(project, "a")
    sent = [{"task": number, **guess(said("cat"))} for number in (task, NOBODY)]
    path = f"projects/{project}/import/predictions"
    assert server.call("POST", path, sent).status_code == 400
    assert server.task(task)["predictions"] == []


def test_predictions_dropped_by_an_action_leave_the_time_as_it_was(server: Server) -> None:
    project = server.project()
    first, second = server.put(project, *(row(x, predictions=[guess(said("cat"))]) for x in "ab"))
    before = server.task(first)["updated_at"]
    chosen = {"selectedItems": {"all": False, "included": [first]}}
    action = {"id": "delete_tasks_predictions", "project": project}
    assert server.ok("POST", "dm/actions", chosen, **action)["processed_items"] == 1
    seen = server.task(first)
    assert (seen["predictions"], seen["updated_at"]) == ([], before)
    assert len(server.task(second)["predictions"]) == 1
