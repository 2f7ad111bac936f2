"""The envelope: its document form, the limit of every field, its identity."""

from __future__ import annotations

import pytest

from sharedstate.errors import InvalidInput
from sharedstate.messages.model import Envelope
from sharedstate.messages.wire import content_digest, document_of, envelope_of, new_message_id

ID = new_message_id(at_ms=1_800_000_000_000, entropy=bytes(range(10)))
OTHER = new_message_id(at_ms=1_800_000_000_001, entropy=bytes(10))
WHOLE = Envelope(
    id=ID,
    sender="desk/ada",
    recipients=("desk/bob", "desk/bob2"),
    kind="question",
    body="Which base?\n\u202etxt <!-- \U0001f600",
    created_at_ms=1_800_000_000_123,
    sequence=7,
    lane="review",
    phase="plan",
    correlation_id=OTHER,
    reply_to=OTHER,
    ack_due_ms=1_800_000_900_000,
    priority=-3,
    replayed_at_ms=1_800_000_060_000,
    attempts=2,
    more={"colour": "blue", "nested": {"kept": [1, 2.5, None]}},
)


def test_an_envelope_survives_its_document_with_every_field_and_what_is_unknown() -> None:
    assert envelope_of(document_of(WHOLE)) == WHOLE


def test_a_message_that_starts_a_thread_correlates_with_itself() -> None:
    document = {"message_id": ID, "from": "a", "to": "b", "body": "", "created_at": "2026-03-01T12:00:00Z"}
    assert envelope_of(document).correlation_id == ID
    assert envelope_of(document).recipients == ("b",)


def test_ids_sort_by_time_and_differ_by_chance() -> None:
    later = new_message_id(at_ms=1_800_000_000_001, entropy=b"\xff" * 10)
    assert ID < OTHER < later
    assert {len(ID), len(OTHER), len(later)} == {26}


@pytest.mark.parametrize(
    "field, value",
    [
        ("message_id", "x"),
        ("message_id", "8" + ID[1:]),  # above 128 bits
        ("message_id", ID.lower()),
        ("from", ""),
        ("from", "a\u200bb"),
        ("to", []),
        ("to", ["a", "*"]),
        ("to", [f"a{number}" for number in range(101)]),
        ("to", 5),
        ("from", "*"),
        ("kind", "k" * 61),
        ("kind", "a b"),
        ("lane", 1),
        ("phase", "p\n"),
        ("body", None),
        ("body", "\0"),
        ("body", "\ud800"),
        ("body", "é" * 32_769),
        ("created_at", None),
        ("created_at", "2026-03-01T12:00:00"),
        ("sequence", True),
        ("sequence", -1),
        ("sequence", 2**53),
        ("priority", 10),
        ("priority", 1.0),
        ("attempts", "2"),
        ("ack_due", 5),
        ("message_schema", 2),
        ("message_schema", "1"),
        ("extra", "x" * 9_000),
        ("extra", float("nan")),
    ],
)
def test_a_field_outside_its_limits_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        envelope_of({**document_of(WHOLE), field: value})


def test_the_digest_is_of_the_message_and_not_of_its_deliveries() -> None:
    again = WHOLE.replace(attempts=9, replayed_at_ms=None)
    assert content_digest(again) == content_digest(WHOLE)
    assert content_digest(WHOLE.replace(body="other")) != content_digest(WHOLE)
    assert content_digest(WHOLE.replace(more={})) != content_digest(WHOLE)
