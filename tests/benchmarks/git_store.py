"""Git: what a claim costs beside the least that git commands do, how pushes are shared, what many records change.

The remote is a bare repository on the same disk, so the cost of a network is missing on both sides. "Least" is what
somebody would write with git commands alone: fetch, one blob, one tree, one commit, and a push with a lease.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns
from typing import Any

from sharedstate.host import Host
from sharedstate.ids import digest_of, record_name
from sharedstate.store import Decision, Snapshot
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.outcomes import Claimed, Kept, Released
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.git import layout
from sharedstate_adapters.git.address import Address
from sharedstate_adapters.git.command import Git, environment
from sharedstate_adapters.git.layout import Stored
from sharedstate_adapters.git.objects import BLOB, Item
from sharedstate_adapters.git.paths import Path as TreePath
from sharedstate_adapters.git.store import GitStore
from tests.benchmarks.bench import OWNER, Bench
from tests.benchmarks.crowd_of_stores import together
from tests.benchmarks.rounds import Rounds, interleaved
from tests.benchmarks.table import Broken, Row, at_most

RATIO_MAX = 1.5
SCALE_RATIO_MAX = 1.3
SMALL = 100
LARGE = 20_000
CLIENTS = (1, 4, 8)
TTL_MS = 3_600_000
REF = "refs/sharedstate/state"
_DIGEST = digest_of("bench")
_NOBODY = ("-c", "user.name=bench", "-c", "user.email=bench@example.invalid")


def _remote(folder: str) -> str:
    path = os.path.join(folder, "remote.git")
    subprocess.run(["git", "init", "--quiet", "--bare", path], check=True, timeout=60)
    return path


def _store(remote: str, folder: str) -> GitStore:
    return GitStore(Address(url=remote, ref=REF), folder=folder)


def _tasks(store: GitStore) -> Tasks:
    return Tasks(store, host=Host(), rules=Rules(retries_max=1_000), sightings=Sightings(MemoryStore(Host())))


def _ask(task: str, owner: str = OWNER) -> ClaimAsk:
    return ClaimAsk(task=task, owner=owner, digest_new=_DIGEST, ttl_ms=TTL_MS)


def _expect(answer: object, kind: type) -> None:
    if not isinstance(answer, kind):
        raise Broken(f"expected {kind.__name__}, got {answer!r}")


def git_cycle(bench: Bench) -> Iterator[Row]:
    """Claim, renew, release by one client, beside git commands; then several clients; then many records."""
    yield from _cycle(bench)
    yield from _clients(bench)
    yield from _scale(bench)


def _cycle(bench: Bench) -> Iterator[Row]:
    folder = bench.folder("git-cycle")
    store, raw = _store(_remote(bench.folder("git-ours")), os.path.join(folder, "own")), _Raw(bench.folder("git-raw"))
    tasks = _tasks(store)

    def put(snapshot: Snapshot) -> Decision[None]:
        return Decision(result=None, write={"n": snapshot.revision})

    measured = interleaved(
        {
            "claim": lambda n: _expect(tasks.claim(_ask(f"T-{n}")), Claimed),
            "renew": lambda n: _expect(tasks.renew(f"T-{n}", owner=OWNER, digest=_DIGEST), Kept),
            "release": lambda n: _expect(
                tasks.release(f"T-{n}", owner=OWNER, digest=_DIGEST, status="complete"), Released
            ),
            "put": lambda n: store.transact("plain", f"T-{n}", put),
            "append": lambda n: store.append("log", {"n": n}),
            "look": lambda n: store.get("tasks", f"T-{n}"),
            "raw change": raw.change,
            "raw fetch": lambda n: raw.fetch(),
        },
        rounds=bench.choose(full=12, quick=3),
        calls=5,
    )
    for verb in ("claim", "release", "put", "append"):
        yield _beside(measured, verb, "raw change", aim=True)
    yield _beside(measured, "renew", "raw fetch", aim=True)
    yield _beside(measured, "look", "raw fetch", aim=True)
    for control in ("raw change", "raw fetch"):
        yield Row(case=f"control: {control}, git commands", median_us=measured.median_us(control))
    store.close()


def _beside(measured: Rounds, verb: str, control: str, *, aim: bool) -> Row:
    return Row(
        case=f"git store: {verb}",
        figure=measured.ratio(verb, to=control),
        median_us=measured.median_us(verb),
        aim=at_most(RATIO_MAX) if aim else None,
        note=f"to {control} ({measured.median_us(control):,.0f} us)",
    )


def _clients(bench: Bench) -> Iterator[Row]:
    slot_ms = bench.choose(full=5_000, quick=1_500)
    for apart in (False, True):
        where = "machines" if apart else "processes of one machine"
        for count in CLIENTS[apart:]:
            folder = bench.folder(f"git-clients-{count}-{apart}")
            remote = _remote(folder)
            roots = [os.path.join(folder, f"own-{index if apart else 0}") for index in range(count)]
            found = together(claims_of_one, [(remote, root, index, slot_ms) for index, root in enumerate(roots)])
            note = f"of each {min(found)} to {max(found)} in {slot_ms / 1000:.1f} s"
            rate = sum(found) * 1000 / slot_ms
            yield Row(
                case=f"git store, {count} {where}: claims and releases a second", figure=rate, unit="/s", note=note
            )


def claims_of_one(remote: str, root: str, index: int, slot_ms: int) -> int:
    """Claim and release tasks of its own until the time is over; how many changes."""
    store = _store(remote, root)
    tasks, owner, changes = _tasks(store), f"bench/{index}", 0
    until_ns = monotonic_ns() + slot_ms * 1_000_000
    while monotonic_ns() < until_ns:
        task = f"P-{index}-{changes}"
        _expect(tasks.claim(_ask(task, owner)), Claimed)
        _expect(tasks.release(task, owner=owner, digest=_DIGEST, status="complete"), Released)
        changes += 2
    store.close()
    return changes


def _scale(bench: Bench) -> Iterator[Row]:
    large = bench.choose(full=LARGE, quick=2_000)
    stores = {}
    for name, count in (("small", SMALL), ("large", large)):
        folder = bench.folder(f"git-{name}")
        stores[name] = _store(_remote(folder), os.path.join(folder, "own"))
        _fill(stores[name], count)
    small, big = _tasks(stores["small"]), _tasks(stores["large"])
    measured = interleaved(
        {
            "small": lambda n: _expect(small.claim(_ask(f"new-{n}")), Claimed),
            "large": lambda n: _expect(big.claim(_ask(f"new-{n}")), Claimed),
        },
        rounds=bench.choose(full=8, quick=3),
        calls=5,
    )
    yield Row(
        case=f"git store: claim with {large:,} records",
        figure=measured.ratio("large", to="small"),
        median_us=measured.median_us("large"),
        aim=at_most(SCALE_RATIO_MAX),
        note=f"to one with {SMALL}: {measured.median_us('small'):,.0f} us",
    )
    for live, about in ((True, "the living"), (False, "all")):
        began_ns = monotonic_ns()
        count = sum(1 for _ in stores["large"].scan("tasks", live_only=live))
        took_ms = (monotonic_ns() - began_ns) / 1e6
        yield Row(case=f"git store: list of {about}, {count:,} of {large:,}", figure=took_ms, unit="ms")
    for store in stores.values():
        store.close()


def _fill(store: GitStore, count: int) -> None:
    """Ended tasks, all in one commit."""
    tasks = _tasks(store)
    tasks.claim(_ask("first"))
    tasks.release("first", owner=OWNER, digest=_DIGEST, status="complete")
    held = store.get("tasks", "first")
    if held is None:
        raise Broken("the first task is missing")
    state = store._chain.fresh(deadline_s=store._deadline_s())
    changes: dict[TreePath, Item | None] = {}
    for number in range(count):
        key = f"T-{number}"
        stored = Stored(key=key, value=held.value, revision=1, live=None, beat=None)
        oid = store._objects.write(BLOB, layout.encode_record(stored))
        changes[layout.record_path_of("tasks", record_name(key))] = Item(mode=layout.PLAIN_FILE, oid=oid)
    names: dict[str, Any] = {"writer": "fill", "chain": "fill", "count": 1, "subject": "filled", "squash": False}
    commit = store._commits.write(state, changes, **names)
    pushed = store._remote.push(commit, expected=state.commit, deadline_s=Host().monotonic_s() + 120)
    if pushed.fate != "applied":
        raise Broken(f"filling failed: {pushed.why}")
    store.get("tasks", "first")


class _Raw:
    """The least equivalent: the commands somebody would write into a script."""

    def __init__(self, folder: str) -> None:
        self._remote = _remote(folder)
        own = os.path.join(folder, "own.git")
        subprocess.run(["git", "init", "--quiet", "--bare", own], check=True, timeout=60)
        self._git = Git(own, host=Host(), env=environment(os.environ))
        self._record = Path(__file__).read_bytes()[:600]
        self._tip = ""
        self.change(-1)

    def change(self, number: int) -> None:
        """One record changed at the remote."""
        if self._tip:
            self.fetch()
        blob = self._run("hash-object", "-w", "--stdin", given=self._record + b"%d" % number)
        tree = self._run("mktree", given=f"100644 blob {blob}\trecord\n".encode())
        parent = ("-p", self._tip) if self._tip else ()
        commit = self._run(*_NOBODY, "commit-tree", tree, "-m", "x", *parent)
        self._run("push", "--quiet", f"--force-with-lease={REF}:{self._tip}", self._remote, f"{commit}:{REF}")
        self._tip = commit

    def fetch(self) -> None:
        """What is there now."""
        self._run("fetch", "--quiet", self._remote, f"+{REF}:refs/seen")

    def _run(self, *words: str, given: bytes = b"") -> str:
        answer = self._git.call(*words, deadline_s=Host().monotonic_s() + 60, given=given)
        if answer.status != 0:
            raise Broken(f"git {words[0]}: {answer.said}")
        return answer.out.decode().strip()
