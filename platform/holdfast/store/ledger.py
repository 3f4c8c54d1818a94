"""Opens the ledger: one relational database, migrated, with honest transactions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from holdfast.errors import LedgerError
from holdfast.store import schema

# Equal stories differ in their times, in the ids that other systems gave, and in who worked.
_UNTOLD = {
    "answered_at",
    "closed_at",
    "created_at",
    "external_id",
    "finished_at",
    "lease_owner",
    "lease_until",
    "moment",
    "opened_at",
    "seconds",
    "sent_at",
    "started_at",
    "updated_at",
}
# Not of the story: what oracles remember, and what follows from the label log.
_ASIDE = (schema.oracle_state, schema.label_moment, schema.label_span)


def now() -> str:
    """Return the present moment, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Ledger:
    """The single source of truth.

    Parameters
    ----------
    url : str
        `sqlite:///path/to/ledger.db` (WAL mode), or a PostgreSQL URL.

    Raises
    ------
    LedgerError
        If the database cannot be opened, or was written by a newer Holdfast.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        try:
            _migrate(self.engine)
        except sa.exc.SQLAlchemyError as error:
            raise LedgerError(
                f"ledger {self.engine.url} cannot be opened ({error}); check ledger.url"
            ) from error

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that sees one moment of the ledger and writes nothing."""
        with self.engine.connect() as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection whose changes are committed together, or not at all.

        SQLite takes its write lock at the start, so that what is read inside cannot
        change before it is written.
        """
        with self.engine.connect() as connection:
            connection = connection.execution_options(holdfast_write=True)
            with connection.begin():
                yield connection

    def digest(self) -> str:
        """Return a sha256 over every row: times and other systems' ids left out.

        Equal digests mean that two ledgers tell the same story. Cost: reads the ledger
        once.
        """
        sha = hashlib.sha256()
        with self.read() as connection:
            for table in schema.metadata.sorted_tables:
                if table in _ASIDE:
                    continue
                columns = [c for c in table.columns if c.name not in _UNTOLD]
                rows = connection.execute(sa.select(*columns).order_by(*table.primary_key))
                for row in rows:
                    sha.update(json.dumps([table.name, *row], sort_keys=True).encode())
        return sha.hexdigest()


def _engine(url: str) -> Engine:
    try:
        parsed = sa.engine.make_url(url)
    except sa.exc.ArgumentError as error:
        raise LedgerError(
            f"ledger.url {url!r} is no database URL; expected sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/NAME"
        ) from error
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": 60})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection, _record) -> None:  # type: ignore[no-untyped-def]
        # The driver's own transactions begin too late; `write` begins them.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            # Uids are random, so of a million samples each piece of an ingest touches most
            # pages of their index: 64 MiB of them in memory and in the log between two
            # checkpoints take a third off the time of the inserts.
            "cache_size=-65536",
            "wal_autocheckpoint=16384",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("holdfast_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _migrate(engine: Engine) -> None:
    newest = "0005"
    with engine.connect() as connection:
        if sa.inspect(connection).has_table("alembic_version"):
            current = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            if current == newest:
                return
            if current is not None and current > newest:
                raise LedgerError(
                    f"the ledger has revision {current} but this Holdfast knows up to {newest}; "
                    "upgrade Holdfast"
                )
    # Alembic takes most of a second to import: only a ledger to be changed pays for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "holdfast.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
