"""What waits is delivered in order, bounded, by as many flushers as there are; what cannot be is put off or buried."""

from __future__ import annotations

import pytest

from sharedstate.errors import InvalidInput
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Queued, Rejected, Sent
from sharedstate.messages.turns import BACKLOG_MIN, BACKLOGS
from sharedstate.testing.transports import Script
from tests.unit.messages.office import Office

DOWN = Deferred(via="there", reason="connection refused")
NO = Rejected(via="there", reason="no such agent", status=404)


def down_for(*names: str) -> Script:
    return lambda envelope: DOWN if set(names) & set(envelope.recipients) else None


# Order


def test_a_later_message_waits_behind_an_earlier_one_to_the_same_recipient() -> None:
    office = Office()
    office.post.script = down_for("b")
    office.queued("one")
    office.post.script = None
    assert office.queued("two").sequence > 0
    assert office.post.bodies() == []
    office.pass_s(5)
    assert office.flush().sent == 2
    assert office.post.bodies() == ["one", "two"]


def test_messages_to_other_recipients_and_of_other_senders_do_not_wait() -> None:
    office = Office()
    office.post.script = down_for("b")
    office.queued("one")
    office.sent("two", to="c")
    office.post.script = None
    office.sent("three", sender="z")
    assert office.post.bodies() == ["two", "three"]


def test_a_message_to_everybody_waits_for_all_and_all_wait_for_it() -> None:
    office = Office()
    office.post.script = lambda envelope: DOWN
    office.queued("one")
    office.queued("all", to="*")
    office.queued("two", to="c")
    office.post.script = None
    office.pass_s(5)
    office.flush()
    assert office.post.bodies() == ["one", "all", "two"]


def test_one_of_many_recipients_that_waits_holds_up_the_whole_message_and_what_follows_it() -> None:
    office = Office()
    office.post.script = down_for("b")
    office.queued("to b")
    office.queued("to both", to=("b", "c"))
    office.queued("to c", to="c")
    office.post.script = None
    office.pass_s(5)
    office.flush()
    assert office.post.bodies() == ["to b", "to both", "to c"]


def test_a_failure_in_a_flush_holds_up_its_recipients_and_nobody_else() -> None:
    office = Office()
    for body, to in (("b1", "b"), ("c1", "c"), ("b2", "b"), ("c2", "c")):
        office.queued(body, to=to, deliver=False)
    office.post.script = down_for("b")
    report = office.flush()
    assert (report.total, report.sent, report.failed, report.waiting) == (4, 2, 1, 1)
    assert office.post.bodies() == ["c1", "c2"]
    assert [one.body for one in office.post.calls] == ["b1", "c1", "c2"]


def test_sequences_grow_through_processes_steps_of_the_wall_clock_and_boots() -> None:
    office = Office()
    sequences: list[int] = []
    for step_s in (0, -3600, 7200):
        office.host.step_wall(step_s)
        office.pass_s(0.001)  # accepting a message takes that long
        sequences.append(office.sent("one", outbox=office.desk()).sequence)
    office.pass_s(0.001)
    sequences.append(office.queued("waits", outbox=office.desk(), deliver=False).sequence)
    office.host.step_wall(-864_000)
    office.host.reboot()
    office.post.script = lambda envelope: DOWN
    sequences.append(office.queued("after the boot", outbox=office.desk(office.host)).sequence)
    assert sequences == sorted(set(sequences))


def test_a_long_backlog_is_not_looked_through_by_each_send() -> None:
    office = Office()
    for number in range(BACKLOG_MIN):
        office.queued(str(number), deliver=False)
    office.queued("first behind", outbox=office.desk())
    assert office.store.get(BACKLOGS, "a") is not None
    office.queued("second behind")
    office.sent("elsewhere", to="c")
    office.flush()
    assert office.post.bodies(to="b")[-2:] == ["first behind", "second behind"]
    assert office.store.get(BACKLOGS, "a").value["covered"] == {}  # type: ignore[union-attr]  # reason: it was there
    office.sent("free again")


def test_who_waits_for_a_delivery_in_flight_is_delivered_by_whoever_ends_it() -> None:
    """Two processes of one sender at once: the second finds the first in flight, and nobody has to flush."""
    office = Office()
    behind: list[object] = []

    def meanwhile(envelope: Envelope) -> Answer | None:
        if envelope.body == "first":
            behind.append(office.send("second", outbox=office.desk()))
        return None

    office.post.script = meanwhile
    office.sent("first")
    assert isinstance(behind[0], Queued)
    assert office.post.bodies() == ["first", "second"]
    assert office.outbox.list() == []


def test_who_comes_after_the_end_of_what_it_waited_for_delivers_itself() -> None:
    office = Office()
    office.queued("first", deliver=False)  # as a process that died between the two: accepted, and nobody tries it
    answer = office.send("second")
    assert isinstance(answer, Sent)
    assert office.post.bodies() == ["first", "second"]


# Putting off


def test_back_off_grows_with_jitter_and_has_a_bound() -> None:
    office = Office(outbox_age_max_ms=20 * 86_400_000)
    office.post.script = lambda envelope: DOWN
    office.queued("one")
    waits = []
    for _ in range(30):
        [one] = office.outbox.list()
        assert one.not_before_ms is not None
        waits.append(one.not_before_ms - office.host.now().at_ms)
        office.pass_s(waits[-1] / 1000)
        assert office.flush().failed == 1
    assert all(1_000 <= wait <= 900_000 for wait in waits)
    assert max(waits) > 60_000
    assert len(set(waits)) > 10


def test_retry_after_is_honoured() -> None:
    office = Office()
    office.post.script = lambda envelope: DOWN.replace(retry_after_ms=3_600_000)
    office.queued("one")
    office.post.script = None
    office.pass_s(3_599)
    assert office.flush().waiting == 1
    office.pass_s(1)
    assert office.flush().sent == 1


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
def test_a_step_of_the_wall_clock_does_not_change_when_it_is_due(step_s: int) -> None:
    office = Office()
    office.post.script = lambda envelope: DOWN.replace(retry_after_ms=60_000)
    office.queued("one")
    office.post.script = None
    office.host.step_wall(step_s)
    assert office.flush().waiting == 1
    office.pass_s(60)
    assert office.flush().sent == 1


# Giving up


def test_what_is_rejected_goes_to_the_dead_letters_and_blocks_nobody() -> None:
    office = Office()
    office.queued("bad", deliver=False)
    office.queued("good", deliver=False)
    office.post.script = lambda envelope: NO if envelope.body == "bad" else None
    report = office.flush()
    assert (report.sent, report.dead, report.waiting) == (1, 1, 0)
    [dead] = office.outbox.list(state="dead")
    assert (dead.reason, dead.attempts) == ("no such agent", 1)
    assert {event["type"] for event in office.events()} == {"message_sent", "message_dead"}


def test_attempts_are_bounded() -> None:
    office = Office(outbox_attempts_max=3)
    office.post.script = lambda envelope: DOWN
    office.queued("one")
    office.pass_s(900)
    assert office.flush().failed == 1
    office.pass_s(900)
    assert office.flush().dead == 1
    [dead] = office.outbox.list()
    assert dead.attempts == 3
    assert "3 attempts" in dead.reason
    assert "connection refused" in dead.reason


def test_a_message_that_kills_whoever_delivers_it_is_given_up_too() -> None:
    office = Office(outbox_attempts_max=3)
    office.queued("poison", deliver=False)
    office.queued("fine", deliver=False)

    class Died(BaseException):
        pass

    office.post.script = lambda envelope: Died() if envelope.body == "poison" else None
    for _ in range(3):
        with pytest.raises(Died):
            office.flush()
        office.pass_s(61)
    report = office.flush()
    assert (report.dead, report.sent) == (1, 1)
    assert office.states() == {"poison": "dead"}


def test_what_is_too_old_is_tried_once_more_before_it_is_given_up() -> None:
    office = Office(outbox_age_max_ms=60_000)
    office.queued("delivered late", deliver=False)
    office.queued("given up", deliver=False, to="c")
    office.pass_s(86_400)
    office.post.script = down_for("c")
    report = office.flush()
    assert (report.sent, report.dead) == (1, 1)
    [dead] = office.outbox.list()
    assert "older than 60 s" in dead.reason


# Bounds


def test_a_flush_is_bounded_by_count_and_says_so() -> None:
    office = Office()
    for number in range(5):
        office.queued(str(number), deliver=False)
    report = office.flush(count_max=2)
    assert (report.sent, report.waiting, report.stopped) == (2, 3, "count")
    assert office.flush().stopped == ""
    assert office.post.bodies() == list("01234")


def test_a_flush_is_bounded_by_time_and_says_so() -> None:
    office = Office()
    for number in range(5):
        office.queued(str(number), deliver=False)
    bounds: list[float] = []

    class Slow:
        name = "slow"

        def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
            del envelope
            bounds.append(timeout_s)
            office.pass_s(4)
            return Delivered(via="slow")

        def close(self) -> None: ...

    report = office.flush(transport=Slow(), time_max_s=10)
    assert (report.sent, report.waiting, report.stopped) == (3, 2, "time")
    assert bounds == pytest.approx([10, 6, 2])


def test_senders_take_turns() -> None:
    office = Office()
    for number in range(3):
        for sender in "az":
            office.queued(f"{sender}{number}", sender=sender, deliver=False)
    office.flush(count_max=4)
    assert sorted(office.post.bodies()) == ["a0", "a1", "z0", "z1"]


def test_a_flush_of_one_sender_leaves_the_others() -> None:
    office = Office()
    office.queued("mine", deliver=False)
    office.queued("theirs", sender="z", deliver=False)
    report = office.flush(sender="z")
    assert (report.total, report.sent) == (1, 1)
    assert office.states() == {"mine": "pending"}


@pytest.mark.parametrize("bad", [{"count_max": 0}, {"time_max_s": 0}, {"time_max_s": 1e9}])
def test_bounds_of_a_flush_have_bounds(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        Office().flush(**bad)


def test_automatic_flushing_delivers_a_few_that_are_due_with_each_send() -> None:
    office = Office(outbox_autoflush=True)
    office.post.script = lambda envelope: DOWN
    office.queued("one")
    office.post.script = None
    office.queued("two")  # one is not due
    office.pass_s(5)
    office.sent("elsewhere", to="c")
    assert office.post.bodies() == ["elsewhere", "one", "two"] or office.post.bodies() == ["one", "elsewhere", "two"]
