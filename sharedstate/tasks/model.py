"""Task state as frozen values, and its JSON document.

    new ── claim ──> claimed ── release ──> complete | failed | abandoned
                        │  └── takeover / reclaim: claimed again, higher fence
                        └───── sweep: abandoned

`failed` and `abandoned` may be claimed again while retries last; `complete` only by an explicit reopen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate.clock import DURATION_MS_MAX, Instant, iso_of_ms, ms_of_iso
from sharedstate.errors import Corrupt
from sharedstate.ids import Process
from sharedstate.jsonio import COUNT_MAX
from sharedstate.values import Value

Document = dict[str, Any]

NEW: Final = "new"
CLAIMED: Final = "claimed"
COMPLETE: Final = "complete"
FAILED: Final = "failed"
ABANDONED: Final = "abandoned"
STATUSES: Final = (NEW, CLAIMED, COMPLETE, FAILED, ABANDONED)
ENDINGS: Final = (COMPLETE, FAILED, ABANDONED)
HISTORY_ENTRIES_MAX: Final = 100
HISTORY_TEXT_CHARACTERS_MAX: Final = 200
ERROR_CHARACTERS_MAX: Final = 2000
PRIORITY_DEFAULT: Final = 1000


class Lease(Value):
    """One ownership: the latest attempt's, live while the task is `claimed`, kept to recognise a repeated release.

    `digest` is the public fingerprint of the secret token. `began` is when this fence began (it counts as a
    heartbeat). `process` is set only when the claim is bound to a running process, whose proved death ends the claim
    at once. `priority`: a lower number may take over when its owner is a configured coordinator. `ttl_ms` >= 1.
    `extra` keeps unknown fields.
    """

    owner: str
    digest: str
    ttl_ms: int
    began: Instant
    host: str = ""
    priority: int = PRIORITY_DEFAULT
    process: Process | None = None
    scope: tuple[str, ...] = ()
    meta: Mapping[str, str] = {}
    degraded: bool = False
    extra: Mapping[str, Any] = {}


class Ignored(Value):
    """A person asked the fleet to leave the task alone: why, who, when (Unix milliseconds)."""

    reason: str
    by: str
    at_ms: int
    extra: Mapping[str, Any] = {}


class TaskState(Value):
    """Everything shared about one task.

    `fence` only grows. `attempts` counts attempts begun; `retries` those begun after one that ended failed,
    abandoned or by takeover (it starts over on a reopen). `history` holds the latest 100 transitions. `extra`
    keeps unknown fields.
    """

    task: str
    status: str = NEW
    fence: int = 0
    lease: Lease | None = None
    attempts: int = 0
    retries: int = 0
    last_error: str | None = None
    ignored: Ignored | None = None
    created_ms: int = 0
    updated_ms: int = 0
    history: tuple[Document, ...] = ()
    extra: Mapping[str, Any] = {}

    @property
    def live(self) -> int | None:
        """The fence of the live ownership, or None when nobody holds the task."""
        return self.fence if self.status == CLAIMED else None

    @property
    def owner(self) -> str | None:
        """Who holds the task now, or None."""
        return self.lease.owner if self.lease is not None and self.status == CLAIMED else None


def dump(state: TaskState) -> Document:
    """The JSON document of a task state, without the store's envelope."""
    return {
        **state.extra,
        "status": state.status,
        "fence": state.fence,
        "attempts": state.attempts,
        "retries": state.retries,
        "last_error": state.last_error,
        "lease": None if state.lease is None else _dump_lease(state.lease),
        "ignored": None if state.ignored is None else _dump_ignored(state.ignored),
        "created_at": iso_of_ms(state.created_ms),
        "updated_at": iso_of_ms(state.updated_ms),
        "history": list(state.history),
    }


def _dump_lease(lease: Lease) -> Document:
    document: Document = {
        **lease.extra,
        "owner": lease.owner,
        "digest": lease.digest,
        "ttl_ms": lease.ttl_ms,
        "priority": lease.priority,
        "host": lease.host,
        "claimed_at": iso_of_ms(lease.began.at_ms),
        "boot_id": lease.began.boot_id,
        "boot_ms": lease.began.boot_ms,
    }
    if lease.process is not None:
        document["process"] = {
            "pid": lease.process.pid,
            "start": lease.process.start,
            "boot_id": lease.process.boot_id,
            "pid_ns": lease.process.pid_ns,
        }
    if lease.scope:
        document["scope"] = list(lease.scope)
    if lease.meta:
        document["meta"] = dict(lease.meta)
    if lease.degraded:
        document["degraded"] = True
    return document


def _dump_ignored(ignored: Ignored) -> Document:
    return {**ignored.extra, "reason": ignored.reason, "by": ignored.by, "at": iso_of_ms(ignored.at_ms)}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KNOWN: Final = _names("status fence attempts retries last_error lease ignored created_at updated_at history")
_KNOWN_LEASE: Final = _names("owner digest ttl_ms priority host claimed_at boot_id boot_ms process scope meta degraded")
_KNOWN_IGNORED: Final = _names("reason by at")


def load(task: str, document: Document) -> TaskState:
    """The task state in a document. Raises `Corrupt` naming the first field of a wrong type or value."""
    reader = _Reader(task, document)
    status = reader.text("status")
    if status not in STATUSES:
        raise Corrupt(f"task {task!r}: unknown status {status!r}")
    lease = reader.optional("lease", dict)
    ignored = reader.optional("ignored", dict)
    state = TaskState(
        task=task,
        status=status,
        fence=reader.count("fence"),
        lease=None if lease is None else _load_lease(task, lease),
        attempts=reader.count("attempts"),
        retries=reader.count("retries"),
        last_error=reader.optional("last_error", str),
        ignored=None if ignored is None else _load_ignored(task, ignored),
        created_ms=reader.moment("created_at"),
        updated_ms=reader.moment("updated_at"),
        history=_load_history(task, document),
        extra=_unknown(document, _KNOWN),
    )
    if status == CLAIMED and (state.lease is None or state.fence < 1):
        raise Corrupt(f"task {task!r}: claimed, but without a lease or a fence")
    return state


def _load_history(task: str, document: Document) -> tuple[Document, ...]:
    entries = document.get("history", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Corrupt(f"task {task!r}: history is not a list of objects")
    return tuple(entries[-HISTORY_ENTRIES_MAX:])


def _load_lease(task: str, document: Document) -> Lease:
    reader = _Reader(task, document)
    process = reader.optional("process", dict)
    scope = reader.optional("scope", list) or []
    meta = reader.optional("meta", dict) or {}
    if not all(isinstance(path, str) for path in scope) or not all(isinstance(text, str) for text in meta.values()):
        raise Corrupt(f"task {task!r}: scope or meta hold something other than text")
    if not reader.text("digest").isascii():
        raise Corrupt(f"task {task!r}: field 'digest' is no fingerprint")
    return Lease(
        owner=reader.text("owner"),
        digest=reader.text("digest"),
        ttl_ms=reader.count("ttl_ms", most=DURATION_MS_MAX),
        priority=reader.count("priority", default=PRIORITY_DEFAULT),
        host=reader.text("host", default=""),
        began=Instant(
            at_ms=reader.moment("claimed_at"),
            boot_id=reader.text("boot_id", default=""),
            boot_ms=reader.count("boot_ms", default=0),
        ),
        process=None if process is None else _load_process(task, process),
        scope=tuple(scope),
        meta=meta,
        degraded=document.get("degraded") is True,
        extra=_unknown(document, _KNOWN_LEASE),
    )


def _load_process(task: str, document: Document) -> Process:
    reader = _Reader(task, document)
    return Process(
        pid=reader.count("pid"),
        start=reader.count("start"),
        boot_id=reader.text("boot_id"),
        pid_ns=reader.text("pid_ns"),
    )


def _load_ignored(task: str, document: Document) -> Ignored:
    reader = _Reader(task, document)
    return Ignored(
        reason=reader.text("reason"),
        by=reader.text("by"),
        at_ms=reader.moment("at"),
        extra=_unknown(document, _KNOWN_IGNORED),
    )


def _unknown(document: Document, known: frozenset[str]) -> Document:
    return {name: value for name, value in document.items() if name not in known}


class _Reader:
    """Typed access to a document; every miss is `Corrupt` and names task and field."""

    def __init__(self, task: str, document: Document) -> None:
        self._task = task
        self._document = document

    def text(self, name: str, *, default: str | None = None) -> str:
        value = self._document.get(name, default)
        if type(value) is not str:
            raise self._wrong(name, "text")
        return value

    def count(self, name: str, *, default: int | None = None, most: int = COUNT_MAX) -> int:
        value = self._document.get(name, default)
        if type(value) is not int or not 0 <= value <= most:  # a bool is none either
            raise self._wrong(name, f"a whole number from 0 to {most}")
        return value

    def moment(self, name: str) -> int:
        try:
            return ms_of_iso(self.text(name))
        except (ValueError, OverflowError):
            raise self._wrong(name, "a moment in RFC 3339") from None

    def optional(self, name: str, kind: type) -> Any:
        value = self._document.get(name)
        if value is not None and not isinstance(value, kind):
            raise self._wrong(name, f"{kind.__name__} or null")
        return value

    def _wrong(self, name: str, expected: str) -> Corrupt:
        return Corrupt(f"task {self._task!r}: field {name!r} is not {expected}")
