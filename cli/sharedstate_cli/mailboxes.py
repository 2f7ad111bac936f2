"""Where a reader's letters are: in our own store, and behind the gateways that are configured as endpoints.

With gateways the mailbox is the union by message id of all of them and our own store. Numbers mean something only
while all of it is one inbox of one store; else letters are acknowledged by their ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from sharedstate.errors import InvalidInput
from sharedstate.messages.model import Envelope, Letter, Unread, Watermark
from sharedstate.values import Value
from sharedstate_cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharedstate.messages.inbox import Inbox
    from sharedstate.settings import Settings

TIMEOUT_S: Final = 10.0
_READABLE: Final = ("http://", "https://")


class Wanted(Value):
    """Which letters are wanted: all of them or what is unread, behind a number, of a kind, of a phase, how many."""

    everything: bool
    after: int = 0
    limit: int | None = None
    kind: str | None = None
    phase: str | None = None


class Letters(Value):
    """Letters in order. `more`: the limit left some out. `numbered`: their numbers can be acknowledged.

    `unknown`: why there may be others, empty when there are none.
    """

    letters: tuple[Letter, ...]
    more: bool = False
    numbered: bool = True
    unknown: str = ""


class Gateways(Protocol):
    """Inboxes behind gateways as one, as the HTTP adapter offers them. What cannot be asked comes as text."""

    def unread(self, agent: str) -> Unread:
        """What is unread anywhere; `up_to` is 0 where there are several stores."""
        ...

    def list(self, agent: str, **options: object) -> tuple[Sequence[Letter], str]:
        """Letters everywhere, by the time of their making."""
        ...

    def thread(self, message: str) -> tuple[Sequence[Envelope], str]:
        """The messages of a thread everywhere."""
        ...

    def ack(self, agent: str, *, up_to: int | None = None, ids: Sequence[str] = ()) -> str:
        """Acknowledge everywhere."""
        ...


class OwnMailbox:
    """The inboxes of our own store. Methods raise as those of `Inbox` do."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def unread(self, agent: str, *, phase: str | None, folder: str | None) -> Unread:
        """What is unread, without bodies."""
        return self._inbox.unread(agent, phase=phase, folder=folder, bodies=False)

    def letters(self, agent: str, wanted: Wanted) -> Letters:
        """Letters with their bodies."""
        found = self._inbox.list(
            agent,
            unread_only=not wanted.everything,
            after=wanted.after,
            limit=None if wanted.limit is None else wanted.limit + 1,
            kind=wanted.kind,
            phase=wanted.phase,
        )
        return _cut(found, wanted.limit)

    def thread(self, message: str) -> tuple[list[Envelope], str]:
        """The messages of a thread."""
        return self._inbox.thread(message), ""

    def ack(self, agent: str, *, up_to: int | None, ids: Sequence[str]) -> tuple[Watermark | None, str]:
        """How far the agent has read now."""
        return self._inbox.ack(agent, up_to=up_to, ids=ids), ""


class JointMailbox:
    """The same of gateways and our own store together. What cannot be asked is told, it raises nothing."""

    def __init__(self, inbox: Inbox, union: Gateways) -> None:
        self._inbox = inbox
        self._union = union

    def unread(self, agent: str, *, phase: str | None, folder: str | None) -> Unread:
        """What is unread anywhere; guidance is that of our own working copy."""
        own = self._inbox.unread(agent, phase=phase, folder=folder, bodies=False)
        told = self._union.unread(own.agent)
        known = {letter.id for letter in told.letters}
        extra = [letter for letter in own.letters if letter.id not in known]
        letters = (*told.letters, *extra)
        ordered = _by_number(letters) if told.up_to and not extra else _by_time(letters)
        return Unread(
            agent=own.agent,
            count=max(told.count, len(known)) + len(extra),
            up_to=0 if extra else told.up_to,
            letters=tuple(ordered),
            guidance=own.guidance,
            unknown="; ".join(filter(None, (told.unknown, own.unknown))),
        )

    def letters(self, agent: str, wanted: Wanted) -> Letters:
        """Letters with their bodies; numbers hold only where nothing but one store has any."""
        if wanted.everything:
            after, kind, phase = wanted.after, wanted.kind, wanted.phase
            own = self._inbox.list(agent, after=after, kind=kind, phase=phase)
            told, unknown = self._union.list(agent, after=after, kind=kind, phase=phase)
            return _cut(_by_time(_once((*told, *own))), wanted.limit, numbered=False, unknown=unknown)
        mine = self._inbox.unread(agent)
        seen = self._union.unread(agent)
        known = {letter.id for letter in seen.letters}
        extra = [letter for letter in mine.letters if letter.id not in known]
        numbered = bool(seen.up_to) and not extra
        ordered = _by_number(seen.letters) if numbered else _by_time((*seen.letters, *extra))
        chosen = [letter for letter in ordered if _is_wanted(letter, wanted)]
        unknown = "; ".join(filter(None, (seen.unknown, mine.unknown)))
        return _cut(chosen, wanted.limit, numbered=numbered, unknown=unknown)

    def thread(self, message: str) -> tuple[list[Envelope], str]:
        """The messages of a thread from everywhere, by the time of their making."""
        own = self._inbox.thread(message)
        told, unknown = self._union.thread(message)
        once = {envelope.id: envelope for envelope in (*own, *told)}
        return sorted(once.values(), key=lambda one: (one.created_at_ms, one.id)), unknown

    def ack(self, agent: str, *, up_to: int | None, ids: Sequence[str]) -> tuple[Watermark | None, str]:
        """Acknowledge wherever it is unread. A number only where it means one letter."""
        here = {letter.id for letter in self._inbox.unread(agent, bodies=False).letters}
        seen = self._union.unread(agent)
        read = list(ids)
        if up_to is not None:
            there = {letter.id for letter in seen.letters}
            if here - there:
                raise InvalidInput(
                    "a number means nothing here: letters are in several stores", hint="acknowledge by ids: --id ID"
                )
            read += [letter.id for letter in seen.letters if letter.sequence <= up_to]
        unknown = seen.unknown if up_to is None else self._union.ack(agent, up_to=up_to)
        if ids:
            self._check_known(agent, ids, here | {letter.id for letter in seen.letters}, unknown=seen.unknown)
            unknown = unknown or self._union.ack(agent, ids=ids)
        mine = sorted(here.intersection(read))
        if mine:
            self._inbox.ack(agent, ids=mine)
        return None, unknown

    def _check_known(self, agent: str, ids: Sequence[str], unread: set[str], *, unknown: str) -> None:
        missing = [one for one in ids if one not in unread]
        if not missing or unknown:
            return
        known = {letter.id for letter in self._union.list(agent)[0]} | {one.id for one in self._inbox.list(agent)}
        for one in missing:
            if one not in known:
                raise InvalidInput(f"message {one} is not in the inbox of {agent!r}")


def mailbox(session: Session, *, timeout_s: float = TIMEOUT_S) -> OwnMailbox | JointMailbox:
    """The mailbox that the settings describe. Raises `BadSettings`."""
    state = session.state
    urls = gateways_of(state.settings)
    if not urls:
        return OwnMailbox(state.inbox)
    from sharedstate_cli.wiring import inboxes_behind

    return JointMailbox(state.inbox, inboxes_behind(session, urls, timeout_s=timeout_s))


def gateways_of(settings: Settings) -> tuple[str, ...]:
    """The endpoints of our lane that can be read from: gateways. Raises `BadSettings`."""
    named = settings.endpoints or settings.endpoint_primary or settings.endpoint_fallback
    if not named and not settings.lanes:
        return ()
    from sharedstate.messages.lanes import endpoints_of, lane_of

    return tuple(url for url in endpoints_of(settings, lane_of(settings)) if url.startswith(_READABLE))


# Inside


def _cut(found: Sequence[Letter], limit: int | None, *, numbered: bool = True, unknown: str = "") -> Letters:
    kept = tuple(found if limit is None else found[:limit])
    return Letters(letters=kept, more=len(found) > len(kept), numbered=numbered, unknown=unknown)


def _once(letters: Sequence[Letter]) -> list[Letter]:
    """Each message once; read where it is read anywhere."""
    once: dict[str, Letter] = {}
    for letter in letters:
        known = once.get(letter.id)
        once[letter.id] = letter if known is None else known.replace(unread=known.unread and letter.unread)
    return list(once.values())


def _is_wanted(letter: Letter, wanted: Wanted) -> bool:
    return (
        letter.sequence > wanted.after and wanted.kind in (None, letter.kind) and wanted.phase in (None, letter.phase)
    )


def _by_number(letters: Sequence[Letter]) -> list[Letter]:
    return sorted(letters, key=lambda letter: letter.sequence)


def _by_time(letters: Sequence[Letter]) -> list[Letter]:
    return sorted(letters, key=lambda letter: letter.id)
