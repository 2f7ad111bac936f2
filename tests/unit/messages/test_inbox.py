"""The inbox: who gets what, what is unread, how far somebody has read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharedstate.connect import SharedState
from sharedstate.errors import InvalidId, InvalidInput, StoreUnavailable
from sharedstate.messages.mailroom import Mailroom
from sharedstate.messages.model import Deferred, Delivered, Received, Rejected, Watermark
from sharedstate.messages.store_transport import StoreTransport
from sharedstate.messages.wire import new_message_id
from sharedstate.store import Versioned
from sharedstate.testing.clock import FakeHost
from tests.unit.messages.letters import message
from tests.unit.messages.site import Site

DAY_S = 86_400
DAY_MS = DAY_S * 1000


@pytest.fixture
def site() -> Site:
    return Site()


# Addressing


def test_a_message_is_for_its_recipients_and_for_nobody_whose_name_begins_alike(site: Site) -> None:
    site.inbox.receive(message(site.host, "anti2"))
    site.inbox.receive(message(site.host, ("anti2", "bob"), "both"))
    assert site.bodies("anti") == []
    assert site.bodies("anti2") == [(1, "hello"), (2, "both")]
    assert site.bodies("bob") == [(1, "both")]
    assert site.inbox.agents() == ["anti2", "bob"]


def test_what_is_sent_to_everybody_reaches_who_is_there_and_who_comes_later_but_not_its_sender(site: Site) -> None:
    site.inbox.receive(message(site.host, "bob", "first"))
    site.inbox.receive(message(site.host, "*", "to all"))
    site.inbox.receive(message(site.host, "late", "later"))
    assert site.bodies("bob") == [(1, "first"), (2, "to all")]
    assert site.bodies("late") == [(1, "to all"), (2, "later")]
    assert site.bodies("ada") == []


def test_an_inbox_that_cannot_be_read_keeps_nobody_else_from_a_message(site: Site) -> None:
    for agent in ("bob", "eve"):
        site.inbox.receive(message(site.host, agent, "first"))
    site.store.plant("inboxes", "bob", b"no inbox")
    assert isinstance(site.inbox.receive(message(site.host, "*", "to all")), Received)
    assert site.bodies("eve") == [(1, "first"), (2, "to all")]
    assert site.inbox.unread("bob").unknown


def test_everybody_is_nobodys_inbox(site: Site) -> None:
    for ask in (site.inbox.unread, site.inbox.watermark, site.inbox.list):
        with pytest.raises(InvalidInput):
            ask("*")
    with pytest.raises(InvalidId):
        site.inbox.unread("")


# Exactly once


def test_receiving_again_has_no_second_effect(site: Site) -> None:
    envelope = message(site.host, ("bob", "eve"))
    assert site.inbox.receive(envelope) == Received(id=envelope.id, duplicate=False, recipients=("bob", "eve"))
    again = envelope.replace(replayed_at_ms=envelope.created_at_ms + 5, attempts=3)
    assert site.inbox.receive(again) == Received(id=envelope.id, duplicate=True, recipients=("bob", "eve"))
    assert site.bodies("bob") == [(1, "hello")]


def test_the_same_id_with_other_content_is_refused(site: Site) -> None:
    envelope = message(site.host, "bob")
    site.inbox.receive(envelope)
    answer = site.inbox.receive(envelope.replace(body="other"))
    assert isinstance(answer, Rejected)
    assert (answer.status, answer.reason.partition(":")[0]) == (409, "id_conflict")
    assert site.bodies("bob") == [(1, "hello")]


def test_a_message_older_than_the_retention_is_rejected_unless_it_is_known(site: Site) -> None:
    old, known = message(site.host, "bob", "old"), message(site.host, "bob", "known")
    site.inbox.receive(known)
    site.host.advance(31 * DAY_S)
    answer = site.inbox.receive(old)
    assert isinstance(answer, Rejected)
    assert answer.status == 410
    assert site.inbox.receive(known) == Received(id=known.id, duplicate=True, recipients=("bob",))


def test_a_message_from_a_clock_far_ahead_is_rejected_and_one_a_few_hours_ahead_leaves_in_time(site: Site) -> None:
    now_ms = site.store.now().at_ms
    envelope = message(site.host, "bob")
    answer = site.inbox.receive(envelope.replace(created_at_ms=now_ms + DAY_MS + 1))
    assert isinstance(answer, Rejected)
    assert (answer.status, answer.reason.partition(":")[0]) == (422, "ahead")
    assert site.inbox.receive(envelope.replace(created_at_ms=now_ms + DAY_MS)) == Received(
        id=envelope.id, duplicate=False, recipients=("bob",)
    )
    site.inbox.ack("bob", up_to=1)
    site.host.advance(30 * DAY_S + 1)
    assert site.inbox.sweep().messages == 0, "delivered again now, it would still be in time"
    site.host.advance(DAY_S)
    assert site.inbox.sweep().messages == 1


def test_mail_that_is_here_from_a_clock_far_ahead_is_kept_no_longer_than_other_mail(site: Site) -> None:
    envelope = message(site.host, "bob")
    site.inbox.receive(envelope)
    site.inbox.ack("bob", up_to=1)
    found = site.store.get("mail", envelope.id)
    assert found is not None
    planted = {**found.value, "envelope": {**found.value["envelope"], "created_at": "2999-01-01T00:00:00.000Z"}}
    site.store.plant("mail", envelope.id, json.dumps(planted).encode())
    site.host.advance(31 * DAY_S + 1)
    assert site.inbox.sweep().messages == 1


# Looking and reading


def test_looking_writes_nothing_and_moves_nothing(site: Site) -> None:
    site.inbox.receive(message(site.host, "*"))
    site.inbox.receive(message(site.host, "bob"))
    writes = site.store.writes
    for agent in ("bob", "nobody"):
        for _ in range(2):
            site.inbox.unread(agent)
            site.inbox.list(agent)
    site.inbox.overdue()
    assert site.store.writes == writes
    assert site.inbox.agents() == ["bob"]
    assert site.inbox.unread("bob").count == 2


def test_what_arrives_between_look_and_ack_stays_unread(site: Site) -> None:
    site.inbox.receive(message(site.host, "bob", "seen"))
    looked = site.inbox.unread("bob")
    site.inbox.receive(message(site.host, "bob", "unseen"))
    assert site.inbox.ack("bob", up_to=looked.up_to) == Watermark(agent="bob", up_to=1)
    assert site.bodies("bob") == [(2, "unseen")]


def test_the_watermark_never_goes_back(site: Site) -> None:
    for number in range(5):
        site.inbox.receive(message(site.host, "bob", str(number)))
    site.inbox.ack("bob", up_to=4)
    assert site.inbox.ack("bob", up_to=2).up_to == 4
    assert site.inbox.ack("bob", up_to=0).up_to == 4


def test_what_is_not_there_cannot_be_acknowledged(site: Site) -> None:
    mine, other = message(site.host, "bob"), message(site.host, "eve")
    site.inbox.receive(mine)
    site.inbox.receive(other)
    writes = site.store.writes
    wrong: list[dict[str, Any]] = [{"up_to": 2}, {"up_to": -1}, {"ids": (other.id,)}, {"ids": ("no id",)}, {}]
    for arguments in wrong:
        with pytest.raises(InvalidInput):
            site.inbox.ack("bob", **arguments)
    assert site.store.writes == writes


def test_single_messages_are_read_out_of_order_and_the_mark_follows(site: Site) -> None:
    sent = [message(site.host, "bob", str(number)) for number in range(1, 5)]
    for envelope in sent:
        site.inbox.receive(envelope)
    assert site.inbox.ack("bob", ids=[sent[2].id]) == Watermark(agent="bob", up_to=0, above=(3,))
    assert site.bodies("bob") == [(1, "1"), (2, "2"), (4, "4")]
    assert site.inbox.ack("bob", ids=[sent[0].id, sent[1].id]) == Watermark(agent="bob", up_to=3)
    assert site.inbox.ack("bob", ids=[sent[0].id]) == Watermark(agent="bob", up_to=3)


def test_a_reset_is_the_way_back_and_stands_in_the_audit_trail(site: Site) -> None:
    for number in range(3):
        site.inbox.receive(message(site.host, "bob", str(number)))
    site.inbox.ack("bob", up_to=3)
    assert site.inbox.reset("bob", up_to=1, by="eve", reason="lost, token=abc") == Watermark(agent="bob", up_to=1)
    told = [entry.value for entry in site.store.read("audit")]
    why = {"by": "eve", "reason": "lost, token=…"}
    assert told == [{"type": "flags_reset", "task": "inbox:bob", **why, "was": 3, "up_to": 1}]
    with pytest.raises(InvalidInput):
        site.inbox.reset("bob", up_to=4)


def test_no_page_limit_hides_any(site: Site) -> None:
    for number in range(1_200):
        site.inbox.receive(message(site.host, "bob" if number % 2 else "*", str(number)))
    looked = site.inbox.unread("bob")
    assert (looked.count, looked.up_to, len(looked.letters)) == (1_200, 1_200, 1_200)
    assert site.inbox.unread("eve").count == 600
    assert [letter.sequence for letter in site.inbox.list("bob", after=700, limit=3)] == [701, 702, 703]


def test_a_list_is_filtered_by_kind_and_phase(site: Site) -> None:
    site.inbox.receive(message(site.host, "bob", kind="question", phase="plan"))
    site.inbox.receive(message(site.host, "bob", kind="progress", phase="build"))
    assert [letter.kind for letter in site.inbox.list("bob", kind="question")] == ["question"]
    assert [letter.phase for letter in site.inbox.list("bob", phase="build")] == ["build"]
    assert site.inbox.unread("bob", phase="plan").count == 2


def test_a_letter_tells_the_gist_without_its_envelope(site: Site) -> None:
    envelope = message(site.host, "bob", "x" * 300, kind="question", phase="plan", lane="l", priority=2)
    site.inbox.receive(envelope)
    (letter,) = site.inbox.unread("bob", bodies=False).letters
    assert letter.envelope is None
    assert (letter.id, letter.sender, letter.kind, letter.phase, letter.lane, letter.priority, letter.summary) == (
        envelope.id, "ada", "question", "plan", "l", 2, "x" * 200)  # fmt: skip


# Threads and acknowledgements


def test_a_thread_is_what_correlates_exactly_in_the_order_of_arrival(site: Site) -> None:
    root = message(site.host, "bob", "root")
    replies = [
        message(site.host, "ada", f"reply {number}", sender="bob", correlation_id=root.id, reply_to=root.id)
        for number in range(300)
    ]
    stranger = message(site.host, "bob", "stranger")
    for envelope in (root, *replies, stranger, *replies[:5]):
        site.inbox.receive(envelope)
    assert [envelope.body for envelope in site.inbox.thread(root.id)] == [
        "root", *(f"reply {number}" for number in range(300))]  # fmt: skip
    assert site.inbox.thread(stranger.id) == [stranger]
    assert site.inbox.thread(replies[0].id) == []
    with pytest.raises(InvalidId):
        site.inbox.thread(root.id[:20])


def test_an_acknowledgement_is_overdue_until_it_comes_by_reading(site: Site) -> None:
    due_ms = site.host.now().at_ms + 60_000
    asked = message(site.host, ("bob", "eve"), ack_due_ms=due_ms)
    site.inbox.receive(asked)
    assert site.inbox.overdue() == []
    site.host.advance(61)
    assert [(late.id, late.recipient, late.due_ms) for late in site.inbox.overdue(sender="ada")] == [
        (asked.id, "bob", due_ms), (asked.id, "eve", due_ms)]  # fmt: skip
    assert site.inbox.overdue(sender="ad") == []
    site.inbox.ack("bob", up_to=1)
    assert [late.recipient for late in site.inbox.overdue()] == ["eve"]
    (letter,) = site.inbox.list("bob")
    assert letter.acknowledged_at_ms == site.host.now().at_ms


def test_an_acknowledgement_may_be_a_message_and_may_come_first(site: Site) -> None:
    asked = message(site.host, "bob", ack_due_ms=site.host.now().at_ms + 1)
    ack = message(site.host, "ada", "got it", sender="bob", kind="ack", reply_to=asked.id, correlation_id=asked.id)
    site.inbox.receive(ack)
    site.inbox.receive(asked)
    site.host.advance(60)
    assert site.inbox.overdue() == []
    assert site.bodies("bob") == [(1, "hello")]
    forged = message(site.host, "bob", ack_due_ms=site.host.now().at_ms + 1)
    site.inbox.receive(forged)
    site.inbox.receive(message(site.host, "ada", sender="eve", kind="ack", reply_to=forged.id))
    site.host.advance(60)
    assert [late.id for late in site.inbox.overdue()] == [forged.id]


def test_who_came_after_a_message_to_everybody_owes_no_acknowledgement_of_it(site: Site) -> None:
    site.inbox.receive(message(site.host, "bob"))
    asked = message(site.host, "*", ack_due_ms=site.host.now().at_ms + 1)
    site.inbox.receive(asked)
    site.inbox.receive(message(site.host, "late"))
    site.host.advance(60)
    assert [(late.id, late.recipient) for late in site.inbox.overdue()] == [(asked.id, "bob")]


# The transport, and the front door


def test_the_store_transport_answers_by_what_the_store_says(site: Site) -> None:
    transport = StoreTransport(site.inbox.mailroom)
    envelope = message(site.host, "bob")
    assert transport.deliver(envelope, timeout_s=1) == Delivered(via="store", duplicate=False)
    assert transport.deliver(envelope, timeout_s=1) == Delivered(via="store", duplicate=True)
    assert isinstance(transport.deliver(envelope.replace(body="other"), timeout_s=1), Rejected)
    site.store.plant("mail", envelope.id, b"not json")
    assert isinstance(transport.deliver(envelope, timeout_s=1), Deferred)
    site.store.outage = StoreUnavailable("no connection")
    assert isinstance(transport.deliver(message(site.host, "bob"), timeout_s=1), Deferred)


def test_the_inbox_of_a_state_keeps_over_a_new_opening(tmp_path: Path) -> None:
    host = FakeHost()
    identity = new_message_id(at_ms=host.now().at_ms, entropy=bytes(10))
    with SharedState.open(tmp_path, host=host) as state:
        state.inbox.receive(message(host, "bob", id=identity))
    with SharedState.open(tmp_path, host=host) as state:
        assert [letter.id for letter in state.inbox.unread("bob").letters] == [identity]


# Retention


def test_a_sweep_removes_what_is_old_and_read_and_leaves_the_rest(site: Site) -> None:
    read, unread = message(site.host, ("bob", "eve"), "read"), message(site.host, ("bob", "eve"), "unread")
    to_all = message(site.host, "*", "to all", ack_due_ms=site.host.now().at_ms + 1)
    reply = message(site.host, "bob", "reply", correlation_id=read.id)
    for envelope in (read, unread, to_all, reply):
        site.inbox.receive(envelope)
    site.inbox.ack("bob", up_to=4)
    site.inbox.ack("eve", ids=[read.id, to_all.id])
    site.host.advance(29 * DAY_S)
    assert site.inbox.sweep().messages == 0
    site.host.advance(2 * DAY_S)
    young = message(site.host, "bob", "young")
    site.inbox.receive(young)
    planned = site.inbox.sweep(dry_run=True)
    assert (planned.messages, len(list(site.store.scan("mail")))) == (3, 5)
    done = site.inbox.sweep()
    assert (done.messages, done.acknowledgements, done.pages) == (3, 2, 1)
    assert {found.key for found in site.store.scan("mail") if isinstance(found, Versioned)} == {unread.id, young.id}
    assert [(letter.sequence, letter.envelope) for letter in site.inbox.list("bob")] == [
        (1, None), (2, unread), (3, None), (4, None), (5, young)]  # fmt: skip
    assert site.inbox.list("bob")[2].summary == "to all"
    assert site.inbox.sweep().due is False


def test_a_message_that_was_removed_does_not_come_again(site: Site) -> None:
    envelope = message(site.host, "bob")
    site.inbox.receive(envelope)
    site.inbox.ack("bob", up_to=1)
    site.host.advance(31 * DAY_S)
    assert site.inbox.sweep().messages == 1
    answer = site.inbox.receive(envelope)
    assert isinstance(answer, Rejected)
    assert answer.status == 410
    assert site.inbox.unread("bob").count == 0


def test_what_an_unreadable_inbox_may_not_have_read_is_kept(site: Site) -> None:
    site.inbox.receive(message(site.host, ("bob", "eve")))
    site.inbox.ack("eve", up_to=1)
    site.store.plant("inboxes", "bob", b"no inbox")
    site.host.advance(31 * DAY_S)
    done = site.inbox.sweep()
    assert (done.messages, [unreadable.name for unreadable in done.unreadable]) == (0, ["bob"])


def test_a_sweep_brings_to_each_what_a_dead_sender_left_on_the_way(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.inbox.receive(message(site.host, "bob", "first"))
    with monkeypatch.context() as dying:
        dying.setattr(Mailroom, "spread", _dies)
        with pytest.raises(KeyboardInterrupt):
            site.inbox.receive(message(site.host, "*", "to all"))
    assert site.bodies("bob") == [(1, "first")]
    site.inbox.sweep()
    assert site.bodies("bob") == [(1, "first"), (2, "to all")]


def _dies(mailroom: Mailroom) -> None:
    raise KeyboardInterrupt
