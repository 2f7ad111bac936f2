"""Pure decisions about contexts: patches, versions, which of two is newer, what expires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate.clock import Instant, age_between
from sharedstate.errors import InvalidInput
from sharedstate.hub.model import (
    CONTEXT_BYTES_MAX,
    STATUS_CHARACTERS_MAX,
    TTL_MS_MAX,
    TTL_MS_MIN,
    AgentContext,
    Base,
    Mode,
    Version,
    dump_context,
    load_context,
)
from sharedstate.jsonio import encode
from sharedstate.store import BEAT, Beat, Decision, Document, Snapshot
from sharedstate.values import Value

DEPTH_MAX: Final = 32


class Unchanged:
    """Told apart from None: a status of None clears it."""


UNCHANGED: Final = Unchanged()
Change = str | None | Unchanged


class Update(Value):
    """A wanted change: the patch and how it is applied; `status` and `ttl_ms` only where they are to change."""

    patch: Mapping[str, Any]
    mode: Mode
    writer: str
    status: Change = UNCHANGED
    ttl_ms: int | Unchanged | None = UNCHANGED


def merge_patch(target: Any, patch: Any, *, depth: int = 0) -> Any:
    """JSON Merge Patch (RFC 7396): objects merge, null removes, everything else replaces. At most 32 levels deep."""
    if not isinstance(patch, dict):
        return patch
    if depth > DEPTH_MAX:
        raise InvalidInput(f"a patch of more than {DEPTH_MAX} levels")
    merged: dict[str, Any] = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value, depth=depth + 1)
    return merged


def check_status(status: object) -> str | None:
    """A status of at most 200 characters, or None; `InvalidInput` otherwise."""
    if status is not None and (not isinstance(status, str) or len(status) > STATUS_CHARACTERS_MAX):
        raise InvalidInput(f"a status is text of at most {STATUS_CHARACTERS_MAX} characters")
    return status


def check_ttl(ttl_ms: object) -> int | None:
    """A time to live of 1 s to 30 days in milliseconds, or None for ever; `InvalidInput` otherwise."""
    if ttl_ms is None:
        return None
    if type(ttl_ms) is not int or not TTL_MS_MIN <= ttl_ms <= TTL_MS_MAX:
        raise InvalidInput(f"a time to live is 1 s to 30 days ({TTL_MS_MIN} to {TTL_MS_MAX} ms), not {ttl_ms!r} ms")
    return ttl_ms


def decide_update(snapshot: Snapshot, agent: str, update: Update, *, apart: bool = False) -> Decision[AgentContext]:
    """Apply a change. What changes nothing is at most a sign of life: no byte of the record is written.

    `apart`: without the shared store; what it was before is kept, to bring both together.
    """
    known = None if snapshot.value is None else load_context(agent, snapshot.value)
    held = known if known is not None and not known.deleted else None
    before: Mapping[str, Any] = {} if held is None else held.context
    context = merge_patch(before, dict(update.patch)) if update.mode == "merge" else dict(update.patch)
    status = _changed(None if held is None else held.status, update.status)
    ttl_ms = _changed(None if held is None else held.ttl_ms, update.ttl_ms)
    raw = encode(context)
    if held is not None and (status, ttl_ms) == (held.status, held.ttl_ms) and raw == encode(dict(before)):
        seen = held.replace(seen_ms=snapshot.now.at_ms)  # bytes are compared: to Python 1, 1.0 and true are equal
        return Decision(result=seen, write=BEAT, live=held.version.number)
    if len(raw) > CONTEXT_BYTES_MAX:
        told = f"{len(raw)} bytes; at most {CONTEXT_BYTES_MAX} are allowed"
        raise InvalidInput(f"the context of {agent!r} would have {told}")
    made = AgentContext(
        agent=agent,
        status=status,
        context=context,
        version=_next(known, snapshot.now, update.writer),
        ttl_ms=ttl_ms,
        seen_ms=snapshot.now.at_ms,
        apart=base_of(known) if apart else None,
        joined=() if known is None else known.joined,
        extra={} if known is None else known.extra,
    )
    event = event_of(made)
    return Decision(result=made, write=dump_context(made), live=made.version.number, events=(event,))


def decide_delete(snapshot: Snapshot, agent: str, *, writer: str, apart: bool = False) -> Decision[bool]:
    """Leave a tombstone; False when there is nothing to delete. `apart`: without the shared store."""
    known = None if snapshot.value is None else load_context(agent, snapshot.value)
    if known is None or known.deleted:
        return Decision(result=False)
    version = _next(known, snapshot.now, writer)
    tombstone = AgentContext(
        agent=agent,
        status=None,
        context={},
        version=version,
        deleted=True,
        apart=base_of(known) if apart else None,
        joined=known.joined,
        extra=known.extra,
    )
    return Decision(result=True, write=dump_context(tombstone), events=(event_of(tombstone),))


def decide_beat(snapshot: Snapshot, agent: str) -> Decision[bool]:
    """A sign of life; False for an agent that has no context."""
    known = None if snapshot.value is None else load_context(agent, snapshot.value)
    if known is None or known.deleted:
        return Decision(result=False)
    return Decision(result=True, write=BEAT, live=known.version.number)


def decide_adopt(snapshot: Snapshot, other: AgentContext, *, told: bool = True) -> Decision[bool]:
    """Take another side's context when it is newer than what is here; what is newer or the same here stays.

    The store counts this as a sign of life, which it is not: what the other side knew of the last one goes along. It is
    an event (`told`) in the shared store only: this machine's own journal tells what was done without the others.
    """
    here = None if snapshot.value is None else load_context(other.agent, snapshot.value)
    if not is_newer(other, here) or (here is not None and here.apart is not None):
        return Decision(result=False)  # what was changed here without the others is joined, never replaced
    live = None if other.deleted else other.version.number
    written = dump_context(copied(other, snapshot.now))
    return Decision(result=True, write=written, live=live, events=(event_of(other),) if told else ())


def copied(other: AgentContext, now: Instant) -> AgentContext:
    """A context as it is written where it comes from elsewhere: to a store this looks like a sign of life."""
    seen_ms = None if other.seen_ms is None else min(other.seen_ms, now.at_ms)  # a clock ahead: nobody lives longer
    return other.replace(copied_ms=now.at_ms, copied_seen_ms=seen_ms)


def base_of(known: AgentContext | None) -> Base:
    """What a change without the shared store stands upon."""
    if known is None:
        return Base(version=None, context={}, status=None, ttl_ms=None)
    if known.apart is not None:
        return known.apart
    return Base(version=known.version, context=known.context, status=known.status, ttl_ms=known.ttl_ms)


def is_newer(one: AgentContext, other: AgentContext | None) -> bool:
    """Whether `one` replaces `other`, on whichever side they stand.

    Machines of one name can make different contexts of one version: then the same of both is taken everywhere.
    """
    if other is None or one.version.rank != other.version.rank:
        return other is None or one.version.rank > other.version.rank
    if (one.context, one.status, one.deleted) == (other.context, other.status, other.deleted):
        return False
    return _content(one) > _content(other)


def seen_by(context: AgentContext, beat: Beat | None, now: Instant, *, skew_ms: int) -> AgentContext:
    """The context with its last sign of life, and whether that was too long ago."""
    copied_ms, copied_seen_ms = context.copied_ms, context.copied_seen_ms
    if copied_ms is not None and (beat is None or beat.seen.at_ms <= copied_ms):
        known = None if copied_seen_ms is None else Instant(at_ms=copied_seen_ms, boot_ms=0, boot_id="")
    else:
        known = None if beat is None else beat.seen
    if known is None:
        return context.replace(expired=context.ttl_ms is not None)
    age_ms = age_between(since=known, now=now, skew_ms=skew_ms).ms
    return context.replace(seen_ms=known.at_ms, expired=context.ttl_ms is not None and age_ms > context.ttl_ms)


def event_of(context: AgentContext) -> Document:
    """What the journal is told of a change; number and writer are the same wherever it is told."""
    kind = "context_deleted" if context.deleted else "context_updated"
    status = {} if context.deleted else {"status": context.status}
    version = context.version
    return {"type": kind, "agent": context.agent, "number": version.number, "writer": version.writer, **status}


def _content(context: AgentContext) -> bytes:
    return encode({"context": dict(context.context), "status": context.status, "deleted": context.deleted})


def _changed(before: Any, wanted: Any) -> Any:
    return before if isinstance(wanted, Unchanged) else wanted


def _next(known: AgentContext | None, now: Instant, writer: str) -> Version:
    number, at_ms = (0, now.at_ms) if known is None else (known.version.number, max(now.at_ms, known.version.at_ms))
    return Version(number=number + 1, at_ms=at_ms, writer=writer)
