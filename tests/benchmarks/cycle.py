"""Claim, renew, release by one process, beside the raw system calls of the same change: CPU alone, and durable."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sharedstate import Claimed, Kept, Released, SharedState
from tests.benchmarks.bench import OWNER, Bench, CountingHost, files_below, opened
from tests.benchmarks.raw import Floor
from tests.benchmarks.rounds import Rounds, interleaved
from tests.benchmarks.table import Broken, Row, at_most

CPU_RATIO_MAX = 2.0
STEP_RATIO_MAX = 1.2
STEPS_MAX = 2.0
RENEW_RATIO_MAX = 1 / 20
_VERBS = ("claim", "renew", "release")
# The floor of each verb: a claim makes a file, a release replaces one, a renew would have to replace one.
_FLOOR_OF = {"claim": "new", "renew": "over", "release": "over"}


def cpu(bench: Bench) -> Iterator[Row]:
    """On tmpfs, where fsync costs nothing: the price of our code, validation and all."""
    folder = bench.folder("cpu", memory=True)
    measured = _measure(folder, rounds=bench.choose(full=60, quick=15), calls=20, durable=False)
    for verb in _VERBS:
        yield Row(
            case=f"{verb}, validated",
            figure=measured.ratio(verb, to=_FLOOR_OF[verb]),
            median_us=measured.median_us(verb),
            aim=at_most(CPU_RATIO_MAX),
            note=f"to flock + write + rename ({_FLOOR_OF[verb]})",
        )
    for verb in _VERBS:
        yield Row(
            case=f"{verb}, to the same change in plain standard library",
            figure=measured.ratio(verb, to="change"),
            note="to flock + read + json.loads + json.dumps + write + rename",
        )
    yield from _controls(measured)


def durable(bench: Bench) -> Iterator[Row]:
    """On the disk: what is acknowledged survives a power cut, so nearly all of the time is the disk's."""
    folder = bench.folder("durable")
    steps = _steps(os.path.join(folder, "counted"))
    for verb, count in steps.items():
        aim = at_most(STEPS_MAX if verb != "renew" else 0)
        yield Row(case=f"durable steps of a {verb}", figure=float(count), unit="", aim=aim)
    measured = _measure(folder, rounds=bench.choose(full=40, quick=8), calls=10, durable=True)
    for verb in ("claim", "release"):
        yield Row(
            case=f"durable {verb}, per durable step",
            figure=measured.ratio(verb, to=_FLOOR_OF[verb]) / steps[verb],
            median_us=measured.median_us(verb),
            aim=at_most(STEP_RATIO_MAX),
            note=f"to write + fsync + rename + fsync directory ({_FLOOR_OF[verb]})",
        )
    yield Row(
        case="renew, to a durable claim",
        figure=measured.ratio("renew", to="claim"),
        median_us=measured.median_us("renew"),
        aim=at_most(RENEW_RATIO_MAX),
        note="writes no record: checked",
    )
    yield from _controls(measured)


def _controls(measured: Rounds) -> Iterator[Row]:
    for case, about in (
        ("new", "control: raw flock + write + rename, new file"),
        ("over", "control: raw flock + write + rename, over an old file"),
        ("change", "control: the same with read, json.loads, json.dumps"),
        ("append", "control: raw append to a log"),
    ):
        yield Row(case=about, median_us=measured.median_us(case))


def _measure(folder: str, *, rounds: int, calls: int, durable: bool) -> Rounds:
    with opened(os.path.join(folder, "state")) as state:
        content = _content_of_a_claim(state)
        new = Floor(os.path.join(folder, "new"), content, durable=durable)
        over = Floor(os.path.join(folder, "over"), content, durable=durable)
        for number in range((rounds + 1) * calls):
            over.replace(number)
        measured = interleaved(
            {
                "claim": lambda number: _expect(state.claims.claim(f"T-{number}"), Claimed),
                "renew": lambda number: _expect(state.claims.renew(f"T-{number}"), Kept),
                "release": lambda number: _expect(state.claims.release(f"T-{number}"), Released),
                "new": new.replace,
                "over": over.replace,
                "change": over.change,
                "append": new.append,
            },
            rounds=rounds,
            calls=calls,
        )
        _check_that_renew_writes_no_record(state)
        new.close()
        over.close()
    return measured


def _content_of_a_claim(state: SharedState) -> bytes:
    _expect(state.claims.claim("first"), Claimed)
    folder = os.path.join(state.root, "tasks")
    (name,) = os.listdir(folder)
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def _check_that_renew_writes_no_record(state: SharedState) -> None:
    claimed = state.claims.claim("beaten")
    assert isinstance(claimed, Claimed)
    before = [found for part in ("tasks", "journal") for found in files_below(os.path.join(state.root, part))]
    _expect(state.claims.renew("beaten"), Kept)
    after = [found for part in ("tasks", "journal") for found in files_below(os.path.join(state.root, part))]
    if before != after:
        raise Broken("a renew wrote a record or a journal entry")


def _steps(root: str) -> dict[str, int]:
    """How often each verb waits for the disk; the second cycle is counted, when all folders exist."""
    host = CountingHost()
    counted: dict[str, int] = {}
    with opened(root, host=host) as state:
        for task in ("first", "second"):
            for verb in _VERBS:
                before, renames = host.steps, host.renames
                getattr(state.claims, verb)(task, owner=OWNER)
                counted[verb] = host.steps - before
                if verb == "renew" and host.renames != renames:
                    raise Broken("a renew replaced a file")
    return counted


def _expect(answer: object, kind: type) -> None:
    if not isinstance(answer, kind):
        raise Broken(f"expected {kind.__name__}, got {answer!r}")
