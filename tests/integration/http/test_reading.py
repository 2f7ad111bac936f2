"""Inboxes behind several gateways: the union by id, one store behind two, and unknown instead of empty."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.messages.wire import envelope_of
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.http.reading import HttpInbox, UnionInbox
from tests.integration.http.gateways import TOKEN, RealGateway, letter, saying

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


def test_a_gateway_that_repeats_the_token_does_not_get_it_into_what_is_told() -> None:
    with saying(403, b'{"error": {"message": "not for an-echoed-token"}}') as url:
        seen = UnionInbox([HttpInbox(url, token="an-echoed-token")]).unread("desk/u")
    assert "not for …" in seen.unknown
    assert "an-echoed-token" not in seen.unknown


# What is no gateway of ours, or a bad one


@pytest.mark.parametrize(
    "status, body",
    [
        *[(status, b"") for status in (200, 204, 301, 401, 500)],
        *[(status, b"<html>") for status in (200, 404, 503)],
        *[(status, b'{"error": {"code": "other", "message": "no"}}') for status in (200, 400, 403, 404, 405, 409, 421)],
        (404, b'{"error": {"code": "not_found", "message": "no"}}'),
    ],
)
def test_a_server_that_is_no_gateway_is_unknown_and_spoils_no_other(strangers: Pair, status: int, body: bytes) -> None:
    number = status * 1000 + len(body)
    agent, mine = f"desk/{number}", letter(number)["message_id"]
    strangers[0].send(letter(number, to=agent))
    with saying(status, body) as url:
        inbox = union(strangers[0], also=url)
        seen = inbox.unread(agent)
        assert ([one.id for one in seen.letters], url in seen.unknown) == ([mine], True)
        letters, unknown = inbox.list(agent)
        assert ([one.id for one in letters], url in unknown) == ([mine], True)
        messages, unknown = inbox.thread(mine)
        assert ([one.id for one in messages], url in unknown) == ([mine], b"not_found" not in body)
        with pytest.raises(InvalidInput):
            inbox.ack(agent, up_to=1)
        assert url in inbox.ack(agent, ids=[mine])
        assert union(strangers[0]).unread(agent).count == 0


def page(**changes: Any) -> bytes:
    told = {"sequence": 1, "id": letter(1)["message_id"], "received_at": "2026-01-01T00:00:00Z", "unread": True}
    whole = {"letters": [{**told, "message": None, **changes}], "count": 1, "up_to": 1, "next_after": None}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "$(touch x)"},
        {"id": 7},
        {"id": letter(2)["message_id"], "message": letter(1)},
        {"message": {**letter(1), "to": []}},
        {"gist": {"from": "", "kind": "message"}},
        {"gist": {"from": "eve", "kind": "a b"}},
        {"gist": []},
        {"received_at": "now"},
        {"sequence": -1},
    ],
)
def test_a_letter_that_is_none_is_unknown(changes: dict[str, Any]) -> None:
    with saying(200, page(**changes)) as url:
        seen = UnionInbox([HttpInbox(url)]).unread("desk/bob")
        assert (seen.letters, url in seen.unknown) == ((), True)


def test_what_a_gateway_cannot_read_is_told_with_what_it_knows(tmp_path: Path) -> None:
    gateway = RealGateway(tmp_path / "state", "--allow-write")
    try:
        for number in (1, 2):
            gateway.send(letter(number, body=f"number {number}"))
        [mail] = (tmp_path / "state").rglob(f"mail/**/{letter(1)['message_id']}*.json")
        mail.write_bytes(b"{")
        for _ in range(2):
            seen = HttpInbox(gateway.url, token=TOKEN).unread("desk/bob")[0]
            assert (seen.count, seen.up_to) == (2, 2)
            assert letter(1)["message_id"] in seen.unknown
            bad, good = seen.letters
            assert (bad.envelope, bad.sender, bad.summary) == (None, "desk/ada", "number 1")
            assert bad.problem
            assert (good.problem, good.summary) == ("", "number 2")
    finally:
        gateway.end()
