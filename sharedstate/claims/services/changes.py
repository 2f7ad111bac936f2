"""Pure transitions of a service's record. Each is carried out in one store transaction, with its entry in the trail.

Whoever holds the claim of the service writes under its fence; what comes from a lower one writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharedstate.claims.audit import audit_event
from sharedstate.claims.services import model as m
from sharedstate.claims.services.model import ServiceRecord, StopAsk, dump_service, load_service, task_of
from sharedstate.ids import Process
from sharedstate.store import Decision, Snapshot
from sharedstate.values import Value


class Begin(Value):
    """A run about to begin: on whose behalf, by whom, with what (masked), supervised by whom, under which fence.

    `forced`: why the service is taken over from its owner; None when it is not.
    """

    name: str
    owner: str
    by: str
    host: str
    fence: int
    command: tuple[str, ...]
    folder: str
    log: str
    supervisor: Process | None
    process: Process | None = None
    grouped: bool = True
    forced: str | None = None


class Begun(Value):
    """The record says that it is being started (or runs, for a process that registers itself)."""

    record: ServiceRecord


class Adopted(Value):
    """It runs already, without a supervisor; it has one now."""

    record: ServiceRecord


class Hindered(Value):
    """Nothing was written: the record (None: gone) does not allow it."""

    record: ServiceRecord | None


Lives = Callable[[Process], bool]


def decide_begin(snapshot: Snapshot, begin: Begin, *, lives: Lives) -> Decision[Begun | Adopted | Hindered]:
    """Begin a run, adopt the one whose supervisor is dead, or neither: another owner or a higher fence stands there."""
    known = _known(begin.name, snapshot)
    if known is None:
        return _begun(begin, snapshot, previous=None)
    taken = begin.forced is not None and known.owner != begin.owner
    if known.fence > begin.fence or (known.owner != begin.owner and not taken):
        return Decision(result=Hindered(record=known))
    if known.state in m.ACTIVE and known.process is not None and lives(known.process):
        if taken or begin.supervisor is None:
            return Decision(result=Hindered(record=known))
        state = m.STOPPING if known.state == m.STOPPING else m.RUNNING
        adopted = known.replace(fence=begin.fence, supervisor=begin.supervisor, state=state)
        told = _event("service_adopted", adopted, by=begin.by)
        return Decision(result=Adopted(record=adopted), write=dump_service(adopted), events=(told,))
    return _begun(begin, snapshot, previous=known)


def decide_prepared(snapshot: Snapshot, *, name: str, fence: int, process: Process) -> Decision[bool]:
    """Name the process that waits for the go-ahead; False when it must not get it: somebody has asked for a stop."""
    known = _known(name, snapshot)
    if known is None or known.fence != fence or known.state != m.STARTING:
        return Decision(result=False)
    return Decision(result=True, write=dump_service(known.replace(process=process)))


def decide_running(snapshot: Snapshot, *, name: str, fence: int) -> Decision[bool]:
    """The program has been executed. A stop asked for meanwhile stays asked for."""
    known = _known(name, snapshot)
    if known is None or known.fence != fence or known.state not in m.ACTIVE:
        return Decision(result=False)
    state = m.RUNNING if known.state == m.STARTING else known.state
    running = known.replace(state=state)
    return Decision(result=True, write=dump_service(running), events=(_started(running),))


def decide_stopping(snapshot: Snapshot, *, seen: ServiceRecord, ask: StopAsk, action: str) -> Decision[bool]:
    """Write down who asks the service to stop, before anybody sends a signal; False when it is not as `seen` any more.

    Asking again does not shorten anything: the first who asked stays in the record, the trail has all.
    """
    known = _known(seen.name, snapshot)
    if known is None or known.fence != seen.fence or known.state not in m.ACTIVE or known.owner != seen.owner:
        return Decision(result=False)
    if known.process != seen.process:
        return Decision(result=False)
    stopping = known.replace(state=m.STOPPING, stop=known.stop or ask)
    kind = "service_forced" if ask.forced else "service_stopping"
    told = _event(kind, stopping, by=ask.by, action=action, reason=ask.reason or None)
    return Decision(result=True, write=dump_service(stopping), events=(told,))


def decide_end(
    snapshot: Snapshot, *, name: str, fence: int, state: str, code: int | None, detail: str
) -> Decision[ServiceRecord | None]:
    """Write the end of the run under this fence down; None when another run, or its end, stands there."""
    known = _known(name, snapshot)
    if known is None or known.fence != fence or known.state not in m.ACTIVE:
        return Decision(result=None)
    ended = known.replace(state=state, ended_ms=snapshot.now.at_ms, code=code, detail=detail)
    told = _event(
        "service_ended", ended, by=ended.owner if ended.stop is None else ended.stop.by, state=state, code=code
    )
    return Decision(result=ended, write=dump_service(ended), events=({**told, "detail": detail},))


def decide_fence(snapshot: Snapshot, *, name: str, process: Process, fence: int) -> Decision[bool]:
    """Go on under a new fence, after somebody has ended the claim of a running program; False: not ours any more."""
    known = _known(name, snapshot)
    if known is None or known.process != process or known.fence > fence or known.state not in m.ACTIVE:
        return Decision(result=False)
    return Decision(result=True, write=dump_service(known.replace(fence=fence)))


def _begun(begin: Begin, snapshot: Snapshot, *, previous: ServiceRecord | None) -> Decision[Begun | Adopted | Hindered]:
    record = ServiceRecord(
        name=begin.name,
        owner=begin.owner,
        state=m.STARTING if begin.process is None else m.RUNNING,
        fence=begin.fence,
        host=begin.host,
        started_by=begin.by,
        started_ms=snapshot.now.at_ms,
        command=begin.command,
        folder=begin.folder,
        log=begin.log,
        grouped=begin.grouped,
        process=begin.process,
        supervisor=begin.supervisor,
        extra={} if previous is None else previous.extra,
    )
    told: list[dict[str, Any]] = []
    if previous is not None and previous.owner != begin.owner:
        facts = {"action": "start", "reason": begin.forced, "previous_owner": previous.owner}
        told.append(_event("service_forced", record, by=begin.by, **facts))
    if begin.process is not None:
        told.append(_started(record))
    return Decision(result=Begun(record=record), write=dump_service(record), events=tuple(told))


def _started(record: ServiceRecord) -> dict[str, Any]:
    recovery = record.started_by != record.owner or None
    return _event("service_started", record, by=record.started_by, recovery=recovery, command=list(record.command))


def _event(kind: str, record: ServiceRecord, *, by: str, **facts: Any) -> dict[str, Any]:
    pid = None if record.process is None else record.process.pid
    common = {"owner": record.owner, "fence": record.fence, "host": record.host, "pid": pid}
    return audit_event(kind, about=task_of(record.name), by=by, **common, **facts)


def _known(name: str, snapshot: Snapshot) -> ServiceRecord | None:
    return None if snapshot.value is None else load_service(name, snapshot.value)
