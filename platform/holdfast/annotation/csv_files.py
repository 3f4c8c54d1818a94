"""Ask and answer through files: a CSV to fill in beside a page that shows the images."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.annotation.contact_sheet import render
from holdfast.annotation.oracle import Card, Collected, Sent
from holdfast.errors import AnswerError
from holdfast.records import Answer, Query

COLUMNS = ("uid", "image", "guess", "confidence", "reason", "label")
CANNOT_TELL = "?"


@dataclass(frozen=True, slots=True)
class _Line:
    """One answered row of a file."""

    path: Path
    number: int
    label: str
    annotator: str


class CsvOracle:
    """Writes questions to `FOLDER/round-N.csv` and reads answers from there.

    Answers go into the last column, `label`: a class name, `?` for "cannot tell", nothing
    for "not yet". Copies whose names begin alike (`round-1 (copy).csv`,
    `round-1-anna.csv`) are read too. A column `annotator`, if somebody adds one, says who.

    Parameters
    ----------
    folder : Path
        Made when the first query is sent.
    read_bytes : callable
        Image files of sample ids, in order, for the contact sheet.
    read_uids : callable
        Uids of sample ids, in order.
    class_names : sequence of str
        Shown on the contact sheet as the names to choose from.
    """

    name = "csv"

    def __init__(
        self,
        folder: Path,
        *,
        read_bytes: Callable[[Sequence[int]], Sequence[bytes]],
        read_uids: Callable[[Sequence[int]], Sequence[str]],
        class_names: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._read_bytes = read_bytes
        self._read_uids = read_uids
        self._class_names = tuple(class_names)

    def send(self, query: Query, cards: Sequence[Card]) -> Sent:
        """Write the CSV and its contact sheet, unless they are there already."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # INVARIANT: the CSV comes last and is never replaced. Somebody may have begun to
        # fill it in, and once it is there its page is there too.
        page = self._folder / f"{query.key}.html"
        sheet = self._folder / f"{query.key}.csv"
        if not page.exists():
            images = self._read_bytes([card.sample_id for card in cards])
            text = render(query, cards, images, self._class_names, csv_name=sheet.name)
            _write_once(page, text)
        if not sheet.exists():
            _write_once(sheet, _sheet(cards))
        return Sent()

    def collect(self, query: Query) -> Collected:
        """Return the rows answered so far, in the order of the query.

        An answer's `updated_at` is made of its content: collecting the same file twice
        gives the same answers, and a row that somebody corrects gives a new one.

        Raises
        ------
        AnswerError
            If a file cannot be read, has no `uid` or `label` column, names a sample that
            was not asked about, or gives a sample two answers.
        """
        sample_ids = [item.sample_id for item in query.items]
        uids = list(self._read_uids(sample_ids))
        lines: dict[str, _Line] = {}
        for path in _answer_files(self._folder, query.key):
            for uid, line in _read(path, set(uids)):
                before = lines.setdefault(uid, line)
                if before.label != line.label:
                    raise AnswerError(
                        f"{line.path}, line {line.number}: sample {uid[:12]} is "
                        f'"{line.label}" here but "{before.label}" in {before.path.name}, '
                        f"line {before.number}; keep one answer and clear the other"
                    )
        written = (self._folder / f"{query.key}.csv").exists()
        return Collected(
            answers=tuple(
                Answer(
                    sample_id=sample_id,
                    label=None if lines[uid].label == CANNOT_TELL else lines[uid].label,
                    annotator=lines[uid].annotator,
                    external_id=f"{query.key}/{uid}",
                    updated_at=_fingerprint(lines[uid]),
                )
                for sample_id, uid in zip(sample_ids, uids, strict=True)
                if uid in lines
            ),
            missing=() if written else tuple(sample_ids),
        )

    def withdraw(self, external_ids: Mapping[int, str]) -> None:
        """Do nothing: a file that people may have open stays as it is."""

    def where(self, query: Query) -> str:
        """Return the path of the CSV to fill in."""
        return str(self._folder / f"{query.key}.csv")


def _sheet(cards: Sequence[Card]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, card in enumerate(cards, start=1):
        image = f"{number} {plain_cell(card.source)}".strip()
        guess = "" if card.guess is None else plain_cell(card.guess)
        confidence = "" if card.guess is None else f"{card.confidence:.2f}"
        writer.writerow([card.uid, image, guess, confidence, plain_cell(card.why), ""])
    return text.getvalue()


def plain_cell(text: str) -> str:
    """Return text that a spreadsheet shows and does not run."""
    # A spreadsheet would run a cell that begins like a formula.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _answer_files(folder: Path, key: str) -> list[Path]:
    """Return the query's CSV and its copies, in order of name."""
    # `round-1` must match neither `round-10`, another round, nor `round-1.2`, another batch.
    copy = re.compile(rf"{re.escape(key)}(?!\d|\.\d).*\.csv", re.IGNORECASE)
    paths = folder.iterdir() if folder.is_dir() else iter(())
    return sorted(p for p in paths if copy.fullmatch(p.name) and not p.name.startswith("."))


def _read(path: Path, uids: set[str]) -> list[tuple[str, _Line]]:
    text = _text(path)
    if not text.strip():
        raise AnswerError(f"{path} is empty; restore it, or remove it and send the query again")
    header = text.splitlines()[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip().lower() for name in next(rows)]
        for needed in ("uid", "label"):
            if columns.count(needed) != 1:
                raise AnswerError(
                    f"{path}, line 1: expected one column named {needed}, found "
                    f"{', '.join(columns)}; restore the header {','.join(COLUMNS)}"
                )
        found = []
        for row in rows:
            if line := _line(path, rows.line_num, columns, _cells(row), uids):
                found.append(line)
    except csv.Error as error:
        raise AnswerError(
            f"{path}, line {rows.line_num}: not a row of CSV ({error}); correct that line"
        ) from error
    return found


def _line(
    path: Path, number: int, columns: list[str], row: list[str], uids: set[str]
) -> tuple[str, _Line] | None:
    if not any(row):
        return None
    if len(row) > len(columns) and any(row[len(columns) :]):
        raise AnswerError(
            f"{path}, line {number}: {len(row)} cells under {len(columns)} columns; "
            "put an answer that contains the separator in double quotes"
        )
    cells = dict(zip(columns, row, strict=False))
    uid, label = cells["uid"].lower(), cells.get("label", "")
    if uid not in uids:
        raise AnswerError(
            f'{path}, line {number}: no sample "{uid[:20]}" was asked about in this query; '
            "remove the line, or restore its uid from the contact sheet"
        )
    if not label:
        return None
    return uid, _Line(path, number, label, cells.get("annotator") or "file")


def _cells(row: list[str]) -> list[str]:
    # A line break inside a cell would make errors that quote it longer than one line.
    return [" ".join(cell.splitlines()).strip() for cell in row]


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnswerError(f"{path} cannot be read ({error.strerror}); check the file") from error
    # Spreadsheets save UTF-8 with a mark, UTF-16, or the system's old code page.
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise AnswerError(
            f"{path}, line {line}: not UTF-8 text; save the file as CSV UTF-8"
        ) from error


def _fingerprint(line: _Line) -> str:
    return hashlib.sha256(f"{line.annotator}\0{line.label}".encode()).hexdigest()[:16]


def _write_once(path: Path, text: str) -> None:
    """Write a whole file or nothing; one that is there stays as it is."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A link fails where a rename would replace a file made in the meantime.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
