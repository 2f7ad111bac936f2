"""The words that the contract tests are written in: decisions, threads, and what a subclass provides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from sharedstate.store import BEAT, DELETE, Decision, Document, Snapshot, Store, Unreadable, Versioned

THREADS = 4
ROUNDS = 25


def writes(
    document: Document, *, live: int | None = None, events: Iterable[Document] = ()
) -> Callable[[Snapshot], Decision[int]]:
    """A decision to write `document`, whose result is the revision it replaces."""
    logged = tuple(events)
    return lambda snapshot: Decision(result=snapshot.revision, write=document, live=live, events=logged)


def removes(snapshot: Snapshot) -> Decision[bool]:
    """A decision to delete; its result says whether there was something."""
    return Decision(result=snapshot.value is not None, write=DELETE)


def beats(fence: int) -> Callable[[Snapshot], Decision[None]]:
    """A decision to refresh the beat of `fence`."""
    return lambda _: Decision(result=None, write=BEAT, live=fence)


def increments(snapshot: Snapshot) -> Decision[int]:
    """A decision that counts: its result is the count before."""
    count = 0 if snapshot.value is None else int(snapshot.value["count"])
    return Decision(result=count, write={"count": count + 1})


def in_threads(jobs: Iterable[Callable[[], object]]) -> None:
    """Run the jobs at once, each in a thread; the first error of any is raised here."""
    errors: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - reason: raised again in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Hooks:
    """What a subclass of a contract provides."""

    def make_store(self, tmp_path: Path) -> Store:
        """An empty store of its own; `tmp_path` is an empty directory."""
        raise NotImplementedError

    def another(self, store: Store, tmp_path: Path) -> Store:
        """A second store on the same state; the same object where there can be only one."""
        return store

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        """Damage the bytes of an existing record behind the store's back; False when that cannot be done."""
        return False

    def lose_beats(self, store: Store) -> bool:
        """Lose every beat, as a power cut may; False when that cannot be done."""
        return False


def looks(seen: list[Snapshot]) -> Callable[[Snapshot], Decision[str]]:
    """A decision to look and keep; what it saw goes to `seen`."""

    def look(snapshot: Snapshot) -> Decision[str]:
        seen.append(snapshot)
        return Decision(result="looked")

    return look


def got(store: Store, collection: str, key: str) -> Versioned:
    """The record, which must be there."""
    held = store.get(collection, key)
    assert held is not None, f"{collection}/{key} is missing"
    return held


def readable(items: Iterable[Versioned | Unreadable]) -> list[Versioned]:
    """What a scan found, none of which may be unreadable."""
    found = list(items)
    bad = [item for item in found if isinstance(item, Unreadable)]
    assert not bad, f"unreadable: {bad}"
    return [item for item in found if isinstance(item, Versioned)]


def not_here(reason: str) -> NoReturn:
    """Skip the test: this store has no such thing."""
    import pytest

    pytest.skip(reason)
