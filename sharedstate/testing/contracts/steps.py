"""The words that the contract tests are written in: decisions, threads, and what a subclass provides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from sharedstate.errors import InvalidInput
from sharedstate.host import Host
from sharedstate.store import BEAT, DELETE, Decision, Document, Snapshot, Store, Unreadable, Versioned

THREADS = 4
ROUNDS = 25
PATIENCE_S = 30.0
Opener = tuple[str, ...]


class Hooks:
    """What a subclass of a contract provides: `make_store` for certain, the rest where the store has such a thing.

    `ttl_ms`: a time to live that is long beside one operation, and that `advance` can let pass. `clock_spread_ms`: how
    far the clocks of two store objects on one state may differ. `ordered_events`: whether the events of one record
    stand in the journal in the order of its revisions, also when several store objects write; say why where not.
    """

    ttl_ms = 300
    clock_spread_ms = 0
    ordered_events = True

    def make_store(self, tmp_path: Path) -> Store:
        """An empty store of its own, another one for each `tmp_path`; that is an empty directory."""
        raise NotImplementedError

    def another(self, store: Store, tmp_path: Path) -> Store:
        """A second store on the same state; the same object where there can be only one."""
        return store

    def advance(self, store: Store, ms: int) -> None:
        """Let at least `ms` milliseconds pass on the store's clock.

        As it stands it waits, which suits every real clock, a server's too: the suite never asks for much more than
        `ttl_ms`. A harness with a clock of its own moves that instead.
        """
        Host().sleep((ms + 1) / 1000)

    def opener(self, store: Store, tmp_path: Path) -> Opener | None:
        """How another process opens this state: `("module:callable", *texts)`; None where no process can.

        The callable gets the texts and returns a `Store`. It may stand in a module of the tests.
        """
        return None

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        """Damage the bytes of an existing record behind the store's back; False when that cannot be done."""
        return False

    def lose_beats(self, store: Store) -> bool:
        """Lose every beat, as a power cut may; False when that cannot be done."""
        return False


# Decisions


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


def looks(seen: list[Snapshot]) -> Callable[[Snapshot], Decision[str]]:
    """A decision to look and keep; what it saw goes to `seen`."""

    def look(snapshot: Snapshot) -> Decision[str]:
        seen.append(snapshot)
        return Decision(result="looked")

    return look


# Looking and asking


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


def refused(act: Callable[[], Any], *, what: object = "") -> None:
    """`act` must raise `InvalidInput`."""
    try:
        act()
    except InvalidInput:
        return
    raise AssertionError(f"accepted: {what!a}"[:300])


def in_threads(jobs: Iterable[Callable[[], object]], *, timeout_s: float | None = None) -> None:
    """Run the jobs at once, each in a thread; the first error of any is raised here.

    With `timeout_s` the jobs must be done by then; one that is not is an error, and its thread is left behind.
    """
    errors: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - reason: raised again in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), f"not done within {timeout_s} s"


def not_here(reason: str) -> NoReturn:
    """Skip the test: this store has no such thing."""
    import pytest

    pytest.skip(reason)
