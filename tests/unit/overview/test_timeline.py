"""The timeline of a journal: who held what when, how it ended, and whether two ever held one task at once."""

from __future__ import annotations

from typing import Any

from sharedstate.overview.chart import chart_lines
from sharedstate.overview.timeline import Timeline, document_of, timeline_of
from sharedstate.overview.words import duration, short_names, tick_label, tick_step_ms
from sharedstate.store import Entry
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from tests.unit.overview.journals import journal


def drawn(*events: tuple[int, dict[str, Any]]) -> Timeline:
    return timeline_of(
        Entry(sequence=index, at_ms=at_ms, value={"task": "T-1", **event}, record=f"tasks/T-1@{index}")
        for index, (at_ms, event) in enumerate(events, 1)
    )


def test_a_claim_and_its_release_are_one_bar() -> None:
    timeline = drawn(
        (1000, {"type": "claimed", "owner": "w/a", "fence": 1, "attempt": 1}),
        (4000, {"type": "released", "owner": "w/a", "fence": 1, "status": "failed", "error": "exit 1"}),
    )
    (bar,) = timeline.bars
    assert (bar.owner, bar.fence, bar.begin_ms, bar.end_ms) == ("w/a", 1, 1000, 4000)
    assert (bar.ending, bar.detail) == ("failed", "exit 1")
    assert (timeline.begin_ms, timeline.end_ms, timeline.tasks, timeline.owners) == (1000, 4000, ("T-1",), ("w/a",))


def test_a_takeover_ends_one_bar_and_begins_the_next() -> None:
    timeline = drawn(
        (0, {"type": "claimed", "owner": "w/a", "fence": 1}),
        (500, {"type": "taken_over", "owner": "w/b", "fence": 2, "previous_owner": "w/a", "reason": "owner_stale"}),
    )
    one, other = timeline.bars
    assert (one.ending, one.reason, one.end_ms) == ("taken_over", "owner_stale", 500)
    assert (other.owner, other.began, other.ending) == ("w/b", "taken_over", "held")
    assert timeline.double == ()


def test_a_sweep_shows_how_long_the_owner_had_been_silent() -> None:
    timeline = drawn(
        (0, {"type": "claimed", "owner": "w/a", "fence": 1}),
        (9000, {"type": "swept", "owner": "w/a", "fence": 1, "reason": "owner_stale", "age_ms": 6000}),
    )
    assert (timeline.bars[0].ending, timeline.bars[0].silent_ms) == ("swept", 6000)


def test_what_has_not_ended_is_held_until_now() -> None:
    claimed = Entry(sequence=1, at_ms=100, value={"type": "claimed", "task": "T-1", "owner": "w/a", "fence": 1})
    (bar,) = timeline_of([claimed], now_ms=900).bars
    assert (bar.ending, bar.end_ms) == ("held", 900)


def test_a_double_claim_is_found_by_the_order_of_the_journal_whatever_its_clock_says() -> None:
    timeline = drawn(
        (1000, {"type": "claimed", "owner": "w/a", "fence": 1}),
        (1000, {"type": "claimed", "owner": "w/b", "fence": 2}),
        (1000, {"type": "released", "owner": "w/a", "fence": 1, "status": "complete"}),
        (1000, {"type": "released", "owner": "w/b", "fence": 2, "status": "complete"}),
    )
    ((one, other),) = timeline.double
    assert (one.owner, other.owner) == ("w/a", "w/b")
    assert document_of(timeline)["double_claims"] == [{"task": "T-1", "owners": ["w/a", "w/b"], "fences": [1, 2]}]
    assert any(line.startswith("TWO OWNERS AT ONCE: T-1") for line in chart_lines(timeline))


def test_a_clock_that_steps_back_makes_no_double_claim_and_no_negative_bar() -> None:
    timeline = drawn(
        (9000, {"type": "claimed", "owner": "w/a", "fence": 1}),
        (1000, {"type": "released", "owner": "w/a", "fence": 1, "status": "complete"}),
        (1500, {"type": "claimed", "owner": "w/b", "fence": 2}),
    )
    assert timeline.double == ()
    assert all(bar.begin_ms <= bar.end_ms for bar in timeline.bars)


def test_a_claim_taken_back_for_its_scope_is_withdrawn_and_a_conflict_of_another_ledger_changes_nothing() -> None:
    claimed = {"type": "claimed", "task": "T-1", "owner": "w/a", "fence": 1}
    conflict = {"type": "conflict", "task": "T-1", "owner": "w/a", "fence": 1, "reason": "scope_conflict"}
    first = Entry(sequence=1, at_ms=0, value=claimed, record="tasks/T-1@1")
    withdrawn = timeline_of([first, Entry(sequence=2, at_ms=5, value=conflict, record="tasks/T-1@2")])
    assert [bar.ending for bar in withdrawn.bars] == ["withdrawn"]
    untouched = timeline_of([first, Entry(sequence=2, at_ms=5, value=conflict)])
    assert [bar.ending for bar in untouched.bars] == ["held"]


def test_an_import_over_an_open_claim_replaces_it() -> None:
    timeline = drawn(
        (0, {"type": "claimed", "owner": "w/a", "fence": 1}),
        (5, {"type": "imported", "owner": "w/a", "fence": 1, "status": "claimed"}),
        (9, {"type": "restored", "owner": "w/b", "fence": 4, "status": "claimed"}),
    )
    assert [(bar.owner, bar.ending) for bar in timeline.bars] == [("w/a", "abandoned"), ("w/b", "held")]
    assert timeline.double == ()


def test_entries_of_unknown_type_or_shape_are_passed_over() -> None:
    values: list[dict[str, Any]] = [
        {},
        {"type": "claimed"},
        {"type": 7, "task": "T"},
        {"type": "dreamt", "task": "T"},
        {"type": "released", "task": "T", "fence": "x"},
    ]
    timeline = timeline_of(Entry(sequence=index, at_ms=index, value=value) for index, value in enumerate(values, 1))
    assert (timeline.bars, timeline.notes) == ((), ())


def test_an_empty_journal_is_an_empty_timeline() -> None:
    timeline = timeline_of([])
    assert (timeline.bars, timeline.begin_ms, timeline.end_ms) == ((), 0, 0)
    assert chart_lines(timeline)


def test_owners_stand_in_the_order_of_their_numbers() -> None:
    timeline = timeline_of(journal(tasks=40, agents=12))
    assert timeline.owners[1:3] == ("workstation/agent-2", "workstation/agent-3")


def test_latest_keeps_the_tasks_touched_last() -> None:
    timeline = timeline_of(journal(tasks=30, agents=3))
    latest = timeline.latest(5)
    assert len(latest.tasks) == 5
    assert max(bar.end_ms for bar in latest.bars) == max(bar.end_ms for bar in timeline.bars)
    assert latest.begin_ms == min(bar.begin_ms for bar in latest.bars)
    assert timeline.latest(100) is timeline


def test_a_real_journal_of_the_memory_store_is_read() -> None:
    from sharedstate.connect import SharedState

    host = FakeHost()
    with SharedState.open(owner="a", store=MemoryStore(host), host=host, enabled=True) as state:
        state.tasks.ignore("T-2", reason="later", by="human/b")
        timeline = timeline_of(state.events())
    assert timeline.tasks == ("T-2",)
    assert timeline.notes[0].text == "ignored by human/b: later"


def test_the_chart_is_plain_ascii_within_its_width() -> None:
    lines = chart_lines(timeline_of(journal(tasks=30, agents=5)), width=90)
    assert all(line.isascii() for line in lines)
    assert all(len(line) <= 90 for line in lines[1:])
    failed = next(line for line in lines if "failed - 4 attempts" in line)
    assert failed.count("x") >= 1


def test_durations_and_ticks_read_as_people_write_them() -> None:
    assert [duration(ms) for ms in (0, 340, 2500, 200_000, 7_500_000, 273_600_000)] == [
        "0 ms",
        "340 ms",
        "2.5 s",
        "3 min 20 s",
        "2 h 5 min",
        "3 d 4 h",
    ]
    assert [tick_step_ms(span) for span in (1, 12_000, 61_000, 86_400_000)] == [1, 1000, 10_000, 7_200_000]
    assert [tick_label(ms, 15_000) for ms in (0, 15_000, 75_000)] == ["0", "15 s", "1:15 min"]
    assert tick_step_ms(10**15) * 12 >= 10**15


def test_what_all_names_share_in_front_is_left_out() -> None:
    assert short_names(("w/agent-1", "w/agent-2")) == {"w/agent-1": "agent-1", "w/agent-2": "agent-2"}
    assert short_names(("w/a", "v/a")) == {"w/a": "w/a", "v/a": "v/a"}
    assert short_names(("w/a",)) == {"w/a": "w/a"}
