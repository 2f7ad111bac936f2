"""Other ways to hold a claim, beside ours: the cycle claim, renew, release of one record of 600 bytes.

Each peer does less than ours: no history, no journal, no fence over a task's life. Only what is installed is measured.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from sharedstate import Claimed
from tests.benchmarks.bench import Bench, opened
from tests.benchmarks.rounds import Case, interleaved
from tests.benchmarks.table import Row, missing

RECORD: dict[str, Any] = {
    "owner": "bench/agent",
    "fence": 41,
    "status": "claimed",
    "ttl_ms": 300_000,
    "note": "x" * 480,
}
REGISTRY_RECORDS = 1000
_PHASES = ("claim", "renew", "release")


class Peer(Protocol):
    """One design; keys are `k0`, `k1` …"""

    def claim(self, key: str) -> None:
        """Take it."""

    def renew(self, key: str) -> None:
        """Show life."""

    def release(self, key: str) -> None:
        """Give it back."""


class _Files:
    """One JSON file for each record, removed by the release, under one kernel lock."""

    def __init__(self, folder: str, *, durable: bool) -> None:
        self._folder = folder
        self._durable = durable
        self._dir_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._lock_fd = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)

    def claim(self, key: str) -> None:
        self._locked(key, lambda: self._write(key, RECORD))

    def renew(self, key: str) -> None:
        self._locked(key, lambda: self._write(key, {**self._read(key), "seen": 1}))

    def release(self, key: str) -> None:
        self._locked(key, lambda: self._remove(key))

    def _locked(self, key: str, change: Callable[[], None]) -> None:
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        try:
            change()
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _read(self, key: str) -> dict[str, Any]:
        with open(os.path.join(self._folder, key), "rb") as file:
            document: dict[str, Any] = json.load(file)
        return document

    def _write(self, key: str, document: dict[str, Any]) -> None:
        temp = os.path.join(self._folder, f"temp-{key}")
        with open(temp, "wb") as file:
            file.write(json.dumps(document, indent=2, sort_keys=True).encode())
            if self._durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temp, os.path.join(self._folder, key))
        self._sync()

    def _remove(self, key: str) -> None:
        self._read(key)
        os.unlink(os.path.join(self._folder, key))
        self._sync()

    def _sync(self) -> None:
        if self._durable:
            os.fsync(self._dir_fd)


class _FileLocked(_Files):
    """The same under a `filelock.FileLock` for each record."""

    def _locked(self, key: str, change: Callable[[], None]) -> None:
        with import_module("filelock").FileLock(os.path.join(self._folder, f"{key}.lock")):
            change()


class _PortaLocked(_Files):
    """The same under a `portalocker.Lock` for each record."""

    def _locked(self, key: str, change: Callable[[], None]) -> None:
        with import_module("portalocker").Lock(os.path.join(self._folder, f"{key}.lock"), "a", timeout=5):
            change()


class _SoftLease:
    """`filelock.SoftFileLease` as the claim itself, with its heartbeat thread; no record, no fence that lasts."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._held: dict[str, Any] = {}

    def claim(self, key: str) -> None:
        lease = import_module("filelock").SoftFileLease(os.path.join(self._folder, key), lease_duration=90)
        lease.acquire()
        self._held[key] = lease

    def renew(self, key: str) -> None:
        os.utime(os.path.join(self._folder, key))

    def release(self, key: str) -> None:
        self._held.pop(key).release()


class _OneRegistry:
    """One JSON file of a thousand records, rewritten by every change under a `filelock.FileLock`."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "registry.json")
        self._lock = import_module("filelock").FileLock(self._path + ".lock")
        with open(self._path, "w", encoding="utf-8") as file:
            json.dump({f"old-{number}": RECORD for number in range(REGISTRY_RECORDS)}, file, indent=2)

    def claim(self, key: str) -> None:
        self._change(lambda registry: registry.__setitem__(key, RECORD))

    def renew(self, key: str) -> None:
        self._change(lambda registry: registry[key].__setitem__("seen", 1))

    def release(self, key: str) -> None:
        self._change(lambda registry: registry.__delitem__(key))

    def _change(self, change: Callable[[dict[str, Any]], None]) -> None:
        with self._lock:
            with open(self._path, encoding="utf-8") as file:
                registry = json.load(file)
            change(registry)
            with open(self._path + ".temp", "w", encoding="utf-8") as file:
                json.dump(registry, file, indent=2)
            os.replace(self._path + ".temp", self._path)


class _Sqlite:
    """One row for each claim, changed by compare-and-set, removed by the release."""

    def __init__(self, folder: str, *, synchronous: str) -> None:
        self._base = sqlite3.connect(os.path.join(folder, "claims.db"), isolation_level=None)
        self._base.execute("pragma journal_mode=WAL")
        self._base.execute(f"pragma synchronous={synchronous}")
        self._base.execute("create table claim(key text primary key, owner text, seen real, body text) without rowid")

    def claim(self, key: str) -> None:
        self._one("insert into claim values(?, 'me', 1, ?) on conflict do nothing", (key, json.dumps(RECORD)))

    def renew(self, key: str) -> None:
        self._one("update claim set seen = 2 where key = ? and owner = 'me'", (key,))

    def release(self, key: str) -> None:
        self._one("delete from claim where key = ? and owner = 'me'", (key,))

    def _one(self, statement: str, values: tuple[str, ...]) -> None:
        if self._base.execute(statement, values).rowcount != 1:
            raise RuntimeError(f"no row changed: {statement}")


class _DiskCache:
    """`diskcache.Cache`: add, set in a transaction, delete; not durable."""

    def __init__(self, folder: str) -> None:
        self._cache = import_module("diskcache").Cache(folder)

    def claim(self, key: str) -> None:
        self._cache.add(key, RECORD, expire=90)

    def renew(self, key: str) -> None:
        with self._cache.transact():
            self._cache.set(key, self._cache.get(key), expire=90)

    def release(self, key: str) -> None:
        self._cache.delete(key)


# Name, the library it needs, how it is made from a folder.
_DESIGNS: tuple[tuple[str, str, Callable[[str], Peer]], ...] = (
    ("durable: sqlite, WAL, synchronous FULL", "sqlite3", lambda folder: _Sqlite(folder, synchronous="FULL")),
    ("durable: a JSON file each, one flock", "fcntl", lambda folder: _Files(folder, durable=True)),
    ("durable: a JSON file each, a filelock each", "filelock", lambda folder: _FileLocked(folder, durable=True)),
    ("durable: a JSON file each, a portalocker each", "portalocker", lambda folder: _PortaLocked(folder, durable=True)),
    ("not durable: sqlite, WAL, synchronous NORMAL", "sqlite3", lambda folder: _Sqlite(folder, synchronous="NORMAL")),
    ("not durable: a JSON file each, a filelock each", "filelock", lambda folder: _FileLocked(folder, durable=False)),
    (
        "not durable: a JSON file each, a portalocker each",
        "portalocker",
        lambda folder: _PortaLocked(folder, durable=False),
    ),
    ("not durable: filelock.SoftFileLease as the claim", "filelock", _SoftLease),
    (f"not durable: one registry of {REGISTRY_RECORDS}, filelock", "filelock", _OneRegistry),
    ("not durable: diskcache", "diskcache", _DiskCache),
)


def cycles(bench: Bench) -> Iterator[Row]:
    """A whole cycle of every installed peer, to ours with the same durability."""
    cases: dict[str, Case] = {}
    absent: list[tuple[str, str]] = []
    for name, library, make in _DESIGNS:
        if find_spec(library) is None:
            absent.append((name, library))
        else:
            _add(cases, name, make(bench.folder("peer-" + "".join(c if c.isalnum() else "-" for c in name))))
    with (
        opened(os.path.join(bench.folder("peer-ours"), "state")) as full,
        opened(os.path.join(bench.folder("peer-ours-relaxed"), "state"), durability="relaxed") as relaxed,
    ):
        _add_ours(cases, "durable: ours", full.claims)
        _add_ours(cases, "not durable: ours, durability relaxed", relaxed.claims)
        measured = interleaved(cases, rounds=bench.choose(full=20, quick=5), calls=5)
    for name in dict.fromkeys(case.rpartition("/")[0] for case in cases):
        mine = "durable: ours" if name.startswith("durable") else "not durable: ours, durability relaxed"
        yield Row(
            case=name,
            figure=measured.ratio_of_sums(_phases(mine), to=_phases(name)),
            median_us=sum(measured.median_us(case) for case in _phases(name)),
            note="claim {:,.0f}, renew {:,.0f}, release {:,.0f} us".format(*map(measured.median_us, _phases(name))),
        )
    for name, library in absent:
        yield missing(name, f"{library} is not installed")


def _add(cases: dict[str, Case], name: str, peer: Peer) -> None:
    for phase in _PHASES:
        cases[f"{name}/{phase}"] = _call(getattr(peer, phase))


def _call(method: Callable[[str], None]) -> Case:
    return lambda number: method(f"k{number}")


def _add_ours(cases: dict[str, Case], name: str, claims: Any) -> None:
    def claim(number: int) -> None:
        if not isinstance(claims.claim(f"k{number}"), Claimed):
            raise RuntimeError("not claimed")

    cases[f"{name}/claim"] = claim
    cases[f"{name}/renew"] = lambda number: claims.renew(f"k{number}")
    cases[f"{name}/release"] = lambda number: claims.release(f"k{number}")


def _phases(name: str) -> tuple[str, ...]:
    return tuple(f"{name}/{phase}" for phase in _PHASES)
