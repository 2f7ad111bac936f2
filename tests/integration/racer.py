"""One process of the races: hammers a few tasks for a while and writes down, before and after, what it does and hears.

    python racer.py ROOT HISTORY OWNER SEED SECONDS

Lines are written with one call each, so that a process that is killed leaves whole lines; what has no second line was
never heard of. Moments are nanoseconds of a clock that all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from sharedstate import SharedState
from sharedstate.errors import StoreError
from sharedstate.tasks.outcomes import Claimed, Kept, Released

TASKS = ("T-1", "T-2", "T-3")
TTL_MS = 150
KINDS = {"claimed": "claim", "taken_over": "takeover", "reclaimed": "reclaim", "already_owned": "renew"}


class Racer:
    """One owner in one process."""

    def __init__(self, state: SharedState, history: str, seed: int) -> None:
        self.state = state
        self.random = random.Random(seed)
        self._fd = os.open(history, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count = 0

    def run(self, seconds: float) -> None:
        """Act until the time is over."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            task = self.random.choice(self.tasks())
            act = self.random.choice(self.acts())
            try:
                act(task)
            except StoreError as error:
                self._write({"error": type(error).__name__})
            time.sleep(self.random.choice((0.0, 0.0, 0.001, 0.005)))

    def tasks(self) -> Sequence[str]:
        """What is raced for now."""
        return TASKS

    def acts(self) -> Sequence[Callable[[str], None]]:
        """What may be done next, each as likely as it stands here often."""
        return (self.claim, self.claim, self.renew, self.release, self.sweep)

    def claim(self, task: str) -> None:
        """Sometimes by force, sometimes bound to this process."""
        forced = "racing" if self.random.random() < 0.03 else None
        number = self._begin(task, "takeover")
        answer = self.state.claims.claim(task, force_reason=forced, reopen=True, bind=self.random.random() < 0.3)
        if isinstance(answer, Claimed):
            self._end(number, KINDS[answer.outcome], ok=True, fence=answer.fence, reason=answer.reason)
        else:
            self._end(number, "renew", reason=answer.reason)

    def renew(self, task: str) -> None:
        """A heartbeat, perhaps of a zombie."""
        number = self._begin(task, "renew")
        answer = self.state.claims.renew(task)
        if isinstance(answer, Kept):
            self._end(number, "renew", ok=True, fence=answer.fence)
        else:
            self._end(number, "renew", reason=getattr(answer, "reason", "unverifiable"))

    def release(self, task: str) -> None:
        """The end of an attempt, perhaps of a zombie's."""
        number = self._begin(task, "release")
        answer = self.state.claims.release(task, status=self.random.choice(("complete", "failed", "abandoned")))
        if isinstance(answer, Released) and not answer.repeated:
            self._end(number, "release", ok=True, fence=answer.fence)
        else:
            self._end(number, "renew", reason=getattr(answer, "reason", "repeated"))

    def sweep(self, task: str) -> None:
        """A sweep of everything, written down for each task."""
        del task
        numbers = {each: self._begin(each, "sweep") for each in self.tasks()}
        swept = {ended.task: ended for ended in self.state.claims.sweep().swept}
        for each, number in numbers.items():
            if each in swept:
                self._end(number, "sweep", ok=True, fence=swept[each].fence, reason=swept[each].reason)
            else:
                self._end(number, "renew")

    def _begin(self, task: str, kind: str) -> int:
        self._count += 1
        begun = {"number": self._count, "task": task, "kind": kind, "owner": self.state.identity.owner}
        self._write({**begun, "start": time.monotonic_ns()})
        return self._count

    def _end(self, number: int, kind: str, *, ok: bool = False, fence: int = 0, reason: str | None = None) -> None:
        heard = {"number": number, "kind": kind, "ok": ok, "fence": fence, "reason": reason}
        self._write({**heard, "end": time.monotonic_ns()})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._fd, json.dumps(line).encode() + b"\n")


def main() -> None:
    """Run one racer, as asked on the command line."""
    root, history, owner, seed, seconds = sys.argv[1:]
    settings: dict[str, Any] = {
        "stale_threshold_ms": TTL_MS,
        "heartbeat_interval_ms": TTL_MS // 3,
        "max_retries": 1_000,
    }
    with SharedState.open(root, owner=owner, **settings) as state:
        Racer(state, history, int(seed)).run(float(seconds))


if __name__ == "__main__":
    main()
