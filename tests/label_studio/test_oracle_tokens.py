"""Both kinds of tokens open a Label Studio, end as they should, and are never shown."""

from __future__ import annotations

import logging
from collections.abc import Callable

import jwt
import pytest

from deployments.label_studio.accounts import (
    Account,
    allow_legacy_tokens,
    personal_access_token,
)
from deployments.label_studio.server import LabelStudioServer
from holdfast.annotation.label_studio_client import connect
from holdfast.errors import ConfigError, TransientError
from tests.label_studio.proxy import FaultProxy, answer
from tests.label_studio.questions import Asking, query_about, say

pytestmark = [
    pytest.mark.service,
    pytest.mark.slow,
    # The SDK's own way to read a renewed token; of 2.1.2, the newest.
    pytest.mark.filterwarnings("ignore:The `parse_obj` method is deprecated"),
]

QUERY = query_about([1, 2])
REFRESH = "/api/token/refresh/"


@pytest.fixture
def personal(label_studio: LabelStudioServer, new_annotator: Callable[[], Account]) -> str:
    return personal_access_token(label_studio.url, new_annotator().token)


def test_personal_access_token_asks_and_collects(label_studio, personal):
    with connect(label_studio.url, personal) as client:
        asking = Asking(client)
        sent = asking.send(QUERY)
        say(client, sent.external_ids[1], "cat")
        assert [one.label for one in asking.collect(QUERY).answers] == ["cat"]


def test_access_token_is_traded_once_for_many_requests(personal, fault_proxy):
    with connect(fault_proxy.url, personal) as client:
        Asking(client).send(QUERY)
    assert fault_proxy.count("POST", REFRESH) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_access_token_that_ends_on_its_way_is_renewed(personal, fault_proxy, method):
    with connect(fault_proxy.url, personal) as client:
        asking = Asking(client)
        asking.send(query_about([1]))
        rule = fault_proxy.on(answer(401), method=method, path="/api/(tasks|projects)")
        asking.send(QUERY)
        assert rule.struck == 1
        assert len(asking.tasks()) == 2
    assert fault_proxy.count("POST", REFRESH) == 2


def test_access_token_that_the_server_calls_ended_is_renewed(personal, fault_proxy):
    expired = jwt.encode({"exp": 4102444800, "token_type": "access"}, "x" * 32, "HS256")
    forged = f'{{"access": "{expired}"}}'.encode()
    # The proxy closes after each reply, and a client that is not told may write into the close.
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    head += f"Content-Length: {len(forged)}"
    fault_proxy.on(
        lambda exchange: exchange.reply(f"{head}\r\n\r\n".encode() + forged), path=REFRESH
    )
    with connect(fault_proxy.url, personal) as client:
        asking = Asking(client)
        asking.send(QUERY)
        assert len(asking.tasks()) == 2
    assert fault_proxy.count("POST", REFRESH) == 2


@pytest.mark.parametrize("status", [500, 503, 429])
def test_renewal_that_fails_for_the_moment_is_a_passing_error(personal, fault_proxy, status):
    fault_proxy.on(answer(status), path=REFRESH)
    with connect(fault_proxy.url, personal) as client:
        asking = Asking(client)
        with pytest.raises(TransientError, match=f"answered {status} when asked to renew"):
            asking.send(QUERY)
        asking.send(QUERY)


def test_token_that_was_taken_back_is_an_error_that_says_what_to_do(personal, fault_proxy):
    fault_proxy.on(answer(401), path=REFRESH, times=None)
    with (
        connect(fault_proxy.url, personal) as client,
        pytest.raises(ConfigError, match="refuses the personal access token"),
    ):
        Asking(client).send(QUERY)


def test_legacy_token_that_is_wrong_is_an_error_that_says_what_to_do(label_studio):
    with (
        connect(label_studio.url, "0" * 40) as client,
        pytest.raises(ConfigError, match="refuses the legacy token: it is wrong"),
    ):
        Asking(client).send(QUERY)


def test_legacy_tokens_switched_off_are_named_and_nothing_counts(label_studio, personal):
    with connect(label_studio.url, label_studio.token) as client:
        asking = Asking(client)
        sent = asking.send(QUERY)
        say(client, sent.external_ids[1], "cat")
        state = asking.state
        allow_legacy_tokens(label_studio.url, personal, False)
        try:
            with pytest.raises(ConfigError, match="does not take legacy tokens any more"):
                asking.collect(QUERY)
        finally:
            allow_legacy_tokens(label_studio.url, personal, True)
        assert asking.state == state
        assert [one.label for one in asking.collect(QUERY).answers] == ["cat"]


def test_user_who_may_not_is_told_so(label_studio, fault_proxy: FaultProxy):
    fault_proxy.on(answer(403), method="POST")
    with (
        connect(fault_proxy.url, label_studio.token) as client,
        pytest.raises(ConfigError, match="the token's user may not do this"),
    ):
        Asking(client).send(QUERY)


def test_tokens_never_show(label_studio, personal, fault_proxy, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    said = []
    for token in (label_studio.token, personal):
        with connect(fault_proxy.url, token) as client:
            asking = Asking(client)
            asking.send(QUERY)
            said += [repr(client), str(asking.state)]
            for status in (400, 401, 403, 500):
                rule = fault_proxy.on(answer(status), times=None)
                with pytest.raises((ConfigError, TransientError)) as caught:
                    asking.collect(QUERY)
                said += [str(caught.value), repr(caught.value)]
                rule.release()
    shown = "".join([*said, caplog.text, *capfd.readouterr()])
    assert "/api/tasks" in shown
    assert label_studio.token not in shown
    assert personal not in shown
    assert personal.split(".")[2] not in shown
