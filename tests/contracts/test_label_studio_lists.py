"""Label Studio's task lists: one suite over the real server and the fake."""

from __future__ import annotations

import json

import pytest

from tests.label_studio.contract_server import NOBODY, Server, guess, row, said, where


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


def test_list_uid_filter_finds_ends_by_a_pattern(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, "1a", "2b", "3B", "4c")
    found = server.ids(project, where("data.uid", "regex", "(b|c)$", "String"))
    assert found == [tasks[1], tasks[3]]
