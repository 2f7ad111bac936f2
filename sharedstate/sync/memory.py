"""What the engine remembers on this machine: the last agreement per task, the queue of what waits, its own state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sharedstate.errors import Corrupt
from sharedstate.store import DELETE, Decision, Document, Snapshot, Store, Unreadable
from sharedstate.sync.board import Item
from sharedstate.sync.model import Side, dump_side, load_side
from sharedstate.values import Value

ERRORS_MAX: Final = 20
_AGREED: Final = "board-agreed"
_QUEUE: Final = "board-queue"
_STATUS: Final = "board-status"


class Known(Value):
    """The last agreement on one task: what the board showed (`base`), and the status the fleet last wanted there."""

    base: Side = Side()
    title: str = ""
    url: str = ""
    handle: str = ""
    labels: frozenset[str] = frozenset()
    wanted: str | None = None

    def item(self, task: str) -> Item:
        """The item as it was last seen, good enough to write to without asking the board again."""
        return Item(
            task=task,
            title=self.title,
            url=self.url,
            handle=self.handle,
            labels=self.labels,
            card=self.base.card,
            record=self.base.record,
        )


class Waiting(Value):
    """One push that has to wait: not before when (Unix milliseconds), how often it was tried, why."""

    task: str
    not_before_ms: int
    tries: int
    reason: str


class SyncStatus(Value):
    """How syncing goes: where it stands, counters since the beginning, the last 20 errors.

    `resume_ms`: no request before this moment (rate limit, or backoff after five failed cycles in a row).
    """

    cursor: str | None = None
    journal_after: int = 0
    resume_ms: int = 0
    failed_in_row: int = 0
    cycles: int = 0
    last_ms: int = 0
    last_clean_ms: int = 0
    counters: Mapping[str, int] = {}
    errors: tuple[Document, ...] = ()


class Memory:
    """Durable memory of one board in the machine-local store. Losing it costs requests, never state."""

    def __init__(self, store: Store, *, board: str) -> None:
        self._store = store
        self._board = board

    def known(self, task: str) -> Known | None:
        """The last agreement on the task, or None."""
        found = self._store.get(_AGREED, task)
        return None if found is None or found.value.get("board") != self._board else _load_known(found.value)

    def remember(self, task: str, known: Known) -> None:
        """Keep the agreement on the task."""
        self._put(_AGREED, task, {"board": self._board, **_dump_known(known)})

    def park(self, task: str, *, not_before_ms: int, reason: str) -> None:
        """Let a push wait until `not_before_ms`; a second park counts one try more."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            tries = 0 if snapshot.value is None else int(snapshot.value.get("tries", 0))
            waiting = {"task": task, "board": self._board, "not_before_ms": not_before_ms, "tries": tries + 1}
            return Decision(result=None, write={**waiting, "reason": reason})

        self._store.transact(_QUEUE, task, decide)

    def unpark(self, task: str) -> None:
        """The push is done (or not wanted any more)."""
        if self._store.get(_QUEUE, task) is not None:
            self._store.transact(_QUEUE, task, lambda snapshot: Decision(result=None, write=DELETE))

    def waiting(self) -> Iterator[Waiting]:
        """Every waiting push of this board."""
        for found in self._store.scan(_QUEUE):
            if isinstance(found, Unreadable) or found.value.get("board") != self._board:
                continue
            value = found.value
            yield Waiting(
                task=value["task"],
                not_before_ms=value["not_before_ms"],
                tries=value.get("tries", 1),
                reason=value.get("reason", ""),
            )

    def status(self) -> SyncStatus:
        """The engine's own state."""
        found = self._store.get(_STATUS, self._board)
        if found is None:
            return SyncStatus()
        known = {name: found.value[name] for name in SyncStatus().fields() if name in found.value}
        return SyncStatus(**{**known, "errors": tuple(known.get("errors", ()))})

    def keep_status(self, status: SyncStatus) -> None:
        """Write the engine's own state down."""
        self._put(_STATUS, self._board, {**status.fields(), "errors": list(status.errors[-ERRORS_MAX:])})

    def _put(self, collection: str, key: str, document: dict[str, Any]) -> None:
        self._store.transact(collection, key, lambda snapshot: Decision(result=None, write=document))


def _dump_known(known: Known) -> Document:
    return {
        "base": dump_side(known.base),
        "title": known.title,
        "url": known.url,
        "handle": known.handle,
        "labels": sorted(known.labels),
        "wanted": known.wanted,
    }


def _load_known(document: Document) -> Known | None:
    base = document.get("base")
    try:
        side = load_side(base) if isinstance(base, dict) else Side()
    except Corrupt:
        return None  # asked for afresh; the merge then starts from an open card
    return Known(
        base=side,
        title=str(document.get("title", "")),
        url=str(document.get("url", "")),
        handle=str(document.get("handle", "")),
        labels=frozenset(document.get("labels", ())),
        wanted=document.get("wanted"),
    )
