"""The inbox: what an agent has got, what of it it has not read, and how far it has read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from sharedstate import logs
from sharedstate.errors import Corrupt, InvalidInput, StoreError
from sharedstate.host import Host
from sharedstate.ids import check_id
from sharedstate.messages.model import (
    EVERYBODY,
    GUIDANCE,
    RETENTION_MS,
    Envelope,
    GuidanceChange,
    Letter,
    Overdue,
    Received,
    Rejected,
    Unread,
    Watermark,
)
from sharedstate.messages.reading import policy
from sharedstate.messages.reading.books import Books, Found, View
from sharedstate.messages.reading.model import (
    AWAITING,
    INBOXES,
    Awaited,
    InboxState,
    inbox_journal,
    load_awaited,
    load_inbox,
)
from sharedstate.messages.wire import check_message_id
from sharedstate.store import Decision, Snapshot, Store, Unreadable, Versioned

if TYPE_CHECKING:
    from sharedstate.claims.rights import LaneRights
    from sharedstate.messages.mailroom import Mailroom
    from sharedstate.messages.retention import MailSweep

AUDIT: Final = "audit"
IDS_MAX: Final = 1_000
Letters = list[Letter]  # by name: inside the class `list` is a method
Texts = list[str]
Envelopes = list[Envelope]
Overdues = list[Overdue]


class Inbox:
    """Inboxes, watermarks, threads and acknowledgements of one store. Safe for threads.

    Agents are addressed exactly: no part of a name is a name. Looking writes nothing, not even for an agent that was
    never heard of. Methods raise `InvalidInput` for bad arguments, `StoreError`, and `Corrupt`; only `unread` turns
    those into `unknown`. `rights`: those of a chosen lane; without `read` all but `receive` and `sweep` raise
    `NoRight`.
    """

    def __init__(
        self,
        store: Store,
        *,
        host: Host,
        retention_ms: int = RETENTION_MS,
        guidance: Sequence[str] = GUIDANCE,
        rights: LaneRights | None = None,
    ) -> None:
        self._books = Books(store)
        self._store = store
        self._host = host
        self._retention_ms = retention_ms
        self._guidance = tuple(guidance)
        self._rights = rights

    @property
    def mailroom(self) -> Mailroom:
        """What takes messages in."""
        from sharedstate.messages.mailroom import Mailroom  # late, as guidance: `unread` is a hot verb

        return Mailroom(self._store, retention_ms=self._retention_ms)

    def receive(self, envelope: Envelope) -> Received | Rejected:
        """Put a message into its recipients' inboxes; see `Mailroom.receive`."""
        return self.mailroom.receive(envelope)

    # Looking

    def list(
        self,
        agent: str,
        *,
        unread_only: bool = False,
        after: int = 0,
        limit: int | None = None,
        kind: str | None = None,
        phase: str | None = None,
    ) -> Letters:
        """Letters with a sequence above `after`, in order, at most `limit`; filtered by kind and phase, if given.

        A message whose record cannot be read hides no other: its letter tells the `problem`.
        """
        agent = self._reader(agent)
        # A filter has to pass over entries; without one a page reads no more than it shows.
        bound = None if unread_only or kind is not None or phase is not None else limit
        view = self._books.view(agent, after=None if unread_only else max(0, after), limit=bound)
        if bound is not None and view.damaged:  # they have taken the place of others
            view = self._books.view(agent, after=max(0, after))
        if view.damaged:
            logs.warn("the inbox of %s: %d entries cannot be read", agent, view.damaged)
        read = view.state or InboxState(agent=agent)
        chosen = (
            found
            for found in view.found
            if found.sequence > after
            and not (unread_only and read.has_read(found.sequence))
            and kind in (None, found.reference.kind)
            and phase in (None, found.reference.phase)
        )
        return [self._letter(read, found, bodies=True) for found in islice(chosen, limit)]

    def unread(
        self,
        agent: str,
        *,
        phase: str | None = None,
        guidance: Sequence[str] = (),
        folder: str | None = None,
        bodies: bool = True,
    ) -> Unread:
        """Everything the agent has not acknowledged, without any limit; changes nothing.

        Guidance is looked at only in a working copy `folder`: the files of `guidance` (default: the setting) for
        `phase`, which hides no letter. Without `bodies` letters come without their envelope, which costs one look
        less for each. What could not be looked at stands in `unknown`; only bad arguments and `NoRight` raise.
        """
        agent = self._reader(agent)
        unknown: Texts = []
        letters = self._unread_letters(agent, unknown, bodies=bodies)
        news = self._news(agent, phase, guidance or self._guidance, folder, unknown) if folder is not None else ()
        count = len(letters[1])
        return Unread(
            agent=agent,
            count=count,
            up_to=letters[0],
            letters=tuple(letters[1]),
            guidance=news,
            unknown="; ".join(unknown),
        )

    def watermark(self, agent: str) -> Watermark:
        """How far the agent has read."""
        agent = self._reader(agent)
        return (self._books.inbox(agent) or InboxState(agent=agent)).watermark

    def thread(self, message: str) -> Envelopes:
        """The messages whose correlation id is exactly this one: the first, then the others as they arrived."""
        check_message_id(message)
        self._need_read(f"thread:{message}")
        found: Envelopes = []
        for one in (message, *self._books.linked(message)):
            try:
                envelope = self._books.envelope(one)
            except Corrupt as error:
                logs.warn("message %s of the thread %s cannot be read: %s", one, message, error)
                continue
            if envelope is not None and envelope.correlation_id == message:
                found.append(envelope)
        return found

    def overdue(self, *, sender: str | None = None, recipient: str | None = None) -> Overdues:
        """Acknowledgements that were due before now and have not come, the oldest first."""
        self._need_read("inbox:*")
        now_ms = self._store.now().at_ms
        late: Overdues = []
        for found in self._store.scan(AWAITING, live_only=True):
            try:
                awaited = _awaited(found)
            except Corrupt as error:
                logs.warn("an acknowledgement that is wanted cannot be read: %s", error)
                continue
            due_ms = awaited.due_ms
            if awaited.acknowledged_ms is not None or due_ms is None or due_ms >= now_ms:
                continue
            if sender in (None, awaited.sender) and recipient in (None, awaited.recipient):
                late.append(
                    Overdue(
                        id=awaited.message,
                        sender=awaited.sender,
                        recipient=awaited.recipient,
                        due_ms=due_ms,
                        kind=awaited.kind,
                    )
                )
        return sorted(late, key=lambda one: (one.due_ms, one.id, one.recipient))

    def agents(self) -> Texts:
        """Who has an inbox, sorted."""
        self._need_read("inbox:*")
        return self._books.agents()

    # Reading

    def ack(
        self,
        agent: str,
        *,
        up_to: int | None = None,
        ids: Sequence[str] = (),
        guidance: Sequence[GuidanceChange | str] = (),
    ) -> Watermark:
        """Acknowledge what was looked at: everything up to a sequence, and these messages, and this guidance.

        The watermark never goes back, whoever else acknowledges at the same time. What the inbox does not hold cannot
        be acknowledged: `InvalidInput`, and nothing is changed.
        """
        agent = self._reader(agent)
        if up_to is None and not ids and not guidance:
            raise InvalidInput("nothing to acknowledge: give a sequence, ids, or guidance that was seen")
        if up_to is not None and up_to < 0:
            raise InvalidInput(f"up_to is {up_to}; a sequence is 0 or more")
        if len(ids) > IDS_MAX:
            raise InvalidInput(f"{len(ids)} ids; at most {IDS_MAX} at once")
        mark = self.watermark(agent)
        if up_to is not None or ids:
            mark = self._ack(agent, up_to or 0, [check_message_id(one) for one in ids])
        if guidance:
            from sharedstate.messages.guidance import acknowledge

            acknowledge(self._store, agent, guidance)
        return mark

    def reset(self, agent: str, *, up_to: int = 0, by: str = "", reason: str = "") -> Watermark:
        """Forget the watermark, so that everything above `up_to` is unread again: audited, the only way backwards.

        It does not go forwards: `InvalidInput` for an `up_to` above the watermark. Acknowledgements that came, stay.
        The trail keeps `by` and `reason` (secrets in it are masked), about `inbox:AGENT`.
        """
        from sharedstate.claims.masking import masked

        agent = self._reader(agent)
        told = masked(reason)
        if up_to < 0:
            raise InvalidInput(f"up_to is {up_to}; a sequence is 0 or more")
        self._books.ready(agent)

        def decide(snapshot: Snapshot) -> Decision[InboxState | policy.Refusal]:
            state = InboxState(agent=agent) if snapshot.value is None else load_inbox(agent, snapshot.value)
            return policy.decide_reset(state, up_to=up_to, by=by, reason=told)

        return _watermark(self._store.transact(INBOXES, agent, decide, journal=AUDIT))

    def sweep(self, *, dry_run: bool = False, limit: int = 10_000) -> MailSweep:
        """Bring every inbox up to date, and remove what is older than the retention and read by all who have it.

        Idempotent, at most `limit` removals, at most once an hour. With `dry_run` nothing is written.
        """
        from sharedstate.messages.retention import run_sweep

        return run_sweep(self.mailroom, self._store, retention_ms=self._retention_ms, dry_run=dry_run, limit=limit)

    # Inside

    def _reader(self, agent: object) -> str:
        """The agent whose messages are asked for, by a lane that may read them."""
        checked = check_agent(agent)
        self._need_read(f"inbox:{checked}")
        return checked

    def _need_read(self, about: str) -> None:
        if self._rights is not None:
            self._rights.need("read", about=about)

    def _unread_letters(self, agent: str, unknown: Texts, *, bodies: bool) -> tuple[int, Letters]:
        """The sequence up to which was looked, and what is unread up to there."""
        try:
            view = self._books.view(agent)
        except (StoreError, Corrupt) as error:
            unknown.append(f"the inbox of {agent}: {error}")
            return 0, []
        read = view.state or InboxState(agent=agent)
        if view.damaged:
            unknown.append(f"the inbox of {agent}: {view.damaged} entries cannot be read")
        letters: Letters = []
        for found in view.found:
            if read.has_read(found.sequence):
                continue
            try:
                letter = self._letter(read, found, bodies=bodies)
            except StoreError as error:
                letter = self._letter(read, found, bodies=False).replace(problem=str(error))
            if letter.problem:
                unknown.append(f"message {letter.id}: {letter.problem}")
            letters.append(letter)
        return _end_of(view, read), letters

    def _news(
        self, agent: str, phase: str | None, patterns: Sequence[str], folder: str, unknown: Texts
    ) -> tuple[GuidanceChange, ...]:
        from sharedstate.messages import guidance as guidance_files

        chosen = guidance_files.expanded(patterns, phase=phase)
        found = guidance_files.look(folder, chosen, phase=None, host=self._host)
        unknown.extend(found.problems)
        try:
            known = guidance_files.acknowledged(self._store, agent)
        except (StoreError, Corrupt) as error:
            unknown.append(f"guidance known to {agent}: {error}")
            return ()
        return guidance_files.changes(known, found, patterns=chosen)

    def _letter(self, read: InboxState, found: Found, *, bodies: bool) -> Letter:
        reference = found.reference
        envelope, awaited, problem = None, None, ""
        try:
            envelope = self._books.envelope(reference.id) if bodies else None
            awaited = self._books.awaited(reference.id, read.agent) if bodies and reference.ack_due_ms else None
        except Corrupt as error:
            problem = str(error) or error.code
        return Letter(
            sequence=found.sequence,
            received_at_ms=found.received_ms,
            unread=not read.has_read(found.sequence),
            envelope=envelope,
            acknowledged_at_ms=None if awaited is None else awaited.acknowledged_ms,
            problem=problem,
            **{name: value for name, value in reference.fields().items() if name != "received_ms"},
        )

    def _ack(self, agent: str, up_to: int, ids: Texts) -> Watermark:
        self._books.ready(agent)
        view = self._books.view(agent)
        read = view.state or InboxState(agent=agent)
        if up_to > read.up_to and not self._holds(agent, up_to):
            raise InvalidInput(
                f"up_to is {up_to}, but the inbox of {agent!r} ends before",
                hint="acknowledge the sequence up to which `unread` has looked",
            )
        wanted = frozenset(ids)
        named = [found for found in view.found if found.reference.id in wanted]
        self._check_known(agent, wanted.difference(found.reference.id for found in named))
        read_now = [found for found in view.found if found.sequence <= up_to or found in named]
        if read_now:
            self._books.settle(read_now[-1].reference.id)
        # First the acknowledgement, then the mark: a death in between leaves a message unread, not one unanswered.
        self._close(agent, read_now)
        sequences = [found.sequence for found in named]

        def decide(snapshot: Snapshot) -> Decision[InboxState | policy.Refusal]:
            state = InboxState(agent=agent) if snapshot.value is None else load_inbox(agent, snapshot.value)
            return policy.decide_ack(state, up_to=up_to, sequences=sequences)

        return _watermark(self._store.transact(INBOXES, agent, decide, journal=inbox_journal(agent)))

    def _check_known(self, agent: str, ids: Iterable[str]) -> None:
        """What is not above the watermark must have been read before."""
        for one in sorted(ids):
            mail = self._books.mail(one)
            if mail is None or not {agent, EVERYBODY}.intersection(mail.delivered):
                raise InvalidInput(f"message {one} is not in the inbox of {agent!r}")

    def _close(self, agent: str, read: Iterable[Found]) -> None:
        for found in read:
            if found.reference.ack_due_ms is not None:
                self._books.acknowledge(found.reference.id, agent, how="read")

    def _holds(self, agent: str, sequence: int) -> bool:
        """Whether the inbox goes up to a sequence at least."""
        return sequence == 0 or any(True for _ in self._store.read(inbox_journal(agent), after=sequence - 1, limit=1))


def check_agent(agent: object) -> str:
    """The name of an agent in NFC, or `InvalidId`; `*` is everybody and nobody's name."""
    name = check_id(agent, what="agent")
    if name == EVERYBODY:
        raise InvalidInput("* means everybody; only an agent has an inbox")
    return name


def _awaited(found: Versioned | Unreadable) -> Awaited:
    if isinstance(found, Unreadable):
        raise Corrupt(f"{found.name}: {found.reason}")
    return load_awaited(found.value)


def _watermark(answer: InboxState | policy.Refusal) -> Watermark:
    if isinstance(answer, policy.Refusal):
        raise InvalidInput(answer.reason)
    return answer.watermark


def _end_of(view: View, read: InboxState) -> int:
    return max(read.up_to, view.found[-1].sequence if view.found else 0)
