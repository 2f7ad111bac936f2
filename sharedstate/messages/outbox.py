"""The outbox: a message is accepted first, durably, and delivered then. What was accepted is never lost.

It is delivered at least once, or stands visibly in the outbox or among the dead letters. A later message of a sender
never overtakes a spooled one to the same recipient. Without crashes each message is delivered exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sharedstate import logs
from sharedstate.claims.audit import Audit
from sharedstate.errors import InvalidInput
from sharedstate.host import Host
from sharedstate.messages import policy, viewing
from sharedstate.messages.delivering import Courier, TransportOf
from sharedstate.messages.drafting import check_draft, check_endpoints, drafted
from sharedstate.messages.flushing import TIMEOUT_S, Flusher
from sharedstate.messages.model import (
    Draft,
    Envelope,
    FlushReport,
    OutboxCounts,
    Refused,
    SendResult,
    Spooled,
    State,
)
from sharedstate.messages.policy import Rules, Usage
from sharedstate.messages.records import TEXT_CHARACTERS_MAX
from sharedstate.messages.sending import Post
from sharedstate.messages.spool import Spool
from sharedstate.messages.tending import Tending
from sharedstate.messages.transport import Transport
from sharedstate.messages.turns import Turns
from sharedstate.messages.wire import check_message_id
from sharedstate.settings import Settings
from sharedstate.store import Store, Unreadable

FLUSH_COUNT_MAX: Final = 100_000
FLUSH_TIME_S_MAX: Final = 86_400.0
SWEEP_COUNT_MAX: Final = 500
SWEEP_TIME_S: Final = 10.0
Damaged = list[Unreadable]


class Outbox:
    """Messages of this machine on their way out. Safe for threads and many processes.

    Kept in the machine's own store. `transport` gives the way for a message: called with its envelope and the
    endpoints that were asked for at `send` (none: as configured); transports it gives are kept and closed with this
    object. `routable` refuses a lane and endpoints for which there is no way, `allowed` a sender whose lane has no
    right to send. `audit` is the trail that is told of what `owner` drops. Methods raise `InvalidInput` for bad
    arguments and `StoreError` when the store fails.
    """

    def __init__(
        self,
        store: Store,
        *,
        host: Host,
        settings: Settings,
        transport: TransportOf,
        routable: Callable[[str, tuple[str, ...]], None] | None = None,
        allowed: Callable[[str, str], None] | None = None,
        audit: Audit | None = None,
        owner: str = "",
    ) -> None:
        self._rules = rules_of(settings)
        self._host = host
        self._store = store
        self._spool = Spool(store)
        self._turns = Turns(self._spool, host=host)
        self._courier = Courier(self._spool, host=host, rules=self._rules)
        self._flusher = Flusher(self._spool, self._turns, self._courier, host=host)
        self._post = Post(
            self._spool, self._turns, self._courier, self._flusher, host=host, autoflush=settings.outbox_autoflush
        )
        self._tending = Tending(self._spool, self._courier, audit=audit, owner=owner)
        self._transport = transport
        self._routable = routable
        self._allowed = allowed
        self._used: dict[int, Transport] = {}
        self._counted: tuple[Usage, int, float] | None = None

    # Sending

    def send(
        self,
        draft: Draft | None = None,
        *,
        sender: str = "",
        to: str | Sequence[str] = (),
        body: str = "",
        kind: str = "message",
        lane: str = "",
        phase: str = "",
        reply_to: str = "",
        correlation_id: str = "",
        requires_ack_ms: int | None = None,
        priority: int = 0,
        endpoints: Sequence[str] = (),
        deliver: bool = True,
        transport: Transport | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> SendResult:
        """Accept one message durably, then try to deliver it once, for at most `timeout_s` seconds.

        Give a `Draft` or its fields (`to`: names, or `*` for everybody; `requires_ack_ms` from now). `endpoints` go
        with the message into the outbox, `transport` is for this try only. With `deliver` off, or while an earlier
        message to one of the recipients waits, it is only accepted. `Refused` with `outbox_full` keeps nothing.

        Raises `InvalidInput` for what no receiver would take; `BadSettings` for a lane or an endpoint that is none;
        `NoRight` when the lane that was chosen, or the one that is named, has no right to `send`;
        `StoreUnavailable` when nothing was accepted (a full disk); `DurabilityUnknown` when it stands in the outbox but
        a power cut may undo that.
        """
        given = draft or drafted(
            sender=sender,
            to=to,
            body=body,
            kind=kind,
            lane=lane,
            phase=phase,
            reply_to=reply_to,
            correlation_id=correlation_id,
            ack_within_ms=requires_ack_ms,
            priority=priority,
        )
        if not 0 < timeout_s <= FLUSH_TIME_S_MAX:
            raise InvalidInput(f"timeout_s is {timeout_s}; it must be above 0")
        checked, wanted = check_draft(given), check_endpoints(endpoints)
        if transport is None and self._routable is not None:
            self._routable(checked.lane, wanted)
        if self._allowed is not None:
            self._allowed(checked.sender, checked.lane)
        reason = policy.full(self._usage(), size=policy.weigh(checked), rules=self._rules)
        if reason:
            logs.warn("the outbox is full, a message of %s was refused: %s", checked.sender, reason)
            return Refused(code="outbox_full", reason=reason)
        return self._post.send(checked, self._way(transport), endpoints=wanted, deliver=deliver, timeout_s=timeout_s)

    def flush(
        self,
        *,
        transport: Transport | None = None,
        count_max: int = 1000,
        time_max_s: float = 30.0,
        sender: str | None = None,
    ) -> FlushReport:
        """Deliver what waits and is due, in the order of each sender, at most `count_max` messages in `time_max_s`.

        Safe with many flushers at once: each message is leased by one of them. What the far side rejects goes to the
        dead letters, and so does what fails when it is too old or was tried too often; the rest is put off.
        """
        if not 1 <= count_max <= FLUSH_COUNT_MAX or not 0 < time_max_s <= FLUSH_TIME_S_MAX:
            raise InvalidInput(f"count_max is 1 to {FLUSH_COUNT_MAX}, time_max_s above 0 up to {FLUSH_TIME_S_MAX:.0f}")
        report = self._flusher.flush(self._way(transport), count_max=count_max, time_max_s=time_max_s, sender=sender)
        if report.damaged:
            logs.warn("%d damaged records in the outbox; `claims doctor` names them", len(report.damaged))
        return report

    def sweep(self) -> FlushReport:
        """A bounded flush, and away with notes about deliveries that are over; for the scheduled sweep."""
        report = self.flush(count_max=SWEEP_COUNT_MAX, time_max_s=SWEEP_TIME_S)
        self._tending.tidy()
        return report

    # Looking

    def list(
        self,
        *,
        state: State | None = None,
        sender: str | None = None,
        to: str | None = None,
        limit: int | None = None,
    ) -> list[Spooled]:
        """What stands in the outbox, oldest first: pending, in flight, dead. `state="sent"`: the last deliveries.

        Of a sent message only the journal knows: its envelope has an empty body. `limit` keeps the first ones, of
        the sent ones the last (100 without it). Damaged records are told by `damaged`.
        """
        if state == "sent":
            told = viewing.sent(self._spool, limit=100 if limit is None else limit)
        else:
            told = viewing.standing(self._spool, self._courier, now=self._store.now())
        kept = [
            one
            for one in told
            if state in (None, one.state) and sender in (None, one.envelope.sender) and _is_to(one.envelope, to)
        ]
        return kept if limit is None or state == "sent" else kept[: max(0, limit)]

    def damaged(self) -> Damaged:
        """Records that cannot be read: kept, never sent, in nobody's way."""
        found = [*self._spool.parcels(), *self._spool.dead_letters()]
        return [one for one in found if isinstance(one, Unreadable)]

    def show(self, message_id: str) -> Spooled | None:
        """One message that stands in the outbox, or None. Raises `Corrupt` when its record cannot be read."""
        return viewing.one(self._spool, self._courier, check_message_id(message_id), now=self._store.now())

    def counts(self) -> OutboxCounts:
        """How much stands in the outbox, counted by reading all of it."""
        return viewing.counted(self._spool, self._courier, now=self._store.now(), skew_ms=self._rules.skew_ms)

    def export(self, *, state: State | None = None) -> Iterator[dict[str, Any]]:
        """Every message that stands in the outbox, whole, as JSON objects: its state and the envelope as `message`."""
        return viewing.exported(self.list(state=state))

    # Changing

    def retry(self, message_id: str | None = None, *, all: bool = False) -> int:  # noqa: A002 - reason: reads as it says
        """Let a message be tried again at once: dead ones are pending again, back-offs are over. Returns how many.

        Its id and time of making stay; attempts and age of a dead one start over.
        """
        if (message_id is None) == (not all):
            raise InvalidInput("retry one message by its id, or all of them")
        if message_id is not None:
            return int(self._tending.retry(check_message_id(message_id)))
        return self._tending.retry_all()

    def drop(self, message_id: str, *, reason: str, by: str = "") -> bool:
        """Remove a pending or dead message for good, audited. False when it is not there, or in flight right now."""
        key = check_message_id(message_id)
        if not reason.strip() or len(reason) > TEXT_CHARACTERS_MAX:
            raise InvalidInput("a reason is needed, for the journal")
        return self._tending.drop(key, reason=reason, by=by)

    def close(self) -> None:
        """Give back the connections of transports."""
        used, self._used = self._used, {}
        for transport in used.values():
            transport.close()

    # Inside

    def _usage(self) -> Usage:
        """What waits: read for each send only when it is close to a limit, else at most a second old."""
        now_s, changes = self._host.monotonic_s(), self._spool.changes
        known = self._counted
        if (
            known is not None
            and known[1] == changes
            and now_s - known[2] < 1
            and policy.is_roomy(known[0], self._rules)
        ):
            return known[0]
        self._counted = (self._spool.ledger().usage, changes, now_s)
        return self._counted[0]

    def _way(self, transport: Transport | None) -> TransportOf:
        if transport is not None:
            return lambda envelope, endpoints: transport

        def configured(envelope: Envelope, endpoints: tuple[str, ...]) -> Transport:
            given = self._transport(envelope, endpoints)
            self._used[id(given)] = given
            return given

        return configured


def rules_of(settings: Settings) -> Rules:
    """The limits of the outbox, as configured."""
    return Rules(
        messages_max=settings.outbox_messages_max,
        bytes_max=settings.outbox_bytes_max,
        age_ms_max=settings.outbox_age_max_ms,
        attempts_max=settings.outbox_attempts_max,
        lease_ms=settings.outbox_lease_ms,
        skew_ms=settings.clock_skew_ms,
    )


def _is_to(envelope: Envelope, name: str | None) -> bool:
    return name is None or name in envelope.recipients
