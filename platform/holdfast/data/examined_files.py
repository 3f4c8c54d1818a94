"""What an ingest has found out about each file, on disk: memory does not grow with the files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from holdfast.data.content import Content
from holdfast.data.integrity import Inspection
from holdfast.data.offers import OfferedImage, Source, Split, Statement

_CREATE = """
CREATE TABLE IF NOT EXISTS file (
    position INTEGER PRIMARY KEY, stamp TEXT, name TEXT, label TEXT, annotator TEXT,
    group_name TEXT, split TEXT, statements TEXT, uid TEXT, num_bytes INTEGER, width INTEGER,
    height INTEGER, channels INTEGER, format TEXT, oddities TEXT, reason TEXT)
"""
# How each usable content looks, and the files that got a group because of it.
_LOOKS = """
CREATE TABLE IF NOT EXISTS look (uid TEXT PRIMARY KEY, appearance BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS joined (position INTEGER PRIMARY KEY)
"""
# In this order: members of a group together, so that one decision can be made about them.
_PLACES = """
CREATE TABLE place AS
SELECT min(position) AS position FROM file GROUP BY uid
ORDER BY {order}
"""
# Groups for which the source names a side: it holds for members beside which none stands.
_SIDES = """
CREATE TABLE side AS
SELECT group_name, max(split) AS split FROM file
WHERE group_name IS NOT NULL AND split <> '' GROUP BY group_name
"""
_OFFER = "position, stamp, name, label, annotator, group_name, split, statements"
_FOUND = "uid, num_bytes, width, height, channels, format, oddities, reason"
_Row = tuple[object, ...]


class ExaminedFiles:
    """A table of files by position, with what the source says and what they hold.

    It outlives an interrupted ingest: ingesting the same source again goes on behind the
    last file that is here. A second ingest of the same source at the same time gets a table
    of its own.

    Parameters
    ----------
    folder : Path or None
        Where tables are kept between attempts; None: nowhere.
    source : Source
    kind : str
        How its bytes are kept and what is found out: what was examined for one kind says
        nothing for another.

    Notes
    -----
    About 500 bytes of disk a file, until `close(done=True)`.
    """

    def __init__(self, folder: Path | None, source: Source, kind: str) -> None:
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        name = hashlib.sha256(f"{kind} {source.name}".encode()).hexdigest()[:16]
        if folder is None or not self._take(folder / f"{name}.lock"):
            self._own = tempfile.TemporaryDirectory(prefix="holdfast-")
            folder = Path(self._own.name)
        self._path = folder / f"{name}.db"
        try:
            self._database = self._open()
        except sqlite3.DatabaseError:
            # The machine went down while it was written; it only saves work.
            self._path.unlink()
            self._database = self._open()
        self.num_kept = int(self._database.execute("SELECT count(*) FROM file").fetchone()[0])

    def _open(self) -> sqlite3.Connection:
        # A thread of its own writes while the next batch is looked at; never two at once.
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        looks = "SELECT count(*) FROM sqlite_master WHERE name = 'look'"
        if not database.execute(looks).fetchone()[0]:
            # An earlier release left it, which did not look for near-duplicates.
            database.execute("DROP TABLE IF EXISTS file")
        database.execute(_CREATE)
        database.executescript(_LOOKS)
        # An earlier attempt may have come as far as to join and sort what it found.
        database.execute(
            "UPDATE file SET group_name = NULL WHERE position IN (SELECT position FROM joined)"
        )
        database.execute("DELETE FROM joined")
        for table in ("place", "side"):
            database.execute(f"DROP TABLE IF EXISTS {table}")
        return database

    def _take(self, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = path.open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            return False
        return True

    def kept(self, start: int, offered: Sequence[OfferedImage]) -> list[str] | None:
        """Return the uids of usable files from a position on, where all are as offered now.

        Returns
        -------
        list of str or None
            None, and nothing is kept from `start` on, when one is missing or another.
        """
        rows = self._database.execute(
            f"SELECT {_OFFER}, uid, reason FROM file WHERE position >= ? "  # noqa: S608
            "ORDER BY position LIMIT ?",
            (start, len(offered)),
        ).fetchall()
        now = [_offer(start + row, one) for row, one in enumerate(offered)]
        # A file without a stamp cannot be told from a changed one.
        same = [row[:-2] for row in rows] == now and all(row[1] for row in rows)
        if same:
            return [row[-2] for row in rows if row[-1] is None]
        self.forget(start)
        return None

    def forget(self, start: int) -> None:
        """Drop everything from a position on."""
        self._database.execute("DELETE FROM file WHERE position >= ?", (start,))
        self.num_kept = min(self.num_kept, start)

    def add(self, rows: Sequence[_Row], looks: Mapping[str, bytes]) -> None:
        """Keep rows of `row` and how usable contents look, all or none of it."""
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO look VALUES (?, ?)", looks.items())
        places = ",".join("?" * 16)
        self._database.executemany(f"INSERT INTO file VALUES ({places})", rows)  # noqa: S608
        self._database.execute("COMMIT")

    def usable(self) -> list[tuple[str, bytes, str | None, str]]:
        """Return uid, appearance, group and split ("" for none) of usable contents, by uid.

        The split is that of another member of the group where an image has none of its own.
        """
        return self._database.execute(
            "SELECT one.uid, appearance, one.group_name, "
            "coalesce(nullif(one.split, ''), max(other.split), '') FROM "
            "(SELECT uid, max(group_name) AS group_name, max(split) AS split FROM file "
            "WHERE reason IS NULL GROUP BY uid) AS one JOIN look ON look.uid = one.uid "
            "LEFT JOIN (SELECT group_name, max(split) AS split FROM file "
            "WHERE group_name IS NOT NULL GROUP BY group_name) AS other "
            "ON other.group_name = one.group_name GROUP BY one.uid ORDER BY one.uid"
        ).fetchall()

    def join(self, group_of: Mapping[str, str]) -> None:
        """Give contents a group, by uid, where the source names none; before `settle`."""
        self._database.execute("BEGIN")
        self._database.execute("CREATE TEMP TABLE named (uid TEXT PRIMARY KEY, group_name TEXT)")
        self._database.executemany("INSERT INTO named VALUES (?, ?)", group_of.items())
        self._database.execute(
            "INSERT INTO joined SELECT position FROM file "
            "WHERE group_name IS NULL AND uid IN (SELECT uid FROM named)"
        )
        self._database.execute(
            "UPDATE file SET group_name = named.group_name FROM named "
            "WHERE named.uid = file.uid AND file.group_name IS NULL"
        )
        self._database.execute("DROP TABLE named")
        self._database.execute("COMMIT")

    def settle(self) -> int:
        """Sort what was found into contents; return how many distinct ones there are.

        Called once, when every file is here.
        """
        self._database.execute("CREATE INDEX IF NOT EXISTS by_uid ON file (uid, position)")
        self._database.execute(_SIDES)
        self._database.execute("CREATE INDEX by_group ON side (group_name)")
        order = "min(position)"
        if self._one("SELECT EXISTS (SELECT 1 FROM file WHERE group_name IS NOT NULL)"):
            order = (
                "min(min(position)) OVER (PARTITION BY coalesce(min(group_name), uid)), "
                "min(position)"
            )
        self._database.execute(_PLACES.format(order=order))
        return int(self._one("SELECT count(*) FROM place") or 0)

    def contents(self, rows: int) -> Iterator[dict[str, Content]]:
        """Yield the distinct contents by uid, some at a time, with all that was said of each."""
        last = int(self._one("SELECT count(*) FROM place") or 0)
        for start in range(0, last, rows):
            yield self._contents(start, start + rows)

    def _contents(self, start: int, stop: int) -> dict[str, Content]:
        found: dict[str, Content] = {}
        columns = ", ".join(f"other.{name}" for name in f"{_OFFER}, {_FOUND}".split(", "))
        columns = columns.replace(
            "other.split", "coalesce(nullif(other.split, ''), side.split, '')"
        )
        rows = self._database.execute(
            f"SELECT {columns} FROM place "  # noqa: S608
            "JOIN file ON file.position = place.position JOIN file AS other "
            "ON other.uid = file.uid LEFT JOIN side ON side.group_name = other.group_name "
            "WHERE place.rowid > ? AND place.rowid <= ? "
            "ORDER BY place.rowid, other.position",
            (start, stop),
        )
        for _, _, name, label, annotator, group, split, statements, uid, *facts in rows:
            if uid not in found:
                num_bytes, width, height, channels, kind, oddities, reason = facts
                found_odd = tuple(oddities.split(";")) if oddities else ()
                inspection = Inspection(width, height, channels, reason, kind, found_odd)
                found[uid] = Content(name, num_bytes, inspection)
            found[uid].add(
                OfferedImage(
                    name=name,
                    label=label,
                    group=group,
                    split=split,
                    annotator=annotator,
                    statements=_statements(statements) if statements else (),
                )
            )
        return found

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Answer a question about table `file`; for few rows."""
        return self._database.execute(statement).fetchall()

    def _one(self, statement: str) -> int | None:
        found: int | None = self._database.execute(statement).fetchone()[0]
        return found

    def groups_with_sides(self) -> bool:
        """Return whether the source names a side for any group."""
        return bool(self._one("SELECT EXISTS (SELECT 1 FROM side)"))

    def on_both_sides(self) -> str | None:
        """Say which image or group the source puts on both sides of the split, if any."""
        both = self.rows(
            "SELECT uid, min(position) FROM file WHERE split <> '' GROUP BY uid "
            "HAVING min(split) <> max(split) ORDER BY 2 LIMIT 1"
        )
        if both:
            names = self._database.execute(
                "SELECT name, split FROM file WHERE uid = ? AND split <> '' ORDER BY position",
                both[0][:1],
            ).fetchall()
            first, side = names[0]
            other, other_side = next(pair for pair in names if pair[1] != side)
            return (
                f"{first} and {other} are the same image but one is in {side} and "
                f"the other in {other_side}; put both on one side"
            )
        groups = self.rows(
            "SELECT group_name FROM file WHERE group_name IS NOT NULL AND split <> '' "
            "GROUP BY 1 HAVING min(split) <> max(split) ORDER BY min(position)"
        )
        if groups:
            return (
                f"group {groups[0][0]!r} would be in both train and holdout ({len(groups)} such "
                "groups); put the whole group on one side in the manifest's split column"
            )
        return None

    def labels(self) -> set[str]:
        """Return the classes that usable files name."""
        rows = self._database.execute(
            "SELECT label FROM file WHERE label IS NOT NULL AND reason IS NULL UNION "
            "SELECT json_extract(value, '$[0]') FROM file, json_each(file.statements) "
            "WHERE statements IS NOT NULL AND reason IS NULL"
        )
        return {label for (label,) in rows}

    def close(self, *, done: bool) -> None:
        """Let go of the table; with `done` remove it."""
        self._database.close()
        if done or self._own is not None:
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + suffix).unlink()
        if self._own is not None:
            self._own.cleanup()
        elif self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(done=kind is None)


def row(position: int, offered: OfferedImage, uid: str, num_bytes: int, found: Inspection) -> _Row:
    """Return what `add` takes of one file."""
    return (
        *_offer(position, offered),
        uid,
        num_bytes,
        found.width,
        found.height,
        found.channels,
        found.format,
        ";".join(found.oddities),
        found.reason,
    )


def _statements(written: str) -> tuple[Statement, ...]:
    return tuple(map(Statement.unpacked, json.loads(written)))


def _offer(position: int, offered: OfferedImage) -> _Row:
    statements = [one.packed for one in offered.statements]
    split: Split = offered.split
    return (
        position,
        offered.stamp,
        offered.name,
        offered.label,
        offered.annotator,
        offered.group,
        split,
        json.dumps(statements) if statements else None,
    )
