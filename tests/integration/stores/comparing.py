"""For stores that decide first and compare when they change: what happened in between must be noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sharedstate.host import Host
from sharedstate.store import Decision, Snapshot, Store
from sharedstate.testing.contracts.steps import beats, removes, writes

Change = Callable[[Snapshot], Decision[Any]]


def renewal_is_noticed(store: Store, judge: Store) -> None:
    """A takeover that was decided upon an old beat must be decided anew when the holder has renewed meanwhile."""
    store.transact("tasks", "T-1", writes({"owner": "a"}, live=1))
    seen: list[Snapshot] = []

    def takes_over(snapshot: Snapshot) -> Decision[None]:
        seen.append(snapshot)
        if len(seen) == 1:
            Host().sleep(0.005)
            judge.transact("tasks", "T-1", beats(1))
        return Decision(result=None, write={"owner": "b"}, live=2)

    store.transact("tasks", "T-1", takes_over)
    assert len(seen) == 2, "the renewal was acknowledged and not seen"
    assert seen[0].beat != seen[1].beat


def deletion_is_noticed(store: Store, judge: Store) -> None:
    """Deleted and made anew is at revision 1 again, and still another record."""
    store.transact("tasks", "T-1", writes({"owner": "a"}))
    seen: list[Snapshot] = []

    def decides(snapshot: Snapshot) -> Decision[None]:
        seen.append(snapshot)
        if len(seen) == 1:
            judge.transact("tasks", "T-1", removes)
            judge.transact("tasks", "T-1", writes({"owner": "b"}))
        return Decision(result=None, write={"owner": "c"})

    store.transact("tasks", "T-1", decides)
    assert [snapshot.value for snapshot in seen] == [{"owner": "a"}, {"owner": "b"}]


def change_of_another_record_is_noticed(store: Store, judge: Store) -> None:
    """What a decision has read of another record still holds when it is carried out, an absent one included."""
    store.transact("tasks", "warm", writes({}))
    changes: list[Change] = [writes({"n": 7}, live=7), beats(7), writes({"n": 8}), removes]
    for number, change in enumerate(changes):
        seen = _archived_as_seen(store, judge, f"T-{number}", change)
        assert len(seen) == 2, "the other record has changed and was not compared"
        assert seen[1] == judge.get("archive", "T-1") != seen[0]


def _archived_as_seen(store: Store, judge: Store, key: str, change: Change) -> list[object]:
    """What each run of a decision saw of another record, which is changed during the first."""
    seen: list[object] = []

    def decides(snapshot: Snapshot) -> Decision[None]:
        seen.append(store.get("archive", "T-1"))
        if len(seen) == 1:
            Host().sleep(0.005)
            judge.transact("archive", "T-1", change)
        return Decision(result=None, write={"n": snapshot.revision})

    store.transact("tasks", key, decides)
    return seen


def nothing_is_told_from_memory(store: Store, judge: Store) -> None:
    """What is remembered may be old: neither a refusal nor an error comes from it."""
    store.transact("tasks", "T-1", writes({"n": 1}))
    judge.transact("tasks", "T-1", writes({"n": 2}, live=1))

    def refuses_the_old(snapshot: Snapshot) -> Decision[int]:
        if snapshot.revision == 1:
            raise ZeroDivisionError
        return Decision(result=snapshot.revision)

    assert store.transact("tasks", "T-1", refuses_the_old) == 2
    judge.transact("tasks", "T-1", writes({"n": 3}, live=1))
    assert store.transact("tasks", "T-1", lambda snapshot: Decision(result=snapshot.revision)) == 3
    judge.transact("tasks", "T-1", writes({"n": 4}, live=1))
    store.transact("tasks", "T-1", beats(1))
    assert store.transact("tasks", "T-1", writes({"n": 5})) == 4


def nothing_is_told_from_a_guess_about_another_record(store: Store, judge: Store) -> None:
    """The same for what a decision reads beside its own record."""
    judge.transact("archive", "T-1", writes({"fence": 7}))

    def refuses_what_is_new(snapshot: Snapshot) -> Decision[int]:
        del snapshot
        archived = store.get("archive", "T-1")
        if archived is None:
            raise ZeroDivisionError
        return Decision(result=archived.value["fence"])

    assert store.transact("tasks", "T-1", refuses_what_is_new) == 7
    judge.transact("archive", "T-1", writes({"fence": 8}))
    assert store.transact("tasks", "T-1", refuses_what_is_new) == 8
