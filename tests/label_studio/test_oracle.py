"""One task a sample and every answer once, on a real Label Studio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from deployments.label_studio.accounts import Account
from deployments.label_studio.server import LabelStudioServer
from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.annotation.labeling_interface import build_interface, read_interface
from holdfast.errors import ConfigError
from holdfast.records import BAD_IMAGE, NONE_OF_THESE, SKIPPED
from tests.label_studio.questions import (
    UNKNOWN,
    Asking,
    cards_of,
    choice,
    query_about,
    say,
    uid_of,
)

pytestmark = [pytest.mark.service, pytest.mark.slow]

QUERY = query_about([1, 2, 3])


@pytest.fixture
def client(label_studio: LabelStudioServer) -> Iterator[LabelStudioClient]:
    with connect(label_studio.url, label_studio.token) as opened:
        yield opened


@pytest.fixture
def asking(client: LabelStudioClient) -> Asking:
    return Asking(client)


@pytest.fixture
def new_person(
    label_studio: LabelStudioServer, new_annotator: Callable[[], Account]
) -> Iterator[Callable[[], tuple[str, LabelStudioClient]]]:
    opened: list[LabelStudioClient] = []

    def make() -> tuple[str, LabelStudioClient]:
        account = new_annotator()
        opened.append(connect(label_studio.url, account.token))
        return account.email, opened[-1]

    yield make
    for one in opened:
        one.close()


def test_send_makes_one_task_a_sample_in_our_order_with_its_guess_and_reason(asking):
    query = query_about([3, 1, 2])
    sent = asking.send(query)
    tasks = asking.tasks()
    assert [task["data"]["uid"] for task in tasks] == [uid_of(3), uid_of(1), uid_of(2)]
    assert {one: int(task) for one, task in sent.external_ids.items()} == {
        3: tasks[0]["id"],
        1: tasks[1]["id"],
        2: tasks[2]["id"],
    }
    [guess] = tasks[0]["predictions"]
    assert (guess["score"], guess["model_version"]) == (0.75, "m1")
    assert guess["result"][0]["value"] == {"choices": ["cat"]}
    assert tasks[0]["data"]["question"] == "round-1"
    assert tasks[0]["data"]["why"] == cards_of([3])[0].why


def test_send_again_changes_nothing(asking):
    first = asking.send(QUERY)
    tasks = asking.tasks()
    assert asking.send(QUERY).external_ids == first.external_ids
    assert asking.tasks() == tasks


def test_send_in_parts_and_batches_makes_each_task_once(asking):
    asking.batch_size = 2
    query = query_about(range(1, 6))
    for part in ([1, 2, 3], [4, 5], [2, 5]):
        asking.send(query, cards_of(part))
    assert [task["data"]["uid"] for task in asking.tasks()] == [uid_of(one) for one in range(1, 6)]


def test_send_with_all_memory_lost_finds_project_and_tasks(asking):
    first = asking.send(QUERY)
    asking.state = {"marker": asking.state["marker"]}
    assert asking.send(QUERY).external_ids == first.external_ids
    assert asking.project == int(first.state["project"])


def test_send_shows_a_gold_question_like_any_other(asking):
    cards = [replace(card, reason="gold", label="cat") for card in cards_of([1])]
    cards += [
        replace(card, reason="uncertain", parts={"uncertainty": 0.1}) for card in cards_of([2])
    ]
    asking.send(query_about([1, 2]), cards)
    gold, other = asking.tasks()
    assert set(gold["data"]) == set(other["data"])
    assert {**gold["data"], "uid": "", "image": ""} == {**other["data"], "uid": "", "image": ""}


def test_send_leaves_out_a_guess_that_cannot_be_chosen(asking):
    asking.send(query_about([1]), cards_of([1], guess="emu"))
    [task] = asking.tasks()
    assert task["predictions"] == []


def test_send_of_a_newer_model_shows_its_guesses(asking):
    asking.send(query_about([1]), cards_of([1]))
    asking.send(query_about([2], 2), cards_of([2], model="m2", guess="dog"))
    served = asking.client.request("GET", f"/api/projects/{asking.project}")
    assert served["model_version"] == "m2"


def test_send_makes_a_task_again_that_somebody_deleted(asking):
    sent = asking.send(QUERY)
    asking.client.request("DELETE", f"/api/tasks/{sent.external_ids[2]}")
    asking.collect(QUERY)
    again = asking.send(QUERY)
    assert sorted(task["data"]["uid"] for task in asking.tasks()) == [uid_of(i) for i in (1, 2, 3)]
    assert again.external_ids[1] == sent.external_ids[1]


def test_collect_names_the_samples_whose_task_was_deleted(asking):
    sent = asking.send(QUERY)
    asking.collect(QUERY)
    asking.client.request("DELETE", f"/api/tasks/{sent.external_ids[2]}")
    assert asking.collect(QUERY).missing == (2,)


def test_send_after_the_project_was_deleted_makes_all_anew(asking):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    asking.collect(QUERY)
    asking.client.request("DELETE", f"/api/projects/{asking.project}")
    collected = asking.collect(QUERY)
    assert (collected.answers, collected.complete_for) == ((), ())
    assert collected.missing == (1, 2, 3)
    asking.send(QUERY)
    assert len(asking.tasks()) == 3


def test_collect_gives_each_answer_as_it_was_meant(asking, label_studio):
    sent = asking.send(query_about(range(1, 9)))
    task = sent.external_ids
    odd = [
        ({"label": "cat"}, "cat", "", None),
        ({"label": NONE_OF_THESE}, None, NONE_OF_THESE, None),
        ({"label": BAD_IMAGE}, None, BAD_IMAGE, None),
        ({"label": None}, None, SKIPPED, None),
        ({"label": "emu"}, "emu", "", "emu"),
        ({"label": "", "result": []}, None, "", "empty"),
        ({"label": "", "result": [choice("cat"), choice("dog")]}, None, "", "several"),
        ({"label": "", "result": [choice("cat", "other")]}, None, "", "another control"),
    ]
    for sample_id, (said, *_) in enumerate(odd, start=1):
        say(asking.client, task[sample_id], **said)
    answers = asking.collect(QUERY).answers
    assert [one.sample_id for one in answers] == list(range(1, 9))
    for one, (_, label, remark, problem) in zip(answers, odd, strict=True):
        assert (one.label, one.remark) == (label, remark)
        assert one.problem is None if problem is None else problem in one.problem
    assert answers[0].seconds == 2.5
    assert answers[0].annotator == label_studio.email
    assert datetime.fromisoformat(answers[0].answered_at).tzinfo is not None


def test_collect_with_nothing_new_takes_three_requests_and_says_nothing(
    asking, label_studio, fault_proxy
):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    asking.collect(QUERY)
    with connect(fault_proxy.url, label_studio.token) as counted:
        asking.client = counted
        collected = asking.collect(QUERY)
    assert (collected.answers, collected.complete_for, collected.state) == ((), (), None)
    assert fault_proxy.count() <= 3


def test_collect_follows_edits_and_deletions(asking):
    sent = asking.send(QUERY)
    said = say(asking.client, sent.external_ids[1], "cat")
    [first] = asking.collect(QUERY).answers
    asking.client.request(
        "PATCH", f"/api/annotations/{said['id']}/", json={"result": [choice("dog")]}
    )
    [edited] = [one for one in asking.collect(QUERY).answers if one.sample_id == 1]
    assert (edited.external_id, edited.label) == (first.external_id, "dog")
    assert edited.updated_at > first.updated_at
    asking.client.request("DELETE", f"/api/annotations/{said['id']}/")
    collected = asking.collect(QUERY)
    assert collected.answers == ()
    assert 1 in collected.complete_for


def test_collect_counts_the_latest_of_several_answers_by_one_person(asking):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    say(asking.client, sent.external_ids[1], "dog")
    assert [one.label for one in asking.collect(QUERY).answers] == ["dog"]


def test_collect_ignores_drafts_and_guesses(asking):
    sent = asking.send(QUERY)
    draft = {"result": [choice("cat")]}
    asking.client.request("POST", f"/api/tasks/{sent.external_ids[1]}/drafts", json=draft)
    assert asking.collect(QUERY).answers == ()


def test_collect_leaves_strangers_alone_and_counts_them(asking):
    asking.send(QUERY)
    others = [{"image": "http://127.0.0.1:9/a.png"}, {"image": "x", "uid": uid_of(UNKNOWN)}]
    path = f"/api/projects/{asking.project}/import"
    params = {"return_task_ids": "true"}
    made = asking.client.request("POST", path, params=params, json=others)["task_ids"]
    for task in made:
        say(asking.client, task, "cat")
    collected = asking.collect(QUERY)
    assert (collected.answers, collected.strangers) == ((), 2)


def test_collect_merges_answers_to_two_tasks_of_a_sample(asking, new_person):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    asking.collect(QUERY)
    anna = new_person()[1]
    copy = {"image": "x", "uid": uid_of(1), "question": "", "why": ""}
    path = f"/api/projects/{asking.project}/import"
    made = anna.request("POST", path, params={"return_task_ids": "true"}, json=[copy])
    say(anna, made["task_ids"][0], "dog")
    for _ in range(2):
        answers = [one for one in asking.collect(QUERY).answers if one.sample_id == 1]
        assert sorted(one.label for one in answers) == ["cat", "dog"]
        # A change of either brings the answers of both.
        anna.request("PATCH", f"/api/tasks/{sent.external_ids[1]}", json={"meta": {"a": "b"}})


def test_collect_deletes_a_second_task_of_a_sample_that_nobody_answered(asking):
    sent = asking.send(QUERY)
    copy = {"image": "x", "uid": uid_of(1), "question": "", "why": ""}
    asking.client.request("POST", f"/api/projects/{asking.project}/import", json=[copy])
    asking.collect(QUERY)
    assert [str(task["id"]) for task in asking.tasks()] == list(sent.external_ids.values())


def test_send_to_a_server_set_up_anew_leaves_the_project_of_the_same_number_alone(asking):
    asking.send(QUERY)
    theirs = asking.client.request(
        "POST", "/api/projects", json={"title": "Other", "label_config": build_interface(["ox"])}
    )
    asking.state = {**asking.state, "project": theirs["id"], "marker": "of-another-server"}
    asking.send(QUERY)
    assert asking.project != theirs["id"]
    now = asking.client.request("GET", f"/api/projects/{theirs['id']}")
    assert now["label_config"] == theirs["label_config"]


def test_send_asks_somebody_else_again_but_once(asking, new_person):
    (_, anna), (_, ben) = new_person(), new_person()
    sent = asking.send(query_about([1]))
    task = sent.external_ids[1]
    say(anna, task, "cat")
    stream = f"/api/projects/{asking.project}/next"
    assert ben.find(stream) is None
    second = query_about([1], batch=2)
    for _ in range(2):
        asking.send(second, cards_of([1], reason="disagreement", guess="dog", model="m2"))
    assert anna.find(stream) is None
    assert str(ben.find(stream)["id"]) == task
    [now] = asking.tasks()
    assert (now["overlap"], now["data"]["question"]) == (2, "round-1, round-1.2")
    assert [one["model_version"] for one in now["predictions"]] == ["m2"]
    say(ben, task, "dog")
    asking.send(second, cards_of([1], reason="disagreement", guess="dog", model="m2"))
    assert ben.find(stream) is None
    assert new_person()[1].find(stream) is None
    assert {one.label for one in asking.collect(second).answers} == {"cat", "dog"}


def test_withdraw_deletes_what_nobody_answered_and_may_be_repeated(asking):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    say(asking.client, sent.external_ids[2], None)
    for _ in range(2):
        asking.oracle.withdraw(sent.external_ids)
    assert [task["data"]["uid"] for task in asking.tasks()] == [uid_of(1), uid_of(2)]


def test_withdraw_of_a_number_given_to_another_sample_since_leaves_that(asking):
    sent = asking.send(query_about([1, 2]))
    asking.client.request("DELETE", f"/api/tasks/{sent.external_ids[2]}")
    asking.send(query_about([3], 2))
    asking.oracle.withdraw({2: str(asking.tasks()[-1]["id"])})
    assert [task["data"]["uid"] for task in asking.tasks()] == [uid_of(1), uid_of(3)]


def test_withdraw_from_a_deleted_project_does_nothing(asking):
    sent = asking.send(QUERY)
    asking.client.request("DELETE", f"/api/projects/{asking.project}")
    asking.oracle.withdraw(sent.external_ids)


def test_send_with_a_new_class_adds_its_choice_and_keeps_what_people_changed(asking):
    asking.send(QUERY)
    path = f"/api/projects/{asking.project}"
    xml = asking.client.request("GET", path)["label_config"]
    ours = xml.replace("Comment (optional)", "Ihre Meinung")
    asking.client.request("PATCH", path, json={"label_config": ours})
    asking.classes = ("cat", "dog", "emu")
    asking.send(QUERY)
    xml = asking.client.request("GET", path)["label_config"]
    assert read_interface(xml).choices == ("cat", "dog", "emu", NONE_OF_THESE, BAD_IMAGE)
    assert "Ihre Meinung" in xml


def test_send_without_a_class_that_answers_name_is_refused(asking):
    asking.classes = ("cat", "fenêtre")
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "fenêtre")
    asking.classes = ("cat",)
    with pytest.raises(ConfigError, match=r'"fenêtre" is no class any more, but answers'):
        asking.send(QUERY)
    asking.classes = ("fenêtre",)
    asking.send(QUERY)
    xml = asking.client.request("GET", f"/api/projects/{asking.project}")["label_config"]
    assert read_interface(xml).choices == ("fenêtre", NONE_OF_THESE, BAD_IMAGE)


def test_adopted_project_keeps_its_names_and_gains_what_it_lacks(client):
    xml = (
        '<View><Image name="photo" value="$url"/><Header value="$site"/>'
        '<Choices name="kind" toName="photo"><Choice value="cat"/><Choice value="moss"/></Choices>'
        "</View>"
    )
    made = client.request("POST", "/api/projects", json={"title": "Theirs", "label_config": xml})
    asking = Asking(client, adopt=made["id"])
    sent = asking.send(QUERY)
    [task, *_] = asking.tasks()
    assert task["data"]["url"].startswith("http")
    assert task["predictions"][0]["result"][0]["from_name"] == "kind"
    now = client.request("GET", f"/api/projects/{made['id']}")
    assert now["title"] == "Theirs"
    interface = read_interface(now["label_config"])
    assert interface.choices == ("cat", "moss", "dog", NONE_OF_THESE, BAD_IMAGE)
    said = {**choice("dog", "kind"), "to_name": "photo"}
    say(client, sent.external_ids[2], "dog", result=[said])
    assert [(one.sample_id, one.label) for one in asking.collect(QUERY).answers] == [(2, "dog")]


def test_adopted_project_that_is_gone_is_an_error_that_says_so(client):
    made = client.request(
        "POST", "/api/projects", json={"title": "Gone", "label_config": build_interface(["cat"])}
    )
    asking = Asking(client, adopt=made["id"])
    asking.send(QUERY)
    client.request("DELETE", f"/api/projects/{made['id']}")
    with pytest.raises(ConfigError, match="has no project"):
        asking.collect(QUERY)
    with pytest.raises(ConfigError, match="has no project"):
        asking.send(QUERY)


def test_adopted_project_without_single_choice_says_what_is_missing(client):
    xml = '<View><Image name="i" value="$image"/><TextArea name="t" toName="i"/></View>'
    made = client.request("POST", "/api/projects", json={"title": "Text", "label_config": xml})
    with pytest.raises(ConfigError, match="lacks a single-choice control"):
        Asking(client, adopt=made["id"]).send(QUERY)


def test_projects_of_one_title_and_other_markers_stay_apart(client):
    one, other = Asking(client), Asking(client)
    one.send(QUERY)
    other.send(QUERY)
    assert one.project != other.project


def test_where_leads_to_the_project(asking):
    assert asking.oracle.where(QUERY) == asking.client.url
    asking.send(QUERY)
    where = asking.oracle.where(QUERY)
    assert where == f"{asking.client.url}/projects/{asking.project}/data"


def test_sixty_four_answers_at_once_come_in_once_each(asking, new_person):
    sample_ids = list(range(1, 65))
    query = query_about(sample_ids)
    sent = asking.send(query)
    people = [new_person() for _ in range(4)]
    seen: dict[str, tuple[int, str | None]] = {}

    def answer(sample_id: int) -> None:
        _, person = people[sample_id % 4]
        say(person, sent.external_ids[sample_id], "cat" if sample_id % 3 else "dog")

    with ThreadPoolExecutor(64) as pool:
        given = [pool.submit(answer, one) for one in sample_ids]
        while not all(one.done() for one in given):
            for one in asking.collect(query).answers:
                seen[one.external_id] = (one.sample_id, one.label)
        for one in given:
            one.result()
    for one in asking.collect(query).answers:
        seen[one.external_id] = (one.sample_id, one.label)
    assert sorted(seen.values()) == [(one, "cat" if one % 3 else "dog") for one in sample_ids]
    assert len(asking.tasks()) == 64
