"""What an inbox tells of what it cannot read: unknown, never nothing; and no damage hides another message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.messages.reading.model import awaiting_key, inbox_journal
from sharedstate.store import Entry
from tests.unit.messages.letters import message
from tests.unit.messages.site import Site


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_store_that_is_away_is_unknown_and_never_nothing(site: Site) -> None:
    site.inbox.receive(message(site.host, "bob"))
    site.store.outage = StoreUnavailable("no connection")
    looked = site.inbox.unread("bob")
    assert looked.unknown
    assert looked.up_to == 0


def test_a_message_that_cannot_be_read_is_unread_and_unknown(site: Site) -> None:
    envelope = message(site.host, "bob")
    site.inbox.receive(envelope)
    site.store.plant("mail", envelope.id, b"{}")
    looked = site.inbox.unread("bob")
    assert (looked.count, envelope.id in looked.unknown) == (1, True)


def test_a_message_that_cannot_be_read_hides_no_other(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    first = message(site.host, "bob", "first", ack_due_ms=site.host.now().at_ms + 1)
    bad = message(site.host, "bob", "bad", correlation_id=first.id, ack_due_ms=site.host.now().at_ms + 1)
    last = message(site.host, "bob", "last", correlation_id=first.id, ack_due_ms=site.host.now().at_ms + 1)
    for envelope in (first, bad, last):
        site.inbox.receive(envelope)
    site.store.plant("mail", bad.id, b"{}")
    for unread_only in (False, True):
        letters = site.inbox.list("bob", unread_only=unread_only)
        assert [letter.id for letter in letters] == [first.id, bad.id, last.id]
        assert [bool(letter.problem) for letter in letters] == [False, True, False]
        assert (letters[1].envelope, letters[1].summary) == (None, "bad")
    assert [envelope.id for envelope in site.inbox.thread(first.id)] == [first.id, last.id]
    assert bad.id in caplog.text
    site.host.advance(1)
    site.store.plant("awaiting", awaiting_key(first.id, "bob"), b"{}")
    site.store.plant("awaiting", awaiting_key(bad.id, "bob"), b"{")
    caplog.clear()
    assert [late.id for late in site.inbox.overdue()] == [last.id]
    assert len(caplog.records) == 2


def test_a_page_reads_no_more_than_it_shows_and_hides_nothing_behind_damage(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        site.inbox.receive(message(site.host, "bob", str(number)))
    journal, read, given = inbox_journal("bob"), site.store.read, []

    def counted(name: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
        for entry in read(name, after=after, limit=limit):
            given.append(entry.sequence)
            yield entry.replace(value={}) if name == journal and entry.sequence in damaged else entry

    damaged: tuple[int, ...] = ()
    monkeypatch.setattr(site.store, "read", counted)
    assert [letter.sequence for letter in site.inbox.list("bob", after=2, limit=3)] == [3, 4, 5]
    assert given == [3, 4, 5]
    damaged = (4, 5, 6)
    assert [letter.sequence for letter in site.inbox.list("bob", after=2, limit=3)] == [3, 7, 8]
