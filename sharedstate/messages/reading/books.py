"""The books of the receiving half over a store: inboxes that come into being, threads, wanted acknowledgements.

What `policy` decides is read and carried out here; `Mailroom` and `Inbox` are built on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from sharedstate.errors import Corrupt, StoreBusy
from sharedstate.messages.model import Envelope
from sharedstate.messages.reading import policy
from sharedstate.messages.reading.model import (
    AWAITING,
    EVERYBODY_JOURNAL,
    INBOXES,
    MAIL,
    THREADS,
    Awaited,
    InboxState,
    Mail,
    Reference,
    awaiting_key,
    inbox_journal,
    load_awaited,
    load_inbox,
    load_mail,
    load_page,
    load_reference,
    opened,
    page_key,
)
from sharedstate.store import Decision, Entry, Snapshot, Store, Unreadable, Versioned
from sharedstate.values import Value

BATCH: Final = 200
STEPS_MAX: Final = 100_000
PAGES_MAX: Final = 1_000_000


class Found(Value):
    """One entry of an inbox: its sequence there, when it arrived, what it refers to."""

    sequence: int
    received_ms: int
    reference: Reference


class View(Value):
    """An inbox as a reader sees it: `state` (None for an agent without one), its entries above some sequence, in order.

    `damaged` counts entries that cannot be read.
    """

    state: InboxState | None
    found: tuple[Found, ...]
    damaged: int = 0


class Books:
    """Reads and transitions over one store. Safe for threads; everything raises `StoreError` and `Corrupt`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # Mail

    def mail(self, message: str) -> Mail | None:
        """A message as received, None when it never came or its retention is over."""
        found = self.store.get(MAIL, message)
        return None if found is None else load_mail(found.value)

    def envelope(self, message: str) -> Envelope | None:
        """The envelope of a message, or None as above."""
        mail = self.mail(message)
        return None if mail is None else opened(mail)

    def settle(self, message: str) -> None:
        """Wait until the transition that put this message into a journal is over; finish it, if its author died.

        Entries are seen before they are on disk. Who builds a durable number on one (a watermark, how far an inbox has
        imported) settles it first: then it and all before it stay where they are, also through a power cut.
        """
        try:
            self.store.transact(MAIL, message, lambda _: Decision(result=None, prompt=True))
        except Corrupt:
            pass  # its content; the transition itself is over

    # Inboxes

    def inbox(self, agent: str) -> InboxState | None:
        """The inbox of an agent, None when it has none yet."""
        found = self.store.get(INBOXES, agent)
        return None if found is None else load_inbox(agent, found.value)

    def agents(self) -> list[str]:
        """Who has an inbox, sorted; those whose record cannot be read are left out."""
        return sorted(found.key for found in self.inboxes() if isinstance(found, Versioned))

    def inboxes(self) -> Iterator[Versioned | Unreadable]:
        """The records of all inboxes."""
        return self.store.scan(INBOXES)

    def ready(self, agent: str) -> InboxState:
        """The inbox, made if need be, so that messages to this agent alone may go in."""
        state = self.inbox(agent)
        if state is not None and state.stage == "ready":
            return state
        self.catch_up(agent)
        state = self.inbox(agent)
        if state is None or state.stage != "ready":
            raise StoreBusy(f"the inbox of {agent!r} was removed while it was being made")
        return state

    def catch_up(self, agent: str) -> None:
        """Take over what was sent to everybody; afterwards all of it that stood there before is in the inbox.

        The transition is asked for also when there seems to be nothing: it finishes what a dead process has begun.
        """
        for _ in range(STEPS_MAX):
            seen = self.inbox(agent)
            after = 0 if seen is None else seen.imported
            entries = [
                (entry.sequence, load_reference(entry.value).replace(received_ms=entry.at_ms))
                for entry in islice(self.store.read(EVERYBODY_JOURNAL, after=after), BATCH)
            ]
            if entries:
                self.settle(entries[-1][1].id)
            if seen is not None and seen.stage == "ready":
                self._await_everybodys(entries, agent)
            if self._import(agent, seen, entries):
                return
        raise StoreBusy(f"the inbox of {agent!r} did not come to an end with what was sent to everybody")

    def view(self, agent: str, *, after: int | None = None, limit: int | None = None) -> View:
        """The inbox above a sequence (default: above the watermark), its first `limit` entries. Writes nothing."""
        for _ in range(STEPS_MAX):
            state = self.inbox(agent)
            start = after if after is not None else 0 if state is None else state.up_to
            if state is not None and state.stage != "importing":
                return _numbered(state, self.store.read(inbox_journal(agent), after=start, limit=limit), start)
            entries = list(self.store.read(EVERYBODY_JOURNAL))
            state = self.inbox(agent)
            if state is None or state.stage == "importing":  # still; so these are the numbers they will have
                return _virtual(state, entries, agent, start)
        raise StoreBusy(f"the inbox of {agent!r} keeps changing")

    # Threads

    def link(self, envelope: Envelope) -> None:
        """Put a message into its thread; again and again is once."""
        if envelope.correlation_id in ("", envelope.id):
            return
        number = 0
        for _ in range(PAGES_MAX):
            following = self._link(envelope.correlation_id, envelope.id, number)
            if following == 0:
                return
            if following > number:
                self._count_pages(envelope.correlation_id, following + 1)
            number = following

    def linked(self, correlation: str) -> Iterator[str]:
        """The ids of a thread after its first message, in the order of arrival, each once."""
        seen: set[str] = set()
        number, pages = 0, 1
        while number < pages:
            found = self.store.get(THREADS, page_key(correlation, number))
            page = None if found is None else load_page(found.value)
            for message in () if page is None else page.ids:
                if message not in seen:
                    seen.add(message)
                    yield message
            pages = page.pages if page is not None and number == 0 else pages
            number += 1

    # Acknowledgements

    def awaited(self, message: str, recipient: str) -> Awaited | None:
        """The acknowledgement of a message that is wanted from a recipient, None when none is."""
        found = self.store.get(AWAITING, awaiting_key(message, recipient))
        return None if found is None else load_awaited(found.value)

    def expect(self, reference: Reference, recipient: str) -> None:
        """Want the acknowledgement that a message asks for, if it does."""
        if reference.ack_due_ms is None:
            return

        def decide(snapshot: Snapshot) -> Decision[None]:
            awaited = None if snapshot.value is None else load_awaited(snapshot.value)
            return policy.decide_await(awaited, reference=reference, recipient=recipient, now=snapshot.now)

        self.store.transact(AWAITING, awaiting_key(reference.id, recipient), decide)

    def acknowledge(self, message: str, recipient: str, *, how: str, ack_id: str = "") -> bool:
        """An acknowledgement has come; True when it is the first."""

        def decide(snapshot: Snapshot) -> Decision[bool]:
            awaited = None if snapshot.value is None else load_awaited(snapshot.value)
            return policy.decide_acknowledged(
                awaited, message=message, recipient=recipient, how=how, ack_id=ack_id, now=snapshot.now
            )

        return self.store.transact(AWAITING, awaiting_key(message, recipient), decide)

    # Inside

    def _import(self, agent: str, seen: InboxState | None, entries: list[tuple[int, Reference]]) -> bool:
        def decide(snapshot: Snapshot) -> Decision[bool]:
            state = None if snapshot.value is None else load_inbox(agent, snapshot.value)
            return policy.decide_import(state, agent=agent, seen=seen, entries=entries, more=len(entries) == BATCH)

        return self.store.transact(INBOXES, agent, decide, journal=inbox_journal(agent))

    def _await_everybodys(self, entries: list[tuple[int, Reference]], agent: str) -> None:
        """Who had an inbox when a message went to everybody owes its acknowledgement; who came later does not."""
        for _, reference in entries:
            if policy.concerns(reference, agent):
                self.expect(reference, agent)

    def _link(self, correlation: str, message: str, number: int) -> int:
        def decide(snapshot: Snapshot) -> Decision[int]:
            page = None if snapshot.value is None else load_page(snapshot.value)
            return policy.decide_link(page, message=message, number=number, now=snapshot.now)

        return self.store.transact(THREADS, page_key(correlation, number), decide)

    def _count_pages(self, correlation: str, count: int) -> None:
        def decide(snapshot: Snapshot) -> Decision[None]:
            page = None if snapshot.value is None else load_page(snapshot.value)
            return policy.decide_page_count(page, count=count, now=snapshot.now)

        self.store.transact(THREADS, page_key(correlation, 0), decide)


def _numbered(state: InboxState, entries: Iterable[Entry], start: int) -> View:
    found: list[Found] = []
    damaged, expected = 0, start + 1
    for entry in entries:
        damaged += entry.sequence - expected
        expected = entry.sequence + 1
        try:
            found.append(_found(entry, entry.sequence))
        except Corrupt:
            damaged += 1
    return View(state=state, found=tuple(found), damaged=damaged)


def _virtual(state: InboxState | None, entries: Sequence[Entry], agent: str, start: int) -> View:
    """What the inbox will begin with, numbered as it will be."""
    damaged = (entries[-1].sequence if entries else 0) - len(entries)
    meant = [entry for entry in entries if policy.concerns(load_reference(entry.value), agent)]
    found = tuple(_found(entry, number) for number, entry in enumerate(meant, 1) if number > start)
    return View(state=state, found=found, damaged=damaged)


def _found(entry: Entry, sequence: int) -> Found:
    reference = load_reference(entry.value)
    received_ms = entry.at_ms if reference.received_ms is None else reference.received_ms
    return Found(sequence=sequence, received_ms=received_ms, reference=reference)
