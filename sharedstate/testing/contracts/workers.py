"""Real processes on one state: nothing is lost between them, and one that is killed leaves nothing half done.

The worker is this module run as a program: `python -m sharedstate.testing.contracts.workers OPENER… -- NAME COUNT`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from sharedstate.store import Decision, Snapshot, Store
from sharedstate.testing.contracts.steps import PATIENCE_S, Hooks, Opener, got, looks, not_here

_WORKERS = 3
_COUNTS = 15
_UNTIL_KILLED = 1_000_000


class WorkerContract(Hooks):
    """What holds between processes. Skipped without `opener`."""

    def test_no_update_is_lost_between_processes(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        opener = self._opener(store, tmp_path)
        workers = [_started(opener, f"w{index}", _COUNTS) for index in range(_WORKERS)]
        told = [worker.communicate(timeout=2 * PATIENCE_S)[0].split() for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * _WORKERS
        assert sorted(int(count) for counts in told for count in counts) == list(range(_WORKERS * _COUNTS))
        self._check(store, acknowledged=_WORKERS * _COUNTS)

    def test_a_process_that_is_killed_leaves_whole_transitions_and_blocks_nobody(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        opener = self._opener(store, tmp_path)
        for round_ in range(1, 4):
            worker = _started(opener, "victim", _UNTIL_KILLED)
            assert worker.stdout is not None
            told = [worker.stdout.readline() for _ in range(round_ * 3)]
            worker.kill()
            told += worker.communicate(timeout=PATIENCE_S)[0].splitlines()
            whole = [line for line in told if line.strip()]
            assert len(whole) >= round_ * 3
            last = int(whole[-2 if len(whole) > round_ * 3 else -1])  # the very last line may be cut off
            assert store.transact("counters", "c", counts("survivor")) > last
            self._check(store, acknowledged=last + 2)

    def _opener(self, store: Store, tmp_path: Path) -> Opener:
        opener = self.opener(store, tmp_path)
        if opener is None:
            not_here("no other process can open this store's state")
        return opener

    def _check(self, store: Store, *, acknowledged: int) -> None:
        """Each count is in the record and once in the journal, in order."""
        store.transact("counters", "c", looks([]))
        store.upkeep()
        held = got(store, "counters", "c")
        assert held.value["count"] == held.revision >= acknowledged
        entries = list(store.read("events"))
        assert [entry.record for entry in entries] == [f"counters/c@{n + 1}" for n in range(held.revision)]
        assert [entry.value["count"] for entry in entries] == list(range(1, held.revision + 1))
        assert [entry.sequence for entry in entries] == list(range(1, held.revision + 1))


def counts(me: str) -> Callable[[Snapshot], Decision[int]]:
    """A decision that counts and says so in the journal; its result is the count before."""

    def decide(snapshot: Snapshot) -> Decision[int]:
        count = 0 if snapshot.value is None else int(snapshot.value["count"])
        event = {"type": "counted", "by": me, "count": count + 1}
        return Decision(result=count, write={"count": count + 1}, live=count + 1, events=(event,))

    return decide


def _started(opener: Opener, me: str, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", __name__, *opener, "--", me, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def main(words: Sequence[str]) -> None:
    """Open the store, count as often as told, say each count once it is acknowledged."""
    middle = len(words) - 3
    opener, (me, count) = words[:middle], words[middle + 1 :]
    module, _, name = opener[0].partition(":")
    store: Store = getattr(import_module(module), name)(*opener[1:])
    for _ in range(int(count)):
        sys.stdout.write(f"{store.transact('counters', 'c', counts(me))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
