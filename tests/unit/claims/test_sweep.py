"""Stories about the sweep: bounded, idempotent, and never stopped by one bad record."""

from __future__ import annotations

import pytest

from sharedstate import jsonio
from sharedstate.claims.sweep import ARCHIVE_PASS_MS_MIN
from sharedstate.errors import StoreUnavailable
from sharedstate.testing.clock import FakeHost, FakeMachine
from tests.unit.claims.site import TTL_S, Site, granted, view

DAY_S = 86_400


def test_a_sweep_ends_what_is_stale_and_dead_and_says_why() -> None:
    site = Site()
    machine = site.machine()
    granted(machine.claims().claim("stale"))
    dying = machine.state("b")
    granted(dying.claims.claim("dead", bind=True))
    site.pass_s(TTL_S + 1)
    granted(machine.claims("c").claim("fresh"))
    dying.claims.renew("dead")
    assert isinstance(dying.host, FakeHost)
    site.host.kill(dying.host.own)
    report = machine.claims("d").sweep()
    assert {(swept.task, swept.owner, swept.reason) for swept in report.swept} == {
        ("stale", "ws1/a", "owner_stale"),
        ("dead", "ws1/b", "owner_dead"),
    }
    assert (report.examined, report.dry_run) == (3, False)
    assert machine.claims("d").sweep().swept == ()
    assert machine.claims().local("stale") is None
    assert machine.claims("c").local("fresh") is not None


def test_a_dry_run_says_the_same_and_writes_nothing() -> None:
    site = Site()
    machine = site.machine()
    claims = machine.claims()
    granted(claims.claim("stale"))
    granted(claims.claim("old"))
    claims.release("old")
    site.cut()
    granted(claims.claim("degraded"))
    site.mend()
    site.pass_s(31 * DAY_S)
    before = (site.shared.writes, machine.local.writes, len(site.events()))
    told = claims.sweep(dry_run=True)
    assert (site.shared.writes, machine.local.writes, len(site.events())) == before
    assert told.dry_run
    done = claims.sweep()
    assert [swept.task for swept in told.swept] == [swept.task for swept in done.swept] == ["stale"]
    assert told.archived == ("old",)
    assert set(done.archived) >= {"old"}


def test_a_sweep_is_bounded() -> None:
    site = Site()
    claims = site.machine().claims()
    for number in range(5):
        granted(claims.claim(f"T-{number}"))
    site.pass_s(TTL_S + 1)
    assert [len(claims.sweep(limit=2).swept) for _ in range(4)] == [2, 2, 1, 0]


def test_a_heartbeat_from_the_future_does_not_outlive_sweeps() -> None:
    """Nobody may ever ask for the task: then only the sweep can notice that its owner's clock was wrong."""
    site = Site()
    claims = site.machine().claims()
    machine = FakeMachine(seed=9, wall_ms=site.host.now().at_ms + 10 * DAY_S * 1000)
    machine.reboot()
    site.shared.host, here = FakeHost(machine=machine), site.shared.host
    granted(site.machine("ws2").claims().claim("T-1"))
    site.shared.host = here
    assert claims.sweep().swept == ()
    site.pass_s(TTL_S)
    assert claims.sweep().swept == ()
    site.pass_s(1)
    assert [swept.task for swept in claims.sweep().swept] == ["T-1"]


def test_damaged_records_are_named_and_stop_nothing() -> None:
    site = Site()
    machine = site.machine()
    claims = machine.claims()
    for task in ("T-1", "T-2", "T-3"):
        granted(claims.claim(task))
    site.shared.plant("tasks", "T-1", b"\0")
    site.shared.plant("tasks", "T-2", jsonio.encode({"status": "claimed"}))
    machine.local.plant("claims", "T-3", b"{}")
    machine.local.plant("tasks", "T-9", b"{")
    site.pass_s(TTL_S + 1)
    report = claims.sweep()
    assert [swept.task for swept in report.swept] == ["T-3"]
    assert {found.name for found in report.unreadable} >= {"T-1", "T-2"}
    assert len(report.unreadable) == len(set(report.unreadable))


def test_degraded_claims_are_carried_over_or_given_up() -> None:
    site = Site()
    here, there = site.machine().claims(), site.machine("ws2").claims()
    site.cut()
    for task in ("mine", "theirs"):
        granted(here.claim(task))
    site.mend()
    granted(there.claim("theirs"))
    report = here.sweep()
    assert (report.reconciled, report.conflicts) == (("mine",), ("theirs",))
    assert view(here.tasks, "mine").state.owner == "ws1/a"
    assert view(here.tasks, "theirs").state.owner == "ws2/a"


def test_a_store_that_is_away_is_an_error_of_the_sweep_and_nothing_is_lost() -> None:
    site = Site()
    claims = site.machine().claims()
    site.cut()
    granted(claims.claim("T-1"))
    with pytest.raises(StoreUnavailable):
        claims.sweep()
    site.mend()
    assert claims.sweep().reconciled == ("T-1",)


# Archive


def test_old_ended_tasks_are_archived_and_the_fence_goes_on() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1"))
    claims.release("T-1", status="failed")
    site.pass_s(30 * DAY_S)
    assert claims.sweep().archived == (), "not older than thirty days"
    site.pass_s(DAY_S)
    assert claims.sweep().archived == ("T-1",)
    assert view(claims.tasks).archived
    assert granted(claims.claim("T-1")).fence == 2


def test_all_records_are_read_only_now_and_then() -> None:
    site = Site()
    claims = site.machine().claims()
    claims.sweep()
    granted(claims.claim("T-1"))
    claims.release("T-1")
    quick = site.machine().claims(archive_after_ms=1_000)
    site.pass_s(2)
    assert quick.sweep().archived == ("T-1",)
    granted(quick.claim("T-2"))
    quick.release("T-2")
    site.pass_s(31 * DAY_S)
    assert claims.sweep().archived == ("T-2",)
    granted(claims.claim("T-3"))
    claims.release("T-3")
    site.pass_s(ARCHIVE_PASS_MS_MIN / 1000 - 1)
    assert claims.sweep().archived == ()


def test_sweeps_of_several_machines_do_not_disturb_each_other() -> None:
    site = Site()
    machines = [site.machine(f"ws{number}").claims() for number in range(3)]
    granted(machines[0].claim("T-1"))
    site.pass_s(TTL_S + 1)
    site.shared.before["tasks"] = machines[1].sweep
    machines[0].sweep()
    assert site.events() == ["claimed", "swept"]
