"""Damage done to a store behind its back: by another program, or by a disk."""

from __future__ import annotations

from typing import Any, Final

import psycopg
import redis
from psycopg.sql import SQL, Identifier

from sharedstate_adapters.git.store import GitStore
from sharedstate_adapters.postgres.store import PostgresStore
from sharedstate_adapters.redis.store import RedisStore
from tests.integration.git.ground import spoil_record
from tests.integration.stores.places import redis_url
from tests.integration.stores.postgres import postgres_url

TORN: Final = '{"torn": '


def damage(store: Any, collection: str, key: str) -> None:
    """Spoil an existing record behind the store's back."""
    if isinstance(store, RedisStore):
        redis.Redis.from_url(redis_url()).hset(store.keys.records(collection), key, TORN.encode())
    elif isinstance(store, PostgresStore):
        text = SQL("UPDATE {}.records SET value = %s WHERE collection = %s AND key = %s")
        with psycopg.connect(postgres_url()) as connection:
            connection.execute(text.format(Identifier(store.address.schema)), (TORN, collection, key))
    else:
        assert isinstance(store, GitStore)
        spoil_record(store, collection, key)


def lose_entry(store: Any, journal: str, sequence: int) -> bool:
    """Take one entry out of a journal behind the store's back; False where that cannot be done."""
    if isinstance(store, RedisStore):
        return bool(redis.Redis.from_url(redis_url()).xdel(store.keys.journal(journal), f"{sequence}-0"))
    if isinstance(store, PostgresStore):
        text = SQL("DELETE FROM {}.entries WHERE journal = %s AND sequence = %s")
        with psycopg.connect(postgres_url()) as connection:
            connection.execute(text.format(Identifier(store.address.schema)), (journal, sequence))
        return True
    return False
