"""Pure decisions of the outbox: may it be taken in, whose turn is it to deliver, what becomes of an answer.

Times are compared as moments (`age_between`), so that a step of the wall clock neither ends a lease nor keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from sharedstate.clock import Age, Instant, age_between
from sharedstate.ids import Process
from sharedstate.messages.model import EVERYBODY, Answer, Deferred, Delivered, Draft, Envelope
from sharedstate.messages.records import TEXT_CHARACTERS_MAX, DeadLetter, Delivery, Lease, Parcel
from sharedstate.values import Value

WAIT_MS_MIN: Final = 1_000
WAIT_MS_MAX: Final = 15 * 60_000
# A far side may ask for more than our own longest wait, but not for ever; `outbox retry` does not wait.
RETRY_AFTER_MS_MAX: Final = 86_400_000
_RECORD_BYTES: Final = 640  # what stands around body and recipients in the spool, about


class Rules(Value):
    """The limits: how many messages and bytes may wait, how old, how often tried, how long a lease, what skew."""

    messages_max: int
    bytes_max: int
    age_ms_max: int
    attempts_max: int
    lease_ms: int
    skew_ms: int


class Usage(Value):
    """What waits in the outbox: messages and bytes, about; exact after a flush."""

    messages: int = 0
    bytes: int = 0


class Head(Value):
    """What is to be known of a message in the spool to say whose turn it is, and how much it weighs."""

    id: str
    sender: str
    sequence: int
    recipients: tuple[str, ...]
    size: int
    accepted: Instant


class Waiting(Value):
    """Not now: somebody delivers it (`in_flight`, until when at the latest), or it is not due for so many ms."""

    why: Literal["in_flight", "not_due"]
    left_ms: int


class Exhausted(Value):
    """It may not be tried any more: too often begun and never answered. It goes to the dead letters."""

    delivery: Delivery


class Retry(Value):
    """Tried in vain; the delivery says when again."""

    delivery: Delivery


class Bury(Value):
    """Never again: the receiver will not take it, or it is too old, or was tried too often."""

    reason: str
    status: int | None


class Settled(Value):
    """The receiver has it."""


# Taking in


def weigh(envelope: Envelope | Draft) -> int:
    """About how many bytes the message takes in the spool, without making its document."""
    return _RECORD_BYTES + len(envelope.body.encode()) + sum(len(name.encode()) + 10 for name in envelope.recipients)


def is_roomy(usage: Usage, rules: Rules) -> bool:
    """Whether there is so much room that a count which is a second old will do."""
    return 2 * usage.messages < rules.messages_max and 2 * usage.bytes < rules.bytes_max


def full(usage: Usage, *, size: int, rules: Rules) -> str:
    """Why a message of this size cannot be taken in, or nothing."""
    if usage.messages >= rules.messages_max:
        return f"{usage.messages} messages wait; outbox_messages_max is {rules.messages_max}"
    if usage.bytes + size > rules.bytes_max:
        return f"{usage.bytes} bytes wait; with {size} more it would be above outbox_bytes_max, {rules.bytes_max}"
    return ""


def meet(one: tuple[str, ...], other: frozenset[str] | set[str] | tuple[str, ...]) -> bool:
    """Whether a recipient is common to both; everybody is common to all."""
    return bool(one) and bool(other) and (EVERYBODY in one or EVERYBODY in other or not set(other).isdisjoint(one))


def head_of(parcel: Parcel) -> Head:
    """What is to be known of a parcel."""
    envelope = parcel.envelope
    return Head(
        id=envelope.id,
        sender=envelope.sender,
        sequence=envelope.sequence,
        recipients=envelope.recipients,
        size=weigh(envelope),
        accepted=parcel.accepted,
    )


def waits_behind(recipients: tuple[str, ...], head: Head) -> bool:
    """Whether a new message to these recipients has to wait for one of the same sender that stands in the spool."""
    return meet(recipients, head.recipients)


def follows(head: Head) -> tuple[int, str]:
    """The order of the messages of one sender."""
    return head.sequence, head.id


# Leasing


def begin(
    parcel: Parcel,
    delivery: Delivery | None,
    *,
    lease: Lease,
    is_dead: Callable[[Process], bool],
    rules: Rules,
    impatient: bool = False,
) -> Delivery | Waiting | Exhausted:
    """The delivery as `lease` begins it, or why it may not. `impatient` does not wait for it to be due.

    An attempt counts when it begins, so that a message that kills whoever delivers it is not tried for ever.
    """
    known = current(parcel, delivery)
    waiting = hindrance(parcel, delivery, now=lease.since, is_dead=is_dead, rules=rules)
    if waiting is not None and not (impatient and waiting.why == "not_due"):
        return waiting
    if known.attempts >= rules.attempts_max and not impatient:
        return Exhausted(delivery=known)
    return known.replace(attempts=known.attempts + 1, lease=lease)


def current(parcel: Parcel, delivery: Delivery | None) -> Delivery:
    """The delivery as far as it is known: what is written for this life of the parcel, else its first lease."""
    if delivery is not None and delivery.life == parcel.life:
        return delivery
    return Delivery(life=parcel.life, attempts=0 if parcel.lease is None else 1, lease=parcel.lease)


def hindrance(
    parcel: Parcel,
    delivery: Delivery | None,
    *,
    now: Instant,
    is_dead: Callable[[Process], bool],
    rules: Rules,
) -> Waiting | None:
    """What keeps the message from being tried now, None when nothing does."""
    known = current(parcel, delivery)
    if known.lease is not None:
        left_ms = lease_left_ms(known.lease, now=now, is_dead=is_dead, skew_ms=rules.skew_ms)
        if left_ms > 0:
            return Waiting(why="in_flight", left_ms=left_ms)
    left_ms = due_in_ms(known, now=now, skew_ms=rules.skew_ms)
    return Waiting(why="not_due", left_ms=left_ms) if left_ms > 0 else None


def lease_left_ms(lease: Lease, *, now: Instant, is_dead: Callable[[Process], bool], skew_ms: int) -> int:
    """How long the lease holds yet: 0 when it is over, its holder is proved dead, or it is from the future."""
    age = age_between(since=lease.since, now=now, skew_ms=skew_ms)
    if age.future or age.ms >= lease.ttl_ms:
        return 0
    return 0 if lease.process is not None and is_dead(lease.process) else lease.ttl_ms - age.ms


def due_in_ms(delivery: Delivery, *, now: Instant, skew_ms: int) -> int:
    """How long it is to wait yet, 0 when it is due. A failure from the future counts as long ago."""
    if delivery.failed is None or delivery.wait_ms == 0:
        return 0
    age = age_between(since=delivery.failed, now=now, skew_ms=skew_ms)
    return 0 if age.future else max(0, delivery.wait_ms - age.ms)


# Settling


def settle(
    delivery: Delivery, answer: Answer, *, now: Instant, age: Age, fraction: float, rules: Rules
) -> Settled | Retry | Bury:
    """What becomes of a message after this answer. `fraction` (0 to 1) is the luck of the back-off, `age` its own.

    Age counts only when a try has failed: a machine that was off for a month tries everything once more.
    """
    if isinstance(answer, Delivered):
        return Settled()
    if not isinstance(answer, Deferred):
        return Bury(reason=answer.reason[:TEXT_CHARACTERS_MAX], status=answer.status)
    if delivery.attempts >= rules.attempts_max:
        return Bury(reason=_last(f"{delivery.attempts} attempts", answer), status=answer.status)
    if age.ms > rules.age_ms_max:
        return Bury(reason=_last(f"older than {rules.age_ms_max // 1000} s", answer), status=answer.status)
    wait_ms = wait_after(delivery.wait_ms, fraction=fraction, retry_after_ms=answer.retry_after_ms)
    reason = answer.reason[:TEXT_CHARACTERS_MAX]
    return Retry(delivery=delivery.replace(lease=None, failed=now, wait_ms=wait_ms, reason=reason))


def wait_after(previous_ms: int, *, fraction: float, retry_after_ms: int | None) -> int:
    """The next wait, decorrelated jitter: between 1 s and three times the last, at most 15 minutes.

    Never shorter than the far side asked, which counts for up to a day. Source: Brooker, "Exponential Backoff And
    Jitter" (2015).
    """
    highest = max(WAIT_MS_MIN, min(WAIT_MS_MAX, previous_ms) * 3)
    wait_ms = min(WAIT_MS_MAX, round(WAIT_MS_MIN + fraction * (highest - WAIT_MS_MIN)))
    return max(wait_ms, min(RETRY_AFTER_MS_MAX, retry_after_ms or 0))


def bury(parcel: Parcel, *, attempts: int, reason: str, status: int | None, now: Instant) -> DeadLetter:
    """The dead letter of a parcel."""
    return DeadLetter(
        parcel=parcel.replace(lease=None),
        attempts=attempts,
        reason=reason[:TEXT_CHARACTERS_MAX],
        status=status,
        buried_ms=now.at_ms,
    )


def revive(dead: DeadLetter, *, now: Instant) -> Parcel:
    """The parcel of a dead letter, with a new life: attempts and age start over, id and time of making stay."""
    parcel = dead.parcel
    return parcel.replace(accepted=now, life=parcel.life + 1, tried=parcel.tried + dead.attempts, lease=None)


def outlived(parcel: Parcel, dead: DeadLetter) -> bool:
    """Both exist, because somebody died in between: whether the dead letter is the older of the two."""
    return parcel.life > dead.parcel.life


def as_replay(parcel: Parcel, delivery: Delivery, *, now: Instant) -> Envelope:
    """The envelope as a flush delivers it: the same message, with the time and the number of this attempt."""
    return parcel.envelope.replace(replayed_at_ms=now.at_ms, attempts=parcel.tried + delivery.attempts)


def _last(limit: str, answer: Deferred) -> str:
    return f"{limit}, and the last try failed: {answer.reason}"[:TEXT_CHARACTERS_MAX]
