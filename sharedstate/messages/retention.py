"""What leaves the store: messages that are old and that everybody who has them has read, and what belonged to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sharedstate.errors import Corrupt
from sharedstate.messages.mailroom import Mailroom
from sharedstate.messages.reading import policy
from sharedstate.messages.reading.books import Books
from sharedstate.messages.reading.model import (
    AWAITING,
    MAIL,
    THREADS,
    InboxState,
    load_awaited,
    load_mail,
    load_page,
    page_key,
)
from sharedstate.store import DELETE, KEEP, Decision, Document, Snapshot, Store, Unreadable, Versioned
from sharedstate.values import Value

PASS_MS_MIN: Final = 3_600_000
UPKEEP: Final = "upkeep"


class MailSweep(Value):
    """What a sweep of messages removed: how many messages, threads' pages and acknowledgements, and what it left out.

    With `unreadable` inboxes nobody knows what is unread, so nothing is removed. `due` is False when the last pass was
    less than an hour ago (then nothing was looked at).
    """

    messages: int = 0
    pages: int = 0
    acknowledgements: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    due: bool = True
    dry_run: bool = False


def run_sweep(mailroom: Mailroom, store: Store, *, retention_ms: int, dry_run: bool, limit: int) -> MailSweep:
    """See `Inbox.sweep`."""
    if not dry_run:
        mailroom.spread()
        if not _is_due(store, every_ms=min(PASS_MS_MIN, retention_ms // 10)):
            return MailSweep(due=False)
    books = mailroom.books
    unread, unreadable = _unread(books)
    if unreadable:
        return MailSweep(unreadable=tuple(unreadable), dry_run=dry_run)
    remover = _Remover(store, retention_ms=retention_ms, dry_run=dry_run, limit=limit)
    messages = sum(remover.mail(found, unread) for found in remover.each(MAIL))
    acknowledgements = sum(remover.awaited(found, books) for found in remover.each(AWAITING))
    pages = sum(remover.page(found, books) for found in remover.each(THREADS))
    return MailSweep(
        messages=messages,
        pages=pages,
        acknowledgements=acknowledgements,
        unreadable=tuple(remover.unreadable),
        dry_run=dry_run,
    )


class _Remover:
    """Removes what is old, each in a transition that looks again; at most `limit` in all."""

    def __init__(self, store: Store, *, retention_ms: int, dry_run: bool, limit: int) -> None:
        self.unreadable: list[Unreadable] = []
        self._store = store
        self._before_ms = store.now().at_ms - retention_ms
        self._dry_run = dry_run
        self._left = limit

    def each(self, collection: str) -> Iterator[Versioned]:
        for found in self._store.scan(collection):
            if isinstance(found, Unreadable):
                self.unreadable.append(found)
            else:
                yield found

    def mail(self, found: Versioned, unread: frozenset[str]) -> bool:
        def is_old(document: Document) -> bool:
            return policy.is_old_mail(load_mail(document), before_ms=self._before_ms)

        return found.key not in unread and self._remove(MAIL, found, is_old)

    def awaited(self, found: Versioned, books: Books) -> bool:
        def is_old(document: Document) -> bool:
            return policy.is_old_awaited(load_awaited(document), before_ms=self._before_ms)

        message = found.key.partition(".")[0]
        return self._remove(AWAITING, found, is_old, unless=lambda: self._has_mail(books, message))

    def page(self, found: Versioned, books: Books) -> bool:
        correlation, _, number = found.key.partition(".")

        def is_old(document: Document) -> bool:
            return load_page(document).changed_ms < self._before_ms

        def is_needed() -> bool:
            page = load_page(found.value)
            later = range(1, page.pages) if int(number) == 0 else ()
            return any(self._has_mail(books, one) for one in page.ids) or any(
                self._store.get(THREADS, page_key(correlation, one)) is not None for one in later
            )

        return self._remove(THREADS, found, is_old, unless=is_needed)

    def _has_mail(self, books: Books, message: str) -> bool:
        try:
            return books.mail(message) is not None
        except Corrupt:
            return True

    def _remove(
        self,
        collection: str,
        found: Versioned,
        is_old: Callable[[Document], bool],
        *,
        unless: Callable[[], bool] = lambda: False,
    ) -> bool:
        def decide(snapshot: Snapshot) -> Decision[bool]:
            gone = snapshot.revision == found.revision and snapshot.value is not None and is_old(snapshot.value)
            return Decision(result=gone, write=DELETE if gone else KEEP)

        try:
            if self._left <= 0 or not is_old(found.value) or unless():
                return False
            removed = self._dry_run or self._store.transact(collection, found.key, decide)
        except Corrupt as error:
            self.unreadable.append(Unreadable(name=found.key, reason=str(error)))
            return False
        self._left -= removed
        return removed


def _unread(books: Books) -> tuple[frozenset[str], list[Unreadable]]:
    """The ids of what somebody has not read."""
    ids: set[str] = set()
    unreadable: list[Unreadable] = []
    for found in books.inboxes():
        if isinstance(found, Unreadable):
            unreadable.append(found)
            continue
        try:
            view = books.view(found.key)
        except Corrupt as error:
            unreadable.append(Unreadable(name=found.key, reason=str(error)))
            continue
        if view.damaged:
            unreadable.append(Unreadable(name=found.key, reason=f"{view.damaged} entries cannot be read"))
        read = view.state or InboxState(agent=found.key)
        ids.update(one.reference.id for one in view.found if not read.has_read(one.sequence))
    return frozenset(ids), unreadable


def _is_due(store: Store, *, every_ms: int) -> bool:
    def decide(snapshot: Snapshot) -> Decision[bool]:
        last_ms = 0 if snapshot.value is None else snapshot.value.get("swept_ms", 0)
        if 0 <= snapshot.now.at_ms - last_ms < every_ms:
            return Decision(result=False)
        return Decision(result=True, write={"swept_ms": snapshot.now.at_ms})

    return store.transact(UPKEEP, "messages", decide, durability="relaxed", derived=True)
