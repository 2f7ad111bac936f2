"""What the outbox keeps on disk, as values, and their JSON documents.

A parcel is written once, durably, and never changed until it leaves: no lease, attempt or back-off ever rewrites the
only copy of an accepted message. What changes stands beside it in a delivery, which may be lost: then the message is
only tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from sharedstate.clock import DURATION_MS_MAX, Instant
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.ids import Process
from sharedstate.jsonio import COUNT_MAX
from sharedstate.messages.model import Envelope
from sharedstate.messages.wire import document_of, envelope_of
from sharedstate.store import Document
from sharedstate.values import Value

TEXT_CHARACTERS_MAX: Final = 2_000
ENDPOINTS_MAX: Final = 20
ENDPOINT_CHARACTERS_MAX: Final = 2_000
_PARCEL: Final = frozenset(("message", "accepted", "endpoints", "life", "tried", "lease"))
T = TypeVar("T")


class Lease(Value):
    """Who tries to deliver a message now: a `nonce` of this very try, its process, since when, for at most `ttl_ms`."""

    nonce: str
    process: Process | None
    since: Instant
    ttl_ms: int


class Parcel(Value):
    """An accepted message in the outbox: the envelope, when it was accepted, where to (none: as its lane says).

    `life` counts how often it came back from the dead letters, `tried` the attempts of earlier lives. `lease` is that
    of the `send` that wrote it. `extra` keeps unknown fields.
    """

    envelope: Envelope
    accepted: Instant
    endpoints: tuple[str, ...] = ()
    life: int = 0
    tried: int = 0
    lease: Lease | None = None
    extra: Mapping[str, Any] = {}


class Delivery(Value):
    """How the delivery of a parcel goes: attempts begun in this life, who tries now, since when and how long it waits.

    `life` is that of the parcel; a delivery of another life says nothing.
    """

    life: int = 0
    attempts: int = 0
    lease: Lease | None = None
    failed: Instant | None = None
    wait_ms: int = 0
    reason: str = ""


class DeadLetter(Value):
    """A message that no flush tries any more: the parcel, how often it was tried in that life, why, when."""

    parcel: Parcel
    attempts: int
    reason: str
    status: int | None
    buried_ms: int


# Out


def dump_parcel(parcel: Parcel) -> Document:
    """The JSON document of a parcel, without the store's envelope."""
    document = {**parcel.extra, "message": document_of(parcel.envelope), "accepted": text_of_instant(parcel.accepted)}
    # What is usual is left out: writing this document is most of what accepting a message costs besides the disk.
    if parcel.endpoints:
        document["endpoints"] = list(parcel.endpoints)
    if parcel.life or parcel.tried:
        document |= {"life": parcel.life, "tried": parcel.tried}
    if parcel.lease is not None:
        document["lease"] = _dump_lease(parcel.lease)
    return document


def dump_delivery(delivery: Delivery) -> Document:
    """The JSON document of a delivery."""
    return {
        "life": delivery.life,
        "attempts": delivery.attempts,
        "lease": _dump_lease(delivery.lease),
        "failed": None if delivery.failed is None else text_of_instant(delivery.failed),
        "wait_ms": delivery.wait_ms,
        "reason": delivery.reason,
    }


def dump_dead(dead: DeadLetter) -> Document:
    """The JSON document of a dead letter: the parcel, and what became of it."""
    return {
        **dump_parcel(dead.parcel.replace(lease=None)),
        "attempts": dead.attempts,
        "reason": dead.reason,
        "status_code": dead.status,
        "buried_ms": dead.buried_ms,
    }


# In


def load_parcel(key: str, document: Document) -> Parcel:
    """The parcel of message `key`. Raises `Corrupt` with the reason."""
    return _loaded(f"message {key}", lambda: _parcel(key, document, known=_PARCEL))


def load_delivery(key: str, document: Document) -> Delivery:
    """The delivery of message `key`. Raises `Corrupt` with the reason."""

    def read() -> Delivery:
        failed = document.get("failed")
        return Delivery(
            life=_count(document.get("life", 0)),
            attempts=_count(document.get("attempts", 0)),
            lease=_lease(document.get("lease")),
            failed=None if failed is None else instant_of(failed),
            wait_ms=_count(document.get("wait_ms", 0), high=DURATION_MS_MAX),
            reason=_text(document.get("reason", "")),
        )

    return _loaded(f"delivery of {key}", read)


def load_dead(key: str, document: Document) -> DeadLetter:
    """The dead letter of message `key`. Raises `Corrupt` with the reason."""

    def read() -> DeadLetter:
        status = document.get("status_code")
        return DeadLetter(
            parcel=_parcel(key, document, known=_PARCEL | {"attempts", "reason", "status_code", "buried_ms"}),
            attempts=_count(document.get("attempts", 0)),
            reason=_text(document.get("reason", "")),
            status=None if status is None else _count(status, high=999),
            buried_ms=_count(document.get("buried_ms", 0)),
        )

    return _loaded(f"dead letter {key}", read)


def text_of_instant(moment: Instant) -> str:
    """A moment as one text: Unix milliseconds, milliseconds since boot, which boot."""
    return f"{moment.at_ms} {moment.boot_ms} {moment.boot_id}"


def instant_of(text: Any) -> Instant:
    """A moment from its text; raises `ValueError`."""
    at_ms, boot_ms, boot_id = _words(text, count=3)
    return Instant(at_ms=_digits(at_ms), boot_ms=_digits(boot_ms), boot_id=boot_id)


def _text_of_process(process: Process) -> str:
    return f"{process.pid} {process.start} {process.boot_id} {process.pid_ns}"


def _process_of(text: Any) -> Process | None:
    if text is None:
        return None
    pid, start, boot_id, pid_ns = _words(text, count=4)
    return Process(pid=_digits(pid), start=_digits(start), boot_id=boot_id, pid_ns=pid_ns)


def _words(text: Any, *, count: int) -> list[str]:
    words = _text(text).split(" ")
    if len(words) != count:
        raise ValueError(f"not {count} words")
    return words


def _digits(word: str) -> int:
    if not word.isascii() or not word.removeprefix("-").isdigit() or len(word) > 17:
        raise ValueError("not a number")
    return int(word)


def _parcel(key: str, document: Document, *, known: frozenset[str]) -> Parcel:
    message = document.get("message")
    if not isinstance(message, dict):
        raise ValueError("no message")
    envelope = envelope_of(message)
    if envelope.id != key:
        raise ValueError(f"holds the message {envelope.id}")
    endpoints = document.get("endpoints", [])
    if not isinstance(endpoints, list) or len(endpoints) > ENDPOINTS_MAX:
        raise ValueError("endpoints is not a short list")
    return Parcel(
        envelope=envelope,
        accepted=instant_of(document.get("accepted")),
        endpoints=tuple(_text(endpoint) for endpoint in endpoints),
        life=_count(document.get("life", 0)),
        tried=_count(document.get("tried", 0)),
        lease=_lease(document.get("lease")),
        extra={name: value for name, value in document.items() if name not in known},
    )


def _lease(document: Any) -> Lease | None:
    if document is None:
        return None
    if not isinstance(document, dict):
        raise ValueError("lease is not an object")
    return Lease(
        nonce=_text(document.get("nonce")),
        process=_process_of(document.get("process")),
        since=instant_of(document.get("since")),
        ttl_ms=_count(document.get("ttl_ms"), high=DURATION_MS_MAX),
    )


def _dump_lease(lease: Lease | None) -> Document | None:
    if lease is None:
        return None
    return {
        "nonce": lease.nonce,
        "process": None if lease.process is None else _text_of_process(lease.process),
        "since": text_of_instant(lease.since),
        "ttl_ms": lease.ttl_ms,
    }


def _loaded(what: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except InvalidInput as error:
        raise Corrupt(f"{what}: {error}") from None
    except (TypeError, ValueError) as error:
        raise Corrupt(f"{what}: {error}") from None


def _count(value: Any, *, low: int = 0, high: int = COUNT_MAX) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"not a whole number from {low} to {high}")
    return value


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > TEXT_CHARACTERS_MAX:
        raise ValueError(f"not a text of at most {TEXT_CHARACTERS_MAX} characters")
    return value
