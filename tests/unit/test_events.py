"""Events: a closed set of types, and documents without empty fields."""

from __future__ import annotations

import pytest

from sharedstate.events import EVENT_TYPES, event


def test_an_event_has_type_and_task_and_no_empty_fields() -> None:
    told = event("claimed", task="T-1", owner="host/a", fence=1, reason=None)
    assert told == {"type": "claimed", "task": "T-1", "owner": "host/a", "fence": 1}


def test_zero_and_false_are_not_empty() -> None:
    told = event("swept", task="T-1", age_ms=0, dry=False)
    assert told == {"type": "swept", "task": "T-1", "age_ms": 0, "dry": False}


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown event type 'renewed'"):
        event("renewed", task="T-1")


def test_renewals_are_no_events() -> None:
    assert not {"renewed", "beat", "heartbeat"} & EVENT_TYPES
