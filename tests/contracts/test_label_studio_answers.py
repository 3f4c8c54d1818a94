"""Answers in Label Studio, and who is asked next: one suite over the real server and the fake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.label_studio.contract_server import NOBODY, Server, guess, row, said


@pytest.mark.parametrize(
    "result",
    [
        [],
        said("zebra"),
        said("cat") + said("dog"),
        [{"from_name": "label", "to_name": "image", "type": "choices", "value": {}}],
        [{"anything": 1}],
    ],
)
def test_annotation_is_not_checked(server: Server, result: object) -> None:
    (task,) = server.put(server.project(), "a")
    assert server.annotate(task, result=result)["result"] == result


def test_annotation_without_a_result_does_not_make_a_task_labeled(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    assert server.ok("POST", f"tasks/{task}/annotations", {})["result"] is None
    seen = server.task(task)
    assert (seen["total_annotations"], seen["is_labeled"]) == (1, False)


def test_annotation_of_a_missing_task_is_a_404(server: Server) -> None:
    answer = server.call("POST", f"tasks/{NOBODY}/annotations", {"result": []})
    assert answer.status_code == 404


def test_annotation_twice_by_one_person_is_two(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    first, second = server.annotate(task, "cat"), server.annotate(task, "dog")
    assert second["id"] > first["id"]
    assert [a["id"] for a in server.task(task)["annotations"]] == [first["id"], second["id"]]


def test_annotation_written_edited_deleted_bumps_the_task(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    moments = [server.task(task)["updated_at"]]
    given = server.annotate(task)
    moments.append(server.task(task)["updated_at"])
    edited = server.ok("PATCH", f"annotations/{given['id']}", {"result": said("dog")})
    moments.append(server.task(task)["updated_at"])
    server.ok("DELETE", f"annotations/{given['id']}")
    moments.append(server.task(task)["updated_at"])
    assert moments == sorted(set(moments))
    assert (edited["id"], edited["created_at"]) == (given["id"], given["created_at"])
    assert edited["updated_at"] > given["updated_at"]
    assert server.call("DELETE", f"annotations/{given['id']}").status_code == 404


def test_annotation_ids_are_never_given_again(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    gone = server.annotate(task)["id"]
    server.ok("DELETE", f"annotations/{gone}")
    assert server.annotate(task)["id"] > gone


def test_annotation_cancelled_counts_as_skip(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    server.annotate(task, result=[], was_cancelled=True)
    seen = server.task(task)
    assert (seen["total_annotations"], seen["cancelled_annotations"]) == (0, 1)
    assert (seen["is_labeled"], len(seen["annotations"])) == (False, 1)


def test_annotation_64_at_once_are_all_kept(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *range(64))
    with ThreadPoolExecutor(16) as pool:
        ids = {given["id"] for given in pool.map(server.annotate, tasks)}
    listed = server.list(project, fields="all")
    assert listed["total_annotations"] == len(ids) == 64
    assert {a["id"] for task in listed["tasks"] for a in task["annotations"]} == ids


def test_draft_is_no_annotation_and_does_not_bump_the_task(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    before = server.task(task)
    server.ok("POST", f"tasks/{task}/drafts", {"result": said("cat"), "lead_time": 1})
    after = server.task(task)
    assert after["updated_at"] == before["updated_at"]
    assert (after["annotations"], len(after["drafts"])) == ([], 1)


def test_is_labeled_counts_different_people(server: Server) -> None:
    (task,) = server.put(server.project(maximum_annotations=2), "a")
    server.annotate(task)
    server.annotate(task)
    assert not server.task(task)["is_labeled"]
    server.annotate(task, completed_by=server.new_person().id)
    assert server.task(task)["is_labeled"]


def test_overlap_raised_counts_from_the_next_annotation_on(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    given = server.annotate(task)
    server.ok("PATCH", f"tasks/{task}", {"overlap": 2})
    seen = server.task(task)
    assert (seen["overlap"], seen["is_labeled"]) == (2, True)
    server.ok("PATCH", f"annotations/{given['id']}", {"lead_time": 9})
    assert not server.task(task)["is_labeled"]


def test_is_labeled_can_be_set_with_the_overlap(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    server.annotate(task)
    server.ok("PATCH", f"tasks/{task}", {"overlap": 2, "is_labeled": False})
    assert not server.task(task)["is_labeled"]


def test_maximum_annotations_changed_overwrites_the_overlap_of_tasks(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"ab")
    server.annotate(tasks[0])
    server.ok("PATCH", f"tasks/{tasks[0]}", {"overlap": 2})
    server.ok("PATCH", f"projects/{project}", {"maximum_annotations": 3})
    assert [server.task(task)["overlap"] for task in tasks] == [3, 1]
    assert not server.task(tasks[0])["is_labeled"]
    server.ok("PATCH", f"projects/{project}", {"maximum_annotations": 1})
    assert [server.task(task)["overlap"] for task in tasks] == [1, 1]
    assert server.task(tasks[0])["is_labeled"]


def test_task_patch_replaces_data_unchecked_and_bumps(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    before = server.task(task)["updated_at"]
    server.ok("PATCH", f"tasks/{task}", {"data": {"other": 1}})
    seen = server.task(task)
    assert seen["data"] == {"other": 1}
    assert seen["updated_at"] > before


def test_stream_serves_in_order_and_nothing_twice_to_one_person(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"ab")
    assert server.ok("GET", f"projects/{project}/next")["id"] == tasks[0]
    assert server.ok("GET", f"projects/{project}/next")["id"] == tasks[0]
    server.annotate(tasks[0], result=[], was_cancelled=True)
    assert server.ok("GET", f"projects/{project}/next")["id"] == tasks[1]
    server.annotate(tasks[1])
    answer = server.call("GET", f"projects/{project}/next")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("There are no tasks for")


def test_stream_keeps_two_people_apart_and_hands_skips_on(server: Server) -> None:
    project, person = server.project(), server.new_person()
    tasks = server.put(project, *"ab")
    headers = {"Authorization": f"Token {person.token}"}

    def theirs() -> int:
        return server.http.get(f"/api/projects/{project}/next", headers=headers).json()["id"]

    assert server.ok("GET", f"projects/{project}/next")["id"] == tasks[0]
    assert theirs() == tasks[1]
    server.annotate(tasks[0], result=[], was_cancelled=True)
    server.annotate(tasks[1], completed_by=person.id)
    assert theirs() == tasks[0]


def test_stream_serves_a_task_opened_again_to_somebody_else_only(server: Server) -> None:
    project, person = server.project(), server.new_person()
    (task,) = server.put(project, "a")
    server.annotate(task)
    server.ok("PATCH", f"tasks/{task}", {"overlap": 2, "is_labeled": False})
    assert server.call("GET", f"projects/{project}/next").status_code == 404
    headers = {"Authorization": f"Token {person.token}"}
    assert server.http.get(f"/api/projects/{project}/next", headers=headers).json()["id"] == task


def test_stream_of_several_answers_each_serves_begun_tasks_first(server: Server) -> None:
    project = server.project(maximum_annotations=2)
    tasks = server.put(project, *"abc")
    server.annotate(tasks[1], completed_by=server.new_person().id)
    assert server.ok("GET", f"projects/{project}/next")["id"] == tasks[1]
    server.annotate(tasks[1])
    assert server.ok("GET", f"projects/{project}/next")["id"] == tasks[0]


def test_stream_shows_guesses_of_the_project_s_model_version_only(server: Server) -> None:
    project = server.project()

    def offered() -> list[str]:
        seen = server.ok("GET", f"projects/{project}/next")
        return [prediction["model_version"] for prediction in seen["predictions"]]

    guesses = [guess(said("cat")), guess(said("dog"), model_version="m2")]
    server.put(project, row("a", predictions=guesses[:1]))
    assert server.ok("GET", f"projects/{project}")["model_version"] == "m1"
    server.put(project, row("b", predictions=guesses))
    assert offered() == ["m1"]
    server.ok("PATCH", f"projects/{project}", {"model_version": "m2"})
    assert offered() == []
    refused = server.call("PATCH", f"projects/{project}", {"model_version": "m3"})
    assert refused.status_code == 400


def test_predictions_written_alone_are_not_checked(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    made = server.ok("POST", "predictions", {"task": task, **guess(said("zebra"), score=2)})
    assert (made["result"], made["score"]) == (said("zebra"), 2)
    assert server.task(task)["predictions"][0]["id"] == made["id"]


def test_predictions_written_alone_bump_the_task(server: Server) -> None:
    (task,) = server.put(server.project(), "a")
    moments = [server.task(task)["updated_at"]]
    made = server.ok("POST", "predictions", {"task": task, **guess(said("cat"))})
    moments.append(server.task(task)["updated_at"])
    server.ok("PATCH", f"predictions/{made['id']}", {"score": 0.9})
    moments.append(server.task(task)["updated_at"])
    assert [p["score"] for p in server.ok("GET", "predictions", task=task)] == [0.9]
    server.ok("DELETE", f"predictions/{made['id']}")
    moments.append(server.task(task)["updated_at"])
    assert moments == sorted(set(moments))
    assert server.task(task)["predictions"] == []
