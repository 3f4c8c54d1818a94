import csv
import io

import pytest
from PIL import Image

from holdfast.annotation.csv_files import CsvOracle
from holdfast.annotation.oracle import Card
from holdfast.errors import AnswerError
from holdfast.records import Query, QueryItem

IDS = (4, 7, 9)
UIDS = {4: "aa" * 32, 7: "bb" * 32, 9: "cc" * 32}


def _png(value):
    buffer = io.BytesIO()
    Image.new("L", (8, 8), value).save(buffer, "PNG")
    return buffer.getvalue()


def _query(round_number=1, batch=1):
    items = tuple(QueryItem(sample_id=i, reason="uncertain", score=0.5) for i in IDS)
    return Query(round_number=round_number, batch=batch, items=items)


CARDS = tuple(
    Card(sample_id=i, uid=UIDS[i], reason="uncertain", guess="cat", confidence=0.4) for i in IDS
)


@pytest.fixture
def oracle(tmp_path):
    return CsvOracle(
        tmp_path / "queries",
        read_bytes=lambda ids: [_png(i) for i in ids],
        read_uids=lambda ids: [UIDS[i] for i in ids],
        class_names=("cat", "dog"),
    )


@pytest.fixture
def sheet(oracle, tmp_path):
    oracle.send(_query(), CARDS)
    return tmp_path / "queries" / "round-1.csv"


def _labels(oracle, query=None):
    return {a.sample_id: a.label for a in oracle.collect(query or _query()).answers}


def _fill(path, labels, to=None):
    rows = list(csv.reader(io.StringIO(path.read_text())))
    for row, label in zip(rows[1:], labels, strict=True):
        row[-1] = label
    with (to or path).open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_send_writes_a_sheet_whose_last_column_is_an_empty_label(sheet):
    rows = list(csv.DictReader(sheet.read_text().splitlines()))
    assert [row["uid"] for row in rows] == [UIDS[i] for i in IDS]
    assert list(rows[0])[-1] == "label"
    assert {row["label"] for row in rows} == {""}
    assert (rows[0]["guess"], rows[0]["confidence"]) == ("cat", "0.40")


def test_send_again_leaves_a_half_filled_sheet_alone(oracle, sheet):
    _fill(sheet, ["cat", "", ""])
    oracle.send(_query(), CARDS)
    assert _labels(oracle) == {4: "cat"}


def test_send_leaves_no_drafts_behind(sheet):
    assert sorted(p.name for p in sheet.parent.iterdir()) == ["round-1.csv", "round-1.html"]


def test_send_after_a_crash_between_page_and_sheet_writes_the_sheet(oracle, sheet):
    sheet.unlink()
    oracle.send(_query(), CARDS)
    assert sheet.exists()


def test_send_text_like_a_formula_is_defused(oracle, tmp_path):
    cards = (Card(sample_id=4, uid=UIDS[4], reason="uncertain", guess="=1+1", confidence=0.4),)
    oracle.send(_query(2), cards)
    text = (tmp_path / "queries" / "round-2.csv").read_text()
    row = next(csv.DictReader(text.splitlines()))
    assert row["guess"] == "'=1+1"


def test_collect_before_sending_finds_nothing(oracle):
    assert oracle.collect(_query()).answers == ()


def test_collect_reads_answers_and_skips_blank_rows(oracle, sheet):
    _fill(sheet, [" dog ", "", "?"])
    assert _labels(oracle) == {4: "dog", 9: None}


def test_collect_survives_what_spreadsheets_do_to_a_file(oracle, sheet):
    _fill(sheet, ["cat", "dog", "a;b"])
    rows = list(csv.reader(sheet.read_text().splitlines()))
    rows = [["note", *rows[0]], *[["x", *row] for row in reversed(rows[1:])], [""] * 7]
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    for encoding in ("utf-8-sig", "utf-16"):
        sheet.write_bytes(text.getvalue().encode(encoding))
        assert _labels(oracle) == {4: "cat", 7: "dog", 9: "a;b"}


@pytest.mark.parametrize("name", ["round-1 (copy).csv", "round-1-anna.csv", "round-1.answers.csv"])
def test_collect_reads_copies_beside_the_sheet(oracle, sheet, name):
    sheet.replace(sheet.with_suffix(".bak"))
    _fill(sheet.with_suffix(".bak"), ["cat", "dog", ""], to=sheet.with_name(name))
    assert _labels(oracle) == {4: "cat", 7: "dog"}


@pytest.mark.parametrize(
    "name", ["round-10.csv", "round-1.2.csv", "round-1.2 (copy).csv", "my round-1.csv"]
)
def test_collect_leaves_other_rounds_and_batches_alone(oracle, sheet, name):
    _fill(sheet, ["cat", "cat", "cat"], to=sheet.with_name(name))
    assert _labels(oracle) == {}


def test_collect_twice_gives_identical_answers_and_a_correction_a_new_one(oracle, sheet):
    _fill(sheet, ["cat", "", ""])
    first = oracle.collect(_query()).answers
    assert oracle.collect(_query()).answers == first
    _fill(sheet, ["dog", "", ""])
    second = oracle.collect(_query()).answers
    assert second[0].external_id == first[0].external_id
    assert second[0].updated_at != first[0].updated_at


def test_collect_same_answer_in_sheet_and_copy_counts_once(oracle, sheet):
    _fill(sheet, ["cat", "", ""], to=sheet.with_name("round-1 (copy).csv"))
    _fill(sheet, ["cat", "dog", ""])
    assert _labels(oracle) == {4: "cat", 7: "dog"}


def test_collect_two_different_answers_name_both_places(oracle, sheet):
    _fill(sheet, ["cat", "", ""], to=sheet.with_name("round-1 (copy).csv"))
    _fill(sheet, ["dog", "", ""])
    with pytest.raises(AnswerError, match=r"round-1\.csv, line 2: .*dog.*cat.*round-1 \(copy\)"):
        oracle.collect(_query())


def test_collect_annotator_column_says_who(oracle, sheet):
    sheet.write_text(f"uid,annotator,label\n{UIDS[4]},anna,cat\n{UIDS[7]},,dog\n")
    assert [a.annotator for a in oracle.collect(_query()).answers] == ["anna", "file"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uid,label\nffff,cat\n", "line 2: no sample"),
        ("uid,lable\n", "line 1: expected one column named label"),
        ("uid,label,label\n", "line 1: expected one column named label"),
        ("", "is empty"),
        (f"uid,label\n{'aa' * 32},cat,dog\n", "line 2: 3 cells under 2 columns"),
        (f'uid,label\n{"aa" * 32},"cat\n', "line 2: "),
    ],
)
def test_collect_malformed_sheet_names_file_and_line(oracle, sheet, text, message):
    sheet.write_text(text)
    with pytest.raises(AnswerError, match=message) as caught:
        oracle.collect(_query())
    assert "round-1.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_collect_other_encoding_names_the_line(oracle, sheet):
    sheet.write_bytes(f"uid,label\n{UIDS[4]},K\xe4fer\n".encode("latin-1"))
    with pytest.raises(AnswerError, match="line 2: not UTF-8"):
        oracle.collect(_query())
