"""Rights of lanes in the library: who has chosen a lane is held to them, and a denial changes nothing but the trail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate import SharedState
from sharedstate.claims.services.model import Denied
from sharedstate.errors import NoRight, StoreUnavailable
from sharedstate.messages.lanes import RIGHTS
from sharedstate.messages.model import Sent
from sharedstate.tasks.outcomes import Claimed, Kept, Released
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore

TABLES = """
[lanes.plain]
[lanes.reader]
rights = ["read"]
[lanes.sender]
rights = ["send"]
[lanes.claimer]
rights = ["claim"]
[lanes.boss]
rights = ["claim", "force"]
[lanes.keeper]
rights = ["start", "stop"]
[lanes.none]
rights = []
"""
Open = Callable[..., SharedState]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(FakeHost())


@pytest.fixture
def opened(tmp_path: Path, store: MemoryStore) -> Iterator[Open]:
    (tmp_path / ".git").mkdir()
    (tmp_path / "sharedstate.toml").write_text(TABLES)
    states: list[SharedState] = []

    def make(lane: str = "", **settings: Any) -> SharedState:
        state = SharedState.open(
            tmp_path / "state", owner="ws/me", folder=tmp_path, store=store, host=store.host, lane=lane, **settings
        )
        states.append(state)
        return state

    yield make
    for state in states:
        state.close()


def denials(state: SharedState) -> list[tuple[str, str, str, str]]:
    return [
        (entry.about, entry.by, entry.facts["action"], entry.facts["lane"])
        for entry in state.audit.entries()
        if entry.kind == "right_denied"
    ]


def allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except NoRight:
        return False
    return True


def acts(state: SharedState) -> dict[str, Callable[[], object]]:
    """One act for each right that the library asks for."""
    return {
        "read": lambda: state.inbox.unread("bob"),
        "send": lambda: state.outbox.send(sender="ada", to="bob", body="x"),
        "claim": lambda: state.claims.claim("T-1"),
        "force": lambda: state.claims.claim("T-1", force_reason="why"),
    }


@pytest.mark.parametrize(
    "lane, may",
    [
        ("", {"read", "send", "claim", "force"}),
        ("plain", {"read", "send", "claim"}),
        ("reader", {"read"}),
        ("sender", {"send"}),
        ("claimer", {"claim"}),
        ("boss", {"claim", "force"}),
        ("keeper", set[str]()),
        ("none", set[str]()),
    ],
)
def test_the_matrix_of_rights_holds(opened: Open, lane: str, may: set[str]) -> None:
    state = opened(lane)
    told = acts(state)
    assert told.keys() <= RIGHTS.keys()
    assert {right for right, act in told.items() if allowed(act)} == may


def test_a_denial_names_right_and_lane_stands_in_the_trail_and_changes_nothing(opened: Open) -> None:
    state = opened("none")
    with pytest.raises(NoRight, match=r"^T-1: the lane none has no right to claim$"):
        state.claims.claim("T-1", owner="ws/other")
    with pytest.raises(NoRight, match=r"^outbox:ada: the lane none has no right to send$"):
        state.outbox.send(sender="ada", to="bob", body="x")
    with pytest.raises(NoRight, match=r"^inbox:bob: the lane none has no right to read$"):
        state.inbox.ack("bob", up_to=0)
    assert denials(state) == [
        ("T-1", "ws/other", "claim", "none"),
        ("outbox:ada", "ada", "send", "none"),
        ("inbox:bob", "ws/me", "read", "none"),
    ]
    assert state.tasks.get("T-1") is None
    assert state.claims.local("T-1") is None
    assert state.outbox.list() == []


def test_every_way_to_a_claim_needs_the_right(opened: Open) -> None:
    claims = opened("reader").claims
    assert not allowed(lambda: claims.claim_next(["T-1", "T-2"]))
    assert not allowed(lambda: claims.claim_many(["T-1", "T-2"], slots=2))
    assert not allowed(lambda: claims.hold("T-1").__enter__())
    assert not allowed(lambda: claims.claim("service:web")), "keeping a service down is a claim as well"
    assert len(denials(opened())) == 4, "one for each call, not for each candidate"


def test_what_is_held_may_be_kept_and_ended_without_the_right(opened: Open) -> None:
    assert isinstance(opened().claims.claim("T-1"), Claimed)
    claims = opened("none").claims
    assert isinstance(claims.renew("T-1"), Kept)
    assert isinstance(claims.release("T-1"), Released)
    assert claims.sweep().unreadable == ()


def test_force_needs_its_own_right_and_then_takes_over(opened: Open) -> None:
    assert isinstance(opened().claims.claim("T-1", owner="ws/other"), Claimed)
    assert not allowed(lambda: opened("claimer").claims.claim("T-1", force_reason="he left"))
    taken = opened("boss").claims.claim("T-1", force_reason="he left")
    assert isinstance(taken, Claimed)
    assert (taken.outcome, taken.fence) == ("taken_over", 2)


def test_every_look_at_messages_needs_the_right_and_receiving_none(opened: Open) -> None:
    assert isinstance(opened("sender").outbox.send(sender="ada", to="bob", body="x"), Sent), "delivering is not reading"
    inbox = opened("sender").inbox
    looks: list[Callable[[], object]] = [
        lambda: inbox.list("bob"),
        lambda: inbox.unread("bob"),
        lambda: inbox.watermark("bob"),
        lambda: inbox.thread("01J00000000000000000000000"),
        inbox.overdue,
        inbox.agents,
        lambda: inbox.ack("bob", up_to=1),
        lambda: inbox.reset("bob"),
    ]
    assert not any(allowed(look) for look in looks)
    assert inbox.sweep().unreadable == ()
    assert opened("reader").inbox.unread("bob").count == 1


def test_a_lane_that_is_named_on_a_message_needs_the_right_to_send_as_well(opened: Open) -> None:
    free, reader, sender = opened(), opened("reader"), opened("sender")
    assert not allowed(lambda: free.outbox.send(sender="ada", to="bob", body="x", lane="reader"))
    assert not allowed(lambda: sender.outbox.send(sender="ada", to="bob", body="x", lane="reader"))
    assert not allowed(lambda: reader.outbox.send(sender="ada", to="bob", body="x", lane="sender"))
    assert allowed(lambda: sender.outbox.send(sender="ada", to="bob", body="x", lane="plain"))
    assert [denial[3] for denial in denials(free)] == ["reader"] * 3


def test_what_was_accepted_is_flushed_whatever_the_lane_may(opened: Open) -> None:
    opened().outbox.send(sender="ada", to="bob", body="x", deliver=False)
    assert opened("none").outbox.flush().sent == 1


def test_services_need_start_and_no_claim(opened: Open) -> None:
    keeper = opened("keeper")
    with keeper.guard.running("web", renewal="manual") as mine:
        assert mine.hold is not None
        assert mine.hold.fence == 1
    denied = opened("claimer").guard.may_run("other", rights=("claim",))
    assert isinstance(denied, Denied)
    assert denied.code == "no_right"


def test_a_state_without_its_lane_is_free_and_shares_the_stores(opened: Open) -> None:
    state = opened("none")
    free = state.unbound
    assert isinstance(free.claims.claim("T-1"), Claimed)
    assert free.inbox.unread("bob").count == 0
    assert state.unbound is free
    assert free.unbound is free
    assert opened().unbound.settings.lane == ""


def test_a_store_that_is_away_does_not_undo_a_denial(opened: Open, store: MemoryStore) -> None:
    state = opened("none")
    store.outage = StoreUnavailable("away")
    assert not allowed(lambda: state.inbox.unread("bob"))
    assert not allowed(lambda: state.outbox.send(sender="ada", to="bob", body="x"))
