from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from holdfast.annotation.settings import WebConfig
from holdfast.errors import ConfigError
from holdfast.web.serving import listening

PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def served(tiny_project: Callable[[str], Path]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, once it answers, and its address."""
    root, port = tiny_project("project"), free_port()
    with (root / "holdfast.toml").open("a") as config:
        config.write(f"[web]\nport = {port}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "--config", str(root), "web"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(f"{url}/health", timeout=PATIENCE).raise_for_status()
            break
        except httpx.TransportError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield process, url
    process.kill()
    process.communicate()


@pytest.mark.service
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_command_says_where_it_listens_and_ends_well(served, end: int) -> None:
    process, url = served
    forged = f"{url}/images/{'a' * 64}?task=of-nobody"
    assert httpx.get(forged, timeout=PATIENCE).status_code == 403
    process.send_signal(end)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out == f"{url} is served no more\n"
    assert f"listening on {url}; end with Ctrl-C" in err
    assert f"403 GET '/images/{'a' * 64}'" in err
    assert "of-nobody" not in err
    assert "Traceback" not in err


@pytest.mark.service
def test_command_leaves_no_address_behind(served) -> None:
    process, url = served
    process.kill()
    process.communicate()
    port = int(url.rpartition(":")[2])
    with listening(WebConfig(port=port)) as listener:
        assert listener.getsockname()[1] == port


def test_port_in_use_is_an_error_that_names_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use.*web.port"),
            listening(WebConfig(port=port)),
        ):
            pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_host_of_another_machine_is_an_error(host: str) -> None:
    with pytest.raises(ConfigError, match=f"web.host {host}"), listening(WebConfig(host=host)):
        pass
