"""A store whose way to the server leads through a proxy, and one beside it that takes the straight way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from sharedstate.testing.proxy import FaultProxy
from sharedstate.values import Value
from sharedstate_adapters.postgres.store import PostgresStore
from sharedstate_adapters.postgres.writing import Writer
from tests.integration.postgres.stores import postgres_store
from tests.integration.stores.postgres import postgres_url, schema_url

Counted = Callable[[int], None]


class Lane(Value):
    """One empty state: `store` through the `proxy`, `judge` straight to the server; `url` is the way of the store."""

    store: PostgresStore
    judge: PostgresStore
    proxy: FaultProxy
    url: str
    straight: str


@pytest.fixture(params=["at once", "locked"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of a transition, one after the other: compared by the server, and decided under the record's lock."""
    if request.param == "locked":
        monkeypatch.setattr(Writer, "at_once_max", 0)
    return str(request.param)


@pytest.fixture
def lane() -> Iterator[Lane]:
    name = uuid4().hex
    straight = schema_url(name)
    port = urlsplit(postgres_url()).port or 5432
    with FaultProxy(("127.0.0.1", port)) as proxy:
        url = straight.replace(f":{port}/", f":{proxy.port}/")
        made = Lane(
            store=postgres_store(url, lock_timeout_ms=4_000),
            judge=postgres_store(straight),
            proxy=proxy,
            url=url,
            straight=straight,
        )
        made.judge.migrate(plan=False)
        yield made
        made.store.close()
        made.judge.close()


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Counted:
    """Say how many operations a test has done; the run prints their sums."""
    return lambda count: record_property("operations", ("postgres", count))
