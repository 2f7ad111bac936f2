"""Going through the spool: each sender's messages in order, round robin over the senders, bounded by count and time.

What waits blocks its recipients for the later messages of the same sender, and nobody else. Many flushers may run at
once: each message is leased by one, and a message leased by another blocks like one that waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from sharedstate.clock import Instant, age_between
from sharedstate.host import Host
from sharedstate.messages.delivering import Courier, Outcome, TransportOf, Tried
from sharedstate.messages.model import EVERYBODY, FlushReport
from sharedstate.messages.order import Queue
from sharedstate.messages.policy import Rules, Usage, meet, weigh
from sharedstate.messages.records import Parcel
from sharedstate.messages.senders import Senders
from sharedstate.messages.spool import Head, Spool
from sharedstate.store import Unreadable

TIMEOUT_S: Final = 10.0
DAMAGED_KEPT_MAX: Final = 100


class Walk:
    """One way through messages of the spool, and what it met."""

    def __init__(
        self,
        courier: Courier,
        host: Host,
        transport_of: TransportOf,
        *,
        count_max: int,
        time_max_s: float,
        untried_only: bool = False,
    ) -> None:
        self._courier = courier
        self._host = host
        self._transport_of = transport_of
        self._count_max = count_max
        self._untried_only = untried_only
        self._deadline_s = host.monotonic_s() + time_max_s
        self.tried: dict[str, Tried] = {}
        self.stopped = ""
        self._deliveries = 0

    def go(self, heads: Iterable[Head]) -> None:
        """Try every message whose turn it is. The heads of a sender must be all that it has in the spool."""
        queues: dict[str, list[Head]] = {}
        for head in heads:
            queues.setdefault(head.sender, []).append(head)
        lines = deque(
            (deque(sorted(line, key=lambda head: (head.sequence, head.id))), set[str]()) for line in queues.values()
        )
        if lines:  # flushers that start together do not follow each other from message to message
            lines.rotate(int.from_bytes(self._host.entropy(2), "big") % len(lines))
        while lines and not self.stopped:
            line, blocked = lines.popleft()
            if self._next(line, blocked):
                lines.append((line, blocked))

    def outcomes(self, outcome: Outcome) -> list[str]:
        """The messages that were met with this outcome."""
        return [key for key, tried in self.tried.items() if tried.outcome == outcome]

    def _next(self, line: deque[Head], blocked: set[str]) -> bool:
        """Try the next message of a sender that nothing earlier blocks; False when there is none left."""
        while line:
            head = line.popleft()
            if EVERYBODY in blocked:
                return False
            if meet(head.recipients, blocked):
                blocked.update(head.recipients)
                continue
            left_s = self._deadline_s - self._host.monotonic_s()
            if left_s <= 0 or self._deliveries >= self._count_max:
                self.stopped = "time" if left_s <= 0 else "count"
                return False
            tried = self._courier.attempt(
                head.id, self._transport_of, timeout_s=min(TIMEOUT_S, left_s), untried_only=self._untried_only
            )
            self.tried[head.id] = tried
            self._deliveries += tried.answer is not None
            if tried.outcome in ("failed", "waiting"):
                blocked.update(head.recipients)
            return True
        return False


class Flusher:
    """Flushes the whole spool. Raises `StoreError`; what was delivered by then is delivered."""

    def __init__(self, spool: Spool, senders: Senders, courier: Courier, *, host: Host, rules: Rules) -> None:
        self._spool = spool
        self._senders = senders
        self._courier = courier
        self._host = host
        self._rules = rules

    def flush(
        self, transport_of: TransportOf, *, count_max: int, time_max_s: float, sender: str | None = None
    ) -> FlushReport:
        """See `Outbox.flush`."""
        ledger = self._spool.ledger()
        # Before the look at the spool: a message begun after it may stand there without an earlier one being seen.
        queues = self._senders.all()
        heads, damaged = self._look()
        self._spool.recount(Usage(messages=len(heads), bytes=sum(head.size for head in heads)), seen=ledger)
        wanted = [head for head in heads if sender in (None, head.sender) and _is_old_enough(head, queues)]
        walk = Walk(self._courier, self._host, transport_of, count_max=count_max, time_max_s=time_max_s)
        walk.go(wanted)
        self._tidy(heads, walk, queues)
        return self._report(
            heads if sender is None else [head for head in heads if head.sender == sender], walk, damaged
        )

    def _look(self) -> tuple[list[Head], list[Unreadable]]:
        heads: list[Head] = []
        damaged: list[Unreadable] = []
        now = self._spool.store.now()
        for found in self._spool.parcels():
            if isinstance(found, Unreadable):
                damaged.append(found)
            else:
                heads.append(head_of(found, now=now, skew_ms=self._rules.skew_ms))
        for one in damaged[:DAMAGED_KEPT_MAX]:
            self._spool.keep_bytes(one)
        return heads, damaged

    def _left(self, heads: list[Head], walk: Walk) -> list[Head]:
        over = {key for key, tried in walk.tried.items() if tried.outcome in ("sent", "dead", "gone")}
        return [head for head in heads if head.id not in over]

    def _tidy(self, heads: list[Head], walk: Walk, queues: dict[str, Queue]) -> None:
        settled = {*walk.outcomes("sent"), *walk.outcomes("dead")}
        if settled:
            freed = sum(head.size for head in heads if head.id in settled)
            self._spool.count(messages=-len(settled), bytes_=-freed)
        left = self._left(heads, walk)
        waiting: dict[str, set[str]] = {}
        for head in left:
            waiting.setdefault(head.sender, set()).update(head.recipients)
        for sender, queue in queues.items():
            if queue.covered:
                self._senders.uncover(sender, seen=queue, waiting=waiting.get(sender, set()))

    def _report(self, heads: list[Head], walk: Walk, damaged: list[Unreadable]) -> FlushReport:
        sent, failed, dead = (walk.outcomes(outcome) for outcome in _TOLD)
        gone = len(walk.outcomes("gone")) + len(walk.outcomes("damaged"))
        names = [one.name for one in damaged] + walk.outcomes("damaged")
        ages = [head.parcel_age_ms for head in self._left(heads, walk)]
        return FlushReport(
            total=len(heads) - gone,
            sent=len(sent),
            failed=len(failed),
            dead=len(dead),
            waiting=len(heads) - gone - len(sent) - len(failed) - len(dead),
            damaged=tuple(names),
            stopped=walk.stopped,
            oldest_age_ms=max(ages, default=None),
        )


_TOLD: Final[tuple[Outcome, Outcome, Outcome]] = ("sent", "failed", "dead")


def head_of(parcel: Parcel, *, now: Instant, skew_ms: int) -> Head:
    """What a walk has to know of a message."""
    envelope = parcel.envelope
    return Head(
        id=envelope.id,
        sender=envelope.sender,
        sequence=envelope.sequence,
        recipients=envelope.recipients,
        size=weigh(envelope),
        parcel_age_ms=age_between(since=parcel.accepted, now=now, skew_ms=skew_ms).ms,
    )


def _is_old_enough(head: Head, queues: dict[str, Queue]) -> bool:
    queue = queues.get(head.sender)
    return queue is None or head.sequence <= queue.sequence
