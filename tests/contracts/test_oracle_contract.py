import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from PIL import Image

from deployments.label_studio.accounts import Account
from deployments.label_studio.server import LabelStudioServer
from holdfast import catalog
from holdfast.annotation.csv_files import CsvOracle
from holdfast.annotation.label_studio_client import connect
from holdfast.annotation.oracle import Card, Oracle
from holdfast.annotation.simulated import SimulatedOracle
from holdfast.records import Query, QueryItem
from tests.label_studio.fake import FakeLabelStudio
from tests.label_studio.questions import Asking, say

TRUTH = {3: "cat", 5: "dog", 8: "cat"}


def _query(round_number=1, batch=1):
    items = tuple(QueryItem(sample_id=i, reason="random", score=0.0) for i in TRUTH)
    return Query(round_number=round_number, batch=batch, items=items)


def _uid(sample_id):
    return f"{sample_id:064x}"


CARDS = tuple(Card(sample_id=i, uid=_uid(i), reason="random") for i in TRUTH)


def _png():
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Crowd:
    """An oracle, built anew from its state for each call, and people who know the truth."""

    build: Callable[[Mapping[str, object]], Oracle]
    answer: Callable[[Query], None]
    state: Mapping[str, object]

    @property
    def oracle(self):
        return self.build(self.state)

    def send(self, query, cards=CARDS):
        sent = self.oracle.send(query, cards)
        self.state = self.state if sent.state is None else sent.state
        return sent

    def collect(self, query):
        collected = self.oracle.collect(query)
        self.state = self.state if collected.state is None else collected.state
        return collected


@pytest.fixture
def simulated() -> Crowd:
    return Crowd(lambda _: SimulatedOracle(TRUTH), lambda _: None, {})


@pytest.fixture
def csv_files(tmp_path) -> Crowd:
    oracle = CsvOracle(
        tmp_path,
        read_bytes=lambda ids: [_png() for _ in ids],
        read_uids=lambda ids: [_uid(i) for i in ids],
    )

    def answer(query):
        path = tmp_path / f"{query.key}.csv"
        rows = list(csv.reader(path.read_text().splitlines()))
        for row, label in zip(rows[1:], TRUTH.values(), strict=True):
            row[-1] = label
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    return Crowd(lambda _: oracle, answer, {})


def _label_studio(url: str, token: str, new_token: Callable[[], str]) -> Iterator[Crowd]:
    with connect(url, token) as client:
        asking = Asking(client)

        def build(state):
            asking.state = state
            return asking.oracle

        def answer(_):
            asking.state = crowd.state
            # Somebody new each time: a second answer of one person replaces the first.
            with connect(url, new_token()) as person:
                for task in asking.tasks():
                    say(person, task["id"], TRUTH[int(task["data"]["uid"], 16)])

        crowd = Crowd(build, answer, asking.state)
        yield crowd


@pytest.fixture
def fake_label_studio() -> Iterator[Crowd]:
    with FakeLabelStudio() as server:
        emails = iter(f"person-{number}@example.com" for number in range(9))
        yield from _label_studio(
            server.url, server.token, lambda: server.add_user(next(emails)).token
        )


@pytest.fixture
def real_label_studio(
    label_studio: LabelStudioServer, new_annotator: Callable[[], Account]
) -> Iterator[Crowd]:
    yield from _label_studio(label_studio.url, label_studio.token, lambda: new_annotator().token)


FIXTURES = {
    "simulated": ("simulated",),
    "csv": ("csv_files",),
    "label-studio": ("fake_label_studio", "real_label_studio"),
}
REAL = [pytest.mark.service, pytest.mark.slow]


@pytest.fixture(
    params=[
        pytest.param(fixture, marks=REAL if fixture == "real_label_studio" else [])
        for fixtures in FIXTURES.values()
        for fixture in fixtures
    ]
)
def crowd(request) -> Crowd:
    return request.getfixturevalue(request.param)


def test_contract_covers_every_oracle_of_the_catalog():
    assert set(FIXTURES) == set(catalog.CATALOG["annotation.oracle"])


def test_oracle_is_named_as_in_the_catalog_and_says_where(crowd):
    crowd.send(_query())
    assert crowd.oracle.name in FIXTURES
    where = crowd.oracle.where(_query())
    assert "round-1" in where or where.startswith("http")


def test_oracle_answers_every_sample_once_with_the_same_identity(crowd):
    query = _query()
    crowd.send(query)
    crowd.answer(query)
    oracle = crowd.oracle
    first = oracle.collect(query).answers
    assert {a.sample_id: a.label for a in first} == TRUTH
    assert len({a.external_id for a in first}) == len(first)
    # As after a crash before the answers were recorded: the state is what it was.
    assert oracle.collect(query).answers == first


def test_oracle_answers_are_all_that_there_are_of_the_samples_it_calls_complete(crowd):
    query = _query()
    crowd.send(query)
    crowd.answer(query)
    collected = crowd.oracle.collect(query)
    assert set(collected.complete_for) <= set(TRUTH)
    assert (collected.missing, collected.strangers) == ((), 0)


def test_oracle_send_repeated_loses_no_answer(crowd):
    query = _query()
    sent = crowd.send(query)
    crowd.answer(query)
    before = crowd.oracle.collect(query).answers
    assert crowd.send(query).external_ids == sent.external_ids
    assert crowd.oracle.collect(query).answers == before


def test_oracle_keeps_rounds_and_batches_apart(crowd):
    seen = set()
    for query in (_query(1), _query(1, 2), _query(10)):
        crowd.send(query)
        crowd.answer(query)
        seen |= {a.external_id for a in crowd.collect(query).answers}
    assert len(seen) == 9


def test_oracle_withdraws_what_was_sent_and_again_what_is_gone(crowd):
    query = _query()
    sent = crowd.send(query)
    for _ in range(2):
        crowd.oracle.withdraw(sent.external_ids)
    crowd.send(query)
    crowd.answer(query)
    assert {a.sample_id: a.label for a in crowd.collect(query).answers} == TRUTH
