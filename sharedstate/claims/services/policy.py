"""Who may start and stop a service, and what state it is in. Pure: what the observer sees is given."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sharedstate.claims.services import model as m
from sharedstate.claims.services.model import Denied, ServiceRecord, ServiceView
from sharedstate.values import Value

START: Final = "start"
STOP: Final = "stop"
RESTART: Final = "restart"
FORCE: Final = "force"


class Sight(Value):
    """What an observer can tell of the processes in a record.

    `here`: they are of this very boot and pid namespace, so that `process` and `supervisor` say whether each lives.
    `rebooted`: they were on this host, before it was started anew.
    """

    here: bool
    rebooted: bool = False
    process: bool = False
    supervisor: bool = False


class Start(Value):
    """It may be started, for this owner. `previous`: from whom it was taken over by force."""

    owner: str
    previous: str | None = None


def state_of(record: ServiceRecord, sight: Sight) -> tuple[str, str]:
    """The state as seen, and why."""
    if record.state not in m.ACTIVE:
        return record.state, record.detail
    if sight.rebooted:
        return m.DEAD, "the machine has been started anew since"
    if not sight.here:
        return m.UNKNOWN, f"on {record.host or 'another host'}: its process cannot be seen from here"
    if record.state == m.STARTING and sight.supervisor:
        return m.STARTING, "its supervisor prepares it"
    if sight.process:
        if record.state == m.STOPPING and record.stop is not None:
            return m.STOPPING, f"asked by {record.stop.by}"
        return m.RUNNING, "" if sight.supervisor or record.supervisor is None else "its supervisor is dead"
    if sight.supervisor:
        return m.STOPPING, "its program has ended; its supervisor clears up"
    return m.DEAD, "its process is gone, and nobody has written down its end"


def decide_start(
    view: ServiceView | None,
    *,
    name: str,
    by: str,
    rights: Collection[str] | None,
    command: tuple[str, ...],
    force: bool,
) -> Start | Denied | ServiceView:
    """`Start`, `Denied`, or the view of the one that runs already.

    Anybody may start a known service for its owner (recovery), with the owner's command. `command` is masked, empty
    when none was given. `rights` None: no lane restricts the caller.
    """

    def denied(code: str, detail: str, *, retryable: bool = False) -> Denied:
        owner = "" if view is None else view.record.owner
        return Denied(name=name, action=START, code=code, detail=detail, owner=owner, by=by, retryable=retryable)

    if view is None:
        if not _has(rights, START):
            return denied(m.NO_RIGHT, "this lane has no right to start a new service")
        return Start(owner=by)
    owner = view.record.owner
    if force and owner != by and not _has(rights, FORCE):
        return denied(m.NO_RIGHT, "this lane has no right to force")
    takes_over = force and owner != by
    if view.state == m.UNKNOWN and view.fresh:
        return denied(m.OTHER_HOST, f"it runs on {view.record.host}, as its heartbeat says")
    if view.state == m.STOPPING:
        return denied(m.BEING_STOPPED, view.detail, retryable=True)
    if view.running and takes_over:
        return denied(m.STILL_RUNNING, "a running service is not taken over; stop it first")
    other = command != () and command != view.record.command
    if other and owner != by and not takes_over:
        return denied(m.OTHER_COMMAND, f"for {owner} it is started with its own command, or by force")
    if view.running and other:
        return denied(m.ALREADY_RUNNING, "it runs with another command; restart it")
    if view.state == m.RUNNING and view.supervised is not False:
        return view  # one that is being started is waited for: it may fail
    return Start(owner=by, previous=owner) if takes_over else Start(owner=owner)


def decide_stop(
    view: ServiceView, *, action: str, by: str, rights: Collection[str] | None, force: bool
) -> Denied | None:
    """None when `by` may stop or restart it: its owner, or anybody by force (with a reason), as far as rights go."""
    owner = view.record.owner

    def denied(code: str, detail: str) -> Denied:
        return Denied(name=view.record.name, action=action, code=code, detail=detail, owner=owner, by=by)

    if owner == by:
        return None if _has(rights, STOP) else denied(m.NO_RIGHT, "this lane has no right to stop")
    if not force:
        return denied(m.NOT_OWNER, f"it belongs to {owner}")
    return None if _has(rights, FORCE) else denied(m.NO_RIGHT, "this lane has no right to force")


def _has(rights: Collection[str] | None, right: str) -> bool:
    return rights is None or right in rights
