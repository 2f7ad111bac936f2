"""`make bench`: the table of speed aims, measured here and now, with the control beside every figure.

Every ratio is taken inside this run, between cases that take turns. A missed aim is printed with its number and fails
nothing; a broken promise (a double claim, a renew that wrote a record) fails the run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from time import perf_counter

from tests.benchmarks import (
    crowd,
    cycle,
    git_store,
    hub,
    mail,
    mirror,
    peers,
    post,
    postgres_store,
    redis_store,
    replay,
    scale,
    startup,
    stores,
)
from tests.benchmarks.bench import Bench
from tests.benchmarks.machine import facts
from tests.benchmarks.table import Broken, Row, as_line, print_head, print_row, print_summary

_TMPFS = "/dev/shm"  # noqa: S108 - reason: the tmpfs of every Linux; only a fresh private folder below it is used
_OUT = "out"
Section = Callable[[Bench], Iterator[Row]]
SECTIONS: dict[str, tuple[str, Section]] = {
    "cpu": ("One process, CPU only (tmpfs)", cycle.cpu),
    "durable": ("One process, durable (disk)", cycle.durable),
    "distinct": ("Eight processes, a task each (disk)", crowd.distinct),
    "hot": ("Eight processes, one task", crowd.hot),
    "scale": ("A hundred thousand tasks (disk)", scale.many),
    "journal": ("The journal (tmpfs)", replay.fold),
    "import": ("Importing the library", startup.imports),
    "verbs": ("The command, hot verbs", startup.verbs),
    "unread": ("Messages: what is unread (tmpfs)", mail.unread),
    "receive": ("Messages: receiving (disk)", mail.receive),
    "send": ("Messages: accepting and sending (disk)", post.send),
    "flush": ("Messages: flushing the outbox", post.flush),
    "mirror": ("The board: a sync with GitHub (fake, in process)", mirror.requests),
    "postgres": ("PostgreSQL, with fsync", postgres_store.postgres_cycle),
    "redis": ("Redis, log synced each second", redis_store.redis_cycle),
    "git": ("A git remote, bare, on the same disk", git_store.git_cycle),
    "stores": ("All stores: several clients, many records", stores.side_by_side),
    "hub": ("The hub: until another process sees an update (files on tmpfs)", hub.propagation),
    "peers": ("Others at the same cycle (disk); figure: ours to theirs", peers.cycles),
}


def main(arguments: list[str]) -> int:
    """Run the chosen sections; 1 when a promise broke."""
    chosen = _parse(arguments)
    os.makedirs(chosen.dir, exist_ok=True)
    disk = tempfile.mkdtemp(prefix="bench-", dir=os.path.abspath(chosen.dir))
    memory = tempfile.mkdtemp(prefix="sharedstate-bench-", dir=_TMPFS) if os.access(_TMPFS, os.W_OK) else ""
    try:
        return _run(Bench(disk=disk, memory=memory, quick=chosen.quick), only=chosen.only, path=chosen.json)
    finally:
        for folder in filter(None, (disk, memory)):
            shutil.rmtree(folder, ignore_errors=True)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run (under a minute), with smaller sets")
    parser.add_argument("--only", default="", metavar="TEXT", help=f"only sections with TEXT: {', '.join(SECTIONS)}")
    parser.add_argument("--dir", default=_OUT, help="a folder on the disk to measure (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write every row as one line of JSON")
    return parser.parse_args(arguments)


def _run(bench: Bench, *, only: str, path: str | None) -> int:
    rows: list[tuple[str, Row]] = []
    broken: list[str] = []
    began_s = perf_counter()
    print("\n".join(facts({"disk": bench.disk, "tmpfs": bench.memory or bench.disk})))
    for name, (title, section) in SECTIONS.items():
        if only not in name:
            continue
        print_head(title)
        try:
            for row in section(bench):
                rows.append((name, row))
                print_row(row)
        except Broken as error:
            broken.append(f"{name}: {error}")
            print(f"  BROKEN: {error}")
    print_summary((row for _, row in rows), broken)
    print(f"{perf_counter() - began_s:.0f} s{', quick: smaller sets, fewer rounds' if bench.quick else ''}")
    if path is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(as_line(name, row) + "\n" for name, row in rows)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
