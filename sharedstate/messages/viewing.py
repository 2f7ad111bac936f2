"""What a person or a program sees of the outbox. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sharedstate.clock import Instant, age_between, iso_of_ms
from sharedstate.errors import InvalidInput
from sharedstate.messages import policy
from sharedstate.messages.delivering import Courier
from sharedstate.messages.model import Envelope, OutboxCounts, Spooled
from sharedstate.messages.records import DeadLetter, Delivery, Parcel
from sharedstate.messages.spool import Spool
from sharedstate.messages.wire import document_of, envelope_of
from sharedstate.store import Entry, Unreadable


def standing(spool: Spool, courier: Courier, *, now: Instant) -> list[Spooled]:
    """Every readable message in the spool and among the dead letters, once each, by sender's order of making."""
    deliveries = spool.known_deliveries()
    dead = {one.parcel.envelope.id: one for one in spool.dead_letters() if not isinstance(one, Unreadable)}
    views: list[Spooled] = []
    for parcel in spool.parcels():
        if isinstance(parcel, Unreadable):
            continue
        key = parcel.envelope.id
        if key in dead and not policy.outlived(parcel, dead[key]):
            continue
        dead.pop(key, None)
        views.append(_waiting(parcel, deliveries.get(key), courier, now=now))
    views += [_buried(one) for one in dead.values()]
    return sorted(views, key=lambda view: (view.envelope.created_at_ms, view.envelope.sequence, view.envelope.id))


def one(spool: Spool, courier: Courier, key: str, *, now: Instant) -> Spooled | None:
    """One message that stands in the outbox, or None."""
    parcel, dead = spool.find(key), spool.dead(key)
    if parcel is not None and (dead is None or policy.outlived(parcel, dead)):
        return _waiting(parcel, spool.delivery(key), courier, now=now)
    return None if dead is None else _buried(dead)


def sent(spool: Spool, *, limit: int) -> list[Spooled]:
    """The last deliveries as the journal tells them, oldest first, without bodies."""
    views = [_told(entry) for entry in spool.sent(limit=limit)]
    return [view for view in views if view is not None]


def counted(spool: Spool, courier: Courier, *, now: Instant, skew_ms: int) -> OutboxCounts:
    """How much stands in the outbox."""
    deliveries = spool.known_deliveries()
    damaged = pending = in_flight = size = 0
    oldest: int | None = None
    dead = 0
    for letter in spool.dead_letters():
        damaged += isinstance(letter, Unreadable)
        dead += not isinstance(letter, Unreadable)
    for parcel in spool.parcels():
        if isinstance(parcel, Unreadable):
            damaged += 1
            continue
        waiting = courier.hindrance(parcel, deliveries.get(parcel.envelope.id), now=now)
        leased = waiting is not None and waiting.why == "in_flight"
        in_flight += leased
        pending += not leased
        size += policy.weigh(parcel.envelope)
        age_ms = age_between(since=parcel.accepted, now=now, skew_ms=skew_ms).ms
        oldest = age_ms if oldest is None else max(oldest, age_ms)
    return OutboxCounts(
        pending=pending, in_flight=in_flight, dead=dead, damaged=damaged, bytes=size, oldest_age_ms=oldest
    )


def exported(views: Iterable[Spooled]) -> Iterator[dict[str, Any]]:
    """Messages as JSON objects: state, attempts, the last reason, and the whole envelope as `message`."""
    for view in views:
        document: dict[str, Any] = {
            "state": view.state,
            "attempts": view.attempts,
            "reason": view.reason or None,
            "via": view.via or None,
            "settled_at": None if view.settled_at_ms is None else iso_of_ms(view.settled_at_ms),
            "message": document_of(view.envelope),
        }
        yield {name: value for name, value in document.items() if value is not None}


def _waiting(parcel: Parcel, delivery: Delivery | None, courier: Courier, *, now: Instant) -> Spooled:
    known = policy.current(parcel, delivery)
    hindered = courier.hindrance(parcel, delivery, now=now)
    leased = hindered is not None and hindered.why == "in_flight"
    left_ms = None if hindered is None else now.at_ms + hindered.left_ms
    return Spooled(
        envelope=parcel.envelope,
        state="in_flight" if leased else "pending",
        attempts=parcel.tried + known.attempts,
        not_before_ms=None if leased else left_ms,
        lease_until_ms=left_ms if leased else None,
        reason=known.reason,
        bytes=policy.weigh(parcel.envelope),
    )


def _buried(dead: DeadLetter) -> Spooled:
    return Spooled(
        envelope=dead.parcel.envelope,
        state="dead",
        attempts=dead.parcel.tried + dead.attempts,
        reason=dead.reason,
        bytes=policy.weigh(dead.parcel.envelope),
        settled_at_ms=dead.buried_ms,
    )


def _told(entry: Entry) -> Spooled | None:
    value: Mapping[str, Any] = entry.value
    try:
        created = iso_of_ms(value.get("created_ms", 0))
        envelope: Envelope = envelope_of(
            {
                "message_id": value.get("message"),
                "from": value.get("sender"),
                "to": value.get("to"),
                "kind": value.get("kind", "message"),
                "body": "",
                "created_at": created,
                "sequence": value.get("sequence", 0),
                "lane": value.get("lane", ""),
                "phase": value.get("phase", ""),
                "correlation_id": value.get("correlation"),
                "reply_to": value.get("reply_to"),
            }
        )
    except (InvalidInput, TypeError, OverflowError):
        return None  # an entry of another version, or damaged: the list goes on without it
    attempts, size = value.get("attempts", 0), value.get("bytes", 0)
    return Spooled(
        envelope=envelope,
        state="sent",
        attempts=attempts if isinstance(attempts, int) else 0,
        via=str(value.get("via", "")),
        bytes=size if isinstance(size, int) else 0,
        settled_at_ms=entry.at_ms,
    )
