"""What the engine remembers on this machine: the last agreement per task, the queue of what waits, its own state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sharedstate.clock import Instant, age_between
from sharedstate.errors import Corrupt, NewerFormat
from sharedstate.store import DELETE, Decision, Document, Snapshot, Store, Unreadable, Versioned
from sharedstate.sync.board import Item
from sharedstate.sync.model import Side, dump_side, is_count, load_side
from sharedstate.values import Value

ERRORS_MAX: Final = 20
_AGREED: Final = "board-agreed"
_QUEUE: Final = "board-queue"
_STATUS: Final = "board-status"


class Known(Value):
    """What is known of one task on the board.

    `base` is what the board showed when both sides last agreed, `updated_ms` how new that was. `wanted` is the card's
    status that the fleet last wanted, `moving` one that it was about to move it to and does not know whether it did.
    `retries`: the fleet's own count at the last publication. `told`: which lost record was last written to the journal.
    `absent_ms`: the board had no such item at this moment (0: it has one).
    """

    base: Side = Side()
    title: str = ""
    url: str = ""
    handle: str = ""
    labels: frozenset[str] = frozenset()
    updated_ms: int = 0
    wanted: str | None = None
    moving: str | None = None
    retries: int = 0
    told: str = ""
    absent_ms: int = 0

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
            updated_ms=self.updated_ms,
        )

    def after(self, item: Item) -> Known:
        """The same with what the item shows as the new base."""
        return self.replace(
            base=Side(record=item.record, card=item.card),
            title=item.title,
            url=item.url,
            handle=item.handle,
            labels=item.labels,
            updated_ms=max(self.updated_ms, item.updated_ms),
            absent_ms=0,
        )


class Waiting(Value):
    """One task that has to wait: not before when (Unix milliseconds), how often it was tried, why.

    `look`: the item has to be read afresh before anything is pushed, at least as new as `seen_ms` (Unix milliseconds):
    so new a one was seen and could not be absorbed.
    """

    task: str
    not_before_ms: int
    tries: int = 0
    reason: str = ""
    look: bool = False
    seen_ms: int = 0


class SyncStatus(Value):
    """How syncing goes: where it stands, counters since the beginning, the last 20 errors.

    `resume_ms`: no request before this moment (rate limit, or backoff after five failed cycles in a row), as seen from
    `resume_from`, both by this machine's clock. `full_ms`: when the whole board was last listed. `damage`: why what was
    kept of it could not be read, so that all begins anew.
    """

    cursor: str | None = None
    journal_after: int = 0
    resume_ms: int = 0
    full_ms: int = 0
    failed_in_row: int = 0
    cycles: int = 0
    last_ms: int = 0
    last_clean_ms: int = 0
    counters: Mapping[str, int] = {}
    errors: tuple[Document, ...] = ()
    damage: str = ""
    resume_from: Instant | None = None

    def pause_ms(self, now: Instant) -> int:
        """How long no request is made yet, 0 when they may be. A step of the wall clock changes nothing about it."""
        if self.resume_from is None:
            return max(0, self.resume_ms - now.at_ms)
        age = age_between(since=self.resume_from, now=now, skew_ms=0)
        return 0 if age.future else max(0, self.resume_ms - self.resume_from.at_ms - age.ms)


class Memory:
    """Durable memory of one board in the machine-local store. Losing it costs requests, never state.

    So what cannot be read counts as lost and is written anew; its bytes are kept where the store keeps such. Only
    what a newer version wrote is left alone: `NewerFormat`.

    A `frozen` one only reads: nothing of a dry run is kept.
    """

    def __init__(self, store: Store, *, board: str, frozen: bool = False) -> None:
        self._store = store
        self._board = board
        self._frozen = frozen

    def frozen(self) -> Memory:
        """The same memory, for reading only."""
        return Memory(self._store, board=self._board, frozen=True)

    def now(self) -> Instant:
        """The clock of the machine-local store."""
        return self._store.now()

    def known(self, task: str) -> Known | None:
        """What is known of the task, or None."""
        found = self._get(_AGREED, task)
        return None if found is None or found.value.get("board") != self._board else _load_known(found.value)

    def all_known(self) -> Iterator[tuple[str, Known]]:
        """Every task of this board that is known, in no order."""
        for found in self._store.scan(_AGREED):
            if isinstance(found, Unreadable) or found.value.get("board") != self._board:
                continue
            known = _load_known(found.value)
            if known is not None:
                yield found.key, known

    def remember(self, task: str, known: Known) -> None:
        """Keep what is known of the task; nothing is written when it is kept already."""
        document = {"board": self._board, **_dump_known(known)}
        found = self._get(_AGREED, task)
        if found is None or found.value != document:
            self._put(_AGREED, task, document)

    def park(
        self,
        task: str,
        *,
        not_before_ms: int,
        reason: str,
        look: bool = False,
        seen_ms: int = 0,
        counts: bool = True,
    ) -> None:
        """Let a task wait until `not_before_ms`; `counts` makes it one try more. A wanted `look` stays wanted."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            before = None if snapshot.value is None else _load_waiting(task, snapshot.value)
            before = before or Waiting(task=task, not_before_ms=0)
            waiting = before.replace(
                not_before_ms=not_before_ms,
                tries=before.tries + counts,
                reason=reason,
                look=look or before.look,
                seen_ms=max(seen_ms, before.seen_ms),
            )
            return Decision(result=None, write={**waiting.fields(), "board": self._board})

        if not self._frozen:
            self._store.transact(_QUEUE, task, decide, derived=True)

    def unpark(self, task: str) -> None:
        """The task waits no longer."""
        if not self._frozen and self._get(_QUEUE, task) is not None:
            self._store.transact(_QUEUE, task, lambda snapshot: Decision(result=None, write=DELETE), derived=True)

    def waiting(self) -> Iterator[Waiting]:
        """Everything of this board that waits."""
        for found in self._store.scan(_QUEUE):
            if isinstance(found, Unreadable) or found.value.get("board") != self._board:
                continue
            waiting = _load_waiting(found.key, found.value)
            if waiting is not None:
                yield waiting

    def status(self) -> SyncStatus:
        """The engine's own state. Without it the next cycle lists the whole board and reads the whole journal."""
        try:
            found = self._store.get(_STATUS, self._board)
            return SyncStatus() if found is None else load_status(found.value)
        except NewerFormat:
            raise
        except Corrupt as error:
            return SyncStatus(damage=f"what was kept of this board begins anew: {error}")

    def keep_status(self, status: SyncStatus) -> None:
        """Write the engine's own state down."""
        self._put(_STATUS, self._board, dump_status(status))

    def _put(self, collection: str, key: str, document: dict[str, Any]) -> None:
        if not self._frozen:
            self._store.transact(collection, key, lambda snapshot: Decision(result=None, write=document), derived=True)

    def _get(self, collection: str, key: str) -> Versioned | None:
        try:
            return self._store.get(collection, key)
        except NewerFormat:
            raise
        except Corrupt:
            return None


def _dump_known(known: Known) -> Document:
    return {**known.fields(), "base": dump_side(known.base), "labels": sorted(known.labels)}


def _load_known(document: Document) -> Known | None:
    try:
        given: dict[str, Any] = {name: document[name] for name in Known().fields() if name in document}
        given |= {"base": load_side(document["base"]), "labels": frozenset(document["labels"])}
        known = Known(**given)
    except (Corrupt, KeyError, TypeError):
        return None  # read afresh; the merge then starts from what the record on the board says
    texts = (known.title, known.url, known.handle, known.told, known.wanted or "", known.moving or "", *known.labels)
    counts = (known.updated_ms, known.retries, known.absent_ms)
    return known if all(isinstance(one, str) for one in texts) and all(map(is_count, counts)) else None


def _load_waiting(task: str, document: Document) -> Waiting | None:
    names = Waiting(task=task, not_before_ms=0).fields()
    given: dict[str, Any] = {**{name: document[name] for name in names if name in document}, "task": task}
    if not all(is_count(given.get(name, 0)) for name in ("not_before_ms", "tries", "seen_ms")):
        return None
    if "not_before_ms" not in given or not isinstance(given.get("reason", ""), str):
        return None
    given["look"] = bool(given.get("look"))
    return Waiting(**given)


def dump_status(status: SyncStatus) -> Document:
    """The status as a JSON object."""
    kept = {name: value for name, value in status.fields().items() if name != "damage"}
    paused = status.resume_from
    kept["resume_from"] = None if paused is None else paused.fields()
    return {**kept, "counters": dict(status.counters), "errors": list(status.errors[-ERRORS_MAX:])}


def load_status(document: Document) -> SyncStatus:
    """The status in a JSON object written by `dump_status`; raises `Corrupt`."""
    kept: dict[str, Any] = {name: document[name] for name in dump_status(SyncStatus()) if name in document}
    cursor, counters, errors = kept.pop("cursor", None), kept.pop("counters", {}), kept.pop("errors", [])
    paused = kept.pop("resume_from", None)
    if not (cursor is None or isinstance(cursor, str)):
        raise Corrupt("sync status: cursor is not text")
    if not all(is_count(value) for value in kept.values()):
        raise Corrupt("sync status: a moment or number is not a whole number from 0 to 2^53 - 1")
    if not isinstance(counters, dict) or not all(is_count(value) for value in counters.values()):
        raise Corrupt("sync status: counters are not whole numbers")
    if not isinstance(errors, list) or not all(map(_is_error, errors)):
        raise Corrupt("sync status: errors are not what was written")
    resume_from = None if paused is None else _load_instant(paused)
    return SyncStatus(cursor=cursor, counters=counters, errors=tuple(errors), resume_from=resume_from, **kept)


def _load_instant(document: object) -> Instant:
    told = document if isinstance(document, dict) else {}
    at_ms, boot_ms, boot_id = (told.get(name) for name in ("at_ms", "boot_ms", "boot_id"))
    if not (isinstance(at_ms, int) and isinstance(boot_ms, int) and isinstance(boot_id, str)):
        raise Corrupt("sync status: resume_from is no moment")
    return Instant(at_ms=at_ms, boot_ms=boot_ms, boot_id=boot_id)


def _is_error(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("at", "task", "detail"))
