"""Messages: what is unread of a hundred and of a hundred thousand, and how fast they come in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from time import perf_counter

from sharedstate import SharedState
from sharedstate.messages.model import Envelope, Received
from sharedstate.messages.wire import new_message_id
from tests.benchmarks.bench import Bench, environment, opened
from tests.benchmarks.raw import Floor
from tests.benchmarks.rounds import interleaved
from tests.benchmarks.startup import measure
from tests.benchmarks.table import Broken, Row, at_most

SMALL = 100
LARGE = 100_000
UNREAD = 5
UNREAD_RATIO_MAX = 1.2
PROCESS_RATIO_MAX = 3.5
_LOOK = """
import sys
from sharedstate.connect import SharedState
with SharedState.open(sys.argv[1], owner="bench/agent", folder=sys.argv[2]) as state:
    assert state.inbox.unread("bob", bodies=False).count == int(sys.argv[3])
"""


def unread(bench: Bench) -> Iterator[Row]:
    """On tmpfs, in two stores that take turns, in fresh processes and in this one."""
    large = bench.choose(full=LARGE, quick=5_000)
    roots = {"small": SMALL, "large": large}
    folder = bench.folder("unread", memory=True)
    for name, count in roots.items():
        began_s = perf_counter()
        _fill(os.path.join(folder, name), count)
        if name == "large":
            yield Row(
                case=f"receive {count:,} messages (relaxed, tmpfs)",
                figure=count / (perf_counter() - began_s),
                unit="/s",
            )
    argv = {name: [sys.executable, "-c", _LOOK, os.path.join(folder, name), folder, str(UNREAD)] for name in roots}
    measured = measure(
        {
            "bare": lambda number: [sys.executable, "-c", "pass"],
            "small": lambda number: argv["small"],
            "large": lambda number: argv["large"],
        },
        folder=folder,
        rounds=bench.choose(full=40, quick=8),
        env=environment(),
    )
    yield Row(
        case=f"unread: {UNREAD} of {large:,}, fresh process",
        figure=measured.ratio("large", to="small"),
        median_us=measured.median_us("large"),
        aim=at_most(UNREAD_RATIO_MAX),
        note=f"to {UNREAD} of {SMALL}",
    )
    yield Row(
        case="unread, fresh process, to a bare python",
        figure=measured.ratio("large", to="bare"),
        median_us=measured.median_us("bare"),
        aim=at_most(PROCESS_RATIO_MAX),
        note="to python -c pass; median of that",
    )
    with opened(os.path.join(folder, "small")) as small, opened(os.path.join(folder, "large")) as big:
        inside = interleaved(
            {"small": lambda number: _look(small), "large": lambda number: _look(big)},
            rounds=bench.choose(full=30, quick=8),
            calls=20,
        )
    yield Row(
        case=f"unread: {UNREAD} of {large:,}, open state",
        figure=inside.ratio("large", to="small"),
        median_us=inside.median_us("large"),
        note=f"to {UNREAD} of {SMALL}; the last segment of the journal is larger",
    )


def receive(bench: Bench) -> Iterator[Row]:
    """Durably, on the disk, beside a raw durable write of the same bytes."""
    folder = bench.folder("receive")
    floor = Floor(os.path.join(folder, "floor"), b"x" * 1_200, durable=True)
    with opened(os.path.join(folder, "state")) as state:
        state.inbox.receive(_message(state, ("bob",)))
        measured = interleaved(
            {
                "one": lambda number: _receive(state, ("bob",)),
                "four": lambda number: _receive(state, ("bob", "eve", "ada", "joe")),
                "raw": floor.replace,
            },
            rounds=bench.choose(full=20, quick=6),
            calls=10,
        )
    floor.close()
    for name, about in (("one", "receive a message"), ("four", "receive a message for four")):
        yield Row(
            case=f"{about} (durable, disk)",
            figure=measured.ratio(name, to="raw"),
            median_us=measured.median_us(name),
            note="to one raw durable write; each recipient takes a record and a journal entry",
        )
    yield Row(case="control: raw durable write", median_us=measured.median_us("raw"))


def _fill(root: str, count: int) -> None:
    with opened(root, durability="relaxed") as state:
        for _ in range(count):
            _receive(state, ("bob",))
        state.inbox.ack("bob", up_to=count - UNREAD)


def _look(state: SharedState) -> None:
    if state.inbox.unread("bob", bodies=False).count != UNREAD:
        raise Broken("not what is unread")


def _receive(state: SharedState, to: tuple[str, ...]) -> None:
    if not isinstance(state.inbox.receive(_message(state, to)), Received):
        raise Broken("a message was not received")


def _message(state: SharedState, to: tuple[str, ...]) -> Envelope:
    now_ms = state.host.now().at_ms
    identity = new_message_id(at_ms=now_ms, entropy=state.host.entropy(10))
    return Envelope(
        id=identity,
        sender="ada",
        recipients=to,
        kind="message",
        body="hello " * 30,
        created_at_ms=now_ms,
        sequence=1,
        correlation_id=identity,
    )
