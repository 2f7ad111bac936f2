"""One store object in many threads: nothing is lost, also while another thread closes it or the tree comes and goes."""

from __future__ import annotations

import os
import shutil
import threading
from functools import partial
from pathlib import Path

from sharedstate.errors import StoreUnavailable
from sharedstate.files import FileStore
from sharedstate.store import Decision, Snapshot, Versioned
from sharedstate.testing.contracts.steps import in_threads

THREADS = 8
ROUNDS = 60


def increments(before: Snapshot) -> Decision[int]:
    count = 1 if before.value is None else int(before.value["count"]) + 1
    live = count if count % 2 else None
    return Decision(result=count, write={"count": count}, live=live, events=({"type": "claimed", "n": count},))


def test_threads_of_one_store_lose_nothing(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "state"))
    done = threading.Event()

    def counts(key: str) -> None:
        for _ in range(ROUNDS):
            store.transact("counters", key, increments, durability="relaxed")

    def looks_and_closes() -> None:
        while not done.is_set():
            assert all(isinstance(item, Versioned) for item in store.scan("counters"))
            assert [entry.sequence for entry in store.read("events", limit=5)] in ([*range(1, n)] for n in range(1, 7))
            store.close()

    closer = threading.Thread(target=looks_and_closes)
    closer.start()
    try:
        in_threads([partial(counts, f"c{number % 3}") for number in range(THREADS)])
    finally:
        done.set()
        closer.join()
    counted = {item.key: item.value["count"] for item in store.scan("counters") if isinstance(item, Versioned)}
    assert sum(counted.values()) == THREADS * ROUNDS
    assert [entry.sequence for entry in store.read("events")] == list(range(1, THREADS * ROUNDS + 1))


def test_a_closed_store_keeps_no_descriptor(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    store = FileStore(str(tmp_path / "state"))
    for number in range(100):
        store.transact("counters", f"c{number}", increments, durability="relaxed")
    assert list(store.read("events", limit=3))
    store.close()
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1  # the listing's own


def test_a_tree_that_is_removed_again_and_again_hurts_no_thread(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "state"))
    done = threading.Event()

    def removes() -> None:
        while not done.is_set():
            shutil.rmtree(tmp_path / "state", ignore_errors=True)

    def counts(key: str) -> None:
        for _ in range(ROUNDS):
            try:
                store.transact("counters", key, increments, durability="relaxed")
                store.get("counters", key)
            except StoreUnavailable:
                pass

    remover = threading.Thread(target=removes)
    remover.start()
    try:
        in_threads([partial(counts, f"c{number}") for number in range(3)])
    finally:
        done.set()
        remover.join()
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    assert store.transact("counters", "c", increments) == 1
    assert [entry.value["n"] for entry in store.read("events")] == [1]
