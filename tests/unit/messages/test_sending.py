"""Accepted first, delivered then: what a sender is told, and what stands in the outbox meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.connect import SharedState
from sharedstate.errors import InvalidId, InvalidInput, StoreUnavailable
from sharedstate.messages.model import Answer, Deferred, Draft, Envelope, Queued, Refused, Rejected, Sent
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from tests.unit.messages.office import Office

DOWN = Deferred(via="there", reason="connection refused")
NO = Rejected(via="there", reason="no such agent", status=404)


def test_a_message_is_delivered_at_once_and_leaves_the_outbox() -> None:
    office = Office()
    answer = office.send("one")
    assert isinstance(answer, Sent)
    assert answer.via == "recording"
    assert office.post.bodies() == ["one"]
    assert office.outbox.list() == []
    [event] = office.events()
    assert event["type"] == "message_sent"
    assert event["message"] == answer.envelope.id
    assert "body" not in event


def test_the_message_stands_in_the_spool_while_it_is_delivered() -> None:
    office = Office()
    seen: list[dict[str, str]] = []

    def look(envelope: Envelope) -> Answer | None:
        seen.append(office.states())
        return None

    office.post.script = look
    office.sent("one")
    assert seen == [{"one": "in_flight"}]


def test_what_cannot_be_delivered_now_is_queued_and_a_flush_goes_on() -> None:
    office = Office()
    office.post.script = lambda envelope: DOWN
    answer = office.send("one")
    assert isinstance(answer, Queued)
    assert answer.reason == "connection refused"
    assert answer.not_before_ms is not None
    assert office.states() == {"one": "pending"}
    office.post.script = None
    assert office.flush().waiting == 1
    office.pass_s(5)
    assert office.flush().sent == 1
    [letter] = office.post.letters
    assert letter.created_at_ms == answer.envelope.created_at_ms
    assert (letter.id, letter.sequence) == (answer.envelope.id, answer.envelope.sequence)
    assert letter.attempts == 2
    assert letter.replayed_at_ms == letter.created_at_ms + 5000


def test_what_the_receiver_rejects_is_refused_and_stands_among_the_dead_letters() -> None:
    office = Office()
    office.post.script = lambda envelope: NO
    answer = office.send("one")
    assert isinstance(answer, Refused)
    assert (answer.code, answer.status, answer.reason) == ("rejected_by_receiver", 404, "no such agent")
    assert office.states() == {"one": "dead"}
    shown = office.outbox.show(answer.id)
    assert shown is not None
    assert shown.reason == "no such agent"
    assert office.flush().total == 0


def test_a_lost_answer_costs_a_second_delivery_of_the_same_id_and_no_second_message() -> None:
    office = Office()
    office.post.lose_answers = 1
    office.queued("one")
    office.pass_s(5)
    assert office.flush().sent == 1
    assert len(office.post.calls) == 2
    assert office.post.bodies() == ["one"]


def test_without_delivery_a_message_is_only_accepted() -> None:
    office = Office()
    office.queued("one", deliver=False)
    assert office.post.calls == []
    assert office.flush().sent == 1


def test_an_explicit_transport_is_for_this_try_only() -> None:
    office, other = Office(), Office().post
    office.sent("one", transport=other)
    assert (other.bodies(), office.post.bodies()) == (["one"], [])
    other.script = lambda envelope: DOWN
    office.queued("two", transport=other)
    office.pass_s(5)
    office.flush()
    assert office.post.bodies() == ["two"]


def test_endpoints_go_with_the_message_into_the_outbox() -> None:
    office = Office()
    office.post.script = lambda envelope: DOWN
    office.queued("one", endpoints=["http://127.0.0.1:1/"])
    office.pass_s(5)
    office.flush()
    assert office.asked == [("http://127.0.0.1:1/",)] * 2


def test_a_transport_that_raises_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.post.script = lambda envelope: ZeroDivisionError("a bug")
    answer = office.send("one")
    assert isinstance(answer, Queued)
    assert "ZeroDivisionError" in answer.reason
    assert "raised" in caplog.text
    office.post.script = lambda envelope: StoreUnavailable("away")
    office.pass_s(5)
    assert office.flush().failed == 1
    assert office.states() == {"one": "pending"}


def test_a_full_store_accepts_nothing_and_says_so() -> None:
    office = Office()
    office.memory.outage = StoreUnavailable("no space left on device")
    with pytest.raises(StoreUnavailable, match="no space"):
        office.send("one")
    office.memory.outage = None
    assert office.outbox.list() == []
    assert office.post.calls == []
    office.sent("two")


def test_what_could_not_be_written_down_after_a_delivery_is_delivered_again_under_its_id() -> None:
    office = Office()

    def fail(envelope: Envelope) -> Answer | None:
        office.memory.outage = StoreUnavailable("no space left on device")
        return None

    office.post.script = fail
    answer = office.send("one")
    assert isinstance(answer, Sent)  # it is
    office.memory.outage = office.post.script = None
    assert office.states() == {"one": "in_flight"}
    office.pass_s(61)
    assert office.flush().sent == 1
    assert office.post.bodies() == ["one"]
    assert len(office.post.calls) == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"sender": ""},
        {"to": ()},
        {"to": ("*", "b")},
        {"to": "b\n"},
        {"body": "x" * 65_537},
        {"body": "nul\0"},
        {"kind": "with space"},
        {"lane": "é"},
        {"phase": "x" * 61},
        {"reply_to": "not an id"},
        {"correlation_id": "short"},
        {"requires_ack_ms": 0},
        {"priority": 10},
        {"timeout_s": 0},
        {"endpoints": "http://one-text"},
        {"endpoints": [""]},
        {"endpoints": ["x"] * 21},
    ],
)
def test_what_no_receiver_would_take_is_refused_before_anything_is_kept(bad: dict[str, Any]) -> None:
    office = Office()
    with pytest.raises((InvalidInput, InvalidId)):
        office.send(**bad)
    assert office.memory.writes == 0


def test_a_draft_says_the_same_as_its_fields() -> None:
    office = Office()
    answer = office.outbox.send(Draft(sender="a", recipients=("b", "c"), body="x", ack_within_ms=1000, priority=2))
    assert isinstance(answer, Sent)
    assert answer.envelope.ack_due_ms == answer.envelope.created_at_ms + 1000
    assert answer.envelope.recipients == ("b", "c")


def test_a_reply_belongs_to_the_thread_of_what_it_answers() -> None:
    office = Office()
    first = office.sent("one")
    assert first.correlation_id == first.id
    reply = office.sent("two", sender="b", to="a", reply_to=first.id)
    assert (reply.reply_to, reply.correlation_id) == (first.id, first.id)


def test_a_full_outbox_refuses_loudly_and_keeps_nothing(caplog: pytest.LogCaptureFixture) -> None:
    office = Office(outbox_messages_max=2)
    office.post.script = lambda envelope: DOWN
    office.queued("one")
    office.queued("two")
    answer = office.send("three")
    assert isinstance(answer, Refused)
    assert (answer.code, answer.id) == ("outbox_full", "")
    assert "outbox_messages_max is 2" in answer.reason
    assert "full" in caplog.text
    assert list(office.states()) == ["one", "two"]
    office.post.script = None
    office.pass_s(5)
    assert office.flush().sent == 2
    office.sent("three")


def test_bytes_are_limited_too() -> None:
    office = Office(outbox_bytes_max=3000)
    office.post.script = lambda envelope: DOWN
    office.queued("x" * 1500)
    answer = office.send("x" * 1500)
    assert isinstance(answer, Refused)
    assert "outbox_bytes_max" in answer.reason
    office.queued("small")


def test_a_state_has_an_outbox_whose_default_way_is_the_inbox_of_the_same_store() -> None:
    host = FakeHost()
    with SharedState.open("/nowhere", host=host, store=MemoryStore(host), owner="a") as state:
        state.local_store = MemoryStore(host)
        answer = state.outbox.send(sender="a", to="b", body="hello")
        assert isinstance(answer, Sent)
        assert answer.via == "store"
        [letter] = state.inbox.list("b")
        assert letter.envelope is not None
        assert letter.envelope.body == "hello"
