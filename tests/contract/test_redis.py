"""The Redis store passes the whole store contract, on a real server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import redis

from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import Store
from sharedstate.testing.contracts import PortableContract, StoreContract
from sharedstate.testing.contracts.steps import Opener
from sharedstate_adapters.redis.store import RedisStore
from tests.integration.stores.places import redis_url


def open_store(url: str) -> RedisStore:
    """The store of a URL, as another process opens it."""
    return RedisStore.from_url(url, settings=resolve({}, env={}, folder="/"), host=Host())


def _url(tmp_path: Path) -> str:
    return f"{redis_url()}?prefix=t-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}"


class TestRedisStore(StoreContract, PortableContract):
    def make_store(self, tmp_path: Path) -> Store:
        return open_store(_url(tmp_path))

    def another(self, store: Store, tmp_path: Path) -> Store:
        return open_store(_url(tmp_path))

    def opener(self, store: Store, tmp_path: Path) -> Opener:
        return ("tests.contract.test_redis:open_store", _url(tmp_path))

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        assert isinstance(store, RedisStore)
        redis.Redis.from_url(redis_url()).hset(store.keys.records(collection), key, b'{"torn": ')
        return True

    def lose_beats(self, store: Store) -> bool:
        assert isinstance(store, RedisStore)
        client = redis.Redis.from_url(redis_url())
        for key in client.scan_iter(match=f"{store.keys.prefix}beat:*"):
            client.delete(key)
        return True
