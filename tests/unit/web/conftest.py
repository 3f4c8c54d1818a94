"""A project that asked about two samples, and its application without a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.annotation.image_links import ImageLinks, load_key
from holdfast.annotation.label_studio_hooks import GUESS_USER, guess_password, hint_secret
from holdfast.project import Project
from holdfast.web.app import build
from tests.asked_project import ask

with warnings.catch_warnings():
    # Starlette's client would rather have a fork of httpx.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@dataclass(frozen=True)
class Site:
    """The application of a project, and all that opens it."""

    project: Project
    client: TestClient
    key: bytes
    asked: list[str]

    @property
    def links(self) -> ImageLinks:
        return ImageLinks(self.key, self.project.config.web.base)

    @property
    def login(self) -> tuple[str, str]:
        return GUESS_USER, guess_password(self.key)

    @property
    def hint(self) -> dict[str, str]:
        return {"X-Holdfast-Secret": hint_secret(self.key)}


@pytest.fixture
def site(tiny_project: Callable[[str], Path]) -> Iterator[Site]:
    root = tiny_project("project")
    with Project.open(root) as project:
        asked = ask(project, 2)
        key = load_key(project.state / "web.key")
        with TestClient(
            build(project), base_url=project.config.web.base, follow_redirects=False
        ) as client:
            yield Site(project, client, key, asked)
