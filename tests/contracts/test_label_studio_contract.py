"""What Holdfast relies on in Label Studio: one suite over the real server and the fake one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from tests.label_studio.fake import FakeLabelStudio
from tests.label_studio.proxy import FaultProxy, lose_response

IMAGE = '<Image name="image" value="$image"/>'
CAT, DOG = '<Choice value="cat"/>', '<Choice value="dog"/>'
CONFIG = (
    f'<View>{IMAGE}<Choices name="label" toName="image" choice="single">{CAT}{DOG}</Choices>'
    '<TextArea name="comment" toName="image"/></View>'
)
NOBODY = 999_999_999
# As the server writes times, and as its filters read them.
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"


@dataclass(frozen=True)
class Person:
    """Somebody with a legacy token."""

    id: int
    email: str
    token: str


class Server:
    """A server, fake or real, as a client with a token sees it."""

    def __init__(self, url: str, token: str, new_person: Callable[[], Person]) -> None:
        self.url, self.token, self.new_person = url, token, new_person
        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60.0
        )

    def call(self, method: str, path: str, body: object = None, **params: Any) -> httpx.Response:
        """Send a request; a body is sent as JSON."""
        content = {} if body is None else {"json": body}
        return self.http.request(method, f"/api/{path}", params=params or None, **content)

    def ok(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        """Return what a request answers; it has to succeed."""
        answer = self.call(method, path, body, **params)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def project(self, **fields: object) -> int:
        """Make a project with cats and dogs."""
        return self.ok("POST", "projects", {"title": "contract", "label_config": CONFIG, **fields})[
            "id"
        ]

    def put(self, project: int, *tasks: object) -> list[int]:
        """Import tasks and return their ids; a text is a task with this uid."""
        rows = [task if isinstance(task, dict) else row(str(task)) for task in tasks]
        created = self.ok("POST", f"projects/{project}/import", rows, return_task_ids="true")
        return created["task_ids"]

    def task(self, task: int) -> Any:
        """Return a task with everything."""
        return self.ok("GET", f"tasks/{task}")

    def list(self, project: int, query: object = None, **params: Any) -> Any:
        """Return a page of tasks; the query is sent as a JSON string."""
        asked = {} if query is None else {"query": json.dumps(query)}
        return self.ok("GET", "tasks", project=project, **asked, **params)

    def ids(self, project: int, query: object = None, **params: Any) -> list[int]:
        """Return the ids of the tasks on a page."""
        return [task["id"] for task in self.list(project, query, **params)["tasks"]]

    def annotate(self, task: int, choice: str = "cat", **fields: object) -> Any:
        """Answer a task."""
        body = {"result": said(choice), "lead_time": 1.5, **fields}
        return self.ok("POST", f"tasks/{task}/annotations", body)


def said(choice: str, name: str = "label") -> list[dict[str, object]]:
    return [
        {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [choice]}}
    ]


def row(uid: str, **more: object) -> dict[str, object]:
    return {"data": {"image": "https://example.com/a.png", "uid": uid}, **more}


def guess(result: object, **fields: object) -> dict[str, object]:
    return {"result": result, "score": 0.5, "model_version": "m1", **fields}


def where(name: str, operator: str, value: object, kind: str = "Number") -> dict[str, object]:
    item = {"filter": f"filter:tasks:{name}", "operator": operator, "type": kind, "value": value}
    return {"filters": {"conjunction": "and", "items": [item]}}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.service)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "fake":
        with FakeLabelStudio() as fake:

            def add() -> Person:
                user = fake.add_user(f"annotator-{len(fake.state.users)}@example.com")
                return Person(user.id, user.email, user.token)

            made = Server(fake.url, fake.token, add)
            with made.http:
                yield made
    else:
        real = request.getfixturevalue("label_studio")
        new_annotator = request.getfixturevalue("new_annotator")

        def sign_up() -> Person:
            account = new_annotator()
            return Person(account.user_id, account.email, account.token)

        made = Server(real.url, real.token, sign_up)
        with made.http:
            yield made


# Projects


def test_project_fields_sent_come_back(server: Server) -> None:
    project = server.project(title="as sent", description="marker 1", maximum_annotations=2)
    seen = server.ok("GET", f"projects/{project}")
    assert seen["title"], seen["description"] == ("as sent", "marker 1")
    assert (seen["label_config"], seen["maximum_annotations"]) == (CONFIG, 2)
    assert seen["parsed_label_config"]["label"]["labels"] == ["cat", "dog"]


def test_project_same_title_twice_makes_two(server: Server) -> None:
    title = f"twin {server.new_person().id}"
    first, second = server.project(title=title), server.project(title=title)
    found = server.ok("GET", "projects", title=title.upper(), include="id,title")
    assert found["count"] == 2
    assert found["results"] == [{"id": second, "title": title}, {"id": first, "title": title}]


@pytest.mark.parametrize(("title", "words"), [("ab", "at least 3"), ("x" * 51, "no more than 50")])
def test_project_title_of_bad_length_is_refused(server: Server, title: str, words: str) -> None:
    answer = server.call("POST", "projects", {"title": title, "label_config": CONFIG})
    assert answer.status_code == 400
    assert words in answer.json()["validation_errors"]["title"][0]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("<View", "unclosed token"),
        (CONFIG.replace(IMAGE, ""), 'toName="image" not found in names'),
        (CONFIG.replace(CAT + DOG, ""), "'Choice' is a required property"),
        (CONFIG.replace('"comment"', '"label"'), "non-unique names"),
    ],
)
def test_project_with_broken_interface_is_refused(server: Server, config: str, words: str) -> None:
    answer = server.call("POST", "projects", {"title": "broken", "label_config": config})
    assert answer.status_code == 400
    assert words in answer.json()["validation_errors"]["label_config"][0]


def test_project_deleted_takes_its_tasks_along(server: Server) -> None:
    project = server.project()
    (task,) = server.put(project, "a")
    assert server.call("DELETE", f"projects/{project}").status_code == 204
    for path in (f"projects/{project}", f"tasks/{task}", f"tasks?project={project}"):
        assert server.call("GET", path).status_code == 404


def test_missing_rows_answer_404_in_json(server: Server) -> None:
    for path, name in (("projects", "Project"), ("tasks", "Task"), ("annotations", "Annotation")):
        answer = server.call("GET", f"{path}/{NOBODY}")
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"No {name} matches the given query."


def test_import_into_missing_project_answers_404_as_a_page(server: Server) -> None:
    answer = server.call("POST", f"projects/{NOBODY}/import", [row("a")])
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


# The labeling interface under way


def test_interface_gains_a_choice_while_answers_are_there(server: Server) -> None:
    project = server.project()
    server.annotate(server.put(project, "a")[0])
    config = CONFIG.replace(DOG, f'{DOG}<Choice value="fox"/>')
    seen = server.ok("PATCH", f"projects/{project}", {"label_config": config})
    assert seen["parsed_label_config"]["label"]["labels"] == ["cat", "dog", "fox"]


def test_interface_may_lose_a_choice_in_use(server: Server) -> None:
    project = server.project()
    server.annotate(server.put(project, "a")[0], "cat")
    config = {"label_config": CONFIG.replace(CAT, '<Choice value="fox"/>')}
    strict = server.call("POST", f"projects/{project}/validate", config)
    assert strict.status_code == 400
    assert "cat (1 annotation)" in strict.json()["validation_errors"]["non_field_errors"][0]
    assert server.call("PATCH", f"projects/{project}", config).status_code == 200


def test_interface_may_not_lose_a_control_in_use(server: Server) -> None:
    project = server.project()
    server.annotate(server.put(project, "a")[0])
    config = {"label_config": CONFIG.replace('name="label"', 'name="other"')}
    answer = server.call("PATCH", f"projects/{project}", config)
    assert answer.status_code == 400
    assert "1 with from_name=label" in answer.json()["validation_errors"]["label_config"][0]


def test_interface_guard_forgets_the_one_annotation_that_a_deletion_left(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, "a", "b")
    gone = [server.annotate(task) for task in tasks][1]
    server.ok("DELETE", f"annotations/{gone['id']}")
    config = {"label_config": CONFIG.replace('name="label"', 'name="other"')}
    assert server.call("PATCH", f"projects/{project}", config).status_code == 200


# Imports


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


@pytest.mark.parametrize("result", [None, 5, ["cat"]])
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


# Lists


def test_list_is_by_id_with_totals_over_all_pages(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"abcde")
    server.annotate(tasks[4])
    page = server.list(project, page_size=2, page=2)
    assert [task["id"] for task in page["tasks"]] == tasks[2:4]
    assert (page["total"], page["total_annotations"], page["total_predictions"]) == (5, 1, 0)


@pytest.mark.parametrize("page", ["3", "0", "x"])
def test_list_page_past_the_end_is_a_404(server: Server, page: str) -> None:
    project = server.project()
    server.put(project, *"abcd")
    answer = server.call("GET", "tasks", project=project, page_size=2, page=page)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Invalid page."


@pytest.mark.parametrize("size", ["0", "-1", "x"])
def test_list_page_size_that_is_no_number_means_100(server: Server, size: str) -> None:
    project = server.project()
    tasks = server.put(project, *range(101))
    assert server.ids(project, page_size=size) == tasks[:100]
    assert server.ids(project, page_size=1000) == tasks


def test_list_of_nothing_has_one_empty_page(server: Server) -> None:
    assert server.list(server.project(), where("id", "greater", NOBODY))["tasks"] == []


@pytest.mark.parametrize(
    ("operator", "places"),
    [
        ("equal", [1]),
        ("not_equal", [0, 2, 3]),
        ("less", [0]),
        ("less_or_equal", [0, 1]),
        ("greater", [2, 3]),
        ("greater_or_equal", [1, 2, 3]),
        ("no such operator", [1]),
    ],
)
def test_list_filters_by_id(server: Server, operator: str, places: list[int]) -> None:
    project = server.project()
    tasks = server.put(project, *"abcd")
    found = server.ids(project, where("id", operator, tasks[1]))
    assert found == [tasks[place] for place in places]


def test_list_filters_by_several_ids_or_uids_at_once(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"abcd")
    assert server.ids(project, where("id", "in_list", [tasks[3], tasks[0]])) == [tasks[0], tasks[3]]
    span = {"min": tasks[1], "max": tasks[2]}
    assert server.ids(project, where("id", "in", span)) == tasks[1:3]
    assert server.ids(project, where("data.uid", "in_list", ["b", "x"], "String")) == [tasks[1]]
    assert (
        server.ids(project, {"selectedItems": {"all": False, "included": tasks[2:]}}) == tasks[2:]
    )


def test_list_uid_filter_tells_equal_from_contained(server: Server) -> None:
    project = server.project()
    first, second = server.put(project, "ab", "AB1")
    assert server.ids(project, where("data.uid", "equal", "ab", "String")) == [first]
    assert server.ids(project, where("data.uid", "contains", "ab", "String")) == [first, second]


def test_list_filters_by_time_of_change_to_the_microsecond(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"abc")
    server.annotate(tasks[1])
    moment = server.task(tasks[1])["updated_at"]
    at = where("updated_at", "greater_or_equal", moment, "Datetime")
    assert server.ids(project, at) == [tasks[1]]
    assert server.ids(project, where("updated_at", "greater", moment, "Datetime")) == []
    earlier = where("updated_at", "less", moment, "Datetime")
    assert server.ids(project, earlier) == [tasks[0], tasks[2]]


def test_list_time_without_a_fraction_fails(server: Server) -> None:
    query = json.dumps(where("updated_at", "greater", "2026-01-01T00:00:00Z", "Datetime"))
    answer = server.call("GET", "tasks", project=server.project(), query=query)
    assert answer.status_code == 500
    assert "does not match format" in answer.json()["detail"]


def test_list_several_filters_hold_together_or_apart(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"abcd")
    items = [
        where("id", operator, tasks[place])["filters"]["items"][0]
        for operator, place in (("greater", 0), ("less", 3))
    ]
    both = {"filters": {"conjunction": "and", "items": items}}
    either = {"filters": {"conjunction": "or", "items": items}}
    assert server.ids(project, both) == tasks[1:3]
    assert server.ids(project, either) == tasks


def test_list_first_ordering_counts_alone(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"bca")
    assert server.ids(project, {"ordering": ["-tasks:id"]}) == tasks[::-1]
    assert server.ids(project, {"ordering": ["tasks:data.uid", "-tasks:id"]}) == [
        tasks[2],
        *tasks[:2],
    ]
    server.annotate(tasks[0])
    assert server.ids(project, {"ordering": ["updated_at"]})[-1] == tasks[0]


def test_list_query_counts_as_json_text_only(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"ab")
    query = where("id", "equal", tasks[0])
    assert server.ids(project, query) == tasks[:1]
    assert [
        t["id"] for t in server.ok("GET", "tasks", {"query": query}, project=project)["tasks"]
    ] == tasks
    flat = server.ok("GET", "tasks", project=project, filters=json.dumps(query["filters"]))
    assert [task["id"] for task in flat["tasks"]] == tasks
    assert server.call("GET", "tasks", project=project, query=str(query)).status_code == 500


def test_list_unknown_field_fails(server: Server) -> None:
    query = json.dumps(where("nonsense", "equal", 1))
    project = server.project()
    server.put(project, "a")
    assert server.call("GET", "tasks", project=project, query=query).status_code == 500


def test_list_with_all_fields_holds_annotations_whole(server: Server) -> None:
    project, person = server.project(), server.new_person()
    (task,) = server.put(project, row("a", predictions=[guess(said("dog"))]))
    given = server.annotate(task, "cat", completed_by=person.id)
    (short,) = server.list(project)["tasks"]
    assert not {"annotations", "predictions"} & set(short)
    assert (short["annotators"], short["total_annotations"]) == ([], 1)
    (full,) = server.list(project, fields="all")["tasks"]
    assert full["annotators"] == [person.id]
    assert full["predictions"][0]["result"] == said("dog")
    same = {
        "id",
        "result",
        "completed_by",
        "was_cancelled",
        "lead_time",
        "created_at",
        "updated_at",
    }
    assert {k: full["annotations"][0][k] for k in same} == {k: given[k] for k in same}
    assert given["completed_by"] == person.id


def test_list_include_cuts_the_fields(server: Server) -> None:
    project = server.project()
    (task,) = server.put(project, "a")
    assert server.list(project, include="id,data")["tasks"] == [
        {"id": task, "data": row("a")["data"]}
    ]
    (cut,) = server.list(project, fields="all", include="id,updated_at,annotations")["tasks"]
    assert set(cut) == {"id", "updated_at", "annotations"}


# Annotations


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


# Overlap and the label stream


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


# Taking back


def test_task_deleted_is_gone_answered_or_not(server: Server) -> None:
    project = server.project()
    first, second, third = server.put(project, *"abc")
    given = server.annotate(first)
    assert server.call("DELETE", f"tasks/{first}").status_code == 204
    assert server.call("DELETE", f"tasks/{first}").status_code == 404
    assert server.call("GET", f"annotations/{given['id']}").status_code == 404
    selected = {"selectedItems": {"all": False, "included": [second, first]}}
    done = server.ok("POST", "dm/actions", selected, id="delete_tasks", project=project)
    assert done["processed_items"] == 1
    assert server.ids(project) == [third]


# People and tokens


def test_users_tell_addresses_by_id(server: Server) -> None:
    person = server.new_person()
    people = {user["id"]: user["email"] for user in server.ok("GET", "users/")}
    assert people[person.id] == person.email
    me = server.ok("GET", "current-user/whoami")
    assert people[me["id"]] == me["email"]


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("", "Authentication credentials were not provided."),
        ("Token wrong", "Invalid token."),
        ("Bearer a.b.c", "Authentication credentials were not provided."),
    ],
)
def test_request_without_a_good_token_is_a_401(server: Server, header: str, detail: str) -> None:
    answer = server.http.get("/api/projects", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["detail"] == detail


def test_personal_token_is_refreshed_into_one_that_asks(server: Server) -> None:
    person = server.new_person()
    own = {"Authorization": f"Token {person.token}"}
    token = server.http.post("/api/token/", headers=own, json={}).json()["token"]
    assert server.http.post("/api/token/", headers=own, json={}).status_code == 409
    fresh = server.http.post(
        "/api/token/refresh/", headers={"Authorization": ""}, json={"refresh": token}
    )
    bearer = {"Authorization": f"Bearer {fresh.json()['access']}"}
    assert server.http.get("/api/current-user/whoami", headers=bearer).json()["id"] == person.id
    for wrong in (f"Bearer {token}", f"Token {token}"):
        answer = server.http.get("/api/projects", headers={"Authorization": wrong})
        assert answer.status_code == 401
    assert server.call("POST", "token/refresh/", {"refresh": "a.b.c"}).status_code == 401


def test_legacy_tokens_switched_off_are_refused_by_name(server: Server) -> None:
    person = server.new_person()
    own = {"Authorization": f"Token {person.token}"}
    token = server.http.post("/api/token/", headers=own, json={}).json()["token"]
    access = server.ok("POST", "token/refresh/", {"refresh": token})["access"]
    bearer = {"Authorization": f"Bearer {access}"}
    off = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
    try:
        assert server.http.post("/api/jwt/settings", headers=bearer, json=off).is_success
        answer = server.call("GET", "projects")
        assert answer.status_code == 401
        assert "legacy token authentication has been disabled" in answer.json()["detail"]
        assert server.http.get("/api/projects", headers=bearer).status_code == 200
    finally:
        on = off | {"legacy_api_tokens_enabled": True}
        server.http.post("/api/jwt/settings", headers=bearer, json=on)
    assert server.call("GET", "projects").status_code == 200


# Webhooks, ML backends, exports


@dataclass
class Listener:
    """A server of ours that Label Studio calls; `heard` holds path, headers and body."""

    url: str
    heard: list[tuple[str, dict[str, str], Any]]


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard: list[tuple[str, dict[str, str], Any]] = []

    class Ear(BaseHTTPRequestHandler):
        def listen(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard.append((self.path, dict(self.headers), json.loads(body) if body else None))
            reply = json.dumps({"status": "UP", "model_version": "m1"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_POST = listen  # noqa: N815

    with HTTPServer(("127.0.0.1", 0), Ear) as ear:
        thread = threading.Thread(target=ear.serve_forever, args=(0.02,))
        thread.start()
        yield Listener(f"http://127.0.0.1:{ear.server_port}", heard)
        ear.shutdown()
        thread.join()


def test_webhook_tells_of_annotations_with_its_own_headers(
    server: Server, listener: Listener
) -> None:
    project = server.project()
    (task,) = server.put(project, "a")
    actions = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"]
    hook = {
        "url": f"{listener.url}/hook",
        "project": project,
        "headers": {"X-Secret": "s"},
        "send_for_all_actions": False,
        "actions": actions,
    }
    made = server.ok("POST", "webhooks/", hook)
    assert [found["id"] for found in server.ok("GET", "webhooks/", project=project)] == [made["id"]]
    given = server.annotate(task)
    server.ok("PATCH", f"annotations/{given['id']}", {"result": said("dog")})
    server.ok("DELETE", f"annotations/{given['id']}")
    server.put(project, "b")
    assert [body["action"] for _, _, body in listener.heard] == actions
    path, headers, body = listener.heard[0]
    assert (path, headers["X-Secret"]) == ("/hook", "s")
    assert (body["annotation"]["id"], body["project"]["id"]) == (given["id"], project)


def test_webhook_patched_without_actions_loses_them(server: Server, listener: Listener) -> None:
    hook = {"url": listener.url, "project": server.project(), "actions": ["ANNOTATION_CREATED"]}
    made = server.ok("POST", "webhooks/", hook)
    changed = server.ok("PATCH", f"webhooks/{made['id']}/", {"is_active": False})
    assert (changed["is_active"], changed["actions"]) == (False, [])
    assert server.call("DELETE", f"webhooks/{made['id']}/").status_code == 204


def test_backend_is_asked_for_health_and_setup_when_it_is_made(
    server: Server, listener: Listener
) -> None:
    project = server.project()
    body = {"url": listener.url, "project": project, "title": "holdfast"}
    made = server.ok("POST", "ml/", body)
    assert [found["id"] for found in server.ok("GET", "ml/", project=project)] == [made["id"]]
    assert [path for path, _, _ in listener.heard][:2] == ["/health", "/setup"]
    setup = listener.heard[1][2]
    assert (setup["schema"], setup["access_token"]) == (CONFIG, server.token)
    assert server.call("DELETE", f"ml/{made['id']}/").status_code == 204


def test_backend_that_does_not_answer_is_refused(server: Server, listener: Listener) -> None:
    body = {"url": "http://127.0.0.1:1", "project": server.project()}
    answer = server.call("POST", "ml/", body)
    assert answer.status_code == 400
    assert "health check failed" in str(answer.json()["validation_errors"])
    assert listener.heard == []


def test_export_holds_answered_tasks_with_annotations_whole(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"ab")
    given = server.annotate(tasks[1])
    (exported,) = server.ok("GET", f"projects/{project}/export", exportType="JSON")
    assert (exported["id"], exported["data"]["uid"]) == (tasks[1], "b")
    same = ("id", "result", "completed_by", "updated_at", "lead_time")
    assert [exported["annotations"][0][k] for k in same] == [given[k] for k in same]
    every = server.ok(
        "GET", f"projects/{project}/export", exportType="JSON", download_all_tasks="true"
    )
    assert [task["id"] for task in every] == tasks
