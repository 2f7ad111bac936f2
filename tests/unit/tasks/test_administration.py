"""Stories about persons and sweeps: ignore, sweep, withdraw, archive, statistics."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.errors import InvalidInput
from sharedstate.ids import digest_of
from sharedstate.tasks.outcomes import Changed, Kept, Lost, Swept
from sharedstate.tasks.service import Tasks, TaskView
from tests.unit.paused import PausedStore
from tests.unit.tasks.fleet import TASK, TTL_S, Fleet

# Ignore


def test_an_ignored_task_is_left_alone_until_it_is_unignored() -> None:
    fleet = Fleet()
    changed = fleet.tasks.ignore(TASK, reason=" on hold ", by="person")
    assert changed == Changed(task=TASK, changed=True, status="new", detail="on hold")
    refused = fleet.refused("a")
    assert (refused.reason, refused.detail) == ("task_ignored", "ignored by person: on hold")
    assert fleet.tasks.unignore(TASK, by="person").changed is True
    assert fleet.claim("a").fence == 1
    assert fleet.events() == ["ignored", "unignored", "claimed"]


def test_a_running_attempt_of_an_ignored_task_goes_on_to_its_end() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.tasks.ignore(TASK, reason="on hold", by="person")
    assert isinstance(fleet.renew("a"), Kept)
    fleet.pass_s(TTL_S + 1)
    assert fleet.refused("b").reason == "task_ignored"
    fleet.release("a", "failed")
    assert fleet.refused("b").reason == "task_ignored"


def test_ignoring_twice_keeps_the_first_reason() -> None:
    fleet = Fleet()
    fleet.tasks.ignore(TASK, reason="on hold", by="person")
    again = fleet.tasks.ignore(TASK, reason="something else", by="other")
    assert (again.changed, again.detail) == (False, "already ignored")
    assert fleet.tasks.unignore("T-2", by="person").changed is False
    ignored = fleet.state().ignored
    assert ignored is not None
    assert (ignored.reason, ignored.by) == ("on hold", "person")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "bad \ud800", None, 5])
def test_a_reason_is_a_text_of_a_certain_length(reason: Any) -> None:
    fleet = Fleet()
    with pytest.raises(InvalidInput, match="reason"):
        fleet.tasks.ignore(TASK, reason=reason, by="person")
    assert fleet.store.writes == 0


# Sweep


def test_a_sweep_ends_a_stale_attempt_once() -> None:
    fleet = Fleet()
    fleet.claim("a")
    assert fleet.tasks.sweep(TASK) is None
    fleet.pass_s(TTL_S + 2)
    swept = fleet.tasks.sweep(TASK)
    assert swept == Swept(task=TASK, owner="a", fence=1, reason="owner_stale", age_ms=302_000)
    before = fleet.document()
    assert fleet.tasks.sweep(TASK) is None, "what is abandoned is not abandoned again"
    assert fleet.document() == before
    state = fleet.state()
    assert (state.status, state.fence, state.attempts, state.retries) == ("abandoned", 1, 1, 0)
    assert state.last_error == "swept: owner_stale, last seen 302.0 s before"
    assert fleet.events() == ["claimed", "swept"]


def test_a_sweep_ends_a_bound_attempt_whose_process_is_dead() -> None:
    fleet = Fleet()
    owner = fleet.process()
    fleet.claim("a", process=owner)
    fleet.host.kill(owner)
    swept = fleet.tasks.sweep(TASK)
    assert swept is not None
    assert swept.reason == "owner_dead"


@pytest.mark.parametrize("ending", ["complete", "failed", "abandoned"])
def test_a_sweep_touches_nothing_that_has_ended(ending: str) -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", ending)
    fleet.pass_s(TTL_S * 100)
    assert fleet.tasks.sweep(TASK) is None
    assert fleet.tasks.sweep("T-unknown") is None
    assert fleet.revision("T-unknown") == 0


def test_a_heartbeat_between_the_look_and_the_sweep_saves_the_claim() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S + 1)
    view = fleet.tasks.get(TASK)
    assert view is not None
    assert view.stale
    fleet.renew("a")
    assert fleet.tasks.sweep(TASK) is None


# Withdraw: a claim that met another's scope never began


def withdraw(fleet: Fleet, owner: str, *, token: str | None = None) -> bool:
    return fleet.tasks.withdraw(TASK, owner=owner, digest=digest_of(token or owner), conflict="src overlaps src")


def test_a_withdrawn_first_attempt_leaves_a_new_task_and_a_spent_fence() -> None:
    fleet = Fleet()
    fleet.claim("a")
    assert withdraw(fleet, "a") is True
    state = fleet.state()
    assert (state.status, state.attempts, state.retries, state.fence) == ("new", 0, 0, 1)
    assert isinstance(fleet.renew("a"), Lost)
    assert fleet.claim("b").fence == 2
    assert fleet.events() == ["claimed", "conflict", "claimed"]


def test_a_withdrawn_retry_is_not_counted() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", "failed", error="boom")
    fleet.claim("b")
    withdraw(fleet, "b")
    state = fleet.state()
    assert (state.status, state.attempts, state.retries, state.last_error) == ("failed", 1, 0, "boom")


def test_a_withdrawn_takeover_leaves_the_task_abandoned_by_its_former_owner() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(TTL_S + 1)
    fleet.claim("b")
    withdraw(fleet, "b")
    state = fleet.state()
    assert (state.status, state.attempts, state.retries) == ("abandoned", 1, 0)
    assert isinstance(fleet.renew("a"), Lost)


def test_a_withdrawn_restart_was_an_attempt_all_the_same() -> None:
    """Else an owner whose wider scope is refused again and again would never run out of retries."""
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", "failed")
    fleet.claim("b")
    fleet.claim("b", token="2", scope=("src",))
    withdraw(fleet, "b", token="2")
    state = fleet.state()
    assert (state.status, state.attempts, state.retries) == ("abandoned", 2, 1)


@pytest.mark.parametrize("ending", ["complete", "failed"])
def test_a_withdrawn_reopening_leaves_the_task_as_it_was(ending: str) -> None:
    fleet = Fleet()
    for owner in "abc":
        fleet.claim(owner)
        fleet.release(owner, "failed" if owner != "c" else ending)
    fleet.claim("d", reopen=True)
    withdraw(fleet, "d")
    state = fleet.state()
    assert (state.status, state.attempts, state.retries) == (ending, 3, 2), "a refused claim has not reopened it"
    answer = fleet.try_claim("e")
    assert getattr(answer, "reason", None) == ("task_already_complete" if ending == "complete" else None)


def test_only_the_holder_of_the_attempt_can_withdraw_it() -> None:
    fleet = Fleet()
    assert withdraw(fleet, "a") is False
    fleet.claim("a")
    assert withdraw(fleet, "b") is False
    assert withdraw(fleet, "a", token="old") is False
    fleet.release("a")
    assert withdraw(fleet, "a") is False
    assert fleet.state().status == "complete"


# Archive


def archive(fleet: Fleet, *, older_than_s: float = 60) -> bool:
    return fleet.tasks.archive(TASK, older_than_ms=round(older_than_s * 1000))


def test_an_old_ended_task_moves_out_of_the_way_and_keeps_its_fence() -> None:
    fleet = Fleet()
    for owner in "ab":
        fleet.claim(owner)
        fleet.release(owner, "failed")
    fleet.pass_s(60)
    assert archive(fleet) is False, "not older than asked"
    fleet.pass_s(1)
    assert archive(fleet) is True
    assert fleet.store.get("tasks", TASK) is None
    view = fleet.tasks.get(TASK)
    assert view is not None
    assert (view.archived, view.state.fence, view.state.retries) == (True, 2, 1)
    assert fleet.events()[-1] == "archived"
    claimed = fleet.claim("c")
    assert (claimed.fence, claimed.attempts, claimed.retries) == (3, 3, 2), "a claim goes on where the archive ends"


def test_an_archived_complete_task_is_still_complete() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a")
    fleet.pass_s(61)
    archive(fleet)
    assert fleet.refused("b").reason == "task_already_complete"
    assert fleet.tasks.retry_check(TASK).reason == "already_complete"
    assert fleet.claim("b", reopen=True).fence == 2


@pytest.mark.parametrize("story", ["claimed", "new", "ignored", "unknown"])
def test_only_what_has_ended_is_archived(story: str) -> None:
    fleet = Fleet()
    if story == "claimed":
        fleet.claim("a")
    elif story == "new":
        fleet.claim("a")
        withdraw(fleet, "a")
    elif story == "ignored":
        fleet.claim("a")
        fleet.release("a", "failed")
        fleet.tasks.ignore(TASK, reason="on hold", by="person")
    fleet.pass_s(10_000)
    assert archive(fleet) is False


def test_what_was_claimed_again_is_no_longer_listed_as_archived() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", "failed")
    fleet.pass_s(61)
    archive(fleet)
    assert [view.state.task for view in fleet.tasks.list(archived=True) if isinstance(view, TaskView)] == [TASK]
    fleet.claim("b")
    assert list(fleet.tasks.list(archived=True)) == []


def paused_fleet() -> tuple[Fleet, PausedStore]:
    fleet = Fleet()
    store = PausedStore(fleet.host)
    fleet.store = store
    fleet.tasks = fleet.view_from(fleet.host)
    return fleet, store


def test_a_task_claimed_while_it_is_being_archived_stays() -> None:
    fleet, store = paused_fleet()
    fleet.claim("a")
    fleet.release("a", "failed")
    fleet.pass_s(61)
    store.before["archive"] = lambda: fleet.claim("b")
    assert archive(fleet) is False
    assert fleet.state().owner == "b"
    assert fleet.state().fence == 2


@pytest.mark.parametrize("pause_before", ["archive", "tasks"])
def test_a_sweeper_that_stood_still_takes_no_fence_back(pause_before: str) -> None:
    """Meanwhile the task was archived by another, claimed, ended and archived or left again, at the same revision."""
    fleet, store = paused_fleet()
    fleet.claim("a")
    fleet.release("a", "failed")
    fleet.pass_s(1)
    other: Tasks = fleet.view_from(fleet.host)

    def meanwhile() -> None:
        assert other.archive(TASK, older_than_ms=0) is True
        fleet.claim("b")
        fleet.release("b", "failed")
        fleet.pass_s(1)
        if pause_before == "archive":
            assert other.archive(TASK, older_than_ms=0) is True

    if pause_before == "archive":
        store.before["archive"] = meanwhile
    else:
        store.before["archive"] = lambda: store.before.update(tasks=meanwhile)
    fleet.tasks.archive(TASK, older_than_ms=0)
    assert fleet.state().fence == 2
    assert fleet.claim("c").fence == 3


# Statistics and lists


def test_statistics_count_what_is_there() -> None:
    fleet = Fleet()
    for number, ending in enumerate(["complete", "failed", "failed", "abandoned", None, None]):
        task = f"T-{number}"
        fleet.claim("a", task=task)
        if ending is not None:
            fleet.tasks.release(task, owner="a", digest=digest_of("a"), status=ending)
    fleet.claim("b", task="T-1")
    fleet.pass_s(TTL_S + 1)
    fleet.renew("b", task="T-1")
    fleet.tasks.ignore("T-2", reason="on hold", by="person")
    statistics = fleet.tasks.statistics()
    assert statistics.by_status == {"complete": 1, "failed": 1, "abandoned": 1, "claimed": 3}
    assert (statistics.stale, statistics.ignored, statistics.attempts, statistics.retries) == (2, 1, 7, 1)


def test_lists_filter_by_status_owner_and_staleness() -> None:
    fleet = Fleet()
    fleet.claim("a", task="T-1")
    fleet.pass_s(TTL_S + 1)
    fleet.claim("b", task="T-2")
    fleet.tasks.release("T-2", owner="b", digest=digest_of("b"), status="failed")
    fleet.claim("b", task="T-3")

    def tasks(**filters: Any) -> list[str]:
        return sorted(view.state.task for view in fleet.tasks.list(**filters) if isinstance(view, TaskView))

    assert tasks() == ["T-1", "T-2", "T-3"]
    assert tasks(status="claimed") == ["T-1", "T-3"]
    assert tasks(owner="b") == ["T-3"], "an ended attempt is nobody's"
    assert tasks(stale=True) == ["T-1"]
    assert tasks(stale=False) == ["T-2", "T-3"]
    assert tasks(status="failed", owner="b") == []
