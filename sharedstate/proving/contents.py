"""What stands in a store that is no files: records that nobody can read, journals with gaps; in bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sharedstate.errors import Corrupt, NewerFormat, SharedStateError
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host
from sharedstate.store import TRIAL_PREFIX, Portable, Unreadable, Versioned
from sharedstate.tasks.model import load
from sharedstate.tasks.service import ARCHIVE, TASKS

LOOK_S_MAX: Final = 15.0
SHOWN_MAX: Final = 20
_CLOCK_EVERY: Final = 200
_FIX: Final = "run `claims doctor --fix`: it keeps the bytes, and restores tasks from the journal"
_KEEP: Final = "keep a copy, and find out who wrote there; others go on"


class _Look:
    """One look with its end: afterwards what is left is not looked at, and that is said."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._until_s = host.monotonic_s() + LOOK_S_MAX
        self.count = 0
        self.is_cut = False

    def goes_on(self) -> bool:
        """Whether there is time for one more."""
        self.count += 1
        if self.count % _CLOCK_EVERY == 0 and self._host.monotonic_s() >= self._until_s:
            self.is_cut = True
        return not self.is_cut


def check_contents(store: Portable, *, where: str, host: Host) -> list[Finding]:
    """Findings about all records and journals of a store, for at most 15 s. Writes nothing; faults are told, too."""
    try:
        return [*_records(store, where, host), *_journals(store, where, host)]
    except SharedStateError as error:
        return [trouble(error.code, where, str(error), error.hint)]


def _records(store: Portable, where: str, host: Host) -> Iterator[Finding]:
    look, readable, live, bad = _Look(host), 0, 0, 0
    for collection in store.collections():
        if collection.startswith(TRIAL_PREFIX):
            continue
        for found in store.scan(collection):
            if not look.goes_on():
                break
            problem = _problem(collection, found)
            if problem is None:
                readable += 1
                live += isinstance(found, Versioned) and found.live is not None
                continue
            bad += 1
            if bad <= SHOWN_MAX:
                yield problem
    if bad > SHOWN_MAX:
        yield trouble(
            "record_unreadable", where, f"and {bad - SHOWN_MAX} more records cannot be read", _FIX, corrupt=True
        )
    cut = f"; looked for {LOOK_S_MAX:.0f} s, and not at all of them" if look.is_cut else ""
    yield fine("records", where, f"{readable} records can be read, {live} of them live{cut}")


def _problem(collection: str, found: Versioned | Unreadable) -> Finding | None:
    if isinstance(found, Unreadable):
        step = _FIX if collection == TASKS else _KEEP
        text = f"{found.reason}; its bytes are in place"
        return trouble("record_unreadable", f"{collection}/{found.name}", text, step, corrupt=True)
    if collection not in (TASKS, ARCHIVE):
        return None
    try:
        load(found.key, found.value)
    except NewerFormat as error:
        step = "upgrade sharedstate on this machine"
        return trouble("newer_format", f"{collection}/{found.key}", str(error), step, corrupt=True)
    except Corrupt as error:
        return trouble("record_unreadable", f"{collection}/{found.key}", str(error), _KEEP, corrupt=True)
    return None


def _journals(store: Portable, where: str, host: Host) -> Iterator[Finding]:
    look, names = _Look(host), [name for name in store.journals() if not name.startswith(TRIAL_PREFIX)]
    whole = 0
    for name in names:
        last = 0
        try:
            for entry in store.read(name):
                if entry.sequence != last + 1:
                    text = f"journal {name}: entry {last + 1} is missing"
                    yield trouble("journal_damage", where, text, _KEEP, corrupt=True)
                last = entry.sequence
                if not look.goes_on():
                    break
        except Corrupt as error:
            yield trouble("journal_damage", where, f"journal {name}: {error}", _KEEP, corrupt=True)
        whole += last
    cut = f"; looked for {LOOK_S_MAX:.0f} s, and not at all of them" if look.is_cut else ""
    yield fine("journal", where, f"{whole} entries in {len(names)} journals can be read{cut}")


def check_trials(store: object, *, where: str) -> list[Finding]:
    """What self-tests that were killed have left in a store."""
    trials = getattr(store, "trials", None)
    if trials is None:
        return []
    try:
        names = trials()
    except SharedStateError:
        return []  # that it cannot be looked at is told by those who look at it
    if not names:
        return []
    text = f"{len(names)} self-tests run now, or were killed and left something: {', '.join(names[:3])}"
    return [
        warning("selftest_left", where, text, "the next `claims selftest --url` removes what is older than an hour")
    ]
