"""A store whose way to the server leads through a proxy, and one beside it that takes the straight way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from sharedstate.testing.proxy import FaultProxy
from sharedstate.values import Value
from sharedstate_adapters.redis.store import RedisStore
from tests.integration.redis.stores import redis_store
from tests.integration.stores.places import redis_url

Counted = Callable[[int], None]


class Lane(Value):
    """One empty state: `store` through the `proxy`, `judge` straight to the server; `url` is the way of the store."""

    store: RedisStore
    judge: RedisStore
    proxy: FaultProxy
    url: str


@pytest.fixture
def lane() -> Iterator[Lane]:
    straight = redis_url()
    rest = straight.rpartition("@")[2].removeprefix("redis://")
    port = int(rest.partition("/")[0].partition(":")[2] or 6379)
    prefix = f"?prefix=f-{uuid4().hex[:12]}"
    with FaultProxy(("127.0.0.1", port)) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0{prefix}"
        made = Lane(
            store=redis_store(url, lock_timeout_ms=4_000),
            judge=redis_store(straight + prefix),
            proxy=proxy,
            url=url,
        )
        yield made
        made.store.close()
        made.judge.close()


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Counted:
    """Say how many operations a test has done; the run prints their sums."""
    return lambda count: record_property("operations", ("redis", count))
