"""Eight processes at once: on tasks of their own, beside two registries under one lock; and all on one task."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from random import uniform
from statistics import median
from time import monotonic_ns, perf_counter_ns, sleep
from typing import Any

from sharedstate import Claimed, Released, SharedState
from sharedstate.testing.history import violations_in_journal
from sharedstate.values import Value
from tests.benchmarks.bench import Bench, opened
from tests.benchmarks.raw import Floor
from tests.benchmarks.table import Aim, Broken, Row, at_least, at_most

PROCESSES = 8
SPEEDUP_MIN = 1.5
SHARE_MAX = 2.0
WAIT_US_MAX = 10_000.0
REGISTRY_TASKS = 100
HOT_TASK = "hot"
_PATIENCE_S = 60.0


class Holding(Value):
    """When its owner certainly held the task: from the answer to its claim until it asked to release (monotonic)."""

    fence: int
    from_ns: int
    until_ns: int


# What a process does in a folder, which process it is, until when; a change is one claim, release or registry update.
Work = Callable[[str, int, int], Any]


def distinct(bench: Bench) -> Iterator[Row]:
    """Throughput of durable changes by eight processes, each on its own tasks; the three designs take turns."""
    slot_ms = bench.choose(full=1500, quick=500)
    designs: dict[str, Work] = {"ours": _own_tasks, "registry": _one_registry, "one lock": _one_lock}
    counts: dict[str, list[float]] = {name: [] for name in designs}
    for number in range(bench.choose(full=5, quick=2)):
        for name, work in designs.items():
            folder = bench.folder(f"distinct-{name.replace(' ', '-')}-{number}")
            _prepare(folder)
            counts[name].append(sum(_together(work, folder, slot_ms)) * 1000 / slot_ms)
    ours, registry, one_lock = (counts[name] for name in designs)
    yield Row(
        case="8 processes, distinct tasks: changes a second",
        figure=_paired(ours, registry),
        aim=at_least(SPEEDUP_MIN),
        note=f"to one registry file of {REGISTRY_TASKS} tasks under one lock; ours {median(ours):,.0f}/s",
    )
    yield Row(
        case="the same, to raw files under one lock",
        figure=_paired(ours, one_lock),
        note="one durable step a change there, two in ours: record and journal",
    )
    yield Row(case="control: one registry file, read, changed, replaced durably", figure=median(registry), unit="/s")
    yield Row(case="control: one raw file for each task, one lock, no reading", figure=median(one_lock), unit="/s")


def hot(bench: Bench) -> Iterator[Row]:
    """Eight processes claim one task, each again after a pause of 1 to 5 ms; who gets it releases it at once."""
    slot_ms = bench.choose(full=6000, quick=1500)
    for place, memory in (("disk", False), ("tmpfs", True)):
        folder = bench.folder(f"hot-{place}", memory=memory)
        found = _compete(folder, _one_task, slot_ms)
        wins = sorted(len(held) for held, _ in found)
        yield Row(
            case=f"8 processes, one task ({place}): owners at once",
            figure=1.0,
            unit="",
            aim=at_most(1),
            note=f"{sum(wins):,} claims won; checked by the journal and by what the clients saw",
        )
        yield Row(
            case=f"share ({place}): claims won by the luckiest process, to the unluckiest",
            figure=wins[-1] / max(1, wins[0]),
            aim=at_most(SHARE_MAX),
            note=f"{wins[0]} to {wins[-1]}",
        )
        yield _wait(f"wait of a claim ({place}), p99", [waits for _, waits in found], aim=at_most(WAIT_US_MAX))
        found = _compete(bench.folder(f"hammered-{place}", memory=memory), _one_task_without_pause, slot_ms // 2)
        about = f"the same without any pause, 8 busy processes on {os.cpu_count()} cores ({place})"
        yield _wait(about, [waits for _, waits in found])
        waits = _together(_one_flock, bench.folder(f"flock-{place}", memory=memory), slot_ms // 2)
        yield _wait(f"control: raw flock + durable replace, with the pause ({place})", waits)


def _compete(folder: str, work: Work, slot_ms: int) -> list[tuple[list[Holding], list[int]]]:
    """What each process saw and how long its claims waited; raises `Broken` when two held the task at once."""
    with opened(os.path.join(folder, "state")) as state:
        state.claims.claim(HOT_TASK)
        state.claims.release(HOT_TASK)
        found = _together(work, folder, slot_ms)
        _check(state, [holding for held, _ in found for holding in held])
    return found


def _wait(case: str, waits: list[list[int]], *, aim: Aim | None = None) -> Row:
    waits_us = sorted(wait_ns / 1000 for mine in waits for wait_ns in mine)
    high_us = waits_us[int(len(waits_us) * 0.99)]
    note = f"of {len(waits_us):,} answers; longest {waits_us[-1]:,.0f} us"
    return Row(case=case, figure=high_us, unit="us", median_us=median(waits_us), aim=aim, note=note)


def _paired(mine: list[float], other: list[float]) -> float:
    return median(left / right for left, right in zip(mine, other, strict=True))


def _check(state: SharedState, holdings: list[Holding]) -> None:
    """Neither the journal nor the clients saw two owners at once, and fences grew in the order of real time."""
    violations = violations_in_journal(state.events())
    if violations:
        raise Broken(f"{len(violations)} violations in the journal, the first: {violations[0]}")
    ordered = sorted(holdings, key=lambda holding: holding.from_ns)
    for earlier, later in pairwise(ordered):
        if later.from_ns < earlier.until_ns or later.fence <= earlier.fence:
            raise Broken(f"two owners at once: {earlier} and {later}")


# Many processes


def _together(work: Work, folder: str, slot_ms: int) -> list[Any]:
    """What each of eight new processes returns, all begun at one moment and working for `slot_ms`."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    pipes = []
    children = []
    for index in range(PROCESSES):
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(work, barrier, folder, index, slot_ms, theirs), daemon=True)
        child.start()
        theirs.close()
        pipes.append(mine)
        children.append(child)
    answers = [pipe.recv() for pipe in pipes if pipe.poll(_PATIENCE_S)]
    for child in children:
        child.join(_PATIENCE_S)
    if len(answers) < PROCESSES:
        raise Broken(f"{PROCESSES - len(answers)} of {PROCESSES} processes gave no answer")
    return answers


def _child(work: Work, barrier: Barrier, folder: str, index: int, slot_ms: int, pipe: Any) -> None:
    barrier.wait(_PATIENCE_S)
    pipe.send(work(folder, index, monotonic_ns() + slot_ms * 1_000_000))
    pipe.close()


def _prepare(folder: str) -> None:
    registry = {f"T-{number}": _entry(number) for number in range(REGISTRY_TASKS)}
    with open(os.path.join(folder, "registry.json"), "w", encoding="utf-8") as file:
        json.dump(registry, file)
    with opened(os.path.join(folder, "state")) as state:
        state.claims.claim("first")


def _entry(number: int) -> dict[str, Any]:
    return {"owner": f"host/agent-{number}", "fence": number, "status": "claimed", "note": "x" * 500}


def _own_tasks(folder: str, index: int, until_ns: int) -> int:
    changes = 0
    with opened(os.path.join(folder, "state"), owner=f"bench/{index}") as state:
        while monotonic_ns() < until_ns:
            task = f"P-{index}-{changes}"
            state.claims.claim(task)
            state.claims.release(task)
            changes += 2
    return changes


def _one_registry(folder: str, index: int, until_ns: int) -> int:
    changes = 0
    path, temp = os.path.join(folder, "registry.json"), os.path.join(folder, f"temp-{index}")
    lock_fd = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    dir_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    while monotonic_ns() < until_ns:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        with open(path, encoding="utf-8") as file:
            registry = json.load(file)
        registry[f"T-{index}"]["fence"] = changes
        with open(temp, "w", encoding="utf-8") as file:
            json.dump(registry, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temp, path)
        os.fsync(dir_fd)
        fcntl.flock(lock_fd, fcntl.LOCK_UN)
        changes += 1
    return changes


def _one_lock(folder: str, index: int, until_ns: int) -> int:
    changes = 0
    content = json.dumps(_entry(index), indent=2).encode() * 2
    files = os.path.join(folder, "files")
    floor = Floor(files, content, durable=True)
    while monotonic_ns() < until_ns:
        floor.replace(
            index * 1_000_000 + changes // 2
        )  # each file is made once and replaced once, as by claim and release
        changes += 1
    floor.close()
    return changes


def _one_task(folder: str, index: int, until_ns: int) -> tuple[list[Holding], list[int]]:
    return _ask_again_and_again(folder, index, until_ns, pause=_pause)


def _one_task_without_pause(folder: str, index: int, until_ns: int) -> tuple[list[Holding], list[int]]:
    return _ask_again_and_again(folder, index, until_ns, pause=lambda: None)


def _ask_again_and_again(
    folder: str, index: int, until_ns: int, *, pause: Callable[[], None]
) -> tuple[list[Holding], list[int]]:
    held: list[Holding] = []
    waits_ns: list[int] = []
    with opened(os.path.join(folder, "state"), owner=f"bench/{index}") as state:
        while monotonic_ns() < until_ns:
            pause()
            began_ns = perf_counter_ns()
            claimed = state.claims.claim(HOT_TASK, reopen=True)
            from_ns = monotonic_ns()
            waits_ns.append(perf_counter_ns() - began_ns)
            if not isinstance(claimed, Claimed):
                continue
            held.append(Holding(fence=claimed.fence, from_ns=from_ns, until_ns=monotonic_ns()))
            released = state.claims.release(HOT_TASK)
            if not isinstance(released, Released):
                raise Broken(f"the winner could not release: {released}")
    return held, waits_ns


def _one_flock(folder: str, index: int, until_ns: int) -> list[int]:
    """The least that a change of one record under one lock can wait for."""
    waits_ns: list[int] = []
    floor = Floor(folder, json.dumps(_entry(index), indent=2).encode() * 2, durable=True)
    while monotonic_ns() < until_ns:
        _pause()
        began_ns = perf_counter_ns()
        floor.replace(0)
        waits_ns.append(perf_counter_ns() - began_ns)
    floor.close()
    return waits_ns


def _pause() -> None:
    sleep(uniform(0.001, 0.005))
