"""A racer (see `tests.integration.racer`) on any store, as a machine of its own; it writes records and journals, too.

python racer.py ROOT HISTORY OWNER SEED SECONDS URL TTL_MS
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sharedstate import SharedState
from sharedstate.errors import DurabilityUnknown, OutcomeUnknown, StoreError
from sharedstate.store import Decision, Snapshot
from tests.integration.racer import TASKS, Racer

RECORDS: Final = ("R-1", "R-2")
COLLECTION: Final = "registers"
LOG: Final = "log"
EPOCH_S: Final = 15.0


def settings(ttl_ms: int) -> dict[str, Any]:
    """How racers and judges open a state: claims that live so long, no fallback, little patience."""
    return {
        "stale_threshold_ms": ttl_ms,
        "heartbeat_interval_ms": ttl_ms // 3,
        "max_retries": 1_000,
        "required": True,
        "lock_timeout_ms": 2_500,
        "git_deadline_ms": 3_000,
    }


class StoreRacer(Racer):
    """A racer that also writes marks into records and a journal, and looks at them."""

    def __init__(self, state: SharedState, history: str, seed: int, *, name: str) -> None:
        super().__init__(state, history, seed)
        self._name = name
        self._steps = 0
        self._asked = ""

    def tasks(self) -> Sequence[str]:
        """Others after a while: the tries of a task are limited."""
        return [f"{task}-{int(time.monotonic() // EPOCH_S)}" for task in TASKS]

    def acts(self) -> Sequence[Callable[[str], None]]:
        """Claims as before; as many writes and looks."""
        return (*super().acts(), self.write, self.write, self.look, self.append)

    def claim(self, task: str) -> None:
        """A claim, which is remembered."""
        self._asked = task
        super().claim(task)

    def renew(self, task: str) -> None:
        """Mostly of what was claimed last, if it was, and is still ours."""
        super().renew(self._mostly_asked(task))

    def release(self, task: str) -> None:
        """The same."""
        super().release(self._mostly_asked(task))

    def _mostly_asked(self, task: str) -> str:
        return self._asked if self._asked and self.random.random() < 0.75 else task

    def write(self, task: str) -> None:
        """Put a mark in the place of whatever stands in a record."""
        del task
        key = self.random.choice(RECORDS)

        def step(mark: str) -> tuple[int, str | None]:
            def decide(snapshot: Snapshot) -> Decision[tuple[int, str | None]]:
                saw = "" if snapshot.value is None else str(snapshot.value["mark"])
                event = {"type": "marked", "mark": mark}
                return Decision(result=(snapshot.revision + 1, saw), write={"mark": mark}, events=(event,))

            return self.state.store.transact(COLLECTION, key, decide)

        self._step(key, step, writes=True)

    def look(self, task: str) -> None:
        """Read a record."""
        del task
        key = self.random.choice(RECORDS)

        def step(mark: str) -> tuple[int, str | None]:
            del mark
            held = self.state.store.get(COLLECTION, key)
            return (0, "") if held is None else (held.revision, str(held.value["mark"]))

        self._step(key, step, writes=False)

    def append(self, task: str) -> None:
        """Append a mark to a journal."""
        del task
        self._step(LOG, lambda mark: (self.state.store.append(LOG, {"mark": mark}), None), writes=True)

    def _step(self, line: str, step: Callable[[str], tuple[int, str | None]], *, writes: bool) -> None:
        self._steps += 1
        mark = f"{self._name}-{self._steps}" if writes else ""
        self._write({"step": self._steps, "line": line, "mark": mark, "start": time.monotonic_ns()})
        heard: dict[str, Any] = {"step": self._steps}
        try:
            heard["version"], heard["saw"] = step(mark)
            heard["fate"] = "told"
        except (OutcomeUnknown, DurabilityUnknown):
            heard["fate"] = "unknown"
        except StoreError as error:
            heard |= {"fate": "failed", "why": type(error).__name__}
        self._write({**heard, "end": time.monotonic_ns()})


def main() -> None:
    """Run one racer, as asked on the command line."""
    root, history, owner, seed, seconds, url, ttl_ms = sys.argv[1:]
    with SharedState.open(root, url=url, folder=root, owner=owner, **settings(int(ttl_ms))) as state:
        StoreRacer(state, history, int(seed), name=f"{owner}-{seed}").run(float(seconds))


if __name__ == "__main__":
    main()
