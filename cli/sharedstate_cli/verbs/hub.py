"""`claims hub`: who is doing what right now; records of work; events as they happen; the service behind it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sharedstate import jsonio
from sharedstate.clock import iso_of_ms
from sharedstate.errors import EXIT_LOST, EXIT_NOT_FOUND, EXIT_RETRY, Corrupt, StoreError
from sharedstate.hub.bridge import Bridge
from sharedstate.hub.health import examine
from sharedstate.hub.model import AgentContext, Gap, HubEvent, Outage, Told, Unified
from sharedstate.hub.policy import UNCHANGED
from sharedstate.hub.recording import AMOUNT_MAX
from sharedstate.hub.retention import forget_bridged, forget_done
from sharedstate.messages.lanes import lane_of
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import ago, moment
from sharedstate_cli.letters import count_of
from sharedstate_cli.report import Grid, Report, compact
from sharedstate_cli.running.machine import HUB, machine_guard
from sharedstate_cli.session import Session
from sharedstate_cli.streams import STDIN

EVERY_MS = 2_000
EVERY_MS_MIN = 100
EVERY_MS_MAX = 3_600_000
_FORGET_S = 3_600.0
INPUT_CHARACTERS_MAX = 512 * 1024
_COLUMNS = ("AGENT", "STATUS", "SEEN", "CONTEXT")
_SHOWN_CHARACTERS = 60
_APART = "the shared store is away; only this machine's events are told until it is back"
_STALE = "the shared store is away; this is what this machine knows"


def status(session: Session, *, expired: bool) -> Report:
    """Everybody's context; with `--json` all of them, marked."""
    seen = session.state.hub.unified()
    shown = [one for one in seen.contexts if expired or not one.expired]
    rows = tuple(_row(one, now_ms=seen.at_ms) for one in shown)
    tones = tuple("warn" if one.expired else "good" for one in shown)
    grid = Grid(columns=_COLUMNS, rows=rows, tones=tones, empty="nobody is doing anything")
    return Report(document={"ok": True, **_unified(seen)}, grid=grid, notes=_notes(seen))


def get(session: Session, *, agent: str) -> Report:
    """One context."""
    held = session.state.hub.context(agent)
    if held is None:
        return _nobody(session, agent)
    lines = tuple(jsonio.encode(_document(held)).decode().rstrip("\n").split("\n"))  # a text may hold other separators
    return Report(document=_answer(session, _document(held)), lines=lines, notes=_stale(session))


def update(
    session: Session,
    *,
    agent: str,
    patch: str | None,
    pairs: Mapping[str, str],
    replace: bool,
    status: str | None,
    ttl: int | None,
) -> Report:
    """Change a context."""
    wanted: dict[str, Any] = {}
    if patch is not None:
        wanted = _object(_text(session, patch), "--patch")
    if replace and patch is None and not pairs:
        raise Usage("--replace needs the whole new context: --patch or --set")
    made = session.state.hub.update(
        agent,
        {**wanted, **pairs},
        "replace" if replace else "merge",
        status=UNCHANGED if status is None else (status or None),
        ttl_ms=UNCHANGED if ttl is None else (ttl or None),
    )
    line = f"updated {made.agent}, change {made.version.number}"
    return Report(document=_answer(session, _document(made)), lines=(line,), notes=_away(session))


def delete(session: Session, *, agent: str) -> Report:
    """Take an agent out."""
    if not session.state.hub.delete(agent):
        return _nobody(session, agent)
    document = _answer(session, {"agent": agent, "deleted": True})
    return Report(document=document, lines=(f"deleted {agent}",), notes=_away(session))


def record(
    session: Session,
    *,
    kind: str,
    agent: str,
    what: str | None,
    outcome: str | None,
    result: str | None,
    amounts: Mapping[str, str],
) -> Report:
    """Record work done."""
    value = None if result is None else _value(_text(session, result), "--result")
    recording = session.state.record
    if (kind == "usage") != bool(amounts):
        raise Usage("--use NAME=NUMBER goes with usage, and only with it")
    if kind in ("task", "proposal"):
        if what is None or outcome is None:
            raise Usage(f"an id and an outcome are needed: claims hub record {kind} AGENT ID OUTCOME")
        (recording.task if kind == "task" else recording.proposal)(agent, what, outcome, value)
    elif what is not None or outcome is not None:
        raise Usage(f"claims hub record {kind} takes no id and no outcome")
    elif kind == "lesson":
        if not isinstance(value, dict):
            raise Usage('a lesson is an object: --result \'{"lesson": "…"}\'')
        recording.learn(agent, value)
    else:
        recording.use(agent, **{name: _number(name, text) for name, text in amounts.items()})
    document = _answer(session, {"recorded": kind, "agent": agent, **compact(id=what, outcome=outcome)})
    return Report(document=document, lines=(f"recorded {kind} of {agent}",), notes=_away(session))


def watch(session: Session, *, after: str | None, count: int | None, timeout: int | None) -> Report:
    """Events, each flushed as it comes."""
    if count is not None and count < 1:
        raise Usage("--count: at least 1")
    begin = "now" if after is None else ("" if after == "first" else after)
    printed = 0
    for one in session.state.hub.subscribe(begin, timeout_s=None if timeout is None else timeout / 1000):
        session.emit(_told(one))
        printed += isinstance(one, HubEvent)
        if count is not None and printed >= count:
            return Report()
    return Report(code=0 if count is None else EXIT_RETRY)


def health(session: Session) -> Report:
    """Round trips to each store."""
    state = session.state
    sides = {"shared": state.store, "local": state.local_store}
    report = examine(sides, host=state.host, writer=state.identity.host)
    rows = tuple(
        (check.side, check.name, "ok" if check.ok else "FAILS", f"{check.ms:.1f} ms", check.problem)
        for check in report.checks
    )
    document = {"ok": report.ok, "score": report.score, "checks": [check.fields() for check in report.checks]}
    hints = dict.fromkeys(check.hint for check in report.checks if check.hint)
    return Report(
        code=0 if report.ok else EXIT_RETRY,
        document=document,
        lines=(f"score {report.score} of 100",),
        grid=Grid(
            columns=("SIDE", "CHECK", "RESULT", "TOOK", "PROBLEM"),
            rows=rows,
            tones=tuple("good" if check.ok else "bad" for check in report.checks),
        ),
        notes=tuple(f"hint: {hint}" for hint in hints),
    )


def run(session: Session, *, every: int | None, bridge: str | None, owner: str | None) -> Report:
    """The service: reconcile and look into the bridge folder until asked to end."""
    every_ms = EVERY_MS if every is None else every
    if not EVERY_MS_MIN <= every_ms <= EVERY_MS_MAX:
        raise Usage("--every: from 100ms to 1h")
    if bridge is not None and not os.path.isdir(bridge):
        raise Usage(f"--bridge: no such folder: {bridge}")
    state, ending = session.state, threading.Event()
    lane = lane_of(state.settings)
    rights = None if lane is None else lane.rights
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with (
        machine_guard(state) as guard,
        guard.running(HUB, owner=owner or state.identity.owner, rights=rights, on_lost=lambda _: ending.set()) as mine,
    ):
        session.emit(Report(document={"ok": True, "service": HUB}, lines=(f"the hub runs, every {every_ms} ms",)))
        told, forget_s = _turn(session, bridge, frozenset()), state.host.monotonic_s()
        while not ending.wait(every_ms / 1000):
            told = _turn(session, bridge, told)
            if state.host.monotonic_s() >= forget_s:
                forget_s += _FORGET_S
                told = told | _tried(session, partial(_forget, bridge=bridge), told)
    if mine.lost:
        return Report(code=EXIT_LOST, problems=("the service hub was taken over; ended",))
    return Report()


def _turn(session: Session, bridge: str | None, told: frozenset[str]) -> frozenset[str]:
    """One look. A fault of a store ends nothing; it is returned, and noted unless the last look has `told` it."""
    parts = (_reconcile, partial(_cross, bridge=bridge))
    return frozenset[str]().union(*(_tried(session, part, told) for part in parts))


def _tried(session: Session, part: Callable[[Session], None], told: frozenset[str]) -> frozenset[str]:
    try:
        part(session)
    except (StoreError, Corrupt) as error:  # that the shared store is away, the hub tells by itself
        if str(error) not in told:
            session.note(str(error))
        return frozenset((str(error),))
    return frozenset()


def _forget(session: Session, *, bridge: str | None) -> None:
    """What is a month old; what waits for the shared store is none of it."""
    state = session.state
    count = state.hub.forget()
    if bridge is not None:
        count += forget_bridged(state.store) + forget_done(bridge, now_ms=state.host.now().at_ms)
    if count:
        session.emit(
            Report(document={"ok": True, "forgotten": count}, lines=(f"forgot {count_of(count, 'thing')} a month old",))
        )


def _reconcile(session: Session) -> None:
    done = session.state.hub.reconcile()
    if done.taken or done.given or done.forwarded:
        line = f"took {done.taken}, gave {done.given} contexts, forwarded {done.forwarded} events"
        session.emit(Report(document={"ok": True, **done.fields()}, lines=(line,)))


def _cross(session: Session, *, bridge: str | None) -> None:
    if bridge is None:
        return
    crossing = Bridge(session.state.store, bridge, host=session.state.host).cross()
    for name, reason in crossing.refused:
        session.note(f"bridge: refused {name}: {reason}")
    if crossing.taken:
        document = {"ok": True, "bridged": list(crossing.taken)}
        session.emit(Report(document=document, lines=(f"took in {count_of(len(crossing.taken), 'file')}",)))


# What is shown


def _answer(session: Session, told: Mapping[str, Any]) -> dict[str, Any]:
    """`degraded`: of this machine, or kept on it until the shared store is back."""
    return {"ok": True, **told, "degraded": session.state.hub.degraded}


def _document(held: AgentContext) -> dict[str, Any]:
    return {
        "agent": held.agent,
        "status": held.status,
        "context": dict(held.context),
        "number": held.version.number,
        "changed_at": iso_of_ms(held.version.at_ms),
        "writer": held.version.writer,
        "expired": held.expired,
        **compact(
            seen_at=None if held.seen_ms is None else iso_of_ms(held.seen_ms),
            ttl_s=None if held.ttl_ms is None else held.ttl_ms / 1000,
        ),
    }


def _unified(seen: Unified) -> dict[str, Any]:
    return {
        "contexts": [_document(one) for one in seen.contexts],
        "degraded": seen.degraded,
        "unreadable": list(seen.unreadable),
    }


def _row(held: AgentContext, *, now_ms: int) -> tuple[str, ...]:
    text = jsonio.encode_line(dict(held.context)).decode().strip()
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    seen = "" if held.seen_ms is None else ago(max(0, now_ms - held.seen_ms))
    return (held.agent, held.status or "", seen, shown)


def _told(one: Told) -> Report:
    if isinstance(one, Outage):
        document = {"ok": True, "away": not one.over, "reason": one.reason, "cursor": one.cursor}
        line = "the shared store is back" if one.over else f"{_APART}: {one.reason}"
        return Report(document=document, lines=(line,))
    if isinstance(one, Gap):
        document = {"ok": True, "gap": one.reason, "cursor": one.cursor, "snapshot": _unified(one.snapshot)}
        return Report(document=document, lines=(f"events may be missing here: {one.reason}",))
    document = {"ok": True, "sequence": one.sequence, "at": iso_of_ms(one.at_ms), "cursor": one.cursor}
    body = _event_line(dict(one.body))
    mark = "  (here only)" if one.local else ""
    line = f"{moment(one.at_ms)}  {body}{mark}"
    return Report(document={**document, "event": dict(one.body), "local": one.local}, lines=(line,))


def _event_line(body: dict[str, Any]) -> str:
    """Type and agent, then the rest as `name=value`; texts that are one word stand without quotes."""
    kind, agent = body.pop("type", ""), body.pop("agent", None)
    facts = [f"{_word(name)}={_word(value)}" for name, value in body.items() if value is not None]
    return "  ".join(part for part in (_word(kind), "" if agent is None else _word(agent), " ".join(facts)) if part)


def _word(value: object) -> str:
    if isinstance(value, str) and value and not any(one.isspace() or one in "\"'=" for one in value):
        return value
    return jsonio.encode_line({"": value}).decode().strip()[4:-1]


def _notes(seen: Unified) -> tuple[str, ...]:
    notes = (_STALE,) if seen.degraded else ()
    return (*notes, *(f"unreadable: {name}" for name in seen.unreadable[:10]))


def _stale(session: Session) -> tuple[str, ...]:
    return (_STALE,) if session.state.hub.degraded else ()


def _away(session: Session) -> tuple[str, ...]:
    return ("the shared store is away; kept here until it is back",) if session.state.hub.degraded else ()


def _nobody(session: Session, agent: str) -> Report:
    told = {"agent": agent, "detail": "the hub knows no such agent", "degraded": session.state.hub.degraded}
    document = {"ok": False, "reason": "agent_not_found", **told}
    problems = (f"{agent}: the hub knows no such agent",)
    return Report(code=EXIT_NOT_FOUND, document=document, problems=problems, notes=_stale(session))


# What is read


def _text(session: Session, given: str) -> str:
    if given != STDIN:
        return given
    if session.console.stdin is None:
        raise Usage("standard input is closed")
    try:
        text = session.console.stdin.read(INPUT_CHARACTERS_MAX + 1)
    except UnicodeDecodeError as error:
        raise Usage(f"standard input is not UTF-8 text: {error.reason}") from None
    if len(text) > INPUT_CHARACTERS_MAX:
        raise Usage(f"standard input has more than {INPUT_CHARACTERS_MAX} characters")
    return text


def _value(text: str, what: str) -> Any:
    """Any JSON value: read inside an object, because a document is one."""
    try:
        document = jsonio.decode(b'{"value":' + text.encode() + b"}", what=what)
    except UnicodeEncodeError:
        raise Usage(f"{what}: not UTF-8 text") from None
    except Corrupt as error:
        reason = str(error).removeprefix(f"{what}: ")
        if " (char " in reason:  # a place in the object around it helps nobody
            reason = 'one JSON value is wanted; names and texts stand in double quotes, as in {"files": 3}'
        raise Usage(f"{what}: not JSON: {reason}") from None
    if document.keys() != {"value"}:
        raise Usage(f"{what}: not one JSON value")
    return document["value"]


def _object(text: str, what: str) -> dict[str, Any]:
    value = _value(text, what)
    if not isinstance(value, dict):
        raise Usage(f'{what}: an object such as {{"branch": "main"}}, not {_kind(value)}')
    return value


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds: dict[type[object], str] = {bool: "true or false", str: "a text", list: "a list"}
    return kinds.get(type(value), "a number")


def _number(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(AMOUNT_MAX)):
        raise Usage(f"--use {name[:40]}: a whole number from 0 to {AMOUNT_MAX}, not {text[:40]!r}")
    return int(text)
