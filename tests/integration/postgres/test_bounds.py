"""Every call ends, however many servers are silent or drip."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from sharedstate.errors import StoreUnavailable
from tests.integration.postgres.stores import counted_on, postgres_store
from tests.integration.stores.postgres import schema_url
from tests.servers.scripted import ScriptedServer

LIMIT_MS = 600
SLACK_S = 2.0
DRIP_S = 6.0
pytestmark = [pytest.mark.slow]


def seconds_until_given_up(hosts: str) -> float:
    store = postgres_store(f"postgresql://u:p@{hosts}/d?sslmode=disable", lock_timeout_ms=LIMIT_MS)
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.get("tasks", "T-1")
    return time.monotonic() - began_s


def drip(client: socket.socket) -> None:
    """A login without an end: one parameter after the other."""
    client.recv(65536)
    client.sendall(b"R\0\0\0\x08\0\0\0\0")
    until_s = time.monotonic() + DRIP_S
    while time.monotonic() < until_s:
        client.sendall(b"S\0\0\0\x08a\0b\0")
        time.sleep(0.05)


def test_a_silent_server_is_given_up_within_the_time_of_the_call() -> None:
    with ScriptedServer() as server:
        assert seconds_until_given_up(f"127.0.0.1:{server.port}") < LIMIT_MS / 1000 + SLACK_S


def test_many_silent_hosts_take_no_longer_than_one() -> None:
    with ExitStack() as stack:
        hosts = [f"127.0.0.1:{stack.enter_context(ScriptedServer()).port}" for _ in range(6)]
        assert seconds_until_given_up(",".join(hosts)) < LIMIT_MS / 1000 + SLACK_S


def test_a_login_that_drips_is_given_up_within_the_time_of_the_call() -> None:
    with ScriptedServer(drip) as server:
        assert seconds_until_given_up(f"127.0.0.1:{server.port}") < LIMIT_MS / 1000 + SLACK_S


def test_a_host_behind_silent_ones_is_found() -> None:
    url = urlsplit(schema_url(f"b_{uuid4().hex[:12]}"))
    with ScriptedServer() as one, ScriptedServer() as two:
        credentials, _, host = url.netloc.rpartition("@")
        hosts = f"127.0.0.1:{one.port},127.0.0.1:{two.port},{host}"
        netloc = f"{credentials}@{hosts}" if credentials else hosts
        store = postgres_store(url._replace(netloc=netloc).geturl(), lock_timeout_ms=4_000)
        assert store.transact("counters", "c", counted_on) == 1
        assert (one.connections, two.connections) == (1, 1)
