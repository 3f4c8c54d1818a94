"""A new user's walk in a real browser, from nothing to a label that is used."""

from __future__ import annotations

import io
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from deployments.label_studio.server import LabelStudioServer
from holdfast.project import Project
from holdfast.store import models
from holdfast.store.schema import class_, label_event, sample

COLORS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (200, 40, 40)}
NUM_LABELED, NUM_NEW, SIDE = 14, 12, 32
BUDGET = 6
HOLDFAST = Path(sys.executable).with_name("holdfast")
WAITING = 75
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The last ones keep it from calling its maker.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
# The first guess imports torch, on a machine that may have other work.
MILLISECONDS = 120_000.0
SECONDS = 120.0

pytestmark = [pytest.mark.service, pytest.mark.slow]


@pytest.fixture
def page() -> Iterator[Page]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1300, "height": 850})
        page.set_default_timeout(MILLISECONDS)
        yield page
        browser.close()


@dataclass
class User:
    """Somebody at a shell in the project's folder, and before a browser."""

    page: Page
    server: LabelStudioServer
    folder: Path
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("response", lambda got: self.fetched.append(got.url) if got.ok else None)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command of Holdfast's; all that it says.

        The web server takes answers in after each one. Who meets it is told to run again when
        it has finished, and does.
        """
        last = time.monotonic() + SECONDS
        while True:
            done = subprocess.run(
                [HOLDFAST, *arguments], cwd=self.folder, capture_output=True, text=True, check=False
            )
            if "holdfast: busy: " not in done.stderr or time.monotonic() > last:
                break
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def log_in(self) -> None:
        self.page.goto(f"{self.server.url}/user/login")
        self.page.fill("input[name=email]", self.server.email)
        self.page.fill("input[name=password]", self.server.password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/user/login" not in url)

    def label_all_tasks(self, address: str) -> None:
        self.page.goto(address)
        self.page.get_by_text("Label All Tasks").first.click()
        self.page.locator('img[alt="image"]').wait_for()

    def task(self) -> dict[str, Any]:
        """Return the task that the page shows, as the server has it."""
        number = self.page.locator(".lsf-current-task").inner_text().split()[0]
        headers = {"Authorization": f"Token {self.server.token}"}
        url = f"{self.server.url}/api/tasks/{number}"
        task: dict[str, Any] = httpx.get(url, headers=headers, timeout=SECONDS).json()
        return task

    def look(self) -> str:
        """Name the color that the page shows, once its image is there."""
        self.page.wait_for_function("document.querySelector('img[alt=image]')?.naturalWidth > 0")
        shown = self.page.locator('img[alt="image"]')
        assert shown.evaluate("one => [one.naturalWidth, one.naturalHeight]") == [SIDE, SIDE]
        with Image.open(io.BytesIO(shown.screenshot())) as picture:
            mean = np.asarray(picture.convert("RGB"), float).mean(axis=(0, 1))
        return min(COLORS, key=lambda name: float(((mean - COLORS[name]) ** 2).sum()))

    def chosen(self) -> list[str]:
        """Name the choices that are made in the page."""
        boxes = self.page.locator("input:checked")
        return boxes.evaluate_all("them => them.map(one => one.name)")  # type: ignore[no-any-return]

    def press(self, label: str) -> None:
        """Press the key that the page names for a choice."""
        said = self.page.locator(".lsf-choice__checkbox", has_text=label).inner_text()
        (key,) = re.findall(r"\[(\w)\]", said)
        self.page.keyboard.press(key)
        self.page.locator(f'input[name="{label}"]:checked').wait_for(state="attached")
        assert self.chosen() == [label]

    def submit(self) -> None:
        """Submit, and wait for the next task or the end of the queue."""
        before = self.page.locator(".lsf-current-task").inner_text()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            """before => {
                const now = document.querySelector('.lsf-current-task');
                const shown = document.querySelector('img[alt=image]');
                return now ? shown && now.innerText !== before
                    : document.body.innerText.includes('No More Tasks');
            }""",
            arg=before,
        )


@pytest.fixture
def user(page: Page, label_studio: LabelStudioServer, tmp_path: Path) -> User:
    """A user who has painted some pictures, most of them in folders named after colors."""
    rng = np.random.default_rng(0)
    for name, color in COLORS.items():
        for number in range(NUM_LABELED + NUM_NEW):
            folder = tmp_path / ("new" if number >= NUM_LABELED else f"photos/{name}")
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(color) + rng.integers(-30, 30, size=(SIDE, SIDE, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}-{number}.png")
    return User(page, label_studio, tmp_path)


@contextmanager
def serving(root: Path) -> Iterator[None]:
    """Run `holdfast web` beside the test, as in a terminal of its own."""
    log = root.with_name("web.log")
    with log.open("wb") as file:
        process = subprocess.Popen([HOLDFAST, "web"], cwd=root, stderr=file, stdout=file)
    deadline = time.monotonic() + SECONDS
    try:
        while "listening" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def settle(config: Path, server: LabelStudioServer) -> int:
    """Set what the docs about Label Studio say, and little to do; the port that the web gets."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    text = config.read_text()
    for line, wanted in (
        ('oracle = "csv"', 'oracle = "label-studio"'),
        ('url = "http://127.0.0.1:8080"', f'url = "{server.url}"'),
        ('token_file = ""', f'token_file = "{server.home / "token"}"'),
        ("port = 8090", f"port = {port}"),
        ("budget = 50", f"budget = {BUDGET}"),
        # Not what the page says, but colors are learned at once.
        ("steps = 200", "steps = 20"),
    ):
        assert text.count(f"\n{line}\n") == 1, line
        text = text.replace(f"\n{line}\n", f"\n{wanted}\n")
    config.write_text(text)
    return port


def events(root: Path) -> dict[str, tuple[str, str]]:
    """Who said what about each file, of the labels that came by annotation."""
    query = (
        sa.select(sample.c.source, label_event.c.annotator, class_.c.name)
        .join(sample, sample.c.id == label_event.c.sample_id)
        .join(class_, class_.c.id == label_event.c.class_id)
        .where(label_event.c.kind == "annotation")
    )
    with Project.open(root) as project, project.ledger.read() as connection:
        return {Path(row[0]).name: (row[1], row[2]) for row in connection.execute(query)}


def champion(root: Path) -> str:
    with Project.open(root) as project, project.ledger.read() as connection:
        current = models.champion(connection)
    assert current is not None
    return current.champion


def guess_in(task: dict[str, Any]) -> tuple[str, str]:
    (one,) = task["predictions"]
    return one["model_version"], one["result"][0]["value"]["choices"][0]


def test_walk_from_nothing_to_a_label_that_is_used(user: User) -> None:
    user.run("init", "animals")
    user.folder /= "animals"
    root = user.folder
    port = settle(root / "holdfast.toml", user.server)
    user.run("ingest", "../photos")
    user.run("ingest", "../new")
    with serving(root):
        user.run("label-studio")
        (address,) = re.findall(r"answer in (\S+),", user.run("run", code=WAITING))
        user.log_in()
        user.label_all_tasks(address)
        seen = []
        for _ in range(BUDGET):
            color, task = user.look(), user.task()
            assert user.page.get_by_text(task["data"]["why"]).is_visible()
            image = f"http://127.0.0.1:{port}/images/{task['data']['uid']}"
            assert any(url.startswith(image) for url in user.fetched)
            # A slip first, so that a key is pressed even where the guess is right.
            user.press(next(name for name in COLORS if [name] != user.chosen() and name != color))
            user.press(color)
            user.submit()
            seen.append(color)
        assert user.page.get_by_text("No More Tasks Left in Queue").is_visible()
        assert "round-1" in user.run("run")
        used = events(root)
        assert len(used) == BUDGET
        for name, (annotator, label) in used.items():
            assert (annotator, label) == (user.server.email, name.split("-")[0])
        assert sorted(label for _, label in used.values()) == sorted(seen)
        user.run("run", code=WAITING)
        user.label_all_tasks(address)
        user.look()
        model, guess = guess_in(user.task())
        assert champion(root).startswith(model)
        assert user.chosen() == [guess]
