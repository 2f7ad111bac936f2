"""One message, one try: lease it, deliver it, write down what became of it, in this order.

The order is the promise: the message is spooled before it is tried and leaves the spool after the receiver has it, so
that a death at any point costs a second delivery of the same id at most, never a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from sharedstate import logs
from sharedstate.clock import Instant, age_between
from sharedstate.errors import Corrupt, SharedStateError, StoreError
from sharedstate.host import Host
from sharedstate.ids import Process
from sharedstate.messages import policy
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected
from sharedstate.messages.policy import Bury, Exhausted, Head, Retry, Rules, Settled, Waiting
from sharedstate.messages.records import Delivery, Lease, Parcel, dump_delivery
from sharedstate.messages.spool import Spool, sent_event
from sharedstate.messages.transport import Transport
from sharedstate.store import KEEP, Decision, Snapshot
from sharedstate.values import Value

TransportOf = Callable[[Envelope, tuple[str, ...]], Transport]
Outcome = Literal["sent", "failed", "dead", "gone", "waiting", "damaged"]
_FRACTION_STEPS: Final = 1 << 16


class Tried(Value):
    """What became of a message; `answer` of the far side where it was asked, `delivery` as it stands now."""

    outcome: Outcome
    answer: Answer | None = None
    delivery: Delivery | None = None
    reason: str = ""


class Courier:
    """Delivers single messages. Methods raise `StoreError`. Safe for threads."""

    def __init__(self, spool: Spool, *, host: Host, rules: Rules) -> None:
        self._spool = spool
        self._host = host
        self.rules = rules
        self._process: tuple[int, Process | None] | None = None

    def lease(self, now: Instant, *, timeout_s: float) -> Lease:
        """A lease for one try by this process, longer than the try may take."""
        ttl_ms = max(self.rules.lease_ms, round(2_000 * timeout_s))
        return Lease(nonce=self._host.entropy(8).hex(), process=self._own_process(), since=now, ttl_ms=ttl_ms)

    def hindrance(self, parcel: Parcel, delivery: Delivery | None, *, now: Instant) -> Waiting | None:
        """What keeps the message from being tried now."""
        return policy.hindrance(parcel, delivery, now=now, is_dead=self._host.is_dead, rules=self.rules)

    def is_leased(self, delivery: Delivery) -> bool:
        """Whether somebody may be delivering it right now."""
        if delivery.lease is None:
            return False
        now, skew_ms = self._spool.store.now(), self.rules.skew_ms
        return policy.lease_left_ms(delivery.lease, now=now, is_dead=self._host.is_dead, skew_ms=skew_ms) > 0

    def take_up(self, parcel: Parcel, *, timeout_s: float, impatient: bool = False) -> Delivery | Waiting | Exhausted:
        """Lease a message for one try, or say why not."""
        lease = self.lease(self._spool.store.now(), timeout_s=timeout_s)

        def decide(known: Delivery | None, snapshot: Snapshot) -> Decision[Delivery | Waiting | Exhausted]:
            begun = policy.begin(
                parcel,
                known,
                lease=lease.replace(since=snapshot.now),
                is_dead=self._host.is_dead,
                rules=self.rules,
                impatient=impatient,
            )
            return Decision(result=begun, write=dump_delivery(begun) if isinstance(begun, Delivery) else KEEP)

        return self._spool.change_delivery(parcel.envelope.id, decide)

    def attempt(self, head: Head, transport_of: TransportOf, *, timeout_s: float, untried_only: bool = False) -> Tried:
        """Try one message of the spool, if it is its time and nobody else does. `untried_only`: not after a failure."""
        key = head.id
        try:
            seen = self._spool.parcel(head.sender, head.id)
        except Corrupt as error:
            return Tried(outcome="damaged", reason=str(error))
        if seen is None or self._is_dead(seen):
            return Tried(outcome="gone")
        known = self._spool.delivery(key)
        if untried_only and policy.current(seen, known).failed is not None:
            return Tried(outcome="waiting", reason="not_due")
        hindered = self.hindrance(seen, known, now=self._spool.store.now())
        if hindered is not None:
            return Tried(outcome="waiting", reason=hindered.why)  # a look is cheaper than a lease
        begun = self.take_up(seen, timeout_s=timeout_s)
        if isinstance(begun, Waiting):
            return Tried(outcome="waiting", reason=begun.why)
        if isinstance(begun, Exhausted):
            return self._exhausted(seen, begun.delivery)
        parcel = self._spool.parcel(
            head.sender, key
        )  # again: between the look and the lease it may have been delivered
        if parcel is None or parcel.life != seen.life:
            self._spool.forget_delivery(key, nonce=_nonce(begun))
            return Tried(outcome="gone")
        now = self._spool.store.now()
        envelope = policy.as_replay(parcel, begun, now=now)
        answer = deliver(transport_of, envelope, parcel.endpoints, timeout_s=timeout_s)
        return self.settle(parcel, begun, answer)

    def settle(self, parcel: Parcel, delivery: Delivery, answer: Answer) -> Tried:
        """Write down what became of a try. Raises `StoreError`: then it is tried again when its lease is over."""
        now = self._spool.store.now()
        age = age_between(since=parcel.accepted, now=now, skew_ms=self.rules.skew_ms)
        fraction = int.from_bytes(self._host.entropy(2), "big") / _FRACTION_STEPS
        fate = policy.settle(delivery, answer, now=now, age=age, fraction=fraction, rules=self.rules)
        if isinstance(fate, Settled):
            assert isinstance(answer, Delivered)
            self._spool.take(parcel, event=sent_event(parcel, delivery, answer), newer=True)
            self._clear(parcel, delivery)
            return Tried(outcome="sent", answer=answer, delivery=delivery)
        if not self._is_mine(parcel, delivery):  # taken over meanwhile: whoever did decides
            return Tried(outcome="waiting", answer=answer, delivery=delivery, reason="in_flight")
        if isinstance(fate, Bury):
            self._bury(parcel, delivery, fate, now=now)
            return Tried(outcome="dead", answer=answer, delivery=delivery, reason=fate.reason)
        self._put_off(parcel, delivery, fate)
        return Tried(outcome="failed", answer=answer, delivery=fate.delivery, reason=fate.delivery.reason)

    # Inside

    def _own_process(self) -> Process | None:
        pid = self._host.pid()
        if self._process is None or self._process[0] != pid:
            self._process = (pid, self._host.process(pid))
        return self._process[1]

    def _is_dead(self, parcel: Parcel) -> bool:
        """Whether the message stands among the dead letters, too: what a death in between has left is put right."""
        key = parcel.envelope.id
        try:
            dead = self._spool.dead(key)
        except Corrupt:
            return False  # it is told; the message itself is sound and goes on
        if dead is None:
            return False
        if policy.outlived(parcel, dead):
            self._spool.exhume(key, life=dead.parcel.life, event=None)
            return False
        self._spool.take(parcel, event=None)
        self._spool.forget_delivery(key)
        return True

    def _exhausted(self, parcel: Parcel, delivery: Delivery) -> Tried:
        reason = f"begun {delivery.attempts} times, and never answered"
        self._bury(parcel, delivery, Bury(reason=reason, status=None), now=self._spool.store.now())
        return Tried(outcome="dead", delivery=delivery, reason=reason)

    def _bury(self, parcel: Parcel, delivery: Delivery, fate: Bury, *, now: Instant) -> None:
        dead = policy.bury(parcel, attempts=delivery.attempts, reason=fate.reason, status=fate.status, now=now)
        self._spool.bury(dead)
        logs.warn(
            "message %s to %s is dead: %s", parcel.envelope.id, ", ".join(parcel.envelope.recipients), fate.reason
        )

    def _put_off(self, parcel: Parcel, delivery: Delivery, fate: Retry) -> None:
        nonce = _nonce(delivery)

        def decide(known: Delivery | None, snapshot: Snapshot) -> Decision[None]:
            mine = _nonce(policy.current(parcel, known)) == nonce
            return Decision(result=None, write=dump_delivery(fate.delivery) if mine else KEEP)

        self._spool.change_delivery(parcel.envelope.id, decide)

    def _is_mine(self, parcel: Parcel, delivery: Delivery) -> bool:
        known = self._spool.delivery(parcel.envelope.id)
        return _nonce(policy.current(parcel, known)) == _nonce(delivery)

    def _clear(self, parcel: Parcel, delivery: Delivery) -> None:
        """What was known of a delivery that is over; left behind it costs nothing, a sweep removes it."""
        if parcel.lease is not None and _nonce(delivery) == parcel.lease.nonce:
            return  # the first try of `send` wrote none
        try:
            self._spool.forget_delivery(parcel.envelope.id, nonce=_nonce(delivery))
        except StoreError as error:
            logs.warn("the delivery of message %s is over, its note stays: %s", parcel.envelope.id, error)


def deliver(transport_of: TransportOf, envelope: Envelope, endpoints: tuple[str, ...], *, timeout_s: float) -> Answer:
    """Ask the far side. Whatever goes wrong on the way is an answer: the message is accepted and must not be lost."""
    name = "transport"
    try:
        transport = transport_of(envelope, endpoints)
        name = transport.name
        answer: object = transport.deliver(envelope, timeout_s=timeout_s)
    except SharedStateError as error:
        return Deferred(via=name, reason=f"{error.code}: {error}")
    except Exception as error:  # noqa: BLE001 - reason: a fault in a transport must not lose track of a message
        logs.warn("the transport %s raised: %r", name, error)
        return Deferred(via=name, reason=f"{type(error).__name__}: {error}")
    if isinstance(answer, Delivered | Rejected | Deferred):
        return answer
    return Deferred(via=name, reason=f"answered {type(answer).__name__}, which is no answer")


def _nonce(delivery: Delivery) -> str:
    return "" if delivery.lease is None else delivery.lease.nonce
