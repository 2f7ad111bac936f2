"""Folding the journal: counters are derived from it, so reading it from the start must be cheap."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from sharedstate.clock import iso_of_ms
from sharedstate.files.journal import SEGMENT_BYTES_MAX
from sharedstate.jsonio import encode_line
from tests.benchmarks.bench import Bench, opened
from tests.benchmarks.rounds import interleaved
from tests.benchmarks.table import Broken, Row

_AT_MS = 1_760_000_000_000


def fold(bench: Bench) -> Iterator[Row]:
    """Counting the events of a long journal by type, beside `json.loads` of the same lines."""
    count = bench.choose(full=50_000, quick=10_000)
    root = os.path.join(bench.folder("journal", memory=True), "state")
    with opened(root) as state:
        state.claims.claim("first")
        _fill(os.path.join(root, "journal", "events"), count)

        def ours(number: int) -> None:
            kinds: dict[str, int] = {}
            for entry in state.events():
                kind = entry.value["type"]
                kinds[kind] = kinds.get(kind, 0) + 1
            if sum(kinds.values()) != count:
                raise Broken(f"{sum(kinds.values())} entries of {count} were read")

        measured = interleaved(
            {"ours": ours, "json": lambda number: _raw(root)}, rounds=bench.choose(full=5, quick=3), calls=1
        )
    for name, about in (("ours", "fold the journal into counters"), ("json", "control: json.loads of every line")):
        yield Row(
            case=about,
            figure=measured.ratio(name, to="json"),
            median_us=measured.median_us(name) / count,
            note=f"for each of {count:,} entries",
        )


def _raw(root: str) -> dict[str, int]:
    kinds: dict[str, int] = {}
    folder = os.path.join(root, "journal", "events")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            for line in file:
                kind = json.loads(line)["type"]
                kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _fill(folder: str, count: int) -> None:
    """The journal as it is written, claims and releases in turn, without locks and fsyncs."""
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    first, size, lines = 1, 0, list[bytes]()
    for sequence in range(1, count + 1):
        line = _line(sequence)
        lines.append(line)
        size += len(line)
        if size >= SEGMENT_BYTES_MAX or sequence == count:
            with open(os.path.join(folder, f"{first:016d}.jsonl"), "wb") as file:
                file.writelines(lines)
            first, size, lines = sequence + 1, 0, []


def _line(sequence: int) -> bytes:
    task = f"T-{sequence // 2:06d}"
    return encode_line(
        {
            "seq": sequence,
            "at": iso_of_ms(_AT_MS + sequence),
            "record": f"tasks/{task}@{1 + sequence % 2}",
            "type": "released" if sequence % 2 else "claimed",
            "task": task,
            "owner": "bench/agent",
            "fence": 1,
            "status": "complete" if sequence % 2 else "claimed",
            "attempt": 1,
            "retries": 0,
            "ttl_ms": 300_000,
        }
    )
