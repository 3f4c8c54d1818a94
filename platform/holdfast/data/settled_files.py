"""The files of an ingest, sorted into distinct contents with all that was said of each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from holdfast.data.content import Content
from holdfast.data.integrity import Inspection
from holdfast.data.offers import OfferedImage, Statement

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
_COLUMNS = (
    *("name", "label", "annotator", "group_name", "split", "statements"),
    *("uid", "num_bytes", "width", "height", "channels", "format", "oddities", "reason"),
)


class SettledFiles:
    """Answers about the files that were examined, when all of them are.

    Parameters
    ----------
    database : sqlite3.Connection
        Has the table `file` of `examined_files`.

    Attributes
    ----------
    num_contents : int
        Distinct ones.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
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
        self.num_contents = int(self._one("SELECT count(*) FROM place") or 0)

    def contents(self, rows: int) -> Iterator[dict[str, Content]]:
        """Yield the distinct contents by uid, some at a time, with all that was said of each."""
        for start in range(0, self.num_contents, rows):
            yield self._contents(start, start + rows)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Answer a question about table `file`; for few rows."""
        return self._database.execute(statement).fetchall()

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

    def _contents(self, start: int, stop: int) -> dict[str, Content]:
        found: dict[str, Content] = {}
        columns = ", ".join(f"other.{name}" for name in _COLUMNS)
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
        for name, label, annotator, group, split, statements, uid, *facts in rows:
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

    def _one(self, statement: str) -> int | None:
        found: int | None = self._database.execute(statement).fetchone()[0]
        return found


def _statements(written: str) -> tuple[Statement, ...]:
    return tuple(map(Statement.unpacked, json.loads(written)))
