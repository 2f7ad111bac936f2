"""A process of `claims selftest --url`: one order per line of standard input, carried out on the store of `open`.

It is a machine of its own, as far as the store can tell: another process, another state root.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from sharedstate.connect import SharedState
from sharedstate.errors import SharedStateError, StoreError
from sharedstate.host import Host
from sharedstate.proving.cuts import Cutter
from sharedstate.proving.steps import claim, count, release
from sharedstate.store import Decision, Snapshot, Store, T

ERRORS_MAX: Final = 20
TURNS_MAX: Final = 200


class Worker:
    """The orders, by name. Every answer is JSON; failures of the store are told in it, never raised."""

    def __init__(self, host: Host, root: str) -> None:
        self._host = host
        self._root = root
        self._state: SharedState | None = None
        self._errors: list[str] = []

    def open(self, *, number: int, url: str, folder: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Open the store, and see whether it answers."""
        try:
            owner = f"selftest/{number}"
            self._state = SharedState.open(self._root, url=url, folder=folder, owner=owner, **settings)
            return {"at_ms": self._store.now().at_ms}
        except SharedStateError as error:
            return {"error": str(error)}

    def claims(self, *, number: int, name: str, keys: Sequence[str], seconds: float) -> dict[str, Any]:
        """Claim each key in turn, look whether it is ours alone, give it back; what was won: `[key, fence]`."""
        won: list[list[Any]] = []
        stolen = tries = 0
        by = f"p{number}"
        for turn in self._turns(seconds):
            key, tries = keys[(number + turn) % len(keys)], tries + 1
            fence = self._changed(name, key, claim(by))
            if fence is not None:
                won.append([key, fence])
                stolen += self._changed(name, key, release(by, fence)) is False
        return self._told(won=won, stolen=stolen, tries=tries)

    def count(self, *, number: int, name: str, key: str, seconds: float) -> dict[str, Any]:
        """Raise one number as often as there is time; every count that was acknowledged."""
        done = [self._changed(name, key, count(f"p{number}")) for _ in self._turns(seconds)]
        return self._told(counts=[one for one in done if one is not None])

    def count_aloud(self, *, number: int, name: str, key: str) -> None:
        """Count for ever, and say each count as soon as it is acknowledged: until killed."""
        while True:
            say(self._store.transact(name, key, count(f"p{number}"), journal=name))

    def count_cut_off(self, *, number: int, name: str, key: str, seconds: float, op_s: float) -> dict[str, Any]:
        """Count, while each operation may lose its connection (or its git) at any moment."""
        counts: list[int] = []
        with Cutter(self._host, span_s=op_s) as cutter:
            for _ in self._turns(seconds):
                cutter.arm()
                done = self._changed(name, key, count(f"p{number}"))
                cutter.disarm()
                counts += [] if done is None else [done]
        return self._told(counts=counts, cuts=cutter.cuts)

    def append(self, *, number: int, name: str, seconds: float) -> dict[str, Any]:
        """Append entries of our own; the sequence of each."""
        sequences: list[int] = []
        for turn in self._turns(seconds):
            done = self._tried(partial(self._store.append, name, {"by": f"p{number}", "n": turn}))
            if done is None:
                break  # whether it was appended may be unknown: what follows could not be told apart
            sequences.append(done)
        return self._told(sequences=sequences)

    def speak(self, *, number: int, name: str, after_s: float) -> float:
        """Append an entry, later; the moment (monotonic, of this machine) just before."""
        self._host.sleep(after_s)
        began_s = self._host.monotonic_s()
        self._store.append(name, {"by": f"p{number}"})
        return began_s

    def beat(self, *, number: int, name: str, key: str) -> list[Any] | None:
        """The beat of a record as it is seen from here: fence and moment."""
        del number
        held = self._store.get(name, key)
        return None if held is None or held.beat is None else [held.beat.fence, held.beat.seen.at_ms]

    def now(self, *, number: int) -> int:
        """The store's time."""
        del number
        return self._store.now().at_ms

    @property
    def _store(self) -> Store:
        assert self._state is not None, "nothing is open"
        return self._state.store

    def _turns(self, seconds: float) -> Iterator[int]:
        """0, 1, 2 … until the time is over, a bounded number."""
        until_s = self._host.monotonic_s() + seconds
        for turn in range(TURNS_MAX):
            if self._host.monotonic_s() >= until_s:
                return
            yield turn

    def _changed(self, name: str, key: str, decide: Callable[[Snapshot], Decision[T]]) -> T | None:
        return self._tried(partial(self._store.transact, name, key, decide, journal=name))

    def _tried(self, act: Callable[[], T]) -> T | None:
        """What `act` returns; None, and a note, when the store failed."""
        try:
            return act()
        except StoreError as error:
            self._errors.append(f"{error.code}: {error}")
            return None

    def _told(self, **found: Any) -> dict[str, Any]:
        errors, self._errors = self._errors, []
        return {**found, "failed": len(errors), "errors": errors[:ERRORS_MAX]}


def say(answer: Any) -> None:
    """One whole line on standard output."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(host: Host, root: str) -> None:
    """Carry out orders until standard input ends."""
    worker = Worker(host, root)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        say(getattr(worker, order.pop("verb"))(**order))


if __name__ == "__main__":
    main(Host(), sys.argv[1])
