"""`RedisStore`: the store port over one Redis server.

    SHARED_STATE_URL=redis://HOST:6379/0?prefix=NAME

A transition is a look, and one script that compares what was looked at and changes record, beat, index and journal
together; the look is left out where the record is remembered (`clock`). Time is the server's. docs/redis-store.md has
the guarantees, and what each mode of the server can lose.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sharedstate.clock import Instant
from sharedstate.documents import check_name, check_record, entry_bytes
from sharedstate.errors import BadSettings, ForkedStore, InvalidInput, OutcomeUnknown, StoreBusy, StoreUnavailable
from sharedstate.guessing import Attempt, Memory, Name, Sight, Step
from sharedstate.host import Host
from sharedstate.store import (
    Decision,
    Document,
    Durability,
    Entry,
    Snapshot,
    T,
    Unreadable,
    Versioned,
    check_continues,
)
from sharedstate_adapters.redis.address import Address, read_address
from sharedstate_adapters.redis.change import Change, Look, Place, Seen
from sharedstate_adapters.redis.clock import GUESS_MS_MAX, ServerClock
from sharedstate_adapters.redis.reading import Reader
from sharedstate_adapters.redis.records import Keys, versioned
from sharedstate_adapters.redis.scripts import APPEND, DONE, LATE, LOAD, LOOK, WRITE, Script, is_done

if TYPE_CHECKING:
    from sharedstate.findings import Finding
    from sharedstate.settings import Settings
    from sharedstate_adapters.redis.wire import Patience, Wire

PATIENCE_S: Final = 10.0
OP_MARGIN_MS: Final = 60_000  # how much longer than any request may be under way its mark stays
TRIES_MAX: Final = 10_000
_USED_UP: Final = b"-"  # no change: a nonce that nobody may use any more
_GUESSED_BYTES_MAX: Final = 16_384
_WATCH_S: Final = 1.0
_JITTER_S: Final = 0.002
_PATIENT_TRIES: Final = 8
Told = dict[Name, Seen]


class RedisStore:
    """Records in Redis under `address.prefix`; the contract is that of `sharedstate.store.Store` and `Portable`.

    `patience_s` bounds every operation, waits and new connections included. `relaxed` leaves out the waiting for
    replicas. Safe for threads; refuses to work in a forked child. Every call may raise `StoreUnavailable` (nobody
    answers), `BadSettings` (user or password), writes `UnsafeStore` (the server may evict) and `DurabilityUnknown`.
    """

    optimistic: Final = True

    def __init__(
        self,
        wire: Wire,
        *,
        address: Address,
        host: Host,
        patience_s: float = PATIENCE_S,
        relaxed: bool = False,
    ) -> None:
        self.address = address
        self.keys = Keys(address.prefix)
        self._wire = wire
        self._host = host
        self._patience_s = patience_s
        self._op_ms = int(patience_s * 1000) + OP_MARGIN_MS
        self._replicas = 0 if relaxed else address.replicas
        self._clock = ServerClock(host)
        self._memory: Memory[Seen] = Memory((None, None))
        self._reader = Reader(wire, self.keys, self._patience)
        self._deciding: dict[int, Sight[Seen]] = {}
        self._pid = host.pid()

    @classmethod
    def from_url(cls, url: str, *, settings: Settings, host: Host) -> RedisStore:
        """The store of a URL (docs/redis-store.md); nobody is asked yet. Raises `BadSettings`."""
        address = read_address(url)
        try:
            from sharedstate_adapters.redis.line import dialer
            from sharedstate_adapters.redis.wire import ANSWER_SHARE, Wire
        except ModuleNotFoundError as error:
            raise BadSettings(
                f"SHARED_STATE_URL {address.shown}: the client library is not installed ({error.name})",
                hint="pip install 'sharedstate[redis]'",
            ) from None
        patience_s = settings.lock_timeout_ms / 1000
        dial = dialer(address, timeout_s=patience_s / ANSWER_SHARE, host=host)
        wire = Wire(dial, host=host, where=address.shown)
        return cls(wire, address=address, host=host, patience_s=patience_s, relaxed=settings.durability == "relaxed")

    # Reading

    def now(self) -> Instant:
        """The server's time."""
        self._check_process()
        return self._now(self._patience())

    def get(self, collection: str, key: str) -> Versioned | None:
        """The current record. Raises `Corrupt`. What a decision reads is compared when it is carried out."""
        place = Place(self.keys, collection, check_record(collection, key))
        self._check_process()
        sight = self._deciding.get(get_ident())
        raw, beat = self._ask(place, self._patience())[0] if sight is None else sight.look((collection, place.key))
        return None if raw is None else versioned(place.key, raw, beat, what=place.what)

    def scan(self, collection: str, *, live_only: bool = False) -> Iterator[Versioned | Unreadable]:
        """Every record, page by page; each with the beat of the same moment."""
        check_name(collection, what="collection")
        self._check_process()
        return self._reader.scan(collection, live_only=live_only)

    def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        """Entries above `after`, in order, page by page."""
        check_name(journal, what="journal")
        self._check_process()
        return self._reader.entries(journal, max(0, after), limit)

    def collections(self) -> list[str]:
        """The collections that hold a record, sorted."""
        self._check_process()
        return self._reader.named("collection", self.keys.records)

    def journals(self) -> list[str]:
        """The journals that hold an entry, sorted."""
        self._check_process()
        return self._reader.named("journal", self.keys.journal)

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Wait in the server until the stream of the journal goes on after `after`; nothing is missed in between.

        The wait is asked anew each second, so that a connection that died unnoticed costs seconds, not the time-out.
        """
        check_name(journal, what="journal")
        self._check_process()
        stream = self.keys.journal(journal)
        what = f"journal {journal}"
        start = f"{max(0, after)}-0"
        end_s = self._host.monotonic_s() + timeout_s
        if self._wire.ask(("XRANGE", stream, f"({start}", "+", "COUNT", 1), self._patience(), what=what):
            return True
        while (left_s := end_s - self._host.monotonic_s()) > 0:
            wait_s = max(0.001, min(left_s, _WATCH_S))
            words = ("XREAD", "COUNT", 1, "BLOCK", int(wait_s * 1000), "STREAMS", stream, start)
            if self._wire.ask(words, self._patience(), what=what, waits_s=wait_s):
                return True
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
        """Look, decide here, and change all at once if nothing happened in between; else decide again.

        Raises `StoreBusy` when others are first until the end of the operation's time, `Corrupt`, and what every write
        may raise. A lost answer is asked for: what was carried out is told as carried out, and never done twice.
        """
        place = Place(self.keys, collection, check_record(collection, key))
        check_name(journal, what="journal")
        self._begin_write(place.what)
        patience, nonce = self._patience(), self._nonce()
        attempt = Attempt(
            (collection, place.key),
            decide,
            see=lambda seen, now_ms: Look(place, seen, now_ms, derived=derived),
            work=lambda look, decision: Change(place, look, decision, nonce=nonce, journal=journal),
            ask=lambda name: self._ask(Place(self.keys, *name), patience)[0],
            memory=self._memory,
            deciding=self._deciding,
        )
        now_ms = self._clock.reckoned_ms()
        tried = None if now_ms is None else attempt.guess(now_ms)
        if tried is None:
            tried = attempt.upon(*self._ask(place, patience), {})
        for number in range(TRIES_MAX):
            if tried.change.is_empty:
                return tried.decision.result
            lost_count = self._wire.lost_count
            answer = self._write(place, tried, nonce, patience, journal=journal, durability=durability)
            if is_done(answer):
                return tried.decision.result
            if self._wire.lost_count != lost_count:
                if not self._used_up(nonce, patience, what=place.what):  # it had arrived: now wait for its replicas
                    self._write(place, tried, nonce, patience, journal=journal, durability=durability)
                    return tried.decision.result
                nonce = self._nonce()
            tried = attempt.upon(*self._told(place, tried, answer))
            if patience.left_s <= 0:
                break
            self._step_aside(number, patience)
        raise StoreBusy(f"{place.what}: others were first each time, for {patience.limit_s:g} s", hint=_BUSY)

    def append(self, journal: str, value: Document) -> int:
        """Append one entry, once also after a lost answer; returns its sequence."""
        check_name(journal, what="journal")
        raw = entry_bytes(value)
        return self._append(APPEND, journal, (journal, raw), lambda _: None)

    def load_entries(self, journal: str, entries: Sequence[Entry]) -> int:
        """Append entries of another store as they are, where they go on; see `sharedstate.store.Portable`."""
        check_name(journal, what="journal")
        last = entries[0].sequence - 1 if entries else 0
        check_continues(journal, last, entries)
        words: list[Any] = [journal, last]
        for entry in entries:
            words += (entry_bytes(entry.value), entry.record, entry.at_ms)
        return self._append(LOAD, journal, words, lambda ends: check_continues(journal, ends, entries))

    def upkeep(self) -> list[str]:
        """Nothing is ever left half done: a transition is one script, and marks and beats expire by themselves."""
        self._check_process()
        return []

    def checkup(self) -> list[Finding]:
        """What is to be said about the server, for `claims doctor`. Never raises; writes nothing."""
        from sharedstate_adapters.redis.checkup import examine

        return examine(self._wire, address=self.address, keys=self.keys, host=self._host, patience_s=self._patience_s)

    # Room for a self-test

    def trial_url(self, url: str, name: str) -> str:
        """The same store: a trial keeps to a collection and a journal of its name."""
        del name
        return url

    def trials(self) -> list[str]:
        """The names of self-tests of which something is there."""
        from sharedstate_adapters.redis.trials import names

        self._check_process()
        return names(self._wire, self.keys, self._patience())

    def forget_trial(self, name: str) -> None:
        """Remove all that a self-test has written. `InvalidInput` for any other name."""
        from sharedstate_adapters.redis.trials import forget

        self._begin_write(name)
        self._memory.clear()
        forget(self._wire, self.keys, name, self._patience())

    def close(self) -> None:
        """Hang up; the next call connects again."""
        self._memory.clear()
        if self._host.pid() == self._pid:
            self._wire.close()

    # Inside

    def _check_process(self) -> None:
        if self._host.pid() != self._pid:
            raise ForkedStore(f"the store at {self.address.shown} was opened by process {self._pid}")

    def _begin_write(self, what: str) -> None:
        self._check_process()
        if get_ident() in self._deciding:
            raise InvalidInput(f"{what}: a decision must not write to the store: it may run several times")

    def _patience(self) -> Patience:
        from sharedstate_adapters.redis.wire import Patience

        return Patience(self._host, limit_s=self._patience_s)

    def _nonce(self) -> str:
        return self._host.entropy(16).hex()

    def _now(self, patience: Patience) -> Instant:
        seconds, microseconds = self._wire.ask(("TIME",), patience, what="the server's time")
        return Instant(at_ms=self._clock.heard(seconds, microseconds), boot_ms=0, boot_id="")

    def _told(
        self, place: Place, tried: Step[Any, Look, Change, Seen], answer: Sequence[Any]
    ) -> tuple[Seen, int, Told]:
        """What a script told that found something else: the record, the time, the others that were looked at."""
        now_ms = self._clock.heard(answer[3], answer[4])
        seen: Seen = (answer[1], answer[2])
        self._keep((place.collection, place.key), seen, now_ms)
        told: Told = {}
        for number, name in enumerate(tried.others):
            told[name] = (answer[5 + 2 * number], answer[6 + 2 * number])
            self._keep(name, told[name], now_ms)
        return seen, now_ms, told

    def _ask(self, place: Place, patience: Patience) -> tuple[Seen, int]:
        """What there is of a record, and the time; it is remembered."""
        keys = (place.records, place.beat)
        raw, beat, seconds, microseconds = self._wire.run(LOOK, keys, (place.key,), patience, what=place.what)
        now_ms = self._clock.heard(seconds, microseconds)
        self._keep((place.collection, place.key), (raw, beat), now_ms)
        return (raw, beat), now_ms

    def _keep(self, name: Name, seen: Seen, at_ms: int) -> None:
        """Remember what there is; what is large is not guessed: it would be sent in vain."""
        large = seen[0] is not None and len(seen[0]) > _GUESSED_BYTES_MAX
        self._memory.keep(name, None if large else seen, at_ms)

    def _write(
        self,
        place: Place,
        tried: Step[Any, Look, Change, Seen],
        nonce: str,
        patience: Patience,
        *,
        journal: str,
        durability: Durability,
    ) -> Any:
        look, change = tried.look, tried.change
        if look.damage:
            self._keep_damaged(place, look, nonce, patience)
        keys = (
            *(place.records, place.beat, place.live),
            *(self.keys.journal(journal), self.keys.op(nonce), self.keys.names),
            *[name for other in tried.others for name in self.keys.of_record(*other)],
        )
        # The look is older than this moment, so in the server's time this is no later than the end of our patience.
        left_ms = int(patience.left_s * 1000)
        not_after_ms = look.now.at_ms + (min(left_ms, GUESS_MS_MAX) if tried.reckoned else left_ms)
        words = change.words(place, tried.others, op_ms=self._op_ms, not_after_ms=not_after_ms)
        replicas = self._replicas if durability == "full" else 0
        answer = self._wire.run(WRITE, keys, words, patience, what=place.what, replicas=replicas)
        if is_done(answer):
            self._clock.heard(*divmod(answer, 1_000_000))
            self._keep((place.collection, place.key), (change.raw_after, change.beat_after), look.now.at_ms)
        return answer

    def _used_up(self, nonce: str, patience: Patience, *, what: str) -> bool:
        """Whether no request with this nonce can change anything any more; False when one has.

        A first one may still be under way, and find everything as it was again.
        """
        op = self.keys.op(nonce)
        try:
            self._wire.ask(("SET", op, _USED_UP, "NX", "PX", self._op_ms), patience, what=what)
            found: bytes | None = self._wire.ask(("GET", op), patience, what=what)
        except StoreUnavailable as error:
            raise OutcomeUnknown(f"{error}; whether it was carried out is not known") from None
        return found == _USED_UP

    def _append(self, script: Script, journal: str, words: Sequence[Any], check_end: Callable[[int], None]) -> int:
        what = f"journal {journal}"
        self._begin_write(what)
        patience = self._patience()
        if self._clock.reckoned_ms() is None:
            self._now(patience)
        nonce = self._nonce()
        keys = (self.keys.journal(journal), self.keys.op(nonce), self.keys.names)
        for _ in range(TRIES_MAX):
            head = (self._op_ms, (self._clock.reckoned_ms() or 0) + int(patience.left_s * 1000))
            answer = self._wire.run(script, keys, (*head, *words), patience, what=what, replicas=self._replicas)
            if answer[0] == DONE:
                return int(answer[1])
            if answer[0] != LATE:
                check_end(int(answer[1]))
            elif patience.left_s > 0:
                self._clock.heard(answer[1], answer[2])  # the server's clock was set
                continue
            break
        raise StoreBusy(f"{what}: the server got the request too late", hint=_BUSY)

    def _keep_damaged(self, place: Place, look: Look, nonce: str, patience: Patience) -> None:
        """Bytes that nobody can read are kept aside before they are replaced."""
        words = ("HSETNX", self.keys.kept(place.collection), f"{place.key} {nonce}", look.raw)
        self._wire.ask(words, patience, what=place.what)

    def _step_aside(self, number: int, patience: Patience) -> None:
        """Whoever was too late asks again at once, with what the server told; only after many times it waits a little.

        No longer the longer it lasts: who has waited long must not wait longer than those who have just come.
        """
        if number >= _PATIENT_TRIES:
            share = int.from_bytes(self._host.entropy(2), "big") / 65536
            self._host.sleep(min(share * _JITTER_S, patience.left_s))


_BUSY: Final = "try again; many writers want the same record, or the server is slow"
