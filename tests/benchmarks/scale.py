"""A hundred tasks and a hundred thousand: does a claim notice, and what does it cost to find the few that live?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from time import perf_counter_ns

from sharedstate import Claimed
from sharedstate.clock import Instant
from sharedstate.files.records import SUFFIX, encode_record
from sharedstate.ids import digest_of, record_name
from sharedstate.tasks.model import CLAIMED, COMPLETE, Lease, TaskState, dump
from tests.benchmarks.bench import OWNER, Bench, environment, opened
from tests.benchmarks.rounds import interleaved
from tests.benchmarks.table import Broken, Row, at_most

CLAIM_RATIO_MAX = 1.3
LIST_RATIO_MAX = 1 / 50
SMALL = 100
LARGE = 100_000
LIVE = 50
_LIST_LIVE = """
from sharedstate import SharedState
import sys
with SharedState.open(sys.argv[1], owner="bench/lister", folder=sys.argv[2]) as state:
    print(sum(1 for view in state.tasks.list(status="claimed")))
"""
_LIST_ALL = _LIST_LIVE.replace('status="claimed"', "")
_READ_RAW = """
import json, os, sys
folder = sys.argv[1] + "/tasks"
print(sum(json.load(open(folder + "/" + name, "rb"))["status"] == "claimed" for name in os.listdir(folder)))
"""


def many(bench: Bench) -> Iterator[Row]:
    """On the disk, in two stores that take turns."""
    large = bench.choose(full=LARGE, quick=5_000)
    small_root, large_root = os.path.join(bench.folder("small"), "state"), os.path.join(bench.folder("large"), "state")
    _fill(small_root, SMALL)
    began_ns = perf_counter_ns()
    _fill(large_root, large)
    yield Row(case=f"set-up: {large:,} records written", figure=(perf_counter_ns() - began_ns) / 1e9, unit="s")
    began_ns = perf_counter_ns()
    with opened(large_root) as state:
        state.claims.claim("first")
    yield Row(
        case=f"first write after a reboot among {large:,}",
        figure=(perf_counter_ns() - began_ns) / 1e9,
        unit="s",
        note="reads every record once, to index the live ones",
    )
    yield from _claims(small_root, large_root, large, rounds=bench.choose(full=30, quick=8))
    yield from _lists(large_root, large, repeats=bench.choose(full=3, quick=2))


def _claims(small_root: str, large_root: str, large: int, *, rounds: int) -> Iterator[Row]:
    with opened(small_root) as small_state, opened(large_root) as large_state:
        measured = interleaved(
            {
                "small": lambda number: small_state.claims.claim(f"new-{number}"),
                "large": lambda number: large_state.claims.claim(f"new-{number}"),
            },
            rounds=rounds,
            calls=10,
        )
        for number in range((rounds + 1) * 10):
            for state in (small_state, large_state):
                if not isinstance(state.claims.claim(f"new-{number}"), Claimed):
                    raise Broken(f"new-{number} is not held by its claimer")
                state.claims.release(f"new-{number}")
    yield Row(
        case=f"claim (p50) with {large:,} records",
        figure=measured.ratio("large", to="small"),
        median_us=measured.median_us("large"),
        aim=at_most(CLAIM_RATIO_MAX),
        note=f"to a claim with {SMALL} records",
    )
    yield Row(case=f"control: claim with {SMALL} records", median_us=measured.median_us("small"))


def _lists(root: str, large: int, *, repeats: int) -> Iterator[Row]:
    live: list[int] = []
    every: list[int] = []
    raw: list[int] = []
    for _ in range(repeats):
        live += [_fresh(_LIST_LIVE, root, expected=LIVE + 1) for _ in range(3)]
        every.append(_fresh(_LIST_ALL, root, expected=None))
        raw.append(_fresh(_READ_RAW, root, expected=None))
    yield Row(
        case=f"list {LIVE} live of {large:,}, fresh process",
        figure=median(live) / median(every),
        median_us=median(live) / 1000,
        aim=at_most(LIST_RATIO_MAX) if large >= LARGE else None,  # start-up weighs more among fewer
        note="to reading all; whole processes, start-up included",
    )
    yield Row(case=f"list {LIVE} live of {large:,}, to a raw scan", figure=median(live) / median(raw))
    yield Row(case="control: read all, validated, fresh process", median_us=median(every) / 1000)
    yield Row(case="control: raw scan, open + json.load of every file, fresh process", median_us=median(raw) / 1000)


def _fresh(program: str, root: str, *, expected: int | None) -> int:
    began_ns = perf_counter_ns()
    done = subprocess.run(
        [sys.executable, "-c", program, root, os.path.dirname(root)],
        env=environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=300,
    )
    took_ns = perf_counter_ns() - began_ns
    if expected is not None and int(done.stdout) != expected:
        raise Broken(f"listed {done.stdout.strip()} live tasks, not {expected}")
    return took_ns


def _fill(root: str, count: int) -> None:
    """Records as the store writes them, without its locks and fsyncs: `LIVE` of them claimed, the others complete."""
    with opened(root) as state:
        state.claims.claim("first")
        now = state.store.now()
        os.unlink(os.path.join(root, "local", "boot"))  # as after a reboot: the next write finds what was filled in
    folder = os.path.join(root, "tasks")
    every = max(1, count // LIVE)
    for number in range(count):
        task = f"T-{number:06d}"
        is_live = number % every == 0 and number // every < LIVE
        state_of_task = _state(task, now, status=CLAIMED if is_live else COMPLETE)
        live = state_of_task.live
        raw = encode_record(dump(state_of_task), key=task, revision=2, live=live, last_events=None)
        fd = os.open(os.path.join(folder, record_name(task) + SUFFIX), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, raw)
        os.close(fd)


def _state(task: str, now: Instant, *, status: str) -> TaskState:
    lease = Lease(owner=OWNER, digest=digest_of(task), ttl_ms=3_600_000, began=now, host="bench")
    return TaskState(
        task=task, status=status, fence=1, lease=lease, attempts=1, created_ms=now.at_ms, updated_ms=now.at_ms
    )
