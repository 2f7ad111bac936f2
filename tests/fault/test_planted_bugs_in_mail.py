"""Is the net around the inbox tight? Each planted bug is found by a few short runs, which are else clean."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedstate.files import FileStore
from sharedstate.messages.inbox import Inbox
from sharedstate.messages.mailroom import Mailroom
from sharedstate.messages.model import Envelope
from sharedstate.messages.reading import books as books_module
from sharedstate.messages.reading import policy
from sharedstate.messages.reading.books import Books, View
from sharedstate.messages.reading.model import INBOXES, InboxState, Mail, dump_inbox, inbox_journal
from sharedstate.store import Decision, Document
from sharedstate.testing.disk import Crashed, SimDisk
from sharedstate.testing.faults import Fault, FaultHost
from sharedstate.testing.simulation import Faults, SimulationFailed
from tests.property.mail_world import MailWorld
from tests.unit.messages.letters import message

ORDERS = Faults()
DEATHS = Faults(crash=3e-3)
CUTS = Faults(power_cut=2e-3)
PAUSES = Faults(pause=2e-2)
SEEDS = 8
STEPS = 8_000
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What a bug does to the logs is no matter here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def search(faults: Faults, *, seeds: int = SEEDS, **planted: Callable[..., Any]) -> str | None:
    """What the first of a few short runs says that finds something."""
    for seed in range(seeds):
        try:
            MailWorld(seed, faults=faults, **planted).run(steps_max=STEPS)
        except (AssertionError, SimulationFailed) as error:
            return f"{error} {error.__cause__!r}"
    return None


@pytest.mark.parametrize("faults", [ORDERS, DEATHS, CUTS, PAUSES], ids=["orders", "deaths", "cuts", "pauses"])
def test_without_a_bug_the_search_finds_nothing(faults: Faults) -> None:
    assert search(faults) is None


# Reading


def test_an_ack_to_the_newest_is_found_out(monkeypatch: Patch) -> None:
    ack = Inbox._ack

    def to_the_newest(inbox: Inbox, agent: str, up_to: int, ids: list[str]) -> Any:
        newest = max((letter.sequence for letter in inbox.list(agent)), default=0)
        return ack(inbox, agent, newest, ids)

    monkeypatch.setattr(Inbox, "_ack", to_the_newest)
    assert search(ORDERS) is not None


def test_a_look_that_moves_the_watermark_is_found_out(monkeypatch: Patch) -> None:
    view = Books.view

    def moves(books: Books, agent: str, *, after: int | None = None) -> View:
        looked = view(books, agent, after=after)
        state = looked.state
        if state is not None and looked.found and after is None:
            read = state.replace(up_to=looked.found[-1].sequence, above=())
            books.store.transact(INBOXES, agent, lambda _: Decision(result=None, write=dump_inbox(read)))
        return looked

    monkeypatch.setattr(Books, "view", moves)
    assert search(ORDERS) is not None


def test_a_watermark_that_goes_back_is_found_out(monkeypatch: Patch) -> None:
    def goes_back(state: InboxState, *, up_to: int, sequences: Any) -> Decision[Any]:
        read = state.replace(up_to=up_to, above=tuple(sequences))
        return Decision(result=read, write=dump_inbox(read))

    monkeypatch.setattr(policy, "decide_ack", goes_back)
    assert search(ORDERS) is not None


# Addressing


def test_an_address_by_its_beginning_is_found_out(monkeypatch: Patch) -> None:
    monkeypatch.setattr(books_module, "inbox_journal", lambda agent: inbox_journal(agent[:4]))
    monkeypatch.setattr("sharedstate.messages.mailroom.inbox_journal", lambda agent: inbox_journal(agent[:4]))
    assert "got what is not for it" in str(search(ORDERS))


# Exactly once


def test_a_dropped_deduplication_is_found_out(monkeypatch: Patch) -> None:
    decide = policy.decide_delivery

    def forgets(mail: Mail | None, **named: Any) -> Any:
        return decide(None if mail is None else mail.replace(delivered=()), **named)

    monkeypatch.setattr(policy, "decide_delivery", forgets)
    assert "twice" in str(search(ORDERS))


def test_an_answer_without_asking_the_store_is_found_out(monkeypatch: Patch) -> None:
    """What a dead process has begun is only finished by who takes the transition again."""
    deliver = Mailroom._deliver

    def glance(mailroom: Mailroom, envelope: Envelope, document: Document, digest: str, recipient: str) -> Any:
        mail = mailroom.books.mail(envelope.id)
        if mail is not None and recipient in mail.delivered:
            return "duplicate"
        return deliver(mailroom, envelope, document, digest, recipient)

    monkeypatch.setattr(Mailroom, "_deliver", glance)
    assert search(DEATHS, seeds=40) is not None


def test_an_entry_that_may_come_later_is_found_out(monkeypatch: Patch) -> None:
    decide = policy.decide_delivery
    monkeypatch.setattr(
        policy, "decide_delivery", lambda *given, **named: decide(*given, **named).replace(prompt=False)
    )
    assert search(PAUSES, seeds=300) is not None


# One sequence


def test_an_inbox_without_what_came_before_it_is_found_out(monkeypatch: Patch) -> None:
    def ready_at_once(state: InboxState | None, *, agent: str, entries: Any, **named: Any) -> Decision[bool]:
        return decide(state or InboxState(agent=agent, stage="ready"), agent=agent, entries=entries, **named)

    decide = policy.decide_import
    monkeypatch.setattr(policy, "decide_import", ready_at_once)
    assert search(ORDERS) is not None


def test_an_inbox_that_is_not_sealed_first_is_found_out(monkeypatch: Patch) -> None:
    def unsealed(state: InboxState | None, **named: Any) -> Decision[bool]:
        decision = decide(state, **named)
        if state is not None and state.stage == "importing" and not named["entries"]:
            return Decision(result=True, write=dump_inbox(state.replace(stage="ready")))
        return decision

    decide = policy.decide_import
    monkeypatch.setattr(policy, "decide_import", unsealed)
    assert search(PAUSES, seeds=60) is not None


def test_an_inbox_that_is_sealed_in_its_first_step_is_found_out(monkeypatch: Patch) -> None:
    def early(state: InboxState | None, *, agent: str, **named: Any) -> Decision[bool]:
        return decide(state or InboxState(agent=agent, stage="sealed"), agent=agent, **named)

    decide = policy.decide_import
    monkeypatch.setattr(policy, "decide_import", early)
    assert search(DEATHS, seeds=100) is not None


# On disk


def acknowledged_and_lost(seed: int) -> bool:
    """Whether a power cut takes back an entry that was acknowledged: its receiver had died before it was synced."""
    disk = SimDisk(seed=seed)
    first = Inbox(FileStore("/state", host=disk.host()), host=disk.host())
    first.receive(message(disk.host(), "bob", "first"))
    disk.sync()
    dying = FaultHost(disk.host(), lambda call: Fault(crash="before") if call.operation == "fdatasync" else None)
    second = message(disk.host(), "bob", "second")
    with pytest.raises(Crashed):
        Inbox(FileStore("/state", host=dying), host=dying).receive(second)
    reader = Inbox(FileStore("/state", host=disk.host()), host=disk.host())
    assert reader.ack("bob", up_to=reader.unread("bob").up_to).up_to == 2
    disk.power_cut(random.Random(seed))
    journal = next(raw for path, raw in disk.tree().items() if "/journal/inbox.bob" in path and raw)
    return second.id.encode() not in journal


def test_what_is_acknowledged_survives_a_power_cut_in_its_place() -> None:
    assert not any(acknowledged_and_lost(seed) for seed in range(50))


def test_a_number_that_nothing_settles_is_found_out(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Books, "settle", lambda books, message: None)
    assert any(acknowledged_and_lost(seed) for seed in range(50))
