"""`claims watch`: the journal as it grows."""

from __future__ import annotations

from collections.abc import Iterator

from sharedstate.claims.ledgers import JOURNAL
from sharedstate.clock import iso_of_ms
from sharedstate.errors import EXIT_RETRY
from sharedstate.ids import check_id
from sharedstate.store import Entry, Store
from sharedstate_cli.hot import Usage
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

_HINT_S = 1.0
_BATCH = 1000
_SEQUENCE_MAX = 1 << 62
_SHOWN = ("owner", "fence", "previous_owner", "reason", "status", "by", "error", "detail")


def watch(session: Session, *, task: str | None, after: int | None, count: int | None, timeout: int | None) -> Report:
    """Print events as they come, each flushed, until `count` of them, `timeout` milliseconds, or Ctrl-C (exit code
    130).

    Exit code 0; 75 when `count` events did not come in time.
    """
    if after is not None and after < 0:
        raise Usage("--after: a sequence number is 0 or more")
    if count is not None and count < 1:
        raise Usage("--count: at least 1")
    wanted = None if task is None else check_id(task)
    state = session.state
    begin = newest(state.store) if after is None else after
    deadline_s = None if timeout is None else state.host.monotonic_s() + timeout / 1000
    printed = 0
    for entry in _follow(session, begin, deadline_s=deadline_s):
        if wanted is not None and entry.value.get("task") != wanted:
            continue
        session.emit(_shown(entry))
        printed += 1
        if printed == count:
            return Report()
    return Report(code=0 if count is None else EXIT_RETRY)


def _follow(session: Session, after: int, *, deadline_s: float | None) -> Iterator[Entry]:
    """Entries above `after` until the deadline, and all that exist by then. Hints only shorten the waiting."""
    store, host = session.state.store, session.state.host
    while True:
        found = False
        for entry in store.read(JOURNAL, after=after, limit=_BATCH):
            found, after = True, entry.sequence
            yield entry
        left_s = _HINT_S if deadline_s is None else deadline_s - host.monotonic_s()
        if left_s <= 0:
            return
        if not found:
            store.watch(JOURNAL, after=after, timeout_s=min(_HINT_S, left_s))


def newest(store: Store) -> int:
    """The sequence of the newest entry, 0 when there is none; found by bisection, because a journal may be long."""
    if _next(store, 0) is None:
        return 0
    low, high = 0, 1
    while high < _SEQUENCE_MAX and (entry := _next(store, high)) is not None:
        low, high = entry.sequence, entry.sequence * 2
    # Something lies above every `after` below `low`, nothing above `high`.
    while low < high:
        middle = (low + high) // 2
        entry = _next(store, middle)
        if entry is None:
            high = middle
        else:
            low = entry.sequence
    return low


def _next(store: Store, after: int) -> Entry | None:
    return next(iter(store.read(JOURNAL, after=after, limit=1)), None)


def _shown(entry: Entry) -> Report:
    value = entry.value
    facts = [f"{name}={value[name]}" for name in _SHOWN if value.get(name) is not None]
    line = " ".join(
        [str(entry.sequence), iso_of_ms(entry.at_ms), str(value.get("type")), str(value.get("task")), *facts]
    )
    document = {**value, "ok": True, "sequence": entry.sequence, "at": iso_of_ms(entry.at_ms)}
    return Report(document=document, lines=(line,))
