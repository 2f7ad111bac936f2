"""One delivery at a time: leases among processes, their ends, and records that are damaged meanwhile."""

from __future__ import annotations

import pytest

from sharedstate.messages.model import Answer, Deferred, Envelope, Rejected
from sharedstate.messages.spool import DELIVERIES, shelf_of
from tests.unit.messages.office import Office

DOWN = Deferred(via="there", reason="connection refused")
NO = Rejected(via="there", reason="no such agent", status=404)
OTHER_ID = (
    b'{"message": {"message_id": "01KJKB3Q00NH60KGM20VKY7AKB", "from": "a", "to": ["b"], "body": "x",'
    b' "created_at": "2026-03-01T00:00:00.000Z"}, "accepted": "1 1 "}'
)


def test_what_another_process_delivers_is_left_alone() -> None:
    office = Office()
    office.queued("one", deliver=False)
    seen: list[object] = []

    def meanwhile(envelope: Envelope) -> Answer | None:
        seen.append(office.desk().flush())
        return None

    office.post.script = meanwhile
    assert office.flush().sent == 1
    assert [getattr(report, "waiting", None) for report in seen] == [1]
    assert len(office.post.calls) == 1


def test_the_lease_of_a_dead_process_is_over_at_once() -> None:
    office = Office()
    dies = office.desk()

    class Died(BaseException):
        pass

    office.post.script = lambda envelope: Died()
    with pytest.raises(Died):
        office.send("one", outbox=dies)
    assert office.states() == {"one": "in_flight"}
    office.post.script = None
    assert office.flush().waiting == 1  # nothing proves that it is dead
    office.host.kill(dies._courier._own_process())  # type: ignore[arg-type]  # reason: on this machine it is known
    assert office.states() == {"one": "pending"}
    assert office.flush().sent == 1
    assert office.post.letters[0].attempts == 2


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
def test_a_step_of_the_wall_clock_neither_ends_a_lease_nor_keeps_it(step_s: int) -> None:
    office = Office()
    seen: list[int] = []

    def meanwhile(envelope: Envelope) -> Answer | None:
        if not seen:
            office.host.step_wall(step_s)
            seen.append(office.desk().flush().waiting)
            office.pass_s(61)
            seen.append(office.desk().flush().sent)
        return None

    office.post.script = meanwhile
    office.sent("one")
    assert seen == [1, 1]
    assert office.post.bodies() == ["one"]


def test_a_lease_of_an_earlier_boot_ends_by_the_wall_clock() -> None:
    office = Office()
    office.queued("one", deliver=False)

    class PowerCut(BaseException):
        pass

    office.post.script = lambda envelope: PowerCut()
    with pytest.raises(PowerCut):
        office.flush()
    office.post.script = None
    office.host.reboot()
    office.pass_s(61)
    assert office.desk(office.host).flush().sent == 1


def test_who_was_overtaken_by_another_does_not_undo_what_that_one_did() -> None:
    """A process stands still for longer than its lease; meanwhile the message is delivered, and it is told `no`."""
    office = Office()
    office.queued("one", deliver=False)

    def slow(envelope: Envelope) -> Answer | None:
        if len(office.post.calls) == 1:
            office.pass_s(61)
            assert office.desk().flush().sent == 1
            return NO
        return None

    office.post.script = slow
    assert office.flush().dead == 0
    assert office.outbox.list() == []
    assert [event["type"] for event in office.events()] == ["message_sent"]


# Damage


def damage(office: Office, body: str, raw: bytes) -> str:
    [one] = [one for one in office.outbox.list() if one.envelope.body == body]
    office.memory.plant(shelf_of(one.envelope.sender), one.envelope.id, raw)
    return one.envelope.id


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b'{"message": {"message_id"',
        b"[]",
        b"{}",
        b'{"message": 1}',
        OTHER_ID,
    ],
    ids=["empty", "truncated", "list", "no message", "number", "other id"],
)
def test_a_damaged_record_is_told_never_sent_never_removed_and_in_nobodys_way(raw: bytes) -> None:
    office = Office()
    office.queued("damaged", deliver=False)
    office.queued("sound", deliver=False)
    key = damage(office, "damaged", raw)
    report = office.flush()
    assert (report.total, report.sent, report.damaged) == (1, 1, (key,))
    office.sent("another")
    assert office.post.bodies() == ["sound", "another"]
    assert [one.name for one in office.outbox.damaged()] == [key]
    assert office.outbox.counts().damaged == 1
    assert (shelf_of("a"), key) in office.memory._rows


def test_a_damaged_note_about_a_delivery_only_means_that_it_is_tried_again() -> None:
    office = Office()
    office.post.script = lambda envelope: DOWN
    key = office.queued("one").id
    office.memory.plant(DELIVERIES, key, b"{")
    office.post.script = None
    office.pass_s(61)
    assert office.flush().sent == 1
    assert list(office.memory.scan(DELIVERIES)) == []
