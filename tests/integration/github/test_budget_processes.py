"""The request budget between real processes over the file store: together they spend what one may, and no more."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sharedstate.files.store import FileStore
from sharedstate.sync.board import Parked
from sharedstate_adapters.github.budget import Budget, Limits

PROCESSES = 4
POINTS = 100
SPEND = f"""
import sys
from sharedstate.files.store import FileStore
from sharedstate_adapters.github.budget import Budget, Limits
budget = Budget(FileStore(sys.argv[1]), credential="k", limits=Limits(points_per_minute={POINTS}, spacing_ms=0))
now_ms = int(sys.argv[2])
print(sum(budget.take("read", now_ms=now_ms) is None for _ in range(60)))
"""


def spent_by(root: Path, *, now_ms: int) -> list[int]:
    command = [sys.executable, "-c", SPEND, str(root), str(now_ms)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    return [int(one.communicate(timeout=60)[0]) for one in running]


def test_processes_that_ask_at_once_never_get_more_than_the_limit_in_all(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    assert sum(spent_by(tmp_path, now_ms=now_ms)) == POINTS
    assert sum(spent_by(tmp_path, now_ms=now_ms + 30_000)) == 0
    assert sum(spent_by(tmp_path, now_ms=now_ms + 70_000)) == POINTS


def test_what_one_process_was_told_silences_the_others(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    budget = Budget(FileStore(str(tmp_path)), credential="k", limits=Limits())
    budget.note(Parked(until_ms=now_ms + 20_000, reason="secondary rate limit"))
    assert sum(spent_by(tmp_path, now_ms=now_ms + 19_000)) == 0
    assert sum(spent_by(tmp_path, now_ms=now_ms + 20_000)) == POINTS
