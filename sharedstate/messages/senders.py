"""The turns of each sender, over the machine's own store: one relaxed write for each message that is begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sharedstate.clock import age_between
from sharedstate.errors import Corrupt, NewerFormat
from sharedstate.host import Host
from sharedstate.ids import Process
from sharedstate.messages import order
from sharedstate.messages.order import Queue, Turn, dump_queue, load_queue
from sharedstate.messages.policy import meet
from sharedstate.messages.spool import JOURNAL, Spool
from sharedstate.store import KEEP, Decision, Durability, Snapshot, Unreadable
from sharedstate.values import Value

SENDERS: Final = "senders"
# Where the death of a process cannot be told: after that long a turn without a message is nobody's.
_ABANDONED_MS: Final = 3_600_000
# How many turns one entry looks at; with more under way the others wait for the next one.
_JUDGED_MAX: Final = 8


class Begun(Value):
    """A message may be written: its sequence, whether earlier ones to its recipients wait, the sender's queue now."""

    sequence: int
    blocked: bool
    queue: Queue


class Senders:
    """Sequences and turns. Methods raise `StoreError`; a damaged record of a sender blocks nobody.

    Safe for threads. `holder` names this object among those of its process.
    """

    def __init__(self, spool: Spool, *, host: Host, holder: str) -> None:
        self._spool = spool
        self._store = spool.store
        self._host = host
        self._holder = holder
        self._busy: set[str] = set()
        self._known: dict[str, Queue] = {}
        self._process: Process | None = None
        self._process_known = False

    def begin(self, sender: str, *, message: str, recipients: tuple[str, ...], count: int = 1) -> Begun:
        """Enter a message before it is spooled. It counts as busy until `end`. `count=0` takes no sequence."""
        self._busy.add(message)
        try:
            try:
                return self._begin(sender, message, recipients, count)
            except NewerFormat:
                raise
            except Corrupt:
                if self._known.pop(sender, None) is None:
                    raise
                return self._begin(sender, message, recipients, count)  # damaged since: now it is seen, and rescued
        except BaseException:
            self._busy.discard(message)
            raise

    def end(self, message: str) -> None:
        """The message was spooled and tried, or given up: its turn may be forgotten once it is not in the spool."""
        self._busy.discard(message)

    def queue(self, sender: str) -> Queue | None:
        """What a sender has under way; None when nothing is known, or it cannot be read. Reads only."""
        try:
            found = self._store.get(SENDERS, sender)
            return None if found is None else load_queue(sender, found.value)
        except NewerFormat:
            raise
        except Corrupt:
            return None

    def all(self) -> dict[str, Queue]:
        """The queue of every sender that can be read."""
        queues: dict[str, Queue] = {}
        for found in self._store.scan(SENDERS):
            if isinstance(found, Unreadable):
                continue
            try:
                queues[found.key] = load_queue(found.key, found.value)
            except Corrupt:
                continue
        return queues

    def uncover(self, sender: str, *, seen: Queue, waiting: set[str]) -> None:
        """After a look at the whole spool: recipients for whom nothing waits are covered no more."""
        if order.uncover(seen, seen_generation=seen.generation, waiting=waiting) == seen:
            return

        def decide(snapshot: Snapshot) -> Decision[None]:
            if snapshot.value is None:
                return Decision(result=None)
            now = load_queue(sender, snapshot.value)
            free = order.uncover(now, seen_generation=seen.generation, waiting=waiting)
            return Decision(result=None, write=KEEP if free == now else dump_queue(free))

        self._store.transact(SENDERS, sender, decide, journal=JOURNAL, durability="relaxed")

    def process(self) -> Process | None:
        """This very process, asked once."""
        if not self._process_known:
            self._process = self._host.process(self._host.pid())
            self._process_known = True
        return self._process

    # Inside

    def _begin(self, sender: str, message: str, recipients: tuple[str, ...], count: int) -> Begun:
        known, durability, floor = self._look(sender)
        boot_id = self._host.boot_id()
        fresh = known is None or known.boot_id != boot_id
        backlog = self._backlog(sender) if fresh else set[str]()
        gone, spooled = self._judge(() if known is None or fresh else known.turns[:_JUDGED_MAX])
        turn = Turn(
            id=message, recipients=recipients, holder=self._holder, process=self.process(), since=self._store.now()
        )

        def decide(snapshot: Snapshot) -> Decision[Queue]:
            entered = order.enter(
                None if snapshot.value is None else load_queue(sender, snapshot.value),
                turn,
                count=count,
                gone=gone,
                spooled=spooled,
                boot_id=boot_id,
                backlog=backlog,
                floor=floor,
            )
            return Decision(result=entered, write=dump_queue(entered))

        queue = self._write(sender, decide, durability=durability, rescue=floor > 0)
        self._known[sender] = queue
        return Begun(sequence=queue.sequence, blocked=self._is_blocked(queue, turn, spooled=spooled), queue=queue)

    def _look(self, sender: str) -> tuple[Queue | None, Durability, int]:
        """What is known of a sender, how durable the next entry must be, and a floor where its sequence is lost."""
        known = self._known.get(sender)
        if known is None:
            try:
                found = self._store.get(SENDERS, sender)
                known = None if found is None else load_queue(sender, found.value)
            except NewerFormat:
                raise
            except Corrupt:
                # No count reaches the Unix time in milliseconds: what is sent from now on comes after all before.
                return None, "full", self._store.now().at_ms
        boot_id = self._host.boot_id()
        first = known is None or known.boot_id != boot_id or not boot_id
        return known, "full" if first else "relaxed", 0

    def _judge(self, turns: tuple[Turn, ...]) -> tuple[set[str], set[str]]:
        """Which turns are over (their message is not in the spool, and nobody will put it there), which are spooled."""
        gone: set[str] = set()
        spooled: set[str] = set()
        for turn in turns:
            over = self._is_over(turn)  # before the look: who is dead by then writes nothing after it
            if self._spool.holds(turn.id):
                spooled.add(turn.id)
            elif over:
                gone.add(turn.id)
        return gone, spooled

    def _is_over(self, turn: Turn) -> bool:
        if turn.holder == self._holder:
            return turn.id not in self._busy
        if turn.process is not None and self._host.is_dead(turn.process):
            return True
        age = age_between(since=turn.since, now=self._store.now(), skew_ms=0)
        return age.future or age.ms > _ABANDONED_MS

    def _is_blocked(self, queue: Queue, own: Turn, *, spooled: set[str]) -> bool:
        if meet(own.recipients, tuple(queue.covered)):
            return True
        others = [turn for turn in queue.turns if turn.id != own.id and meet(own.recipients, turn.recipients)]
        return any(turn.id in spooled or self._spool.holds(turn.id) for turn in others)

    def _backlog(self, sender: str) -> set[str]:
        """Recipients of everything of this sender in the spool: one look at all of it, once for each boot."""
        return {
            name
            for parcel in self._spool.parcels()
            if not isinstance(parcel, Unreadable) and parcel.envelope.sender == sender
            for name in parcel.envelope.recipients
        }

    def _write(
        self, sender: str, decide: Callable[[Snapshot], Decision[Queue]], *, durability: Durability, rescue: bool
    ) -> Queue:
        def rescued(snapshot: Snapshot) -> Decision[Queue]:
            try:
                return decide(snapshot)
            except NewerFormat:
                raise
            except Corrupt:  # sound JSON, but not a queue
                return decide(Snapshot(value=None, revision=0, beat=None, now=snapshot.now))

        return self._store.transact(
            SENDERS, sender, rescued if rescue else decide, journal=JOURNAL, durability=durability, derived=rescue
        )
