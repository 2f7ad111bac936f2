"""Looking at the outbox, and what a person does with it: retry, drop, export, sweep."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sharedstate.claims.audit import Audit
from sharedstate.errors import InvalidId, InvalidInput
from sharedstate.messages.checkup import check_outbox
from sharedstate.messages.model import Deferred, Queued, Rejected, Spooled
from sharedstate.messages.outbox import Outbox
from sharedstate.messages.records import Delivery, dump_parcel
from sharedstate.messages.spool import DEAD, DELIVERIES, shelf_of
from sharedstate.messages.wire import envelope_of
from sharedstate.store import Decision
from sharedstate.testing.memory import MemoryStore
from tests.unit.messages.office import Office

DOWN = Deferred(via="there", reason="connection refused")
NO = Rejected(via="there", reason="no such agent", status=404)


def office_with_dead(**settings: Any) -> tuple[Office, str]:
    office = Office(**settings)
    office.post.script = lambda envelope: NO
    office.send("dead")
    office.post.script = None
    [one] = office.outbox.list(state="dead")
    return office, one.envelope.id


# Looking


def test_the_list_tells_state_attempts_reason_and_when_it_is_tried_again() -> None:
    office, _ = office_with_dead()
    office.post.script = lambda envelope: DOWN
    office.queued("put off")
    office.pass_s(1)
    office.queued("behind")
    told = {one.envelope.body: one for one in office.outbox.list()}
    assert list(told) == ["dead", "put off", "behind"]
    assert (told["put off"].state, told["put off"].attempts, told["put off"].reason) == (
        "pending",
        1,
        "connection refused",
    )
    assert (told["behind"].attempts, told["behind"].not_before_ms) == (0, None)
    assert told["dead"].settled_at_ms is not None
    assert office.outbox.show(told["behind"].envelope.id) == told["behind"]


def test_the_list_is_filtered_and_limited() -> None:
    office, _ = office_with_dead()
    for sender, to in (("a", "b"), ("a", "c"), ("z", "b")):
        office.queued(f"{sender}{to}", sender=sender, to=to, deliver=False)

    def bodies(**filters: Any) -> list[str]:
        return [one.envelope.body for one in office.outbox.list(**filters)]

    assert bodies(state="pending", sender="a") == ["ab", "ac"]
    assert bodies(to="b", state="pending") == ["ab", "zb"]
    assert bodies(limit=2) == ["dead", "ab"]
    assert bodies(state="in_flight") == []


def test_the_sent_ones_are_told_by_the_journal_the_last_ones() -> None:
    office = Office()
    for number in range(5):
        office.sent(str(number), to=("b", "c"), kind="progress", phase="build")
        office.pass_s(1)
    told = office.outbox.list(state="sent", limit=2)
    assert [one.envelope.id for one in told] == office.post.ids()[-2:]
    assert (told[0].envelope.body, told[0].via, told[0].attempts) == ("", "recording", 1)
    assert (told[0].envelope.recipients, told[0].envelope.kind, told[0].envelope.phase) == (
        ("b", "c"),
        "progress",
        "build",
    )


def test_the_counts_are_those_of_the_list() -> None:
    office, _ = office_with_dead()
    office.queued("one", deliver=False)
    office.pass_s(3)
    office.queued("two", deliver=False)
    counts = office.outbox.counts()
    assert (counts.pending, counts.in_flight, counts.dead, counts.damaged) == (2, 0, 1, 0)
    assert counts.oldest_age_ms == 3000
    assert counts.bytes == sum(one.bytes for one in office.outbox.list(state="pending"))
    assert office.flush().oldest_age_ms is None


def test_an_export_has_whole_messages_as_json() -> None:
    office, key = office_with_dead()
    sent = office.queued("pending", deliver=False, priority=3, requires_ack_ms=5000)
    lines = [json.loads(json.dumps(line)) for line in office.outbox.export()]
    assert [(line["state"], line["message"]["message_id"]) for line in lines] == [("dead", key), ("pending", sent.id)]
    assert envelope_of(lines[1]["message"]) == sent
    assert list(office.outbox.export(state="sent")) == []


def test_a_message_that_is_not_there_is_none_and_a_bad_id_is_refused() -> None:
    office = Office()
    gone = office.sent("one").id
    assert office.outbox.show(gone) is None
    assert office.outbox.retry(gone) == 0
    assert office.outbox.drop(gone, reason="x") is False
    with pytest.raises(InvalidId):
        office.outbox.show("nonsense")


# Retry


def test_a_dead_letter_is_tried_again_with_its_old_id_and_time() -> None:
    office, key = office_with_dead()
    [dead] = office.outbox.list()
    office.pass_s(100)
    assert office.outbox.retry(key) == 1
    assert office.states() == {"dead": "pending"}
    assert office.flush().sent == 1
    [letter] = office.post.letters
    assert (letter.id, letter.created_at_ms) == (key, dead.envelope.created_at_ms)
    assert letter.attempts == 2
    assert office.outbox.list() == []


def test_a_retried_one_keeps_its_place_before_later_ones() -> None:
    office, key = office_with_dead()
    office.pass_s(1)
    office.queued("later", deliver=False)
    office.outbox.retry(key)
    office.flush()
    assert office.post.bodies() == ["dead", "later"]


def test_attempts_and_age_of_a_retried_one_start_over() -> None:
    office, key = office_with_dead(outbox_attempts_max=2, outbox_age_max_ms=60_000)
    office.pass_s(3600)
    office.outbox.retry(key)
    office.post.script = lambda envelope: DOWN
    assert office.flush().failed == 1
    office.pass_s(10)
    assert office.flush().dead == 1
    [dead] = office.outbox.list()
    assert dead.attempts == 3


def test_what_was_put_off_is_due_at_once() -> None:
    office = Office()
    office.post.script = lambda envelope: DOWN.replace(retry_after_ms=3_600_000)
    key = office.queued("one").id
    office.post.script = None
    assert office.outbox.retry(key) == 1
    assert office.outbox.retry(key) == 0
    assert office.flush().sent == 1


def test_all_of_them_at_once() -> None:
    office, _ = office_with_dead()
    office.post.script = lambda envelope: DOWN
    office.queued("put off")
    office.queued("behind")
    office.post.script = None
    assert office.outbox.retry(all=True) == 2
    assert office.flush().sent == 3
    with pytest.raises(InvalidInput):
        office.outbox.retry()


def test_a_death_in_the_middle_of_a_burial_or_of_a_retry_is_put_right() -> None:
    """The message stands in both places; its life says which one counts, in the list and for a flush."""
    office, key = office_with_dead()
    dead = office.outbox._spool.dead(key)
    assert dead is not None
    parcel = dead.parcel
    office.outbox._spool.put(parcel)  # buried, and not yet out of the spool
    assert office.states() == {"dead": "dead"}
    assert office.flush().sent == 0
    assert office.states() == {"dead": "dead"}
    office.outbox._spool.put(parcel.replace(life=1))  # retried, and the dead letter not yet gone
    assert office.states() == {"dead": "pending"}
    assert office.flush().sent == 1
    assert list(office.store.scan(DEAD)) == []
    assert office.outbox.show(key) is None


def test_a_repair_leaves_what_was_retried_meanwhile() -> None:
    office, key = office_with_dead()
    dead = office.outbox._spool.dead(key)
    assert dead is not None
    office.outbox._spool.put(dead.parcel)  # buried, and not yet out of the spool
    look = office.desk()._spool
    seen = look.find(key)
    assert seen is not None
    office.outbox.retry(key)
    look.take(seen, event=None)
    assert office.states() == {"dead": "pending"}


# Drop


@pytest.mark.parametrize("dead", [True, False])
def test_what_is_dropped_is_gone_and_audited(dead: bool) -> None:
    office, key = office_with_dead()
    if not dead:
        office.outbox.retry(key)
    trail = MemoryStore(office.host)
    outbox = Outbox(
        office.store,
        host=office.host,
        settings=office.settings,
        transport=lambda envelope, endpoints: office.post,
        audit=Audit(trail),
        owner="ws/me",
    )
    assert outbox.drop(key, reason="sent by mistake") is True
    assert outbox.list() == []
    assert outbox.drop(key, reason="again") is False
    told = office.events()[-1]
    assert (told["type"], told["message"], told["by"], told["reason"]) == (
        "message_dropped",
        key,
        "ws/me",
        "sent by mistake",
    )
    [entry] = Audit(trail).entries()
    assert (entry.kind, entry.about, entry.by) == ("message_dropped", f"outbox:{key}", "ws/me")


def test_what_is_in_flight_is_not_dropped() -> None:
    office = Office()
    seen: list[bool] = []

    def meanwhile(envelope: Any) -> None:
        seen.append(office.desk().drop(envelope.id, reason="stop it"))

    office.post.script = meanwhile
    office.sent("one")
    assert seen == [False]


def test_a_drop_needs_a_reason() -> None:
    office, key = office_with_dead()
    with pytest.raises(InvalidInput, match="reason"):
        office.outbox.drop(key, reason="  ")


# Sweep, doctor


def test_a_sweep_flushes_and_takes_notes_away_that_are_over() -> None:
    office = Office()
    office.queued("one", deliver=False)

    def note(_: Delivery | None, snapshot: object) -> Decision[None]:
        return Decision(result=None, write={"life": 0, "attempts": 1, "lease": None, "failed": None})

    office.outbox._spool.change_delivery("01KJKB3Q00NH60KGM20VKY7AKB", note)
    assert office.outbox.sweep().sent == 1
    assert list(office.store.scan(DELIVERIES)) == []


def test_limits_are_counted_anew_by_a_flush() -> None:
    office = Office(outbox_messages_max=2)
    office.outbox._spool.count(messages=2, bytes_=100)  # as after a death between a message and its counting
    assert not isinstance(office.send("one"), Queued)
    office.flush()
    office.sent("one")


def test_the_doctor_names_what_is_damaged_dead_late_and_full() -> None:
    office, _ = office_with_dead(outbox_messages_max=2, outbox_age_max_ms=10_000)
    office.queued("one", deliver=False)
    bad = office.queued("two", deliver=False)
    office.memory.plant(shelf_of("a"), bad.id, b"{")
    office.pass_s(6)
    codes = {finding.code: finding for finding in check_outbox(office.store, office.settings)}
    assert set(codes) == {"message_damaged", "dead_letters", "messages_late", "outbox"}
    assert codes["message_damaged"].corrupt
    assert bad.id in codes["message_damaged"].where
    fine = {finding.code for finding in check_outbox(MemoryStore(office.host), office.settings)}
    assert fine == {"outbox"}


# Fields of later versions


def test_fields_that_this_version_does_not_know_are_kept() -> None:
    office = Office()
    envelope = office.queued("one", deliver=False)
    parcel = office.outbox._spool.find(envelope.id)
    assert parcel is not None
    document = dump_parcel(parcel.replace(envelope=envelope.replace(more={"x_new": [1]}), extra={"x_spool": 2}, life=1))
    office.store.transact(shelf_of("a"), envelope.id, lambda _: Decision(result=None, write=document))
    again = office.outbox._spool.find(envelope.id)
    assert again is not None
    assert again.extra == {"x_spool": 2}
    office.flush()
    assert office.post.letters[0].more == {"x_new": [1]}


def test_a_view_of_the_outbox_is_a_value() -> None:
    office, _ = office_with_dead()
    assert all(isinstance(one, Spooled) for one in office.outbox.list())
