"""Accept a message, try it once, and go on with what waited for it."""

from __future__ import annotations

from typing import Final

from sharedstate import logs
from sharedstate.errors import StoreError
from sharedstate.host import Host
from sharedstate.messages import policy
from sharedstate.messages.delivering import Courier, TransportOf, deliver
from sharedstate.messages.drafting import envelope_from
from sharedstate.messages.flushing import Flusher, Walk, count_off
from sharedstate.messages.model import Answer, Delivered, Draft, Envelope, Queued, Refused, Rejected, SendResult, Sent
from sharedstate.messages.records import Parcel
from sharedstate.messages.spool import Spool
from sharedstate.messages.turns import BACKLOG_MIN, Look, Turns
from sharedstate.messages.wire import new_message_id

# What a send does at most for other messages, on top of its own.
FEW: Final = 8
FEW_TIME_S: Final = 2.0


class Post:
    """The sending half of the outbox. Methods raise `StoreError` only while nothing is accepted."""

    def __init__(
        self, spool: Spool, turns: Turns, courier: Courier, flusher: Flusher, *, host: Host, autoflush: bool
    ) -> None:
        self._spool = spool
        self._turns = turns
        self._courier = courier
        self._flusher = flusher
        self._host = host
        self._autoflush = autoflush

    def send(
        self, draft: Draft, way: TransportOf, *, endpoints: tuple[str, ...], deliver: bool, timeout_s: float
    ) -> SendResult:
        """Accept a checked draft with the next sequence of its sender; then see `Outbox.send`."""
        look = self._turns.look(draft.sender, draft.recipients)
        now = self._spool.store.now()
        identity = new_message_id(at_ms=max(0, now.at_ms), entropy=self._host.entropy(10))
        tried_now = deliver and not look.blocked
        parcel = Parcel(
            envelope=envelope_from(draft, now=now, identity=identity, sequence=look.sequence),
            accepted=now,
            endpoints=endpoints,
            lease=self._courier.lease(now, timeout_s=timeout_s) if tried_now else None,
        )
        self._spool.put(parcel)
        return self._after_acceptance(parcel, look, way, deliver=deliver, timeout_s=timeout_s)

    def _after_acceptance(
        self, parcel: Parcel, look: Look, way: TransportOf, *, deliver: bool, timeout_s: float
    ) -> SendResult:
        """From here on nothing raises a fault of the store: the message is accepted, and that is the answer."""
        ends_s = self._host.monotonic_s() + timeout_s
        if parcel.lease is None:
            self._spool.count(messages=1, bytes_=policy.weigh(parcel.envelope))
            result: SendResult = Queued(envelope=parcel.envelope, reason="waits behind an earlier one")
            if not deliver:
                return result.replace(reason="accepted only")
        else:
            result = self._first_try(parcel, way, timeout_s=timeout_s)
        try:
            return self._go_on(parcel, look, result, way, left_s=ends_s - self._host.monotonic_s())
        except StoreError as error:
            logs.warn("message %s is accepted; a flush goes on: %s", parcel.envelope.id, error)
            return result

    def _first_try(self, parcel: Parcel, way: TransportOf, *, timeout_s: float) -> SendResult:
        answer = deliver(way, parcel.envelope, parcel.endpoints, timeout_s=timeout_s)
        delivery = policy.current(parcel, None)
        wait_ms: int | None = None
        try:
            tried = self._courier.settle(parcel, delivery, answer)
            if tried.outcome == "dead":
                return _refused(parcel.envelope, tried.reason, answer)
            if tried.outcome == "failed" and tried.delivery is not None:
                self._spool.count(messages=1, bytes_=policy.weigh(parcel.envelope))
                wait_ms = self._spool.store.now().at_ms + tried.delivery.wait_ms
        except StoreError as error:
            # Delivered or not, the message stands in the spool with a lease that ends: a flush goes on with it.
            logs.warn("what became of message %s was not written down: %s", parcel.envelope.id, error)
        if isinstance(answer, Delivered):
            return Sent(envelope=parcel.envelope, via=answer.via, duplicate=answer.duplicate)
        if isinstance(answer, Rejected):
            return _refused(parcel.envelope, answer.reason, answer)
        return Queued(envelope=parcel.envelope, reason=answer.reason, not_before_ms=wait_ms)

    def _go_on(self, parcel: Parcel, look: Look, result: SendResult, way: TransportOf, *, left_s: float) -> SendResult:
        """Deliver what waited only for this one to be over, or what this one waited for and is over by now.

        Of two that are sent at once, one sees the other: who is behind writes first and then looks, who is in front
        leaves first and then looks. Whatever has failed is left to a flush, unless flushes are automatic.
        """
        mine = parcel.envelope
        failed = isinstance(result, Queued) and parcel.lease is not None
        walk = None
        if look.certain and len(look.seen) < BACKLOG_MIN and not failed and left_s > 0:
            walk = self._walk(mine, way, left_s)
        if walk is None:
            if self._autoflush and left_s > 0:
                self._flusher.flush(way, count_max=FEW, time_max_s=min(FEW_TIME_S, left_s))
            return result
        own = walk.tried.get(mine.id)
        if own is None or not isinstance(result, Queued):
            return result
        if isinstance(own.answer, Delivered):
            return Sent(envelope=mine, via=own.answer.via, duplicate=own.answer.duplicate)
        if own.outcome == "dead" and own.answer is not None:
            return _refused(mine, own.reason, own.answer)
        return result.replace(reason=own.reason) if own.outcome == "failed" else result

    def _walk(self, mine: Envelope, way: TransportOf, left_s: float) -> Walk | None:
        """Go through all that the sender has in the spool; None when there is nothing."""
        heads, among = self._turns.line(mine.sender)
        if not heads:
            return None
        untried_only = not self._autoflush
        walk = Walk(self._courier, self._host, way, count_max=FEW, time_max_s=left_s, untried_only=untried_only)
        walk.go(heads, among=among)
        count_off(self._spool, heads, walk)
        return walk


def _refused(envelope: Envelope, reason: str, answer: Answer) -> Refused:
    status = None if isinstance(answer, Delivered) else answer.status
    return Refused(code="rejected_by_receiver", reason=reason, id=envelope.id, status=status)
