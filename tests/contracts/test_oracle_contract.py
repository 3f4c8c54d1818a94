import csv
import io

import pytest
from PIL import Image

from holdfast import catalog
from holdfast.annotation.csv_files import CsvOracle
from holdfast.annotation.oracle import Card
from holdfast.annotation.simulated import SimulatedOracle
from holdfast.records import Query, QueryItem

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


def _simulated(_folder):
    return SimulatedOracle(TRUTH), lambda _query: None


def _csv(tmp_path):
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

    return oracle, answer


BUILT = {"simulated": _simulated, "csv": _csv}


@pytest.fixture(params=BUILT)
def oracle_and_people(request, tmp_path):
    return BUILT[request.param](tmp_path)


def test_contract_covers_every_oracle_of_the_catalog():
    assert set(BUILT) == set(catalog.CATALOG["annotation.oracle"])


def test_oracle_is_named_as_in_the_catalog_and_says_where(oracle_and_people):
    oracle, _ = oracle_and_people
    assert oracle.name in BUILT
    assert "round-1" in oracle.where(_query())


def test_oracle_answers_every_sample_once_with_the_same_identity(oracle_and_people):
    oracle, answer = oracle_and_people
    query = _query()
    oracle.send(query, CARDS)
    answer(query)
    first = oracle.collect(query)
    assert {a.sample_id: a.label for a in first} == TRUTH
    assert len({a.external_id for a in first}) == len(first)
    assert oracle.collect(query) == first


def test_oracle_send_repeated_loses_no_answer(oracle_and_people):
    oracle, answer = oracle_and_people
    query = _query()
    oracle.send(query, CARDS)
    answer(query)
    before = oracle.collect(query)
    oracle.send(query, CARDS)
    assert oracle.collect(query) == before


def test_oracle_keeps_rounds_and_batches_apart(oracle_and_people):
    oracle, answer = oracle_and_people
    seen = set()
    for query in (_query(1), _query(1, 2), _query(10)):
        oracle.send(query, CARDS)
        answer(query)
        seen |= {a.external_id for a in oracle.collect(query)}
    assert len(seen) == 9
