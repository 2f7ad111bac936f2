"""Inboxes behind several gateways: the union by id, one store behind two, and unknown instead of empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.messages.wire import envelope_of
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.http.reading import HttpInbox, UnionInbox
from tests.integration.http.gateways import TOKEN, RealGateway, letter

Pair = tuple[RealGateway, RealGateway]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two gateways over one store."""
    root = tmp_path_factory.mktemp("twins") / "state"
    first = RealGateway(root, "--allow-write")
    second = RealGateway(root, "--allow-write", "--service", "second")
    yield first, second
    first.end()
    second.end()


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two gateways over two stores."""
    made = [RealGateway(tmp_path_factory.mktemp(name) / "state", "--allow-write") for name in ("one", "two")]
    yield made[0], made[1]
    for gateway in made:
        gateway.end()


def union(*gateways: RealGateway, also: str = "", local: MemoryStore | None = None) -> UnionInbox:
    urls = [gateway.url for gateway in gateways] + ([also] if also else [])
    return UnionInbox([HttpInbox(url, token=TOKEN, timeout_s=5) for url in urls], local=local)


def test_two_gateways_over_one_store_are_one_inbox(twins: Pair) -> None:
    for number in range(1, 4):
        twins[number % 2].send(letter(number, to="desk/one"))
    inbox = union(*twins)
    seen = inbox.unread("desk/one")
    assert (seen.count, seen.up_to, seen.unknown) == (3, 3, "")
    assert [one.id for one in seen.letters] == [letter(number)["message_id"] for number in range(1, 4)]
    assert inbox.ack("desk/one", up_to=2) == ""
    assert union(*twins).unread("desk/one").count == 1
    inbox.close()


def test_a_gateway_that_is_away_makes_nothing_unknown_while_its_twin_speaks(twins: Pair, tmp_path: Path) -> None:
    third = RealGateway(twins[0].root, "--allow-write", "--service", "third")
    local = MemoryStore()
    inbox = union(twins[0], third, local=local)
    assert inbox.unread("desk/two").unknown == ""
    third.end()
    assert inbox.unread("desk/two").unknown == ""
    assert "127.0.0.1" in union(twins[0], third).unread("desk/two").unknown, "without a memory it cannot know"


def test_two_stores_are_one_inbox_by_the_ids(strangers: Pair) -> None:
    both, left, right = letter(1, to="desk/u"), letter(2, to="desk/u"), letter(3, to="desk/u")
    for gateway, one in ((strangers[0], both), (strangers[1], both), (strangers[0], left), (strangers[1], right)):
        gateway.send(one)
    inbox = union(*strangers)
    seen = inbox.unread("desk/u")
    ids = [both["message_id"], left["message_id"], right["message_id"]]
    assert ([one.id for one in seen.letters], seen.count, seen.up_to) == (ids, 3, 0)
    assert [one.id for one in inbox.list("desk/u")[0]] == ids
    with pytest.raises(InvalidInput):
        inbox.ack("desk/u", up_to=1)
    assert inbox.ack("desk/u", ids=[ids[0], ids[2]]) == ""
    assert [one.id for one in inbox.unread("desk/u").letters] == [ids[1]]
    assert inbox.thread(ids[2]) == ([envelope_of(right)], "")


def test_who_cannot_be_asked_is_unknown_and_never_empty(strangers: Pair) -> None:
    dead = "http://127.0.0.1:1"
    seen = union(strangers[0], also=dead).unread("desk/nobody")
    assert seen.count == 0
    assert dead in seen.unknown
    with pytest.raises(StoreUnavailable):
        HttpInbox(dead).unread("desk/nobody")


def test_a_wrong_token_is_no_empty_inbox(strangers: Pair) -> None:
    inbox = HttpInbox(strangers[0].url, token="another-token-of-tests")
    with pytest.raises(StoreUnavailable):
        inbox.unread("desk/u")
    assert "401" in UnionInbox([inbox]).unread("desk/u").unknown
