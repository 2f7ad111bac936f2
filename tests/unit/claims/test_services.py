"""The owner guard on a simulated machine: who may, what is written down, and that only the very process is ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sharedstate.claims.services import model as m
from sharedstate.claims.services.changes import decide_end, decide_stopping
from sharedstate.claims.services.ending import Ending, end
from sharedstate.claims.services.model import (
    Denied,
    ServiceRecord,
    ServiceView,
    StopAsk,
    Stopped,
    check_name,
    dump_service,
    load_service,
)
from sharedstate.claims.services.policy import Sight, Start, decide_start, state_of
from sharedstate.claims.services.registration import Registration
from sharedstate.connect import SharedState
from sharedstate.errors import ClaimRefused, Corrupt, InvalidInput
from sharedstate.ids import Process
from sharedstate.store import Decision, Document
from sharedstate.testing.clock import FakeHost
from tests.unit.claims.world import World

OWNER, OTHER = "here/one", "here/two"
PROCESS = Process(pid=7, start=70, boot_id="boot", pid_ns="ns")
RECORD = ServiceRecord(
    name="web",
    owner=OWNER,
    state=m.RUNNING,
    fence=3,
    host="here",
    started_by=OWNER,
    started_ms=1_772_323_200_000,
    command=("serve", "--token", "…"),
    process=PROCESS,
    supervisor=PROCESS.replace(pid=6),
    extra={"later": 1},
)


def view(state: str, **facts: object) -> ServiceView:
    given = {"supervised": True, "detail": "", **facts}
    return ServiceView(record=RECORD, state=state, **given)  # type: ignore[arg-type]  # reason: a table of cases


def served(world: World, *, owner: str = OWNER) -> tuple[Registration, FakeHost]:
    """A process of its own that runs as the service `web`."""
    host = FakeHost(machine=world.machine)
    block = world.state(owner=owner, host=host).guard.running("web", owner=owner)
    block.__enter__()
    return block, host


def lane(world: World, owner: str) -> SharedState:
    return world.state(owner=owner)


def trail(world: World) -> list[tuple[str, str]]:
    return [(entry.kind, entry.by) for entry in world.state().audit.entries()]


# The record


def test_a_record_comes_back_as_it_was_written() -> None:
    ask = StopAsk(by=OTHER, reason="why", forced=True, at_ms=1_772_323_200_001, grace_ms=5)
    for record in (RECORD, RECORD.replace(stop=ask, ended_ms=1_772_323_200_002, code=143, process=None)):
        assert load_service("web", dump_service(record)) == record


@pytest.mark.parametrize("field", ["owner", "state", "fence", "started_at", "command", "process", "stop", "code"])
def test_a_damaged_record_is_corrupt_and_names_the_field(field: str) -> None:
    document: Document = {**dump_service(RECORD), field: -1}
    with pytest.raises(Corrupt, match=field):
        load_service("web", document)


def test_a_name_is_an_id_of_bounded_length() -> None:
    assert check_name("web server") == "web server"
    for bad in ("", " web", "a\nb", "x" * 101):
        with pytest.raises(InvalidInput):
            check_name(bad)


# Seeing


@pytest.mark.parametrize(
    "record,sight,state",
    [
        (RECORD, Sight(here=True, process=True, supervisor=True), m.RUNNING),
        (RECORD, Sight(here=True, process=True), m.RUNNING),
        (RECORD, Sight(here=True, supervisor=True), m.STOPPING),
        (RECORD, Sight(here=True), m.DEAD),
        (RECORD, Sight(here=False), m.UNKNOWN),
        (RECORD, Sight(here=False, rebooted=True), m.DEAD),
        (RECORD.replace(state=m.STARTING, process=None), Sight(here=True, supervisor=True), m.STARTING),
        (RECORD.replace(state=m.STARTING, process=None), Sight(here=True), m.DEAD),
        (RECORD.replace(state=m.STARTING), Sight(here=True, process=True), m.RUNNING),
        (RECORD.replace(state=m.STARTING), Sight(here=True, process=True, supervisor=True), m.STARTING),
        (RECORD.replace(state=m.ENDED), Sight(here=False), m.ENDED),
    ],
)
def test_the_state_is_what_can_be_seen(record: ServiceRecord, sight: Sight, state: str) -> None:
    assert state_of(record, sight)[0] == state


# Starting


def starts(seen: ServiceView | None, *, by: str, command: tuple[str, ...] = (), **given: object) -> object:
    options = {"rights": None, "force": False, **given}
    return decide_start(seen, name="web", by=by, command=command, **options)  # type: ignore[arg-type]  # reason: a table of cases


def test_the_first_to_start_a_service_owns_it_and_others_start_it_for_the_owner() -> None:
    assert starts(None, by=OTHER) == Start(owner=OTHER)
    for state in (m.DEAD, m.ENDED, m.STOPPED, m.FAILED):
        assert starts(view(state), by=OTHER) == Start(owner=OWNER)
    assert starts(view(m.ENDED), by=OTHER, force=True) == Start(owner=OTHER, previous=OWNER)
    assert starts(view(m.RUNNING, supervised=False), by=OTHER) == Start(owner=OWNER)


def test_what_runs_is_left_running_and_what_is_being_started_is_waited_for() -> None:
    running = view(m.RUNNING)
    assert starts(running, by=OTHER) is running
    assert starts(view(m.STARTING), by=OTHER) == Start(owner=OWNER)


@pytest.mark.parametrize(
    "seen,given,code",
    [
        (None, {"rights": ("stop",)}, m.NO_RIGHT),
        (view(m.ENDED), {"force": True, "rights": ("start",)}, m.NO_RIGHT),
        (view(m.ENDED), {"command": ("other",)}, m.OTHER_COMMAND),
        (view(m.RUNNING), {"force": True}, m.STILL_RUNNING),
        (view(m.STOPPING), {}, m.BEING_STOPPED),
        (view(m.UNKNOWN, fresh=True), {}, m.OTHER_HOST),
    ],
)
def test_a_start_is_denied(seen: ServiceView | None, given: dict[str, object], code: str) -> None:
    answer = starts(seen, by=OTHER, **given)  # type: ignore[arg-type]  # reason: a table of cases
    assert isinstance(answer, Denied)
    assert answer.code == code


def test_recovery_needs_no_right_and_the_owner_may_change_the_command_of_what_does_not_run() -> None:
    assert starts(view(m.DEAD), by=OTHER, rights=()) == Start(owner=OWNER)
    assert starts(view(m.ENDED), by=OWNER, command=("other",)) == Start(owner=OWNER)
    answer = starts(view(m.RUNNING), by=OWNER, command=("other",))
    assert isinstance(answer, Denied)
    assert answer.code == m.ALREADY_RUNNING


# Stopping a process that is a service itself


def check_denied_and_audited(world: World) -> None:
    _, host = served(world)
    answer = lane(world, OTHER).guard.stop("web")
    assert isinstance(answer, Denied), answer
    assert answer.code == m.NOT_OWNER
    assert not world.machine.is_dead(host.own)
    assert ("service_denied", OTHER) in trail(world)


def check_same_agent_elsewhere_is_another_owner(world: World) -> None:
    _, host = served(world, owner="here/dev")
    answer = lane(world, "there/dev").guard.stop("web")
    assert isinstance(answer, Denied), answer
    assert not world.machine.is_dead(host.own)


def check_blank_reason_is_no_reason(world: World) -> None:
    _, host = served(world)
    for blank in ("", "  ", "\t\n"):
        with pytest.raises(InvalidInput, match="reason"):
            lane(world, OTHER).guard.stop("web", force_reason=blank)
    assert not world.machine.is_dead(host.own)


def check_forced_stop_is_audited(world: World) -> None:
    _, host = served(world)
    answer = lane(world, OTHER).guard.stop("web", force_reason="it eats the disk")
    assert isinstance(answer, Stopped)
    assert answer.forced
    assert world.machine.is_dead(host.own)
    assert ("service_forced", OTHER) in trail(world)


def check_reused_pid_is_left_alone(world: World) -> None:
    _, host = served(world)
    world.machine.kill(host.own)
    stranger = world.machine.spawn(pid=host.own.pid)
    answer = lane(world, OWNER).guard.stop("web")
    assert isinstance(answer, Stopped)
    assert answer.outcome == "not_running"
    assert not world.machine.is_dead(stranger)
    assert world.machine.signals == []


CHECKS: tuple[Callable[[World], None], ...] = (
    check_denied_and_audited,
    check_same_agent_elsewhere_is_another_owner,
    check_blank_reason_is_no_reason,
    check_forced_stop_is_audited,
    check_reused_pid_is_left_alone,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.__name__))
def test_the_guard_keeps_its_promises(check: Callable[[World], None]) -> None:
    check(World())


def test_a_pid_reused_between_look_and_signal_is_left_alone() -> None:
    world = World()
    _, host = served(world)
    guard = lane(world, OWNER).guard
    change = guard._book.change

    def slow(name: str, decide: Callable[..., Decision[bool]]) -> object:
        done = change(name, decide)
        if not world.machine.is_dead(host.own):
            world.machine.kill(host.own)
            world.machine.spawn(pid=host.own.pid)
        return done

    guard._book.change = slow  # type: ignore[method-assign, assignment]  # reason: the race, made to happen
    answer = guard.stop("web")
    assert isinstance(answer, Stopped)
    assert world.machine.signals == []
    assert world.machine.process(host.own.pid) is not None


def test_the_owner_stops_it_and_a_deaf_process_is_killed_after_the_grace() -> None:
    world = World()
    _, host = served(world)
    world.machine.deaf.add(host.own)
    before_ms = world.machine.now().boot_ms
    answer = lane(world, OWNER).guard.stop("web", grace_ms=3000)
    assert isinstance(answer, Stopped)
    assert answer.killed
    assert world.machine.now().boot_ms - before_ms >= 3000
    assert answer.view.state == m.STOPPED
    assert [entry.kind for entry in world.state().audit.entries()] == [
        *("service_started", "service_stopping", "service_ended")
    ]


def test_rights_of_a_lane_restrict_even_the_owner() -> None:
    world = World()
    _, host = served(world)
    for who, force, rights in ((OWNER, None, ("start",)), (OTHER, "why", ("start", "stop"))):
        answer = lane(world, who).guard.stop("web", force_reason=force, rights=rights)
        assert isinstance(answer, Denied)
        assert answer.code == m.NO_RIGHT
    assert not world.machine.is_dead(host.own)


def test_on_another_host_nothing_is_stopped_not_even_by_force() -> None:
    world = World()
    block, host = served(world)
    far = host.own.replace(boot_id="another", pid_ns="pid:[9]")
    guard = lane(world, OWNER).guard
    record = guard._book.record("web")
    assert record is not None
    moved = dump_service(record.replace(process=far, host="there"))
    world.shared.transact(m.SERVICES, "web", lambda _: Decision(result=None, write=moved))
    for who, force in ((OWNER, None), (OTHER, "why")):
        answer = lane(world, who).guard.stop("web", force_reason=force)
        assert isinstance(answer, Denied)
        assert (answer.code, "there" in answer.detail) == (m.OTHER_HOST, True)
    assert world.machine.signals == []
    seen = guard.status("web")
    assert seen is not None
    assert (seen.state, seen.fresh) == (m.UNKNOWN, True)
    assert block.hold is not None


def test_nobody_stops_what_was_never_started() -> None:
    world = World()
    assert world.state().guard.stop("web") is None
    assert world.state().guard.status("web") is None
    assert world.state().guard.all() == []
    assert trail(world) == []


# A process that is a service itself


def test_a_second_process_may_not_run_while_the_first_does_and_may_afterwards() -> None:
    world = World()
    block, _ = served(world)
    guard = lane(world, OTHER).guard
    denied = guard.may_run("web", OTHER)
    assert denied is not None
    assert denied.code == m.ALREADY_RUNNING
    with pytest.raises(ClaimRefused, match="web"), guard.running("web"):
        raise AssertionError
    block.__exit__(None, None, None)
    assert guard.may_run("web", OTHER) is None
    with guard.running("web") as mine:
        assert mine.hold is not None
        seen = guard.status("web")
        assert seen is not None
        assert (seen.record.owner, seen.record.started_by, seen.state) == (OWNER, OTHER, m.RUNNING)
        assert mine.hold.owner == OWNER
    seen = guard.status("web")
    assert seen is not None
    assert (seen.state, seen.record.owner) == (m.STOPPED, OWNER)


def test_a_dead_process_is_replaced_at_once_and_what_it_says_later_counts_for_nothing() -> None:
    world = World()
    _, host = served(world)
    world.machine.kill(host.own)
    first = world.state().guard.status("web")
    assert first is not None
    assert first.state == m.DEAD
    with lane(world, OTHER).guard.running("web") as second:
        assert second.hold is not None
        assert second.hold.fence > first.record.fence
        late = world.shared.transact(
            m.SERVICES,
            "web",
            lambda snapshot: decide_end(
                snapshot, name="web", fence=first.record.fence, state=m.ENDED, code=1, detail="late"
            ),
        )
        assert late is None
        seen = world.state().guard.status("web")
        assert seen is not None
        assert seen.state == m.RUNNING


def test_an_exception_in_the_block_is_its_end_and_is_written_down() -> None:
    world = World()
    block, _ = served(world)
    error = RuntimeError("port 80 is taken")
    block.__exit__(RuntimeError, error, None)
    seen = world.state().guard.status("web")
    assert seen is not None
    assert (seen.state, seen.detail) == (m.ENDED, "RuntimeError: port 80 is taken")


def test_an_ignored_service_is_not_started_and_a_claim_of_somebody_else_keeps_it_down() -> None:
    world = World()
    world.state().tasks.ignore("service:web", reason="maintenance", by=OWNER)
    with pytest.raises(ClaimRefused) as error, lane(world, OTHER).guard.running("web"):
        raise AssertionError
    assert error.value.reason == "task_ignored"


def test_who_asked_first_for_a_stop_stays_in_the_record() -> None:
    world = World()
    block, host = served(world)
    guard = lane(world, OWNER).guard
    record = guard._book.record("web")
    assert record is not None
    first = StopAsk(by=OWNER, reason="", forced=False, at_ms=host.now().at_ms, grace_ms=9)

    def stopping(ask: StopAsk) -> bool:
        return guard._book.change(
            "web", lambda snapshot: decide_stopping(snapshot, seen=record, ask=ask, action="stop")
        )

    assert stopping(first)
    assert stopping(first.replace(by=OTHER, forced=True, reason="why"))
    known = guard._book.record("web")
    assert known is not None
    assert known.stop == first
    assert block.hold is not None
    assert [kind for kind, _ in trail(world)] == ["service_started", "service_stopping", "service_forced"]


def test_a_state_that_no_other_process_can_open_starts_nothing() -> None:
    with pytest.raises(InvalidInput, match="another process"):
        World().state().guard.start("web", ["true"])


# Ending


def test_an_ending_gives_up_when_a_process_does_not_even_heed_sigkill() -> None:
    world = World()
    leader = world.machine.spawn()
    world.machine.kill = lambda process: None  # type: ignore[method-assign]  # reason: stuck in the kernel
    ending = Ending(leader, host=world.host, grace_ms=100, grouped=True)
    assert not end(ending, host=world.host, time_max_ms=1000)
    assert ending.killed
