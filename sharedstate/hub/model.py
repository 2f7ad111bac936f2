"""What the hub holds: one context for each agent, versions that order them, events, and what a reader gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from sharedstate.clock import iso_of_ms, ms_of_iso
from sharedstate.errors import Corrupt
from sharedstate.jsonio import COUNT_MAX
from sharedstate.store import Document
from sharedstate.values import Value

CONTEXTS: Final = "contexts"
JOURNAL: Final = "hub"
CONTEXT_BYTES_MAX: Final = 256 * 1024
EVENT_BYTES_MAX: Final = 64 * 1024
STATUS_CHARACTERS_MAX: Final = 200
TTL_MS_MIN: Final = 1_000
TTL_MS_MAX: Final = 30 * 86_400_000
Mode = Literal["merge", "replace"]
MODES: Final[tuple[Mode, ...]] = ("merge", "replace")
_NAMES: Final = frozenset(("agent", "status", "context", "version", "ttl_ms", "deleted", "copied", "apart", "joined"))
JOINED_MAX: Final = 16


class Version(Value):
    """Which of two contexts is newer: the higher `number`, then the later moment, then the greater `writer`.

    `number` grows by one with each change, on whichever side it is made; `writer` is the machine that made it.
    """

    number: int
    at_ms: int
    writer: str

    @property
    def rank(self) -> tuple[int, int, str]:
        """What versions are compared by."""
        return self.number, self.at_ms, self.writer


class Base(Value):
    """What was known of an agent before it was first changed without the shared store; no `version`: nothing was."""

    version: Version | None
    context: Mapping[str, Any]
    status: str | None
    ttl_ms: int | None


class AgentContext(Value):
    """What is known of one agent. `status` is a field of its own, never a part of `context`.

    `seen_ms` is the wall time of its last sign of life; `expired` says that this was longer ago than `ttl_ms` (None: it
    never expires). `deleted` marks a tombstone: it keeps an older copy from coming back. `copied_ms` is when this store
    took it over from another, `copied_seen_ms` what was known there of its last sign of life: taking over is none.
    `apart` is there while it has changes that the shared store has not seen: what it was before them.
    `joined` says up to which version the changes of a machine that was apart are in it, so that none is made twice.
    `extra` keeps unknown fields.
    """

    agent: str
    status: str | None
    context: Mapping[str, Any]
    version: Version
    ttl_ms: int | None = None
    deleted: bool = False
    seen_ms: int | None = None
    expired: bool = False
    copied_ms: int | None = None
    copied_seen_ms: int | None = None
    apart: Base | None = None
    joined: tuple[Version, ...] = ()
    extra: Mapping[str, Any] = {}


class Unified(Value):
    """Everybody's context at one moment, sorted by agent. `degraded`: the shared store is away, this is what is local.

    `unreadable` names records that could not be read; the others are there all the same.
    """

    contexts: tuple[AgentContext, ...]
    at_ms: int
    degraded: bool = False
    unreadable: tuple[str, ...] = ()


class HubEvent(Value):
    """One event: its place in the hub's journal, when it was written there, what it says. `cursor` goes on after it.

    `local`: the shared store is away, and the event stands in a journal of this machine. It is not told again when it
    comes through the shared store.
    """

    sequence: int
    at_ms: int
    body: Mapping[str, Any]
    cursor: str
    local: bool = False


class Gap(Value):
    """Events may be missing here (another journal, or one that lost its end): start from `snapshot`."""

    reason: str
    snapshot: Unified
    cursor: str


class Outage(Value):
    """The shared store is away, and why; until it is back (`over`), only events of this machine are told."""

    over: bool
    reason: str
    cursor: str


Told = HubEvent | Gap | Outage


class Reconciled(Value):
    """What one reconciliation did: contexts taken from the shared store, given to it, events forwarded."""

    taken: int
    given: int
    forwarded: int


def dump_context(context: AgentContext) -> Document:
    """The record of a context."""
    copied_ms, seen_ms = context.copied_ms, context.copied_seen_ms
    copied = {"at": _iso(copied_ms), "seen": _iso(seen_ms)}
    return {
        **context.extra,
        "agent": context.agent,
        "status": context.status,
        "context": dict(context.context),
        "version": _dump_version(context.version),
        "ttl_ms": context.ttl_ms,
        "deleted": context.deleted,
        **({} if copied_ms is None else {"copied": copied}),
        **({} if context.apart is None else {"apart": _dump_base(context.apart)}),
        **({"joined": [_dump_version(one) for one in context.joined]} if context.joined else {}),
    }


def load_context(agent: str, document: Document) -> AgentContext:
    """The context in a record. Raises `Corrupt` with the field that is wrong."""
    try:
        version = _load_version(document["version"])
        status, context, ttl_ms = document["status"], document["context"], document["ttl_ms"]
        if not isinstance(context, dict) or not (status is None or isinstance(status, str)):
            raise ValueError("its status or context has another type")
        if ttl_ms is not None and not TTL_MS_MIN <= _count(ttl_ms) <= TTL_MS_MAX:
            raise ValueError("its ttl is out of range")
        deleted, copied = document["deleted"] is True, document.get("copied", {})
        copied_ms, copied_seen_ms = _ms(copied.get("at")), _ms(copied.get("seen"))
        apart = None if document.get("apart") is None else _load_base(document["apart"])
        joined = tuple(_load_version(one) for one in document.get("joined", ()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"the context of {agent!r}: {error}") from None
    return AgentContext(
        agent=agent,
        status=status,
        context=context,
        version=version,
        ttl_ms=ttl_ms,
        deleted=deleted,
        copied_ms=copied_ms,
        copied_seen_ms=copied_seen_ms,
        apart=apart,
        joined=joined,
        extra={name: value for name, value in document.items() if name not in _NAMES},
    )


def _dump_version(version: Version) -> Document:
    return {"number": version.number, "at": iso_of_ms(version.at_ms), "writer": version.writer}


def _load_version(told: Document) -> Version:
    return Version(number=_count(told["number"]), at_ms=ms_of_iso(told["at"]), writer=str(told["writer"]))


def _dump_base(base: Base) -> Document:
    version = None if base.version is None else _dump_version(base.version)
    return {"version": version, "context": dict(base.context), "status": base.status, "ttl_ms": base.ttl_ms}


def _load_base(told: Document) -> Base:
    version = None if told["version"] is None else _load_version(told["version"])
    return Base(version=version, context=dict(told["context"]), status=told["status"], ttl_ms=told["ttl_ms"])


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso_of_ms(at_ms)


def _ms(at: str | None) -> int | None:
    return None if at is None else ms_of_iso(at)


def _count(value: object) -> int:
    if type(value) is not int or not 1 <= value <= COUNT_MAX:
        raise ValueError("not a count")
    return value
