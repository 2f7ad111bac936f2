"""Git: what a claim costs beside the least that git commands do, and how pushes are shared by processes and machines.

The remote is a bare repository on the same disk, so the cost of a network is missing on both sides. "Least" is what
somebody would write with git commands alone: fetch, one blob, one tree, one commit, and a push with a lease; that is
exclusive, and its own log, and a file in the blob may carry a fence and an expiry.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sharedstate.host import Host
from sharedstate.store import Decision, Snapshot
from sharedstate_adapters.git.address import Address
from sharedstate_adapters.git.command import Git, environment
from sharedstate_adapters.git.store import GitStore
from tests.benchmarks import work
from tests.benchmarks.bench import Bench
from tests.benchmarks.crowd_of_stores import together
from tests.benchmarks.rounds import interleaved
from tests.benchmarks.table import Broken, Row

CLIENTS = (4, 8)
REF = "refs/sharedstate/state"
_NOBODY = ("-c", "user.name=bench", "-c", "user.email=bench@example.invalid")


def bare_remote(folder: str) -> str:
    """A new bare repository."""
    path = os.path.join(folder, "remote.git")
    subprocess.run(["git", "init", "--quiet", "--bare", path], check=True, timeout=60)
    return path


def git_store(remote: str, folder: str) -> GitStore:
    """A store at a remote, with what is its own in `folder`."""
    return GitStore(Address(url=remote, ref=REF), folder=folder)


def git_cycle(bench: Bench) -> Iterator[Row]:
    """Claim, renew, release by one client, beside git commands; then several machines."""
    yield from _cycle(bench)
    yield from _machines(bench)


def _cycle(bench: Bench) -> Iterator[Row]:
    store = git_store(bare_remote(bench.folder("git-ours")), os.path.join(bench.folder("git-cycle"), "own"))
    raw = RawGit(bench.folder("git-raw"))

    def put(snapshot: Snapshot) -> Decision[None]:
        return Decision(result=None, write={"n": snapshot.revision})

    measured = interleaved(
        {
            **work.verbs(work.ledger(store)),
            "put": lambda n: store.transact("plain", f"T-{n}", put),
            "append": lambda n: store.append("log", {"n": n}),
            "look": lambda n: store.get("tasks", f"T-{n}"),
            "raw change": raw.change,
            "raw fetch": lambda _: raw.fetch(),
        },
        rounds=bench.choose(full=12, quick=3),
        calls=5,
    )
    for verb in ("claim", "release", "put", "append"):
        yield work.beside(measured, verb, "raw change", case=f"git store: {verb}")
    yield work.beside(measured, "renew", "raw fetch", case="git store: renew")
    yield work.beside(measured, "look", "raw fetch", case="git store: look")
    for control in ("raw change", "raw fetch"):
        yield Row(case=f"control: {control}, git commands", median_us=measured.median_us(control))
    store.close()


def _machines(bench: Bench) -> Iterator[Row]:
    slot_ms = bench.choose(full=5_000, quick=1_000)
    for count in CLIENTS[: bench.choose(full=2, quick=1)]:
        folder = bench.folder(f"git-machines-{count}")
        remote = bare_remote(folder)
        found = together(_claims, [(remote, os.path.join(folder, f"own-{n}"), n, slot_ms) for n in range(count)])
        note = f"of each {min(found)} to {max(found)} in {slot_ms / 1000:.1f} s"
        rate = sum(found) * 1000 / slot_ms
        yield Row(case=f"git store, {count} machines: claims a second", figure=rate, unit="/s", note=note)


def _claims(remote: str, root: str, index: int, slot_ms: int) -> int:
    store = git_store(remote, root)
    done = work.cycles(work.ledger(store), f"bench/{index}", slot_ms)
    store.close()
    return done


class RawGit:
    """The least equivalent: the commands somebody would write into a script."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self._remote = bare_remote(folder)
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
