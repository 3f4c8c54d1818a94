"""Whatever the server's clock says, no answer is missed: on the fake, whose clock can be set."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.annotation.label_studio_client import connect
from tests.label_studio.fake import FakeLabelStudio
from tests.label_studio.questions import Asking, choice, query_about, say

QUERY = query_about([1, 2, 3, 4])


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as running:
        yield running


@pytest.fixture
def asking(server: FakeLabelStudio) -> Iterator[Asking]:
    with connect(server.url, server.token) as client:
        yield Asking(client)


def _labels(asking: Asking) -> dict[int, str | None]:
    return {one.sample_id: one.label for one in asking.collect(QUERY).answers}


def _clock(server: FakeLabelStudio, **ahead: float) -> None:
    """Let the server's clock go before ours; behind it, if negative."""
    server.set_clock(lambda: datetime.now(UTC) + timedelta(**ahead))


@pytest.mark.parametrize("seconds", [0, -40, -86_400, 40, 86_400])
def test_answers_at_one_and_the_same_moment_all_come_in(asking, server, seconds):
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    server.set_clock(lambda: moment)
    sent = asking.send(QUERY)
    asking.collect(QUERY)
    for sample_id in (2, 1, 4, 3):
        say(asking.client, sent.external_ids[sample_id], "cat")
        assert _labels(asking)[sample_id] == "cat"
    assert asking.collect(QUERY).answers == () or len(_labels(asking)) == 4


@pytest.mark.parametrize("days", [-1, 1])
def test_clock_that_is_a_day_off_ours_misses_nothing_and_settles(asking, server, days):
    _clock(server, days=days)
    sent = asking.send(QUERY)
    asking.collect(QUERY)
    for sample_id in (3, 1):
        said = say(asking.client, sent.external_ids[sample_id], "cat")
        assert _labels(asking)[sample_id] == "cat"
    path = f"/api/annotations/{said['id']}/"
    asking.client.request("PATCH", path, json={"result": [choice("dog")]})
    assert _labels(asking)[1] == "dog"
    asking.client.request("DELETE", path)
    collected = asking.collect(QUERY)
    assert 1 in collected.complete_for
    assert 1 not in {one.sample_id for one in collected.answers}
    assert (asking.collect(QUERY).answers, asking.collect(QUERY).state) == ((), None)


def test_clock_set_back_misses_no_answer_and_no_edit(asking, server):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    asking.collect(QUERY)
    asking.collect(QUERY)
    _clock(server, hours=-2)
    said = say(asking.client, sent.external_ids[2], "dog")
    assert _labels(asking)[2] == "dog"
    path = f"/api/annotations/{said['id']}/"
    asking.client.request("PATCH", path, json={"result": [choice("cat")]})
    assert _labels(asking)[2] == "cat"


def test_change_committed_late_with_an_early_stamp_comes_in(asking, server):
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    asking.collect(QUERY)
    # Stamped before what is known already, and committed only now.
    _clock(server, seconds=-20)
    say(asking.client, sent.external_ids[2], "dog")
    assert _labels(asking)[2] == "dog"


def test_late_changes_are_looked_for_once_more_and_then_no_more(asking, server):
    _clock(server, minutes=-10)
    sent = asking.send(QUERY)
    say(asking.client, sent.external_ids[1], "cat")
    _clock(server)
    asking.collect(QUERY)
    assert asking.state["watermark"] == asking.state["newest"]
    server.requests.clear()
    assert asking.collect(QUERY).state is None
    assert len(server.requests) == 2


def test_collect_before_anybody_answered_takes_three_requests(asking, server):
    asking.send(QUERY)
    for _ in range(2):
        server.requests.clear()
        collected = asking.collect(QUERY)
        assert (collected.answers, collected.complete_for, collected.missing) == ((), (), ())
        assert len(server.requests) <= 3
