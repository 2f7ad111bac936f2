"""`GitStore`: the store port over a ref of its own at any git remote; no work tree, no index, no branch is touched.

    SHARED_STATE_URL=git+ref://origin/state

The state is a tree of files under `refs/sharedstate/state`, a transition is one commit, and the remote's
compare-and-swap on the ref decides between machines (`chain`). Every operation asks the remote, so that what is told is
true when it is told; where it cannot be asked, `StoreUnavailable` is raised. Time is this machine's own: a remote has
no clock. docs/git-store.md has guarantees, cost and limits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import quote

from sharedstate.clock import Instant
from sharedstate.documents import check_name, check_record, entry_bytes
from sharedstate.errors import BadSettings, Corrupt, ForkedStore, InvalidInput, StoreBusy
from sharedstate.findings import Finding
from sharedstate.host import Host
from sharedstate.ids import fingerprint
from sharedstate.settings import Settings
from sharedstate.store import (
    TRIAL_PREFIX,
    Decision,
    Document,
    Durability,
    Entry,
    Snapshot,
    T,
    Unreadable,
    Versioned,
    check_trial,
)
from sharedstate.values import Value
from sharedstate_adapters.git import layout
from sharedstate_adapters.git.address import REFS, SCHEME, Address, read_address, ssh_command
from sharedstate_adapters.git.beats import LocalBeats
from sharedstate_adapters.git.chain import Chain, Draft, Staged
from sharedstate_adapters.git.command import environment
from sharedstate_adapters.git.commits import Commits, State
from sharedstate_adapters.git.home import Home
from sharedstate_adapters.git.objects import Damaged, Objects
from sharedstate_adapters.git.reading import Reader
from sharedstate_adapters.git.remote import Remote
from sharedstate_adapters.git.upkeep import Upkeep
from sharedstate_adapters.git.writing import Outcome, Writer

R = TypeVar("R")
TRIES_MAX: Final = 1000
_NAP_S: Final = 0.01
_LOOK_S: Final = 0.02


class Options(Value):
    """How a store behaves: see the settings `git_*`. `deadline_ms`: how long one operation may take, waits included."""

    deadline_ms: int = 30_000
    beat_publish_ms: int = 60_000
    history_max: int = 1_000
    poll_ms: int = 1_000


class GitStore:
    """Records, journals and beats under one ref; the contract is that of `sharedstate.store.Portable`.

    Safe for threads; refuses to work in a forked child. `folder` is this machine's own side, see `home`.
    """

    optimistic: Final = True  # a look first would be another round trip; the push finds out what has changed

    def __init__(
        self, address: Address, *, folder: str, host: Host | None = None, options: Options | None = None
    ) -> None:
        self.address = address
        self.options = options or Options()
        self._host = host or Host()
        ssh = ssh_command(os.path.dirname(folder), host=self._host) if address.by_ssh else ""
        self._home = Home(folder, host=self._host, env=environment(os.environ, ssh=ssh))
        self._objects = Objects(self._home.git, host=self._host)
        self._commits = Commits(self._objects, host=self._host)
        self._beats = LocalBeats(folder, host=self._host)
        self._reader = Reader(self._objects, self._beats)
        self._remote = Remote(
            self._home.git, url=address.url, ref=address.ref, host=self._host, mark=self._host.entropy(8).hex()
        )
        self._chain = Chain(
            self._home,
            self._remote,
            self._commits,
            host=self._host,
            history_max=self.options.history_max,
            stale_s=2 * self.options.deadline_ms / 1000 + 10,
        )
        self._writer = Writer(
            self._objects, self._reader, self._beats, host=self._host, publish_ms=self.options.beat_publish_ms
        )
        self._upkeep = Upkeep(self._home, self._objects, self._beats, host=self._host)
        self._pid = self._host.pid()
        self._deciding = threading.local()

    @classmethod
    def from_url(cls, url: str, *, settings: Settings, host: Host) -> GitStore:
        """The store of `git+ref://REMOTE/NAME`. `settings.dir` is the state root of this machine.

        Raises `BadSettings`. Neither the remote nor the disk is touched before the first call.
        """
        if not settings.dir:
            raise BadSettings("SHARED_STATE_URL: a git store needs a state root")
        address = read_address(url, folders=(settings.dir, os.getcwd()), host=host)
        name = f"{os.path.basename(address.ref)}-{fingerprint(f'{address.url} {address.ref}'.encode(), size=8)}"
        options = Options(
            deadline_ms=settings.git_deadline_ms,
            beat_publish_ms=settings.git_beat_publish_ms,
            history_max=settings.git_history_max,
            poll_ms=settings.git_poll_ms,
        )
        return cls(address, folder=os.path.join(settings.dir, "local", "git", name), host=host, options=options)

    # Reading

    def now(self) -> Instant:
        """This machine's clock: a git remote has none that could be asked."""
        return self._host.now()

    def get(self, collection: str, key: str) -> Versioned | None:
        """The current record. Raises `Corrupt`, `StoreUnavailable`. Inside a decision: as it was when that began."""
        key = check_record(collection, key)
        return self._read(lambda state: self._reader.record(state, collection, key))

    def scan(self, collection: str, *, live_only: bool = False) -> Iterator[Versioned | Unreadable]:
        """The records of a collection as they were at the remote when the scan began."""
        check_name(collection, what="collection")
        return iter(self._read(lambda state: list(self._reader.scan(state, collection, live_only=live_only))))

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Entries above `after`, those at the remote when the reading began."""
        check_name(journal, what="journal")
        most = None if limit is None else max(0, limit)
        return iter(self._read(lambda state: self._entries(state, journal, max(0, after), most)))

    def collections(self) -> list[str]:
        """The collections that hold a record, sorted."""
        return self._read(lambda state: self._reader.names(state, layout.RECORDS))

    def journals(self) -> list[str]:
        """The journals that hold an entry, sorted."""
        return self._read(lambda state: self._reader.names(state, layout.JOURNAL))

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Ask the remote every `poll_ms`; what another process of this machine does is noticed at once."""
        check_name(journal, what="journal")
        until_s = self._host.monotonic_s() + timeout_s
        while True:
            if self._read(lambda state: self._reader.last_of(state, journal)) > after:
                return True
            known = self._home.memo.load().known
            next_s = min(until_s, self._host.monotonic_s() + self.options.poll_ms / 1000)
            while self._host.monotonic_s() < next_s and self._home.memo.load().known == known:
                self._host.sleep(min(_LOOK_S, max(0.0, next_s - self._host.monotonic_s())))
            if self._host.monotonic_s() >= until_s:
                return False

    # Writing

    def transact(
        self,
        collection: str,
        key: str,
        decide: Callable[[Snapshot], Decision[T]],
        *,
        journal: str = "events",
        durability: Durability = "full",
        derived: bool = False,
    ) -> T:
        """Run `decide` upon the latest state and put its decision at the remote; `durability` changes nothing.

        Raises `StoreBusy` when others were first for too long, `StoreUnavailable` when the remote cannot be asked
        or refuses, `Corrupt`.
        """
        key = check_record(collection, key)
        check_name(journal, what="journal")
        what = f"{collection}/{key}"

        def attempt(state: State) -> Draft[Outcome[T]]:
            with self._decision(state):
                return self._writer.transition(
                    state, decide, collection=collection, key=key, journal=journal, derived=derived
                )

        def same(one: State, other: State) -> bool:
            return self._reader.item(one, collection, key) == self._reader.item(other, collection, key)

        return self._written(attempt, same, what=what)

    def append(self, journal: str, value: Document) -> int:
        """Append one entry; returns its sequence once it is at the remote."""
        check_name(journal, what="journal")
        entry_bytes(value)
        return self._written(
            lambda state: self._writer.appended(state, journal, value), _never, what=f"journal {journal}"
        )

    def load_entries(self, journal: str, entries: Sequence[Entry]) -> int:
        """Append entries of another store as they are, where they go on; all in one commit."""
        check_name(journal, what="journal")
        for entry in entries:
            entry_bytes(entry.value)
        return self._written(
            lambda state: self._writer.loaded(state, journal, entries), _never, what=f"journal {journal}"
        )

    def upkeep(self) -> list[str]:
        """Tidy this machine's side: pack objects, remove what crashes left. The remote is not asked."""
        self._check_process()
        return self._upkeep.run(deadline_s=self._deadline_s())

    def checkup(self) -> list[Finding]:
        """What `claims doctor` says: git, the remote, this machine's own side. Nothing is pushed."""
        from sharedstate_adapters.git.checkup import examine

        self._check_process()
        return examine(
            self._home,
            self._chain,
            self._remote,
            host=self._host,
            deadline_s=self._deadline_s(),
            history_max=self.options.history_max,
        )

    # Room for a self-test

    def trial_url(self, url: str, name: str) -> str:
        """A ref of its own at the same remote: a trial would only make the history of the state longer."""
        del url
        return f"{SCHEME}:///{name}?remote={quote(self.address.url, safe='')}"

    def trials(self) -> list[str]:
        """The names of self-tests whose ref is there."""
        self._check_process()
        deadline_s = self._deadline_s()
        self._home.prepare(deadline_s=deadline_s)
        return self._remote.names(f"{REFS}/{TRIAL_PREFIX}", deadline_s=deadline_s)

    def forget_trial(self, name: str) -> None:
        """Remove the ref of a self-test at the remote. `InvalidInput` for any other name."""
        self._check_process()
        deadline_s = self._deadline_s()
        self._home.prepare(deadline_s=deadline_s)
        self._remote.remove(f"{REFS}/{check_trial(name)}", deadline_s=deadline_s)

    def close(self) -> None:
        """End the kept git and give descriptors back; a later call opens others."""
        self._objects.close()
        self._commits.clear()
        self._home.close()
        self._remote.forget()

    # Inside

    def _entries(self, state: State, journal: str, after: int, limit: int | None) -> list[Entry]:
        found: list[Entry] = []
        if limit != 0:
            for entry in self._reader.entries(state, journal, after=after):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def _read(self, look: Callable[[State], R]) -> R:
        self._check_process()
        within: State | None = getattr(self._deciding, "state", None)
        if within is not None:
            return look(within)
        deadline_s = self._deadline_s()
        self._home.prepare(deadline_s=deadline_s)
        return self._mended(lambda: look(self._chain.fresh(deadline_s=deadline_s)), deadline_s=deadline_s)

    def _written(
        self, attempt: Callable[[State], Draft[Outcome[R]]], same: Callable[[State, State], bool], *, what: str
    ) -> R:
        """Stage and settle until it stands. `same` says whether two states look alike to this attempt."""
        self._check_process()
        if getattr(self._deciding, "state", None) is not None:
            raise InvalidInput(f"{what}: a decision must not write to the store: it may run several times")
        deadline_s = self._deadline_s()
        self._home.prepare(deadline_s=deadline_s)
        for number in range(TRIES_MAX):
            outcome = self._mended(lambda: self._attempted(attempt, same, deadline_s), deadline_s=deadline_s)
            if outcome is not None:
                if outcome.error is not None:
                    raise outcome.error
                return outcome.result  # type: ignore[return-value]  # reason: without an error there is a result
            if self._host.monotonic_s() >= deadline_s:
                break
            if number:  # at once the first time: others pause after a push, and that is the turn to take
                self._host.sleep(_NAP_S * self._host.entropy(1)[0] / 256)  # no longer: it would be beaten more often
        raise StoreBusy(f"{what}: others were first each time", hint="try again; fewer writers get through faster")

    def _attempted(
        self, attempt: Callable[[State], Draft[Outcome[R]]], same: Callable[[State, State], bool], deadline_s: float
    ) -> Outcome[R] | None:
        staged = self._chain.stage(attempt, deadline_s=deadline_s)
        if staged.chain:
            return staged.result if self._settled(staged, deadline_s) else None
        fresh = self._chain.fresh(deadline_s=deadline_s)
        if fresh.commit == staged.base.commit or same(fresh, staged.base):
            return staged.result
        return None

    def _settled(self, staged: Staged[Outcome[R]], deadline_s: float) -> bool:
        return self._mended(lambda: self._chain.settle(staged, deadline_s=deadline_s), deadline_s=deadline_s)

    def _mended(self, act: Callable[[], R], *, deadline_s: float) -> R:
        """Do it; when our own copy of the objects turns out damaged, fetch all anew and do it once more."""
        generation = self._home.memo.load().generation
        try:
            return act()
        except Damaged as damage:
            self._chain.rebuild(generation, self._forget, deadline_s=deadline_s, why=str(damage))
        try:
            return act()
        except Damaged as damage:
            raise Corrupt(f"{self._remote.shown}: {damage}, there too", hint=_DAMAGE_HINT) from None

    def _forget(self) -> None:
        self._objects.close()
        self._commits.clear()

    @contextmanager
    def _decision(self, state: State) -> Generator[None]:
        self._deciding.state = state
        try:
            yield
        finally:
            self._deciding.state = None

    def _deadline_s(self) -> float:
        return self._host.monotonic_s() + self.options.deadline_ms / 1000

    def _check_process(self) -> None:
        if self._host.pid() != self._pid:
            raise ForkedStore("this store was opened by the parent process")


def _never(one: State, other: State) -> bool:
    return False


_DAMAGE_HINT: Final = "`git fsck` at the remote says what is missing; docs/git-store.md, Recovery"
