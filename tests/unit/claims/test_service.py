"""Stories about claims over both ledgers: tokens stay at home, and what is derived is repaired."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate import jsonio
from sharedstate.errors import Corrupt, InvalidInput, StoreUnavailable
from sharedstate.tasks.outcomes import Kept, Lost, Released, Unverifiable
from tests.unit.claims.site import TTL_S, Site, dump, granted, refused, view

# Tokens


def test_a_later_shell_on_the_same_machine_needs_no_token() -> None:
    machine = Site().machine()
    claimed = granted(machine.claims().claim("T-1"))
    assert len(claimed.token) == 40
    assert isinstance(machine.claims().renew("T-1"), Kept)
    assert granted(machine.claims().claim("T-1")).outcome == "already_owned"
    assert isinstance(machine.claims().release("T-1"), Released)
    assert machine.claims().local("T-1") is None


def test_tokens_are_nowhere_but_with_their_owner() -> None:
    site = Site()
    machine = site.machine()
    tokens = [granted(machine.claims().claim("T-1", scope=["src"], meta={"a": "b"})).token]
    tokens.append(granted(machine.claims().claim("T-2", token="my-own-token-1", bind=True)).token)
    site.cut()
    tokens.append(granted(machine.claims().claim("T-3")).token)
    site.mend()
    machine.claims().sweep()
    machine.claims().release("T-1", status="failed", error="boom")
    text = dump(site.shared)
    assert tokens[1] == "my-own-token-1"
    for token in tokens:
        assert token
        assert token not in text
    assert all(token in dump(machine.local) for token in tokens[1:])
    assert "T-3" in text


def test_no_text_of_a_result_shows_a_token() -> None:
    machine = Site().machine()
    claimed = granted(machine.claims().claim("T-1"))
    local = machine.claims().local("T-1")
    assert local is not None
    assert local.token == claimed.token
    for shown in (repr(claimed), repr(local), str([claimed, local])):
        assert claimed.token not in shown


def test_another_machine_of_the_same_owner_goes_on_under_a_new_token() -> None:
    site = Site()
    first, second = site.machine(), site.machine("ws2")
    granted(first.claims().claim("T-1"))
    again = granted(second.claims().claim("T-1", owner="ws1/a"))
    assert (again.outcome, again.fence) == ("reclaimed", 2)
    lost = first.claims().renew("T-1")
    assert isinstance(lost, Lost)
    assert lost.reason == "attempt_token_mismatch"
    assert first.claims().local("T-1") is None, "what is lost leaves the ledger"


def test_a_given_token_overrides_the_ledger() -> None:
    machine = Site().machine()
    granted(machine.claims().claim("T-1", token="my-own-token"))
    assert isinstance(machine.claims("b").renew("T-1", owner="a", token="my-own-token"), Kept)
    lost = machine.claims().renew("T-1", token="not-my-token")
    assert isinstance(lost, Lost)
    assert isinstance(machine.claims().renew("T-1"), Kept), "a wrong guess costs nothing"


def test_an_owner_without_a_slash_gets_the_workstation_in_front() -> None:
    site = Site()
    assert granted(site.machine().claims().claim("T-1", owner="agent")).owner == "ws1/agent"
    assert granted(site.machine("ws2").claims().claim("T-2", owner="agent")).owner == "ws2/agent"


# The local ledger is derived


def test_a_lost_local_ledger_is_repaired_by_the_next_claim() -> None:
    site = Site()
    granted(site.machine().claims().claim("T-1"))
    after_the_loss = site.machine()
    lost = after_the_loss.claims().renew("T-1")
    assert isinstance(lost, Lost)
    assert "no token" in lost.detail
    again = granted(after_the_loss.claims().claim("T-1"))
    assert (again.outcome, again.attempts) == ("reclaimed", 1)
    assert isinstance(after_the_loss.claims().renew("T-1"), Kept)


BAD_ENTRIES = {
    "NULs": b"\0" * 100,
    "not an object": b"[]",
    "no fields": b"{}",
    "wrong types": b'{"owner": 5, "token": [], "fence": "7"}',
    "fence of another type": b'{"owner": "ws1/a", "token": "x", "fence": "7", "ttl_ms": 1}',
    "moment of another type": b'{"owner": "ws1/a", "token": "x", "fence": 1, "seen": {"at_ms": "x"}}',
    "moment with other fields": b'{"owner": "ws1/a", "token": "x", "fence": 1, "seen": {"a": 1, "b": 2, "c": 3}}',
}


@pytest.mark.parametrize("raw", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_a_damaged_local_entry_stops_neither_claim_nor_renew_nor_release_nor_sweep(raw: bytes) -> None:
    site = Site()
    machine = site.machine()
    machine.local.plant("claims", "T-1", raw)
    claims = machine.claims()
    assert granted(claims.claim("T-1")).fence == 1
    assert isinstance(claims.renew("T-1"), Kept), "the process that claimed still knows its token"
    assert claims.sweep().swept == ()
    assert isinstance(claims.release("T-1"), Released)
    claims.sweep()


def test_a_local_store_that_fails_does_not_take_an_accepted_claim_away() -> None:
    site = Site()
    machine = site.machine()
    claims = machine.claims()
    granted(claims.claim("T-1"))
    site.shared.before["tasks"] = lambda: setattr(machine.local, "outage", StoreUnavailable("planted: disk full"))
    machine.local.outage = None
    answer = granted(claims.claim("T-2"))
    assert answer.outcome == "claimed"
    machine.local.outage = None
    assert isinstance(claims.renew("T-2"), Kept), "not lost: the shared ledger says that it is ours"


def test_a_refusal_ends_a_local_claim_that_says_otherwise() -> None:
    site = Site()
    first, second = site.machine(), site.machine("ws2")
    granted(first.claims().claim("T-1"))
    site.pass_s(TTL_S + 1)
    granted(second.claims().claim("T-1"))
    assert refused(first.claims().claim("T-1")).reason == "existing_owner_active"
    assert first.claims().local("T-1") is None


def test_a_refusal_because_of_ones_own_running_process_leaves_its_claim_alone() -> None:
    machine = Site().machine()
    running = machine.claims()
    claimed = granted(running.claim("T-1", bind=True))
    assert refused(machine.claims().claim("T-1", bind=True)).reason == "existing_owner_active"
    local = machine.claims().local("T-1")
    assert local is not None
    assert local.token == claimed.token
    assert isinstance(running.renew("T-1"), Kept)


def test_being_ignored_does_not_take_the_token_from_a_running_attempt() -> None:
    machine = Site().machine()
    state = machine.state()
    granted(state.claims.claim("T-1"))
    state.tasks.ignore("T-1", reason="on hold", by="person")
    assert refused(state.claims.claim("T-1")).reason == "task_ignored"
    assert isinstance(state.claims.renew("T-1"), Kept)


def test_a_repeated_release_is_fine_without_any_token() -> None:
    machine = Site().machine()
    granted(machine.claims().claim("T-1"))
    machine.claims().release("T-1", status="failed", error="boom")
    again = machine.claims().release("T-1", status="failed")
    assert isinstance(again, Released)
    assert again.repeated


def test_a_blocked_task_is_an_error_of_its_own_and_others_go_on() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1"))
    site.shared.plant("tasks", "T-1", b'{"status": "claim')
    with pytest.raises(Corrupt):
        claims.renew("T-1")
    granted(claims.claim("T-2"))
    report = claims.sweep()
    assert [found.name for found in report.unreadable] == ["T-1"]


# A store that is away


def test_renewing_while_the_store_is_away_is_unverifiable_never_lost() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1"))
    site.cut()
    for _ in range(3):
        assert isinstance(claims.renew("T-1"), Unverifiable)
    site.mend()
    assert isinstance(claims.renew("T-1"), Kept)


def test_releasing_while_the_store_is_away_is_an_error_and_can_be_done_later() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1"))
    site.cut()
    with pytest.raises(StoreUnavailable):
        claims.release("T-1")
    site.mend()
    assert isinstance(claims.release("T-1"), Released)


# Arguments

BAD: list[dict[str, Any]] = [
    *({"ttl_ms": bad} for bad in (0, 9, 30 * 86_400_000 + 1, 1.5, "300", True, -1)),
    *({"token": bad} for bad in ("", "short", "x" * 201, "with space", "nön-ascii", "tab\ttab", "a" * 7)),
    *({"priority": bad} for bad in (-1, 1_000_001, 1.5, "1", True)),
    *({"force_reason": bad} for bad in ("", "  ", "x" * 501, "bad \ud800", 5)),
    *({"meta": bad} for bad in ({"": "x"}, {"a": 1}, {"a": "x" * 1_001}, {"a": "\ud800"}, {"a\n": "x"})),
    *({"meta": bad} for bad in ({f"m{number}": "" for number in range(51)}, "text", [1])),
    *({"scope": bad} for bad in (["/etc"], ["../x"], ["a/../../b"], [""], ["a\0"], ["x" * 501], ["C:/x"], "src", [5])),
    *({"scope": bad} for bad in (["a"] * 101, [f"{number:03d}" + "x" * 300 for number in range(100)])),
    *({"owner": bad} for bad in ("", "a\nb", "\u202ea", "x" * 201, 5)),
]


@pytest.mark.parametrize("options", BAD, ids=lambda options: ascii(options)[:40])
def test_a_bad_argument_is_refused_before_anything_is_written(options: dict[str, Any]) -> None:
    site = Site()
    with pytest.raises(InvalidInput):
        site.machine().claims().claim("T-1", **options)
    assert site.shared.writes == 0


def test_every_door_checks_the_id_and_writes_it_in_one_spelling() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("e\u0301"))
    assert isinstance(claims.renew("\u00e9"), Kept)
    assert isinstance(claims.release("e\u0301"), Released)
    for call in (claims.claim, claims.renew, claims.release, claims.local):
        with pytest.raises(InvalidInput):
            call("bad\nid")


def test_a_coordinator_is_named_as_it_calls_itself() -> None:
    """`coordinators = ["chief"]` means chief on this workstation, as the owner `chief` does."""
    site = Site()
    machine = site.machine()
    granted(machine.claims().claim("T-1"))
    settings = {"coordinators": ["chief", "ws9/*"]}
    assert refused(machine.claims("b", **settings).claim("T-1", priority=1)).reason == "existing_owner_active"
    assert refused(machine.claims("chief").claim("T-1", priority=1)).reason == "existing_owner_active"
    assert granted(machine.claims("chief", **settings).claim("T-1", priority=1)).reason == "coordinator_priority"
    other = site.machine("ws9").claims("x", **settings)
    assert granted(other.claim("T-1", priority=0)).reason == "coordinator_priority"
    assert refused(site.machine("ws2").claims("chief", **settings).claim("T-1", priority=0)).reason


def test_the_journal_of_a_plain_story_has_one_entry_for_each_change() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1"))
    claims.renew("T-1")
    granted(claims.claim("T-1"))
    refused(site.machine("ws2").claims().claim("T-1"))
    claims.release("T-1")
    assert site.events() == ["claimed", "released"]
    assert view(claims.tasks).state.status == "complete"
    assert "T-1" in jsonio.text_of([entry.value for entry in site.shared.read("events")])
