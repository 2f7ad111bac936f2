"""A server in cluster mode: every request stays within the one slot of the prefix's hash tag."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sharedstate import SharedState
from sharedstate.errors import StoreUnavailable
from sharedstate.tasks.outcomes import Claimed
from sharedstate.testing.contracts.steps import beats, writes
from tests.integration.redis.stores import check_counts, command, counted_on, redis_store
from tests.servers.lifetime import free_port
from tests.servers.redis import RedisServer

SLOTS = range(16384)
PORT_MAX = 55_535  # nodes talk to each other 10,000 ports above
PATIENCE_S = 10.0
pytestmark = [pytest.mark.slow]


@pytest.fixture
def node() -> Iterator[RedisServer]:
    """One node that serves every slot, and refuses what spans two of them."""
    port = free_port()
    while port > PORT_MAX:
        port = free_port()
    made = RedisServer("--cluster-enabled", "yes", port=port)
    command(made.port, "CLUSTER", "ADDSLOTS", *map(str, SLOTS))
    deadline_s = time.monotonic() + PATIENCE_S
    while "cluster_state:ok" not in str(command(made.port, "CLUSTER", "INFO")):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    yield made
    made.stop()


def test_everything_works_in_cluster_mode(node: RedisServer) -> None:
    store = redis_store(f"{node.url}?prefix=one")
    assert [store.transact("counters", "c", counted_on) for _ in range(2)] == [1, 2]
    store.transact("counters", "c", beats(2))
    store.transact("views", "v", writes({"n": 1}), derived=True)
    store.append("log", {"n": 1})
    assert store.load_entries("copy", list(store.read("log"))) == 1
    assert [len(list(store.scan("counters", live_only=live))) for live in (True, False)] == [1, 1]
    assert (store.collections(), store.journals()) == (["counters", "views"], ["copy", "events", "log"])
    assert store.watch("log", after=0, timeout_s=1) is True
    check_counts(store, 2)
    assert "error" not in {finding.severity for finding in store.checkup()}


def test_claims_work_in_cluster_mode(node: RedisServer) -> None:
    with SharedState.open(url=f"{node.url}?prefix=two", owner="desk/a") as state:
        assert isinstance(state.claims.claim("T-1"), Claimed)
        state.claims.release("T-1", status="complete")


def test_a_node_without_the_slot_says_so(node: RedisServer) -> None:
    store = redis_store(f"{node.url}?prefix=one", lock_timeout_ms=300)
    command(node.port, "CLUSTER", "DELSLOTS", *map(str, SLOTS))
    with pytest.raises(StoreUnavailable, match="slot"):
        store.transact("counters", "c", counted_on)
