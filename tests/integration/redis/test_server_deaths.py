"""The server is killed and comes back, a replica takes over: what was acknowledged stays as documented."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from sharedstate.errors import DurabilityUnknown, StoreUnavailable
from sharedstate_adapters.redis.store import RedisStore
from tests.integration.redis.stores import check_counts, command, counted_on, redis_store
from tests.servers.lifetime import ServerChild, free_port, server_folder
from tests.servers.redis import RedisServer, binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE_S = 30.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    made = RedisServer(fsync="always")
    yield made
    made.stop()


def test_a_server_that_stands_still_is_waited_for(server: RedisServer) -> None:
    store = redis_store(f"{server.url}?prefix=still", lock_timeout_ms=8_000)
    assert store.transact("counters", "c", counted_on) == 1
    blocker = threading.Thread(target=lambda: command(server.port, "DEBUG", "SLEEP", "3"))
    blocker.start()
    time.sleep(0.1)
    assert store.transact("counters", "c", counted_on) == 2, "asked twice, done once"
    blocker.join()
    check_counts(store, 2)


class Pair:
    """A primary, its replica, and a sentinel that watches them."""

    def __init__(self) -> None:
        self.primary = RedisServer()
        self.replica = RedisServer("--replicaof", "127.0.0.1", str(self.primary.port))
        self.folder = server_folder("sentinel")
        self.port = free_port()
        config = self.folder / "sentinel.conf"
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor fleet 127.0.0.1 {self.primary.port} 1",
            "sentinel down-after-milliseconds fleet 500",
            "sentinel failover-timeout fleet 3000",
        )
        config.write_text("\n".join(lines) + "\n")
        self._sentinel = ServerChild((binary(), str(config), "--sentinel"), log=self.folder / "server.log")
        self._sentinel.wait_until(self._sees_the_replica)

    def _sees_the_replica(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            told = command(self.port, "SENTINEL", "REPLICAS", "fleet")
        except (OSError, redis.RedisError):
            return False
        return len(told) == 1 and self.primary_link_is_up()

    def primary_link_is_up(self) -> bool:
        """Whether the replica follows its primary."""
        return bool(redis.Redis(port=self.replica.port).info("replication").get("master_link_status") == "up")

    def stop(self) -> None:
        """End all three."""
        self._sentinel.stop()
        self.replica.stop()
        self.primary.stop()
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.stop()


def test_sentinels_lead_to_the_new_primary_with_what_replicas_had_confirmed(pair: Pair) -> None:
    url = f"redis+sentinel://127.0.0.1:{pair.port}/fleet/0?prefix=s&replicas=1"
    store = redis_store(url)
    for count in range(1, 21):
        assert store.transact("counters", "c", counted_on) == count
    pair.primary.kill()
    without_waiting = redis_store(url.removesuffix("&replicas=1"))
    assert _until_it_works(without_waiting) >= 21
    held = without_waiting.get("counters", "c")
    assert held is not None
    check_counts(without_waiting, held.revision)


def test_a_change_that_no_replica_confirms_is_said_to_be_of_unknown_durability(pair: Pair) -> None:
    url = f"{pair.primary.url}?prefix=w&replicas=1"
    store = redis_store(url, lock_timeout_ms=2_000)
    assert store.transact("counters", "c", counted_on) == 1
    assert store.append("log", {"n": 1}) == 1
    pair.replica.kill()
    with pytest.raises(DurabilityUnknown):
        store.transact("counters", "c", counted_on)
    check_counts(store, 2)
    assert store.transact("counters", "c", counted_on, durability="relaxed") == 3
    deadline_s = time.monotonic() + PATIENCE_S  # a child of the dead replica may keep its connection for a while
    while [found.code for found in store.checkup() if found.severity == "error"] != ["redis_role"]:
        assert time.monotonic() < deadline_s, store.checkup()
        time.sleep(0.1)


def test_a_replica_takes_no_changes_and_says_where_to_go(pair: Pair) -> None:
    store = redis_store(f"{pair.replica.url}?prefix=r", lock_timeout_ms=300)
    assert store.get("counters", "c") is None
    with pytest.raises(StoreUnavailable, match="replica"):
        store.transact("counters", "c", counted_on)
    assert "redis_role" in [found.code for found in store.checkup() if found.severity == "error"]


def _until_it_works(store: RedisStore) -> int:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return store.transact("counters", "c", counted_on)
        except StoreUnavailable:
            assert time.monotonic() < deadline_s, "no new primary"
