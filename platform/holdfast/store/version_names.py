"""What people call dataset versions: an id, a tag, `round-N` or `latest`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.errors import LedgerError
from holdfast.store import models
from holdfast.store.ledger import now
from holdfast.store.models import StoredVersion
from holdfast.store.schema import dataset_version, model, version_tag

LATEST = "latest"
_ROUND = re.compile(r"round-([1-9][0-9]*)")
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedVersion:
    """A dataset version, and what points to it.

    Attributes
    ----------
    created_at : str
        UTC, ISO 8601.
    models : tuple of str
        sha256 of the models that learned from it.
    """

    stored: StoredVersion
    created_at: str
    tags: tuple[str, ...]
    models: tuple[str, ...]


def find(connection: Connection, name: str) -> StoredVersion:
    """Return the version of a name.

    `round-N` is the version that round learned from, `latest` the newest that any did.

    Raises
    ------
    LedgerError
        If there is none.
    """
    found: StoredVersion | None = None
    if name.isdecimal():
        known = connection.scalar(
            sa.select(dataset_version.c.id).where(dataset_version.c.id == int(name))
        )
        found = None if known is None else models.version_by_id(connection, known)
    elif name == LATEST:
        newest = models.newest_version
        found = newest(connection, tier="training") or newest(connection)
    elif (of_round := _ROUND.fullmatch(name)) is not None:
        found = models.newest_version(connection, int(of_round[1]), "training")
    else:
        tagged = connection.scalar(
            sa.select(version_tag.c.dataset_version).where(version_tag.c.name == name)
        )
        found = None if tagged is None else models.version_by_id(connection, tagged)
    if found is None:
        raise LedgerError(f"no dataset version {name!r}; {_hint(connection, name)}")
    return found


def tag(connection: Connection, version_id: int, name: str, who: str) -> None:
    """Give a version a name of its own; the same name given to it again changes nothing.

    Raises
    ------
    LedgerError
        If the name is another version's, or cannot be one.
    """
    if name == LATEST or _ROUND.fullmatch(name) or not _TAG.fullmatch(name):
        raise LedgerError(
            f"a tag should be a letter and up to 63 letters, digits, '.', '_' or '-', and "
            f"neither {LATEST} nor round-N, not {name!r}; choose another"
        )
    known = connection.scalar(
        sa.select(version_tag.c.dataset_version).where(version_tag.c.name == name)
    )
    if known is None:
        connection.execute(
            sa.insert(version_tag),
            {"name": name, "dataset_version": version_id, "who": who, "created_at": now()},
        )
    elif known != version_id:
        raise LedgerError(
            f"{name} is the name of version {known} and tags do not move; choose another"
        )


def listed(connection: Connection, limit: int | None = None) -> list[ListedVersion]:
    """Return versions, the newest first, `limit` of them where one is named."""
    rows = connection.execute(
        sa.select(dataset_version.c.id, dataset_version.c.created_at)
        .order_by(dataset_version.c.id.desc())
        .limit(limit)
    ).all()
    tags = _names_of(connection, version_tag.c.dataset_version, version_tag.c.name)
    learned = _names_of(connection, model.c.dataset_version, model.c.sha256)
    return [
        ListedVersion(
            stored=models.version_by_id(connection, row.id),
            created_at=row.created_at,
            tags=tuple(tags.get(row.id, ())),
            models=tuple(learned.get(row.id, ())),
        )
        for row in rows
    ]


def shown(connection: Connection, stored: StoredVersion) -> ListedVersion:
    """Return one version with what points to it."""
    tags = _names_of(connection, version_tag.c.dataset_version, version_tag.c.name, stored.id)
    learned = _names_of(connection, model.c.dataset_version, model.c.sha256, stored.id)
    created_at = connection.scalar(
        sa.select(dataset_version.c.created_at).where(dataset_version.c.id == stored.id)
    )
    return ListedVersion(
        stored=stored,
        created_at=str(created_at),
        tags=tuple(tags.get(stored.id, ())),
        models=tuple(learned.get(stored.id, ())),
    )


def _names_of(
    connection: Connection,
    version: sa.Column[int],
    name: sa.Column[str],
    version_id: int | None = None,
) -> Mapping[int, Sequence[str]]:
    statement = sa.select(version, name).order_by(name)
    if version_id is not None:
        statement = statement.where(version == version_id)
    found: dict[int, list[str]] = {}
    for of, one in connection.execute(statement).tuples():
        found.setdefault(of, []).append(one)
    return found


def _hint(connection: Connection, name: str) -> str:
    tags = list(connection.execute(sa.select(version_tag.c.name)).scalars())
    close = difflib.get_close_matches(name, [LATEST, *tags], n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "`holdfast versions list` shows them; each finished round has one"
