"""Bringing changes of an agent that were made without the shared store together with those made in it meanwhile.

Where nobody else has changed it, it is taken over as it is. Else both sides are compared with what it was before: what
only one side has changed is kept, and where both have changed the same, the later of the two stands.
"""

from __future__ import annotations

from typing import Any, Final

from sharedstate.hub.model import JOINED_MAX, AgentContext, Version, dump_context, load_context
from sharedstate.hub.policy import copied, event_of, is_newer
from sharedstate.jsonio import encode
from sharedstate.store import Decision, Snapshot

_ABSENT: Final = object()


def joined(mine: AgentContext, theirs: AgentContext | None, *, writer: str) -> AgentContext:
    """What shall stand on both sides: `mine` has changes that the shared store lacks, `theirs` is what it has."""
    apart, whole = mine.apart, mine.replace(apart=None)
    if theirs is None or apart is None or theirs.version == apart.version:
        return whole
    if mine.deleted or theirs.deleted:
        return whole if is_newer(whole, theirs) else theirs
    wins = (mine.version.at_ms, mine.version.writer) > (theirs.version.at_ms, theirs.version.writer)
    merged = theirs.replace(
        context=_merged(dict(apart.context), dict(mine.context), dict(theirs.context), wins=wins),
        status=_merged(apart.status, mine.status, theirs.status, wins=wins),
        ttl_ms=_merged(apart.ttl_ms, mine.ttl_ms, theirs.ttl_ms, wins=wins),
    )
    is_later = theirs.version.rank > mine.version.rank  # a version never goes down, on either side
    if _content(merged) == _content(theirs if is_later else mine):
        return theirs if is_later else whole
    number = max(mine.version.number, theirs.version.number) + 1
    at_ms = max(mine.version.at_ms, theirs.version.at_ms)
    seen_ms = max((one for one in (mine.seen_ms, theirs.seen_ms) if one is not None), default=None)
    return merged.replace(version=Version(number=number, at_ms=at_ms, writer=writer), seen_ms=seen_ms)


def decide_join(snapshot: Snapshot, mine: AgentContext, *, writer: str) -> Decision[AgentContext]:
    """In the shared store. What was changed apart is told by the events that are forwarded, a merge by its own.

    What is joined is noted: this machine may die, or its disk be full, before it knows, and what others have put back
    since must stay so.
    """
    theirs = None if snapshot.value is None else load_context(mine.agent, snapshot.value)
    if theirs is not None and mine.version in theirs.joined:
        return Decision(result=theirs)
    made = joined(mine, theirs, writer=writer)
    if theirs is not None and made.version == theirs.version:
        return Decision(result=made)
    known = mine.joined if theirs is None else theirs.joined
    others = [one for one in known if one.writer != mine.version.writer]
    made = made.replace(joined=(*others, mine.version)[-JOINED_MAX:])
    live = None if made.deleted else made.version.number
    events = () if made.version == mine.version else (event_of(made),)
    return Decision(result=made, write=dump_context(copied(made, snapshot.now)), live=live, events=events)


def decide_settle(snapshot: Snapshot, mine: AgentContext, made: AgentContext) -> Decision[bool]:
    """On this machine: what was made of it, unless it has been changed again; then the next join sees to it."""
    here = None if snapshot.value is None else load_context(mine.agent, snapshot.value)
    if here is None or here.apart is None or here.version != mine.version:
        return Decision(result=False)
    live = None if made.deleted else made.version.number
    copy = copied(made.replace(apart=None), snapshot.now)
    return Decision(result=True, write=dump_context(copy), live=live)


def _merged(base: Any, mine: Any, theirs: Any, *, wins: bool) -> Any:
    if _same(mine, theirs) or _same(mine, base):
        return theirs
    if _same(theirs, base):
        return mine
    if not isinstance(mine, dict) or not isinstance(theirs, dict):
        return mine if wins else theirs
    known: dict[str, Any] = base if isinstance(base, dict) else {}
    told: dict[str, Any] = {}
    for name in (*theirs, *(name for name in mine if name not in theirs)):
        sides = (side.get(name, _ABSENT) for side in (known, mine, theirs))
        value = _merged(*sides, wins=wins)
        if value is not _ABSENT:
            told[name] = value
    return told


def _same(one: Any, other: Any) -> bool:
    """As JSON: to Python 1, 1.0 and true are equal."""
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return encode({"": one}) == encode({"": other})


def _content(context: AgentContext) -> bytes:
    return encode({"context": dict(context.context), "status": context.status, "ttl_ms": context.ttl_ms})
