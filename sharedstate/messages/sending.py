"""Accept a message, try it once, and go on with what waited for it."""

from __future__ import annotations

from typing import Final

from sharedstate import logs
from sharedstate.errors import StoreError
from sharedstate.host import Host
from sharedstate.messages import policy
from sharedstate.messages.delivering import Courier, TransportOf, deliver
from sharedstate.messages.flushing import Flusher, Walk, head_of
from sharedstate.messages.model import Answer, Delivered, Envelope, Queued, Refused, Rejected, SendResult, Sent
from sharedstate.messages.order import Queue
from sharedstate.messages.records import Parcel
from sharedstate.messages.senders import Begun, Senders
from sharedstate.messages.spool import Spool

# What a send does at most for other messages, on top of its own.
FEW: Final = 8
FEW_TIME_S: Final = 2.0


class Post:
    """The sending half of the outbox. Methods raise `StoreError` only while nothing is accepted."""

    def __init__(
        self, spool: Spool, senders: Senders, courier: Courier, flusher: Flusher, *, host: Host, autoflush: bool
    ) -> None:
        self._spool = spool
        self._senders = senders
        self._courier = courier
        self._flusher = flusher
        self._host = host
        self._autoflush = autoflush

    def send(self, draft: Parcel, way: TransportOf, *, deliver: bool, timeout_s: float) -> SendResult:
        """Accept the parcel with the next sequence of its sender; then see `Outbox.send`."""
        mine = draft.envelope
        begun = self._senders.begin(mine.sender, message=mine.id, recipients=mine.recipients)
        try:
            tried_now = deliver and not begun.blocked
            parcel = draft.replace(
                envelope=mine.replace(sequence=begun.sequence),
                lease=self._courier.lease(draft.accepted, timeout_s=timeout_s) if tried_now else None,
            )
            self._spool.put(parcel)
            return self._after_acceptance(parcel, begun, way, deliver=deliver, timeout_s=timeout_s)
        finally:
            self._senders.end(mine.id)

    def _after_acceptance(
        self, parcel: Parcel, begun: Begun, way: TransportOf, *, deliver: bool, timeout_s: float
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
            return self._go_on(parcel, begun, result, way, left_s=ends_s - self._host.monotonic_s())
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

    def _go_on(
        self, parcel: Parcel, begun: Begun, result: SendResult, way: TransportOf, *, left_s: float
    ) -> SendResult:
        """Deliver what waited only for this one to be over, or what this one waited for and is over by now.

        Of two that are sent at once, one sees the other: who is behind writes first and then looks, who is in front
        leaves first and then looks. Whatever has failed is left to a flush, unless flushes are automatic.
        """
        mine = parcel.envelope
        if isinstance(result, Queued) and parcel.lease is not None:
            return result
        queue = self._senders.queue(mine.sender) if parcel.lease is not None else begun.queue
        if queue is None or queue.covered or left_s <= 0 or not any(turn.id != mine.id for turn in queue.turns):
            return self._flush_few(result, way, left_s)
        walk = self._walk(queue, way, left_s)
        own = walk.tried.get(mine.id)
        if own is None or not isinstance(result, Queued):
            return result
        if isinstance(own.answer, Delivered):
            return Sent(envelope=mine, via=own.answer.via, duplicate=own.answer.duplicate)
        if own.outcome == "dead" and own.answer is not None:
            return _refused(mine, own.reason, own.answer)
        return result

    def _walk(self, queue: Queue, way: TransportOf, left_s: float) -> Walk:
        """Go through all that the sender has under way; while nothing is covered, its turns name all of it."""
        now, skew_ms = self._spool.store.now(), self._courier.rules.skew_ms
        found = [self._spool.parcel(turn.id) for turn in queue.turns if self._spool.holds(turn.id)]
        heads = [head_of(one, now=now, skew_ms=skew_ms) for one in found if one is not None]
        untried_only = not self._autoflush
        walk = Walk(self._courier, self._host, way, count_max=FEW, time_max_s=left_s, untried_only=untried_only)
        walk.go(heads)
        settled = {*walk.outcomes("sent"), *walk.outcomes("dead")}
        if settled:
            freed = sum(head.size for head in heads if head.id in settled)
            self._spool.count(messages=-len(settled), bytes_=-freed)
        return walk

    def _flush_few(self, result: SendResult, way: TransportOf, left_s: float) -> SendResult:
        if self._autoflush and left_s > 0:
            self._flusher.flush(way, count_max=FEW, time_max_s=min(FEW_TIME_S, left_s))
        return result


def _refused(envelope: Envelope, reason: str, answer: Answer) -> Refused:
    status = None if isinstance(answer, Delivered) else answer.status
    return Refused(code="rejected_by_receiver", reason=reason, id=envelope.id, status=status)
