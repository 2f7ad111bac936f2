"""Every call ends, whoever drips or is silent; a server that repeats a password does not get it told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from sharedstate.errors import SharedStateError, StoreUnavailable, UnsafeStore
from sharedstate.paging import ROWS_FIRST
from sharedstate.store import Entry
from tests.integration.redis.stores import check_counts, counted_on, redis_store
from tests.servers.redis import RedisServer
from tests.servers.scripted import ScriptedServer

SECRET = "hunter2-very-secret"
LIMIT_MS = 600
SLACK_S = 2.0
DRIP_S = 6.0
pytestmark = [pytest.mark.slow]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    made = RedisServer()
    yield made
    made.stop()


def seconds_until_given_up(url: str) -> float:
    store = redis_store(url, lock_timeout_ms=LIMIT_MS)
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.get("tasks", "T-1")
    return time.monotonic() - began_s


def drip(client: socket.socket, head: bytes) -> None:
    """The beginning of an answer, then a byte now and then."""
    client.sendall(head)
    until_s = time.monotonic() + DRIP_S
    while time.monotonic() < until_s:
        client.sendall(b"x")
        time.sleep(0.05)


def drip_answers(client: socket.socket) -> None:
    info = b"redis_version:7.0.0\r\nmaxmemory_policy:noeviction\r\n"
    while raw := client.recv(65536):
        if b"INFO" in raw:
            client.sendall(b"$%d\r\n%b\r\n" % (len(info), info))
        else:
            drip(client, b"*4\r\n$100000\r\n")


def drip_the_login(client: socket.socket) -> None:
    if client.recv(65536):
        drip(client, b"+O")


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    with ScriptedServer(drip_answers) as server:
        assert seconds_until_given_up(f"redis://127.0.0.1:{server.port}/0") < LIMIT_MS / 1000 + SLACK_S


def test_a_login_that_drips_is_given_up_in_time() -> None:
    with ScriptedServer(drip_the_login) as server:
        assert seconds_until_given_up(f"redis://u:p@127.0.0.1:{server.port}/0") < LIMIT_MS / 1000 + SLACK_S


def test_many_silent_sentinels_take_no_longer_than_one(server: RedisServer) -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(ScriptedServer()).port for _ in range(40)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        assert seconds_until_given_up(f"redis+sentinel://{hosts}/fleet/0") < LIMIT_MS / 1000 + SLACK_S


def sentinel_naming(port: int, flags: bytes) -> ScriptedServer:
    """A sentinel that knows one primary."""
    words = (b"name", b"fleet", b"ip", b"127.0.0.1", b"port", b"%d" % port, b"flags", flags)
    answer = b"*%d\r\n%b" % (len(words), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))

    def serve(client: socket.socket) -> None:
        while client.recv(65536):
            client.sendall(answer)

    return ScriptedServer(serve)


def test_a_silent_sentinel_and_one_that_sees_the_primary_down_are_passed_over(server: RedisServer) -> None:
    with (
        ScriptedServer() as silent,
        sentinel_naming(1, b"master,s_down") as wrong,
        sentinel_naming(server.port, b"master") as right,
    ):
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in (silent, wrong, right))
        store = redis_store(f"redis+sentinel://{hosts}/fleet/0", lock_timeout_ms=2_000)
        assert store.transact("counters", "c", counted_on) == 1
        store.close()
        assert store.transact("counters", "c", counted_on) == 2
        assert silent.connections == 1, "who has answered is asked first the next time"


def repeat(client: socket.socket) -> None:
    while raw := client.recv(65536):
        words = b" ".join(raw.split(b"\r\n")[2::2])
        client.sendall(b"-ERR unknown command, with args beginning with: " + words + b"\r\n")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://fleet:{SECRET}@127.0.0.1:PORT/0",
        f"redis://:{SECRET}@127.0.0.1:PORT/0",
        f"redis+sentinel://127.0.0.1:PORT/fleet/0?sentinel_password={SECRET}",
    ],
)
def test_a_server_that_repeats_the_password_does_not_get_it_told(url: str) -> None:
    with ScriptedServer(repeat) as server:
        store = redis_store(url.replace("PORT", str(server.port)), lock_timeout_ms=LIMIT_MS)
        with pytest.raises(SharedStateError, match=r"beginning with: .*…") as caught:
            store.get("tasks", "T-1")
        assert SECRET not in f"{caught.value!r} {caught.value.hint} {store.checkup()}"


def test_a_server_that_may_evict_is_refused_by_the_first_write_after_a_new_connection(server: RedisServer) -> None:
    store = redis_store(server.url)
    assert store.transact("counters", "c", counted_on) == 1
    client = redis.Redis(port=server.port)
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.client_kill_filter(_type="normal")
    with pytest.raises(UnsafeStore, match="allkeys-lru"):
        store.transact("counters", "c", counted_on)
    client.config_set("maxmemory-policy", "noeviction")
    assert store.transact("counters", "c", counted_on) == 2
    check_counts(store, 2)


def test_a_journal_of_large_entries_is_read_in_small_pages(server: RedisServer) -> None:
    """Five hundred of the largest at once take longer than an answer may, also on a loopback."""
    store = redis_store(server.url, lock_timeout_ms=2_000)
    text = "x" * 900_000
    for first in range(1, 121, 10):
        store.load_entries("log", [Entry(sequence=n, at_ms=1, value={"t": text}) for n in range(first, first + 10)])
    sizes: list[int] = []
    ask = store._reader._wire.ask

    def weighed(words: Sequence[Any], *rest: Any, **named: Any) -> Any:
        answer = ask(words, *rest, **named)
        sizes.append(len(answer))
        return answer

    store._reader._wire.ask = weighed  # type: ignore[method-assign]  # reason: looked at, not replaced
    assert [entry.sequence for entry in store.read("log")] == list(range(1, 121))
    assert sizes[0] <= ROWS_FIRST
    assert max(sizes[1:]) <= 2


def test_many_journals_are_listed_though_all_together_take_longer_than_one_request_may(server: RedisServer) -> None:
    store = redis_store(server.url, lock_timeout_ms=200)
    store.append("log", {"n": 1})
    client = redis.Redis(port=server.port)
    client.sadd(store.keys.names, *(f"journal n-{number}" for number in range(8_000)))
    assert store.journals() == ["log"]
