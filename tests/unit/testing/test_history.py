"""The checker over histories finds what was planted, and nothing in what is right."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from sharedstate.store import Entry
from sharedstate.testing.history import Operation, violations_in_journal, violations_in_operations


def _event(kind: str, owner: str, fence: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "task": "T-1", "owner": owner, "fence": fence, **more}


def _kinds(events: list[dict[str, Any]]) -> list[str]:
    return [violation.kind for violation in violations_in_journal(events)]


def test_a_right_journal_has_no_violations() -> None:
    events = [
        _event("claimed", "a", 1),
        {"type": "claimed", "task": "T-2", "owner": "b", "fence": 1},
        _event("reclaimed", "a", 2),
        _event("taken_over", "b", 3, previous_owner="a"),
        _event("released", "b", 3),
        _event("ignored", "human", 3),
        _event("unignored", "human", 3),
        _event("claimed", "a", 4),
        _event("swept", "a", 4),
        _event("claimed", "c", 5),
    ]
    assert violations_in_journal(events) == []
    entries = [Entry(sequence=n, at_ms=n, value=event) for n, event in enumerate(events, start=1)]
    assert violations_in_journal(entries) == []


@pytest.mark.parametrize(
    "events, kind",
    [
        ([_event("claimed", "a", 1), _event("claimed", "b", 2)], "two_owners"),
        ([_event("claimed", "a", 1), _event("reclaimed", "b", 2)], "two_owners"),
        ([_event("claimed", "a", 1), _event("taken_over", "b", 1, previous_owner="a")], "fence"),
        ([_event("claimed", "a", 2), _event("released", "a", 2), _event("claimed", "b", 1)], "fence"),
        ([_event("claimed", "a", 1), _event("taken_over", "b", 2), _event("released", "a", 1)], "zombie"),
        ([_event("claimed", "a", 1), _event("released", "a", 1), _event("released", "a", 1)], "zombie"),
        ([_event("claimed", "a", 1), _event("swept", "a", 1), _event("swept", "a", 1)], "zombie"),
        ([_event("claimed", "a", 1), _event("taken_over", "b", 2, previous_owner="c")], "order"),
    ],
    ids=["double-claim", "foreign-reclaim", "same-fence", "fence-reset", "zombie", "release-2", "sweep-2", "previous"],
)
def test_a_planted_violation_in_a_journal_is_found(events: list[dict[str, Any]], kind: str) -> None:
    assert kind in _kinds(events)


@pytest.mark.parametrize("reason", ["scope_conflict", "task_already_claimed", "store_error"])
def test_a_claim_taken_back_holds_nothing_and_its_fence_is_spent(reason: str) -> None:
    withdrawn = [_event("claimed", "a", 1), _event("conflict", "a", 1, reason=reason, status="new")]
    assert violations_in_journal([*withdrawn, _event("claimed", "b", 2)]) == []
    assert _kinds([*withdrawn, _event("claimed", "b", 1)]) == ["fence"]


def test_a_refused_degraded_claim_takes_nothing_from_the_holder() -> None:
    story = [_event("claimed", "a", 1), _event("conflict", "b", 1, reason="existing_owner_active", status="claimed")]
    assert _kinds([*story, _event("claimed", "c", 2)]) == ["two_owners"]


def test_what_an_import_shows_as_held_is_held() -> None:
    imported = _event("imported", "a", 3, status="claimed")
    assert violations_in_journal([imported, _event("released", "a", 3), _event("claimed", "b", 4)]) == []
    assert _kinds([imported, _event("claimed", "b", 4)]) == ["two_owners"]
    assert violations_in_journal([_event("imported", "a", 3, status="complete"), _event("claimed", "b", 4)]) == []


def test_a_violation_says_where_it_happened() -> None:
    entry = Entry(sequence=41, at_ms=0, value=_event("released", "a", 1))
    (violation,) = violations_in_journal([entry])
    assert (violation.at, violation.task) == (41, "T-1")
    assert "nobody holds it" in violation.reason


Does = Literal["claim", "takeover", "reclaim", "renew", "release", "write", "sweep"]


def _did(owner: str, kind: Does, fence: int, start: int, end: int | None, *, ok: bool = True) -> Operation:
    return Operation(task="T-1", owner=owner, kind=kind, ok=ok, fence=fence, start=start, end=end)


def test_a_right_history_of_operations_has_no_violations() -> None:
    operations = [
        _did("a", "claim", 1, 0, 2),
        _did("b", "claim", 0, 1, 3, ok=False),
        _did("a", "renew", 1, 4, 5),
        _did("b", "takeover", 2, 10, 12),
        _did("a", "renew", 1, 11, 13),  # began before the takeover was acknowledged: it may have come first
        _did("a", "write", 1, 14, 15, ok=False),
        _did("b", "release", 2, 20, 22),
        _did("a", "claim", 3, 21, 23),
        _did("c", "sweep", 3, 30, 31),
        _did("c", "claim", 4, 32, 33),
    ]
    assert violations_in_operations(operations) == []


@pytest.mark.parametrize(
    "operations, kind",
    [
        ([_did("a", "claim", 1, 0, 2), _did("b", "claim", 2, 3, 4)], "two_owners"),
        ([_did("a", "claim", 1, 0, 2), _did("b", "takeover", 1, 1, 3)], "fence"),
        ([_did("a", "claim", 5, 0, 2), _did("a", "release", 5, 3, 4), _did("b", "claim", 4, 5, 6)], "fence"),
        ([_did("a", "claim", 1, 0, 2), _did("b", "takeover", 2, 3, 4), _did("a", "write", 1, 5, 6)], "zombie"),
        ([_did("a", "claim", 1, 0, 2), _did("b", "takeover", 2, 3, 4), _did("a", "renew", 1, 5, 6)], "zombie"),
    ],
    ids=["double-claim", "fence-twice", "fence-reset", "zombie-write", "zombie-renew"],
)
def test_a_planted_violation_in_operations_is_found(operations: list[Operation], kind: str) -> None:
    assert kind in [violation.kind for violation in violations_in_operations(operations)]


def test_a_claim_after_a_release_that_was_never_answered_is_no_violation() -> None:
    operations = [_did("a", "claim", 1, 0, 2), _did("a", "release", 1, 3, None), _did("b", "claim", 2, 5, 6)]
    assert violations_in_operations(operations) == []


def test_a_claim_after_a_takeover_by_one_who_died_is_no_violation() -> None:
    operations = [
        _did("a", "claim", 1, 0, 2),
        _did("c", "takeover", 0, 3, None, ok=False),
        _did("b", "claim", 3, 9, 10),
    ]
    assert violations_in_operations(operations) == []
