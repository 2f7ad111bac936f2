"""Counters are a pure fold over the journal."""

from __future__ import annotations

from sharedstate.metrics import Counters, fold


def test_events_are_counted_by_type_and_reason() -> None:
    events = [
        {"type": "claimed"},
        {"type": "claimed"},
        {"type": "released", "status": "failed"},
        {"type": "swept", "reason": "owner_stale"},
        {"type": "from_a_later_version"},
    ]
    assert fold(events) == Counters(
        events=5,
        by_type={"claimed": 2, "from_a_later_version": 1, "released": 1, "swept": 1},
        by_reason={"released/failed": 1, "swept/owner_stale": 1},
    )


def test_what_is_no_event_of_ours_is_counted_and_told_apart_at_most_200_times() -> None:
    counters = fold([{"type": f"t{number}"} for number in range(300)] + [{}, {"type": 3}])
    assert counters.events == 302
    assert len(counters.by_type) == 200
