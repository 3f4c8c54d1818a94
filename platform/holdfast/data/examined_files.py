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
from typing import IO, Self

from holdfast.data.integrity import Inspection
from holdfast.data.offers import OfferedImage, Source, Split
from holdfast.data.settled_files import SettledFiles

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
_OFFER = "position, stamp, name, label, annotator, group_name, split, statements"
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

    def usable(self) -> Iterator[tuple[str, bytes, str | None, str]]:
        """Yield uid, appearance, group and split ("" for none) of usable contents, by uid.

        The split is that of another member of the group where an image has none of its own.
        """
        yield from self._database.execute(
            "SELECT one.uid, appearance, one.group_name, "
            "coalesce(nullif(one.split, ''), max(other.split), '') FROM "
            "(SELECT uid, max(group_name) AS group_name, max(split) AS split FROM file "
            "WHERE reason IS NULL GROUP BY uid) AS one JOIN look ON look.uid = one.uid "
            "LEFT JOIN (SELECT group_name, max(split) AS split FROM file "
            "WHERE group_name IS NOT NULL GROUP BY group_name) AS other "
            "ON other.group_name = one.group_name GROUP BY one.uid ORDER BY one.uid"
        )

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

    def settle(self) -> SettledFiles:
        """Sort what was found into contents; called once, when every file is here."""
        return SettledFiles(self._database)

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
