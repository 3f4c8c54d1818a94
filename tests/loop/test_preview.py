from pathlib import Path

import pytest


@pytest.fixture
def owner(person, shelf):
    """Somebody whose images are in."""
    person.succeed("ingest", str(shelf.labeled))
    person.succeed("ingest", str(shelf.unlabeled))
    return person


def test_query_preview_is_what_the_round_then_asks(owner):
    shown = owner.succeed("query")
    owner.run()
    asked = owner.questions("round-1")
    assert [item["uid"] for item in shown["items"]] == [row["uid"] for row in asked]
    assert shown["round"] == 1


def test_query_preview_records_nothing(owner):
    before = owner.succeed("status")
    page = Path(owner.succeed("query")["page"])
    assert owner.succeed("status") == before
    assert page.exists()
    assert not owner.sheet("round-1").exists()


def test_query_preview_shows_the_parts_of_each_score(owner):
    owner.play("round-1")
    shown = owner.succeed("query")
    assert shown["round"] == 2
    fresh = [item for item in shown["items"] if item["reason"] == "uncertain"]
    assert fresh
    assert all(item["parts"] for item in fresh)
    text = Path(shown["page"]).read_text()
    assert all(name.replace("_", " ") in text for name in fresh[0]["parts"])


def test_query_preview_without_images_says_what_to_do(person):
    assert "holdfast ingest" in person.fail("query")


def test_query_preview_of_a_quota_for_no_class_says_what_to_do(owner):
    owner.play("round-1")
    owner.set({"query.at_most": "{ bleu = 1 }"})
    assert "query.at_most names 'bleu', which is no class; did you mean 'blue'?" in owner.fail(
        "query"
    )


def test_query_preview_says_whether_the_round_is_worth_its_answers(owner):
    assert owner.succeed("query")["advice"]["reason"] == "no round has been measured yet"
    owner.play("round-1")
    advice = owner.succeed("query")["advice"]
    assert not advice["stop"]
    assert "6 answers are expected to bring" in advice["reason"]


@pytest.mark.parametrize(
    "settings", [{"network.dropout": "0.3"}, {"learning.imbalance.ensemble": "2"}]
)
def test_query_by_a_committee_shows_what_its_members_differ_about(owner, settings):
    owner.set({**settings, "query.strategy": '"bald * minority^0.5"'})
    owner.play("round-1")
    shown = owner.succeed("query")
    fresh = [item for item in shown["items"] if item["reason"] == "uncertain"]
    assert fresh
    assert all({"bald", "minority"} <= item["parts"].keys() for item in fresh)
