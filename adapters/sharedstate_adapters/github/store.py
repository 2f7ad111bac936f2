"""`GitHubStore`: the store port over the comments of GitHub issues, for machines that share nothing else.

    SHARED_STATE_URL=github://owner/repo

A record is a chain of transitions, each a comment; GitHub's order of comments decides which of two at once counts
(`chain`), and nothing is acknowledged before the list has settled (`commit`). Heartbeats are edits. The journal is this
machine's own. Where GitHub cannot be asked nothing is decided: claims fail closed. docs/github-store.md has the rules,
the cost in requests, and the limits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl

from sharedstate import logs
from sharedstate.clock import Instant, parse_duration_ms
from sharedstate.documents import check_name, check_record, entry_bytes
from sharedstate.errors import BadSettings, Corrupt, ForkedStore, InvalidInput, StoreBusy, StoreError, StoreUnavailable
from sharedstate.files.store import FileStore
from sharedstate.findings import Finding
from sharedstate.host import Host
from sharedstate.settings import Settings
from sharedstate.store import Decision, Document, Durability, Entry, Snapshot, Store, T, Unreadable, Versioned
from sharedstate.values import Value
from sharedstate_adapters.github.commit import Committer
from sharedstate_adapters.github.edge import Edge
from sharedstate_adapters.github.identity import Identity
from sharedstate_adapters.github.issue_log import IssueLog, Patience
from sharedstate_adapters.github.keys import Keys, check_repository
from sharedstate_adapters.github.opening import github_edge
from sharedstate_adapters.github.recall import Recall
from sharedstate_adapters.github.records import Records
from sharedstate_adapters.github.server_clock import ServerClock
from sharedstate_adapters.github.store_issue import StoreIssue
from sharedstate_adapters.github.trust import Rules, read_authors, read_keys

SETTLE_S: Final = 1.0
SETTLE_S_MAX: Final = 60.0
PATIENCE_S: Final = 60.0
READ_PATIENCE_S: Final = 10.0
TRIES_MAX: Final = 200
_BACKOFF_DOUBLINGS_MAX: Final = 4
_NOTES: Final = "notes"  # no record stands there: it only takes the events of a transition, all or none


class Options(Value):
    """How a store behaves. `settle_s`: see `commit`; `patience_s`: how long one operation may take, waits included."""

    settle_s: float = SETTLE_S
    patience_s: float = PATIENCE_S
    label: str = "sharedstate:store"
    pattern: str = "GH-{number}"


class GitHubStore:
    """Records as comments on the issues of `name`; the contract is that of `sharedstate.store.Store`.

    `local` keeps this machine's side: journal, memory of steps, budget, identity. Safe for threads: writers take turns,
    readers wait for a request at most; refuses to work in a forked child. Every operation asks GitHub; one that cannot
    raises `StoreUnavailable` (`StoreBusy` where waiting would help), and nothing is acknowledged. `fails_closed`: a
    claim that cannot be decided here is not decided by the local ledger alone.
    """

    fails_closed: Final = True

    def __init__(
        self, edge: Edge, *, name: str, rules: Rules, local: Store, identity: Identity, host: Host, options: Options
    ) -> None:
        self.name = check_repository(name)
        self._edge = edge
        self._host = host
        self._local = local
        self._options = options
        self._clock = ServerClock(host)
        self._log = IssueLog(edge, name=name, identity=identity, rules=rules, clock=self._clock, host=host)
        self._records = Records(
            self._log,
            keys=Keys(home=name, pattern=options.pattern),
            committer=Committer(self._log, key=rules.signing, host=host, settle_s=options.settle_s),
            issue=StoreIssue(self._log, local, label=options.label, settle_s=options.settle_s),
            recall=Recall(local, api=edge.base_url),
            signing=rules.signing,
            now=self._server_now,
            host=host,
        )
        self._guard = threading.RLock()
        self._pid = host.pid()

    @classmethod
    def from_url(cls, url: str, *, settings: Settings, host: Host) -> GitHubStore:
        """The store of `github://owner/repo`, with `?settle=2s` where lists of GitHub lag more than a second.

        `settings.dir` is the state root of this machine. Raises `BadSettings`.
        """
        scheme, _, rest = url.partition("://")
        name, _, query = rest.partition("?")
        if scheme != "github" or not settings.dir or "@" in name:
            raise BadSettings("SHARED_STATE_URL: expected github://owner/repo and no login, and a state root")
        root = os.path.join(settings.dir, "local")
        # The ledger's store holds what all that talk to GitHub share on this machine: the request budget above all.
        shared = FileStore(os.path.join(root, "ledger"), host=host, allow_network=settings.allow_network_fs)
        own = os.path.join(root, "github", check_repository(name.rstrip("/")).lower().replace("/", "--"))
        edge = github_edge(settings, shared, host)
        rules = Rules(
            authors=read_authors(settings.trusted_authors),
            keys=read_keys(settings.signing_key, settings.signing_keys_old),
            skew_ms=settings.clock_skew_ms,
        )
        return cls(
            edge,
            name=name.rstrip("/"),
            rules=rules,
            local=FileStore(own, host=host, allow_network=settings.allow_network_fs),
            identity=Identity(edge, shared),
            host=host,
            options=Options(
                settle_s=_settle_s(query),
                patience_s=max(PATIENCE_S, settings.lock_timeout_ms / 1000),
                label=f"{settings.label_prefix}store",
                pattern=settings.task_pattern,
            ),
        )

    # Reading

    def now(self) -> Instant:
        """GitHub's clock; asked for when no answer has told it yet. Raises `StoreUnavailable`."""
        return self._server_now()

    def get(self, collection: str, key: str) -> Versioned | None:
        """The current record. Raises `Corrupt`, `StoreUnavailable`. Inside a decision: as it was when that began."""
        key = check_record(collection, key)
        self._check_process()
        return self._records.get(collection, key, Patience(self._host, limit_s=READ_PATIENCE_S))

    def scan(self, collection: str, *, live_only: bool = False) -> Iterator[Versioned | Unreadable]:
        """Every record, from one list of all comments of the repository: a request for each hundred of them."""
        check_name(collection, what="collection")
        self._check_process()
        patience = Patience(self._host, limit_s=READ_PATIENCE_S)
        return iter(self._records.scan(collection, patience, live_only=live_only))

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
        """Run `decide` upon the step that counts and make its own step the next one; `durability` changes nothing.

        Raises `StoreBusy` when others keep being first or GitHub asks to wait for too long, `StoreUnavailable`,
        `NoIssue` for a task whose issue does not exist, `Corrupt` for a record that was damaged by hand.
        """
        key = check_record(collection, key)
        check_name(journal, what="journal")
        what = f"{collection}/{key}"
        with self._guard:
            self._check_process()
            if self._records.deciding:
                raise InvalidInput(f"{what}: a decision must not write to the store: it may run several times")
            patience = Patience(self._host, limit_s=self._options.patience_s)
            for number in range(TRIES_MAX):
                slot = self._records.slot(collection, key, patience)
                done = self._records.attempt(slot, decide, patience, derived=derived)
                if done is not None:
                    self._note(journal, done.decision.events, record=f"{what}@{done.revision}")
                    return done.decision.result
                patience.nap(self._backoff_s(number), why=f"{what}: others are first each time")
        raise StoreBusy(f"{what}: others were first {TRIES_MAX} times in a row")

    # The journal: this machine's own

    def append(self, journal: str, value: Document) -> int:
        """Append one entry to this machine's journal; returns its sequence."""
        entry_bytes(value)
        self._check_process()
        if self._records.deciding:
            raise InvalidInput(f"{journal}: a decision must not write to the store: it may run several times")
        return self._local.append(journal, {"event": value})

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Entries of this machine's journal: what was done from here."""
        for entry in self._local.read(journal, after=after, limit=limit):
            yield entry.replace(value=entry.value["event"], record=entry.value.get("of", ""))

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Wait for entries in this machine's journal."""
        return self._local.watch(journal, after=after, timeout_s=timeout_s)

    def upkeep(self) -> list[str]:
        """Tidy this machine's side. Leftover comments of a record go with its next transition."""
        return self._local.upkeep()

    def checkup(self) -> list[Finding]:
        """What `claims doctor` says about GitHub: one request, nothing is written."""
        from sharedstate_adapters.github.checkup import examine

        self._check_process()
        return examine(self._edge, name=self.name, host=self._host)

    def close(self) -> None:
        """Give back connection and descriptors; a later call opens others."""
        self._log.close()
        self._local.close()

    # Inside

    def _note(self, journal: str, events: Sequence[Document], *, record: str) -> None:
        """This machine's journal follows what stands on GitHub; where it cannot, that is a warning."""
        if not events:
            return
        noted = [{"event": event, "of": record} for event in events]
        try:
            self._local.transact(_NOTES, journal, lambda _: Decision(result=None, events=noted), journal=journal)
        except (StoreError, Corrupt) as error:
            logs.warn("%s stands, but not in this machine's journal: %s", record, error)

    def _server_now(self) -> Instant:
        if not self._clock.sure:
            patience = Patience(self._host, limit_s=READ_PATIENCE_S)
            self._log.answered(lambda: self._edge.call("GET", "/rate_limit"), patience, what="the time")
        if not self._clock.known:
            raise StoreUnavailable("GitHub does not answer, so nobody knows what time it is there")
        self._clock.sure = True  # asked twice: on this line it is not known better
        return self._clock.now()

    def _backoff_s(self, number: int) -> float:
        """Half to one and a half settle times, doubled with each try: who was beaten together does not meet again."""
        spread = 0.5 + self._host.entropy(1)[0] / 256
        return self._options.settle_s * spread * float(1 << min(number, _BACKOFF_DOUBLINGS_MAX)) / 2

    def _check_process(self) -> None:
        if self._host.pid() != self._pid:
            raise ForkedStore("this store was opened by the parent process")


def _settle_s(query: str) -> float:
    """The only option of the URL: how long to wait between two looks."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    text = given.pop("settle", None)
    if given:
        raise BadSettings(f"SHARED_STATE_URL: unknown option {min(given)[:60]!r}; known: settle")
    if text is None:
        return SETTLE_S
    try:
        settle_s = parse_duration_ms(text) / 1000
    except ValueError as error:
        raise BadSettings(f"SHARED_STATE_URL: settle: {error}") from None
    if settle_s > SETTLE_S_MAX:
        raise BadSettings(f"SHARED_STATE_URL: settle is at most {SETTLE_S_MAX:.0f}s")
    return settle_s
