"""Label Studio's projects and people: one suite over the real server and the fake."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tests.label_studio.contract_server import CAT, CONFIG, DOG, IMAGE, NOBODY, Server, row, where


def test_project_fields_sent_come_back(server: Server) -> None:
    project = server.project(title="as sent", description="marker 1", maximum_annotations=2)
    seen = server.ok("GET", f"projects/{project}")
    assert (seen["title"], seen["description"]) == ("as sent", "marker 1")
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


def test_tasks_are_deleted_where_filters_and_selection_agree(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"abc")
    server.annotate(tasks[0])
    chosen = {
        "selectedItems": {"all": False, "included": tasks[:2]},
        **where("total_annotations", "equal", 0),
    }
    done = server.ok("POST", "dm/actions", chosen, id="delete_tasks", project=project)
    assert done["processed_items"] == 1
    assert server.ids(project) == [tasks[0], tasks[2]]


def test_tasks_are_all_deleted_where_none_is_selected(server: Server) -> None:
    project = server.project()
    server.put(project, *"abc")
    chosen = {"selectedItems": {"all": False, "included": []}}
    done = server.ok("POST", "dm/actions", chosen, id="delete_tasks", project=project)
    assert done["processed_items"] == 3
    assert server.list(project)["total"] == 0


@pytest.mark.parametrize(
    "path", ["projects/#/import", "projects/#/import/predictions", "projects/#/export", "ml/1"]
)
def test_path_with_a_slash_too_many_is_a_404(server: Server, path: str) -> None:
    answer = server.call("POST", f"{path.replace('#', str(server.project()))}/", [])
    assert answer.status_code == 404


def test_date_of_answers_is_by_the_clock_of_the_rows(server: Server) -> None:
    project = server.project()

    def told() -> datetime:
        return parsedate_to_datetime(server.call("GET", "version").headers["Date"])

    before = told()
    (task,) = server.put(project, "a")
    changed = datetime.fromisoformat(server.task(task)["updated_at"])
    # The header counts full seconds.
    assert before <= changed < told() + timedelta(seconds=1)


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
