from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from holdfast.records import QuestionChange
from holdfast.store import quarantine, questions, samples


def task_link(site, uid):
    return site.links.task_link(uid)


def signed_link(site, uid):
    return site.links.signed_link(uid, int(time.time()) + 60)


def withdraw(site, uid):
    with site.project.ledger.write() as connection:
        (sample_id,) = samples.ids_of(connection, [uid]).values()
        change = QuestionChange(query_key="round-1", sample_id=sample_id, state="withdrawn")
        questions.change(connection, [change])


def set_aside(site, uid):
    with site.project.ledger.write() as connection:
        (sample_id,) = samples.ids_of(connection, [uid]).values()
        quarantine.set_aside(connection, {sample_id: "somebody wants it gone"}, "test")


def unasked(site):
    with site.project.ledger.read() as connection:
        uids = samples.uids_of(connection, samples.usable_ids(connection, "train"))
    return next(uid for uid in uids if uid not in site.asked)


def test_link_of_a_task_leads_to_the_image(site) -> None:
    uid = site.asked[0]
    leads = site.client.get(task_link(site, uid))
    assert leads.status_code == 302
    assert leads.headers["Cache-Control"] == "no-store"
    shows = site.client.get(leads.headers["Location"])
    assert shows.status_code == 200
    assert shows.content == site.project.images.read([uid])[0]
    assert shows.headers["Content-Type"] == "image/png"


def test_link_that_a_task_leads_to_lives_as_long_as_the_config_says(site) -> None:
    leads = site.client.get(task_link(site, site.asked[0])).headers["Location"]
    expires = int(urlsplit(leads).query.split("=")[1].partition("&")[0])
    minutes = site.project.config.web.link_minutes
    assert 60 * minutes - 5 < expires - time.time() <= 60 * minutes
    kept = site.client.get(leads).headers["Cache-Control"]
    name, _, seconds = kept.partition(", max-age=")
    assert name == "private"
    assert 0 < int(seconds) <= 60 * minutes


def test_expired_link_is_refused_in_one_line(site) -> None:
    link = site.links.signed_link(site.asked[0], int(time.time()))
    refused = site.client.get(link)
    assert refused.status_code == 403
    assert refused.text == "the link has expired; open the task again\n"


@pytest.mark.parametrize("link", [task_link, signed_link])
def test_link_of_another_image_is_forged(site, link: Callable[..., str]) -> None:
    first, second = site.asked
    refused = site.client.get(link(site, first).replace(first, second))
    assert (refused.status_code, refused.text) == (403, "the link is forged\n")


@pytest.mark.parametrize(
    "query", ["", "?task=", "?expires=1", "?signature=x", "?expires=x&signature=y", "?task=%00"]
)
def test_image_without_a_link_is_refused(site, query: str) -> None:
    assert site.client.get(f"/images/{site.asked[0]}{query}").status_code == 403


@pytest.mark.parametrize("link", [task_link, signed_link])
def test_image_nobody_was_asked_about_is_not_found(site, link: Callable[..., str]) -> None:
    assert site.client.get(link(site, unasked(site))).status_code == 404
    assert site.client.get(link(site, "f" * 64)).status_code == 404


@pytest.mark.parametrize("link", [task_link, signed_link])
@pytest.mark.parametrize("end", [withdraw, set_aside])
def test_image_is_gone_as_soon_as_the_question_is(
    site, link: Callable[..., str], end: Callable[..., None]
) -> None:
    first, second = site.asked
    end(site, first)
    assert site.client.get(link(site, first)).status_code == 410
    assert site.client.get(link(site, second)).status_code in (200, 302)


def test_image_is_shown_again_once_it_is_asked_about_again(site) -> None:
    uid = site.asked[0]
    withdraw(site, uid)
    with site.project.ledger.write() as connection:
        (sample_id,) = samples.ids_of(connection, [uid]).values()
        change = QuestionChange(query_key="round-1", sample_id=sample_id, state="open")
        questions.change(connection, [change])
    assert site.client.get(task_link(site, uid)).status_code == 302


def test_answers_let_the_page_of_label_studio_read_them(site) -> None:
    # Label Studio fetches images by script, with no cookies of ours.
    reader = {"Origin": site.project.config.annotation.label_studio.url}
    uid = site.asked[0]
    for link in (task_link(site, uid), signed_link(site, uid), f"/images/{uid}"):
        answer = site.client.get(link, headers=reader)
        assert answer.headers["Access-Control-Allow-Origin"] == reader["Origin"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/images/../holdfast.toml", "/images/..%2f..%2fweb.key", "/images/%2e%2e", "/images/", "/"],
)
def test_path_out_of_the_images_finds_nothing(site, path: str) -> None:
    assert site.client.get(path).status_code in (403, 404)


@pytest.mark.parametrize("path", ["/", "/images/x", "/health", "/predict", "/nowhere"])
def test_every_answer_says_how_to_handle_it_with_care(site, path: str) -> None:
    headers = site.client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"


def test_image_that_is_lost_is_an_error_for_the_log_alone(site, caplog) -> None:
    for file in sorted(site.project.images.path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    failed = site.client.get(signed_link(site, site.asked[0]))
    assert (failed.status_code, failed.text.count("\n")) == (503, 1)
    assert str(site.project.root) not in failed.text
    assert "ingest the same files again" in caplog.text
