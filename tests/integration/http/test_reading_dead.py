"""Reading behind gateways that are dead: over in the time of one exchange, and soon by the circuits of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sharedstate.host import Host
from sharedstate.messages.breaker import COLLECTION, Breaker
from sharedstate.messages.policy_breaker import HEAVY_MS, Blocked, Pass
from sharedstate.settings import Settings, resolve
from sharedstate.testing.memory import MemoryStore
from sharedstate.testing.proxy import FaultProxy
from sharedstate_adapters.http.reading import UnionInbox
from tests.integration.http.gateways import TOKEN, RealGateway, saying

PATIENCE_S = 2.0


@pytest.fixture
def settings() -> Settings:
    return resolve({"http_token": TOKEN}, env={})


@pytest.fixture
def hanging() -> Iterator[list[str]]:
    """Three gateways that take connections and say nothing."""
    proxies = [FaultProxy(("127.0.0.1", 9), default="hang") for _ in range(3)]
    yield [f"http://127.0.0.1:{proxy.port}" for proxy in proxies]
    for proxy in proxies:
        proxy.close()


def circuits(local: MemoryStore, urls: list[str]) -> list[bool]:
    """Which of them are open: not to be asked."""
    return [isinstance(Breaker(local, host=local.host, name=url).ask(lease_ms=1), Blocked) for url in urls]


def test_gateways_that_say_nothing_share_the_time_of_a_look(settings: Settings, hanging: list[str]) -> None:
    inbox = UnionInbox.of(hanging, settings=settings, host=Host(), local=MemoryStore(), timeout_s=PATIENCE_S)
    began_s = time.monotonic()
    seen = inbox.unread("desk/bob")
    took_s = time.monotonic() - began_s
    assert took_s < 2 * PATIENCE_S, "and not the time of three"
    assert seen.count == 0
    assert [url in seen.unknown for url in hanging] == [True] * 3


def test_a_gateway_found_dead_by_any_process_is_not_asked_and_stays_unknown(settings: Settings) -> None:
    local = MemoryStore()
    dead = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    for url in dead:
        Breaker(local, host=local.host, name=url).failed(Pass(), took_ms=HEAVY_MS, answered=False, retry_after_ms=0)
    seen = UnionInbox.of(dead, settings=settings, host=Host(), local=local).unread("desk/bob")
    assert seen.unknown == "; ".join(f"{url}: not asked, it failed a moment ago" for url in dead)


def test_looks_at_a_dead_gateway_open_its_circuit_and_a_look_that_is_answered_closes_it(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    gateway = RealGateway(tmp_path_factory.mktemp("dead") / "state")
    with FaultProxy(("127.0.0.1", gateway.port), default="refuse") as proxy:
        local, urls = MemoryStore(), [f"http://127.0.0.1:{proxy.port}"]
        inbox = UnionInbox.of(urls, settings=settings, host=Host(), local=local, timeout_s=5)
        assert [bool(inbox.unread("desk/bob").unknown) for _ in range(3)] == [True] * 3
        assert circuits(local, urls) == [True]
        asked = len(proxy.log)
        assert "not asked" in inbox.unread("desk/bob").unknown
        assert len(proxy.log) == asked
        proxy.default = "pass"
        local.plant(COLLECTION, urls[0], b"{}")  # as if it had cooled down and failed once since
        assert inbox.unread("desk/bob").unknown == ""
        assert local.get(COLLECTION, urls[0]) is None
        inbox.close()
    gateway.end()


def test_a_hasty_look_holds_no_silence_against_a_gateway(settings: Settings, hanging: list[str]) -> None:
    local = MemoryStore()
    for _ in range(3):
        UnionInbox.of(hanging[:2], settings=settings, host=Host(), local=local, timeout_s=0.2).unread("desk/bob")
    assert circuits(local, hanging) == [False] * 3


@pytest.mark.parametrize("status, is_open", [(500, False), (503, True)])
def test_an_inbox_that_is_damaged_is_not_held_against_its_gateway_and_a_store_that_is_away_is(
    settings: Settings, status: int, is_open: bool
) -> None:
    local = MemoryStore()
    with saying(status, b'{"error": {"code": "x", "message": "no"}}') as url:
        inbox = UnionInbox.of([url], settings=settings, host=Host(), local=local, timeout_s=5)
        for _ in range(4):
            assert url in inbox.unread("desk/bob").unknown
        inbox.close()
    assert circuits(local, [url]) == [is_open]
