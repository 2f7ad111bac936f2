"""Going through the spool: each sender's messages in order, round robin over the senders, bounded by count and time.

What waits blocks its recipients for the later messages of the same sender, and nobody else. Many flushers may run at
once: each message is leased by one, and a message leased by another blocks like one that waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable
from typing import Final

from sharedstate.clock import age_between
from sharedstate.host import Host
from sharedstate.messages.delivering import Courier, Outcome, TransportOf, Tried
from sharedstate.messages.model import EVERYBODY, FlushReport
from sharedstate.messages.policy import Head, Usage, follows, head_of, meet
from sharedstate.messages.spool import Spool
from sharedstate.messages.turns import Turns
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

    def go(self, heads: Iterable[Head], *, among: Container[str]) -> None:
        """Try every message whose turn it is and whose id is `among` these; the others only block.

        The heads of a sender must be all that it had in the spool when the last of `among` came into it.
        """
        queues: dict[str, list[Head]] = {}
        for head in heads:
            queues.setdefault(head.sender, []).append(head)
        lines = deque((deque(sorted(queue, key=follows)), set[str]()) for queue in queues.values())
        if len(lines) > 1:  # flushers that start together do not follow each other from message to message
            lines.rotate(int.from_bytes(self._host.entropy(2), "big") % len(lines))
        while lines and not self.stopped:
            line, blocked = lines.popleft()
            if self._next(line, blocked, among):
                lines.append((line, blocked))

    def outcomes(self, outcome: Outcome) -> list[str]:
        """The messages that were met with this outcome."""
        return [key for key, tried in self.tried.items() if tried.outcome == outcome]

    def _next(self, line: deque[Head], blocked: set[str], among: Container[str]) -> bool:
        """Try the next message of a sender that nothing earlier blocks; False when there is none left."""
        while line:
            head = line.popleft()
            if EVERYBODY in blocked:
                return False
            if head.id not in among or meet(head.recipients, blocked):
                blocked.update(head.recipients)
                continue
            left_s = self._deadline_s - self._host.monotonic_s()
            if left_s <= 0 or self._deliveries >= self._count_max:
                self.stopped = "time" if left_s <= 0 else "count"
                return False
            tried = self._courier.attempt(
                head, self._transport_of, timeout_s=min(TIMEOUT_S, left_s), untried_only=self._untried_only
            )
            self.tried[head.id] = tried
            self._deliveries += tried.answer is not None
            if tried.outcome in ("failed", "waiting"):
                blocked.update(head.recipients)
            return True
        return False


class Flusher:
    """Flushes the whole spool. Raises `StoreError`; what was delivered by then is delivered."""

    def __init__(self, spool: Spool, turns: Turns, courier: Courier, *, host: Host) -> None:
        self._spool = spool
        self._turns = turns
        self._courier = courier
        self._host = host

    def flush(
        self, transport_of: TransportOf, *, count_max: int, time_max_s: float, sender: str | None = None
    ) -> FlushReport:
        """See `Outbox.flush`."""
        ledger = self._spool.ledger()
        before, damaged = self._look()
        among = {head.id for head in before if sender in (None, head.sender)}
        heads = self._spool.still(before, self._look()[0]) if before else []  # a look is no moment: see `Turns.line`
        self._spool.recount(Usage(messages=len(heads), bytes=sum(head.size for head in heads)), seen=ledger)
        for one in damaged[:DAMAGED_KEPT_MAX]:
            self._spool.keep_bytes(one)
        walk = Walk(self._courier, self._host, transport_of, count_max=count_max, time_max_s=time_max_s)
        walk.go(heads if sender is None else [head for head in heads if head.sender == sender], among=among)
        count_off(self._spool, heads, walk)
        self._turns.tidy()
        return self._report([head for head in heads if sender in (None, head.sender)], walk, damaged)

    def _look(self) -> tuple[list[Head], list[Unreadable]]:
        heads: list[Head] = []
        damaged: list[Unreadable] = []
        for found in self._spool.parcels():
            if isinstance(found, Unreadable):
                damaged.append(found)
            else:
                heads.append(head_of(found))
        return heads, damaged

    def _report(self, heads: list[Head], walk: Walk, damaged: list[Unreadable]) -> FlushReport:
        sent, failed, dead = (len(walk.outcomes(outcome)) for outcome in _TOLD)
        over = {key for outcome in _OVER for key in walk.outcomes(outcome)}
        total = len(heads) - len(walk.outcomes("gone")) - len(walk.outcomes("damaged"))
        now, skew_ms = self._spool.store.now(), self._courier.rules.skew_ms
        ages = [age_between(since=head.accepted, now=now, skew_ms=skew_ms).ms for head in heads if head.id not in over]
        return FlushReport(
            total=total,
            sent=sent,
            failed=failed,
            dead=dead,
            waiting=total - sent - failed - dead,
            damaged=(*(one.name for one in damaged), *walk.outcomes("damaged")),
            stopped=walk.stopped,
            oldest_age_ms=max(ages, default=None),
        )


_TOLD: Final[tuple[Outcome, Outcome, Outcome]] = ("sent", "failed", "dead")
_OVER: Final[tuple[Outcome, ...]] = ("sent", "dead", "gone", "damaged")


def count_off(spool: Spool, heads: Iterable[Head], walk: Walk) -> None:
    """What a walk has settled waits no more."""
    settled = {*walk.outcomes("sent"), *walk.outcomes("dead")}
    if settled:
        freed = sum(head.size for head in heads if head.id in settled)
        spool.count(messages=-len(settled), bytes_=-freed)
