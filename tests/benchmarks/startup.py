"""Start-up: hot verbs and the bare import, each as a new process, beside a bare interpreter in the same round."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from time import perf_counter_ns

from tests.benchmarks.bench import Bench, command, environment
from tests.benchmarks.rounds import Rounds
from tests.benchmarks.table import Broken, Row, at_most, missing

VERB_RATIO_MAX = 3.5
IMPORT_RATIO_MAX = 3.0
HOT_VERBS = ("claim", "renew", "show", "list", "release", "run")
_BARE = [sys.executable, "-c", "pass"]
_WARM_UPS = 2
# What a release waits for: an old file replaced durably, and a line appended durably.
_TWO_STEPS = """
import os, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
fd = os.open("temp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
os.write(fd, b"x" * 1200)
os.fsync(fd)
os.rename("temp", "record", src_dir_fd=folder, dst_dir_fd=folder)
os.fsync(folder)
fd = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600, dir_fd=folder)
os.write(fd, b"x" * 200)
os.fdatasync(fd)
"""
_PATIENCE_S = 60
Argv = Callable[[int], list[str]]


def imports(bench: Bench) -> Iterator[Row]:
    """The library alone."""
    cases: dict[str, Argv] = {
        "bare": lambda number: _BARE,
        "import": lambda number: [sys.executable, "-c", "import sharedstate"],
        "open": lambda number: [sys.executable, "-c", "from sharedstate import SharedState"],
        "json": lambda number: [sys.executable, "-c", "import json"],
        "typing": lambda number: [sys.executable, "-c", "import typing"],
    }
    measured = measure(cases, folder=bench.folder("import"), rounds=bench.choose(full=40, quick=8), env=environment())
    yield Row(
        case="import sharedstate",
        figure=measured.ratio("import", to="bare"),
        median_us=measured.median_us("import"),
        aim=at_most(IMPORT_RATIO_MAX),
        note="to python -c pass",
    )
    yield Row(
        case="from sharedstate import SharedState",
        figure=measured.ratio("open", to="bare"),
        median_us=measured.median_us("open"),
        note="all that a claim needs",
    )
    yield Row(case="control: python -c pass", figure=1.0, median_us=measured.median_us("bare"))
    for name in ("json", "typing"):
        yield Row(case=f"control: import {name}", figure=measured.ratio(name, to="bare"))


def verbs(bench: Bench) -> Iterator[Row]:
    """The hot verbs on the disk, durable, and again on tmpfs, where what remains is start-up and our code."""
    claims = command()
    if not claims:
        yield missing("hot verbs of the command", "not installed")
        return
    for place, memory in (("disk", False), ("tmpfs", True)):
        folder = bench.folder(f"verbs-{place}", memory=memory)
        measured = measure(
            {**_beside(folder), **_verbs(claims)},
            folder=folder,
            rounds=bench.choose(full=40, quick=8),
            env=environment(SHARED_STATE_DIR=os.path.join(folder, "state"), SHARED_STATE_OWNER="bench/agent"),
        )
        for verb in HOT_VERBS:
            beside = ("bare", "true") if verb == "run" else ("bare",)
            yield Row(
                case=f"claims {verb} ({place})",
                figure=measured.ratio_of_sums((verb,), to=beside),
                median_us=measured.median_us(verb),
                aim=at_most(VERB_RATIO_MAX),
                note="to python -c pass" + (", then the program it runs: true" if verb == "run" else ""),
            )
        yield Row(case=f"control: python -c pass ({place})", figure=1.0, median_us=measured.median_us("bare"))
        yield Row(
            case=f"control: two raw durable steps by a bare python ({place})",
            figure=measured.ratio("steps", to="bare"),
            median_us=measured.median_us("steps"),
            note="what claim and release wait for, and run twice",
        )


def _beside(folder: str) -> dict[str, Argv]:
    steps = [sys.executable, "-c", _TWO_STEPS, folder]
    return {"bare": lambda number: _BARE, "true": lambda number: ["true"], "steps": lambda number: steps}


def _verbs(claims: list[str]) -> dict[str, Argv]:
    def verb(name: str, *more: str) -> Argv:
        return lambda number: [*claims, name, f"{name if name == 'run' else 'T'}-{number}", *more]

    named = {name: verb(name) for name in ("claim", "renew", "show")}
    return {
        **named,
        "list": lambda number: [*claims, "list"],
        "release": verb("release"),
        "run": verb("run", "--", "true"),
    }


def measure(cases: dict[str, Argv], *, folder: str, rounds: int, env: dict[str, str]) -> Rounds:
    """Every case once in every round; the first rounds compile modules and warm the caches of the disk."""
    measured = Rounds()
    for number in range(rounds + _WARM_UPS):
        for name, argv in cases.items():
            began_ns = perf_counter_ns()
            done = subprocess.run(
                argv(number),
                check=False,
                cwd=folder,
                env=env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_PATIENCE_S,
            )
            took_ns = perf_counter_ns() - began_ns
            if done.returncode:
                said = done.stderr.decode("utf-8", "replace").strip()[-200:]
                raise Broken(f"{' '.join(argv(number)[-3:])}: exit {done.returncode}: {said}")
            if number >= _WARM_UPS:
                measured.add(name, [took_ns])
    return measured
