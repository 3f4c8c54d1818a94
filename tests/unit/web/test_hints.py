from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from holdfast.errors import BusyError, TransientError
from holdfast.web.hints import Hints

PATIENCE = 30.0


class Looks:
    """Counts looks for answers, and can hold one up."""

    def __init__(self, fail: Callable[[int], None] = lambda _: None) -> None:
        self.number = 0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self._fail = fail

    def __call__(self) -> None:
        self.number += 1
        self.begun.release()
        assert self.go_on.acquire(timeout=PATIENCE)
        self._fail(self.number)


def test_hints_that_come_while_somebody_looks_cost_one_more_look() -> None:
    looks = Looks()
    hints = Hints(looks, delay=0.0)
    hints.start()
    hints.take()
    assert looks.begun.acquire(timeout=PATIENCE)
    for _ in range(100):
        hints.take()
    looks.go_on.release()
    assert looks.begun.acquire(timeout=PATIENCE)
    looks.go_on.release()
    hints.stop()
    assert looks.number == 2


def test_hints_in_a_burst_cost_one_look() -> None:
    looks = Looks()
    hints = Hints(looks, delay=0.0)
    for _ in range(100):
        hints.take()
    hints.start()
    assert looks.begun.acquire(timeout=PATIENCE)
    looks.go_on.release()
    hints.stop()
    assert looks.number == 1


def test_look_that_fails_is_one_line_in_the_log_and_not_the_last(tmp_path, caplog) -> None:
    errors = [BusyError(tmp_path, "process 7"), TransientError("away\nfor now"), KeyError("x")]

    def fail(number: int) -> None:
        if number <= len(errors):
            raise errors[number - 1]

    looks = Looks(fail)
    hints = Hints(looks, delay=0.0)
    hints.start()
    for _ in range(len(errors) + 1):
        hints.take()
        assert looks.begun.acquire(timeout=PATIENCE)
        looks.go_on.release()
    hints.stop()
    assert looks.number == len(errors) + 1
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[0] for line in said] == [
        "answers were not collected now",
        "answers were not collected now",
        "answers were not collected",
    ]
    assert not any("\n" in line for line in said)


def test_hints_that_are_stopped_look_no_more() -> None:
    looks = Looks()
    hints = Hints(looks, delay=PATIENCE)
    hints.start()
    hints.take()
    hints.stop()
    assert looks.number == 0


@pytest.mark.parametrize("body", [b"", b"{", b'{"action": "ANNOTATION_CREATED"}', bytes(10**6)])
def test_hint_with_the_secret_is_taken_whatever_it_says(site, body: bytes) -> None:
    answer = site.client.post("/webhook", content=body, headers=site.hint)
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("secret", [None, "", "wrong", "\xe4"])
def test_hint_without_the_secret_is_refused(site, secret: str | None) -> None:
    headers = {} if secret is None else {"X-Holdfast-Secret": secret.encode("latin-1")}
    assert site.client.post("/webhook", headers=headers).status_code == 401


def test_hint_by_address_alone_is_refused(site) -> None:
    assert site.client.get("/webhook", headers=site.hint).status_code == 405


def test_hint_changes_nothing_where_no_round_waits_for_answers(site, caplog) -> None:
    caplog.set_level("INFO", "holdfast.web")
    before = site.project.ledger.digest()
    looked = threading.Event()
    caplog.handler.addFilter(lambda record: "looked" not in record.msg or not looked.set())
    for _ in range(3):
        assert site.client.post("/webhook", headers=site.hint).status_code == 204
    assert looked.wait(PATIENCE)
    assert site.project.ledger.digest() == before
