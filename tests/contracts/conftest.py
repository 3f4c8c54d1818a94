"""The servers that the Label Studio contract runs over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.label_studio.contract_server import Person, Server, fake_server


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.service)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "fake":
        with fake_server() as made:
            yield made
    else:
        real = request.getfixturevalue("label_studio")
        new_annotator = request.getfixturevalue("new_annotator")

        def sign_up() -> Person:
            account = new_annotator()
            return Person(account.user_id, account.email, account.token)

        made = Server(real.url, real.token, sign_up)
        with made.http:
            yield made
