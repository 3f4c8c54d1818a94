"""The proxy passes on what it is not told to break, and breaks what it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.label_studio import proxy as faults
from tests.label_studio.proxy import FaultProxy

SECONDS = 20.0


class Counter(BaseHTTPRequestHandler):
    """Counts POSTs, and answers with the count, the host it was called by, and odd bytes."""

    posted = 0

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST":
            type(self).posted += 1
        content = f"{self.posted} {self.headers['Host']} ".encode() + bytes(range(256)) + body
        self.send_response(200)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815  (http.server calls them so)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name above)
        pass


@pytest.fixture
def counter() -> Iterator[str]:
    """URL of a server that answers with the number of POSTs so far."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Fresh", (Counter,), {}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(counter: str) -> Iterator[FaultProxy]:
    with FaultProxy(counter) as started:
        yield started


def get(proxy: FaultProxy, path: str = "/") -> int:
    return httpx.get(proxy.url + path, timeout=SECONDS).status_code


def post(proxy: FaultProxy, path: str = "/") -> int:
    return httpx.post(proxy.url + path, content=b"x", timeout=SECONDS).status_code


def num_posted(proxy: FaultProxy) -> int:
    return int(httpx.get(proxy.upstream, timeout=SECONDS).content.split()[0])


def test_proxy_without_rules_passes_every_byte_on(proxy: FaultProxy) -> None:
    body = bytes(range(256)) * 1000
    answer = httpx.post(proxy.url + "/here?a=1", content=body, timeout=SECONDS)
    host = proxy.url.removeprefix("http://").encode()
    assert answer.content == b"1 " + host + b" " + bytes(range(256)) + body
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert proxy.requests == [("POST", "/here?a=1")]


def test_lost_response_reaches_server_but_not_client(proxy: FaultProxy) -> None:
    proxy.on(faults.lose_response)
    with pytest.raises(httpx.RemoteProtocolError):
        post(proxy)
    assert num_posted(proxy) == 1
    assert post(proxy) == 200


def test_lost_request_reaches_nobody(proxy: FaultProxy) -> None:
    proxy.on(faults.lose_request)
    with pytest.raises(httpx.RemoteProtocolError):
        post(proxy)
    assert num_posted(proxy) == 0


def test_answer_replaces_server_as_often_as_told(proxy: FaultProxy) -> None:
    rule = proxy.on(faults.answer(429, retry_after=7), times=2)
    refused = httpx.post(proxy.url, timeout=SECONDS)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert [post(proxy), post(proxy)] == [429, 200]
    assert num_posted(proxy) == 1
    assert (rule.seen, rule.struck) == (3, 2)


def test_rule_without_end_holds_until_released(proxy: FaultProxy) -> None:
    rule = proxy.on(faults.answer(500), times=None)
    assert [post(proxy) for _ in range(5)] == [500] * 5
    rule.release()
    assert post(proxy) == 200


def test_hanging_request_times_out_and_goes_nowhere(proxy: FaultProxy) -> None:
    proxy.on(faults.hang)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(proxy.url, timeout=0.2)
    assert num_posted(proxy) == 0
    assert post(proxy) == 200


def test_rule_strikes_only_what_matches(proxy: FaultProxy) -> None:
    proxy.on(faults.answer(500), method="POST", path=r"/tasks\?page=\d", times=None)
    assert get(proxy, "/tasks?page=1") == 200
    assert post(proxy, "/tasks") == 200
    assert post(proxy, "/tasks?page=1") == 500
    assert (proxy.count(), proxy.count("POST"), proxy.count(path="page")) == (3, 2, 2)


def test_rule_with_skip_spares_the_first_requests(proxy: FaultProxy) -> None:
    proxy.on(faults.answer(500), skip=2)
    assert [post(proxy) for _ in range(4)] == [200, 200, 500, 200]


def test_oldest_of_two_due_rules_wins(proxy: FaultProxy) -> None:
    proxy.on(faults.answer(500))
    proxy.on(faults.answer(429), times=2)
    assert [post(proxy) for _ in range(4)] == [500, 429, 429, 200]


def test_call_before_or_after_runs_on_that_side_of_the_server(proxy: FaultProxy) -> None:
    seen = []
    proxy.on(faults.before(lambda: seen.append(num_posted(proxy))))
    proxy.on(faults.after(lambda: seen.append(num_posted(proxy))))
    assert [post(proxy), post(proxy)] == [200, 200]
    assert seen == [0, 2]


def test_delayed_request_arrives(proxy: FaultProxy) -> None:
    proxy.on(faults.delay(0.01))
    assert post(proxy) == 200
    assert num_posted(proxy) == 1


def test_error_of_a_callback_surfaces_when_proxy_closes(counter: str) -> None:
    def fail() -> None:
        raise ValueError("from the test")

    proxy = FaultProxy(counter)
    proxy.on(faults.before(fail))
    with pytest.raises(httpx.RemoteProtocolError):
        post(proxy)
    with pytest.raises(ValueError, match="from the test"):
        proxy.close()


def test_server_that_is_gone_shows_as_lost_connection(proxy: FaultProxy, counter: str) -> None:
    proxy.upstream = "http://127.0.0.1:1"
    with pytest.raises(httpx.RemoteProtocolError):
        get(proxy)
    proxy.upstream = counter
    assert get(proxy) == 200


def test_cleared_proxy_forgets_rules_and_requests(proxy: FaultProxy) -> None:
    proxy.on(faults.answer(500), times=None)
    assert get(proxy) == 500
    proxy.clear()
    assert proxy.count() == 0
    assert get(proxy) == 200


def test_sixty_four_requests_at_once_all_pass(proxy: FaultProxy) -> None:
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(post(proxy))) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 64
    assert proxy.count("POST") == 64
