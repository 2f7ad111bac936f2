"""The PostgreSQL store passes the whole store contract, on a real server."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import Store
from sharedstate.testing.contracts import PortableContract, StoreContract
from sharedstate.testing.contracts.steps import Opener
from sharedstate_adapters.postgres.store import PostgresStore
from tests.integration.stores.postgres import postgres_url, schema_url


def open_store(url: str) -> PostgresStore:
    """The store of a URL, as another process opens it."""
    return PostgresStore.from_url(url, settings=resolve({}, env={}, folder="/"), host=Host())


class TestPostgresStore(StoreContract, PortableContract):
    def make_store(self, tmp_path: Path) -> Store:
        return open_store(schema_url(str(tmp_path)))

    def another(self, store: Store, tmp_path: Path) -> Store:
        return open_store(schema_url(str(tmp_path)))

    def opener(self, store: Store, tmp_path: Path) -> Opener:
        return ("tests.contract.test_postgres:open_store", schema_url(str(tmp_path)))

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        assert isinstance(store, PostgresStore)
        text = SQL("UPDATE {}.records SET value = %s WHERE collection = %s AND key = %s")
        with psycopg.connect(postgres_url()) as connection:
            connection.execute(text.format(Identifier(store.address.schema)), ('{"torn": ', collection, key))
        return True

    def lose_beats(self, store: Store) -> bool:
        assert isinstance(store, PostgresStore)
        with psycopg.connect(postgres_url()) as connection:
            connection.execute(SQL("DELETE FROM {}.beats").format(Identifier(store.address.schema)))
        return True
