"""Inboxes behind gateways: read over HTTP, one or several; what cannot be asked is unknown, never empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from sharedstate import jsonio, logs
from sharedstate.errors import Corrupt, InvalidInput, SharedStateError, StoreUnavailable
from sharedstate.host import Host
from sharedstate.ids import fingerprint
from sharedstate.messages.breaker import Breaker
from sharedstate.messages.inbox import IDS_MAX, check_agent
from sharedstate.messages.model import Envelope, Letter, Unread, Watermark
from sharedstate.messages.policy_breaker import Blocked, Probe
from sharedstate.messages.wire import check_message_id, envelope_of
from sharedstate.settings import Settings
from sharedstate.store import Decision, Snapshot, Store
from sharedstate_adapters.http.answers import letter_of, list_of, number_of
from sharedstate_adapters.http.exchange import Answered, Endpoint, Silent

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
PAGES_MAX: Final = 10_000
TIMEOUT_S: Final = 10.0
_SILENCE_MS_MIN: Final = 1_000  # less patience than this says little about a gateway
_LEASE_MARGIN_MS: Final = 5_000
_NOBODY_BEHIND: Final = (502, 503, 504)
_MEMORY: Final = "gateways"
_NO_SUCH_THING: Final = "not_found"
Letters = list[Letter]  # by name: inside the classes `list` is a method
Envelopes = list[Envelope]


class _NothingThere(StoreUnavailable):
    """The gateway has no such thing."""


class HttpInbox:
    """The inboxes of one gateway; see docs/gateway.md. Safe for threads.

    Methods raise `StoreUnavailable` when the gateway does not answer or answers with a fault, and `InvalidInput` when
    it refuses what was asked. Each exchange is over after `timeout_s` seconds, the first of an operation, which may
    meet nobody, after `first_s` (default: the same). With `local`, this machine's own store, a gateway that was
    found dead a moment ago, by whomever on this machine, is not asked.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        host: Host | None = None,
        timeout_s: float = TIMEOUT_S,
        first_s: float | None = None,
        local: Store | None = None,
    ) -> None:
        self._host = Host() if host is None else host
        self._endpoint = Endpoint(url, token=token, host=self._host)
        self._timeout_s = timeout_s
        self._first_s = timeout_s if first_s is None else first_s
        self._breaker = None if local is None else Breaker(local, host=self._host, name=self._endpoint.name)

    @property
    def name(self) -> str:
        """The gateway's URL."""
        return self._endpoint.name

    def unread(self, agent: str) -> tuple[Unread, str]:
        """What an agent has not acknowledged, and the id of the store that says so."""
        letters: list[Letter] = []
        unknown: dict[str, None] = {}  # of every page, each once
        page: Mapping[str, Any] = {}
        for page in self._pages(f"/v1/agents/{_segment(agent)}/unread", "limit=1000"):
            letters += map(letter_of, list_of(page, "letters"))
            unknown |= dict.fromkeys([str(page.get("unknown", ""))])
        seen = Unread(
            agent=agent,
            count=max(len(letters), number_of(page, "count")),
            up_to=number_of(page, "up_to"),
            letters=tuple(letters),
            unknown="; ".join(filter(None, unknown)),
        )
        return seen, str(page.get("store", ""))

    def list(
        self,
        agent: str,
        *,
        unread_only: bool = False,
        after: int = 0,
        kind: str | None = None,
        phase: str | None = None,
    ) -> Iterator[Letter]:
        """An agent's letters above `after`, in order."""
        fields = [f"unread={int(unread_only)}", "limit=200"]
        fields += [f"{name}={quote(text, safe='')}" for name, text in (("kind", kind), ("phase", phase)) if text]
        for page in self._pages(f"/v1/agents/{_segment(agent)}/inbox", "&".join(fields), after=after):
            yield from map(letter_of, list_of(page, "letters"))

    def ack(self, agent: str, *, up_to: int | None = None, ids: Sequence[str] = (), store: str = "") -> Watermark:
        """Move an agent's watermark; `store` names whose sequence `up_to` is."""
        body: dict[str, Any] = {"up_to": up_to} if up_to is not None else {"ids": [*ids]}
        if store:
            body["store"] = store
        answer = self._asked("POST", f"/v1/agents/{_segment(agent)}/ack", body)
        above = tuple(number for number in list_of(answer, "above") if type(number) is int)
        return Watermark(agent=agent, up_to=number_of(answer, "up_to"), above=above)

    def thread(self, message: str) -> Envelopes:
        """The messages of a thread, empty when the gateway knows none."""
        found: list[Envelope] = []
        try:
            for page in self._pages(f"/v1/threads/{_segment(message)}", "limit=200"):
                found += [envelope_of(one) for one in list_of(page, "messages")]
        except _NothingThere:
            return []
        return found

    def close(self) -> None:
        """Give back connections."""
        self._endpoint.close()

    # Inside

    def _pages(self, path: str, fields: str, *, after: int = 0) -> Iterator[Mapping[str, Any]]:
        for number in range(PAGES_MAX):
            page = self._asked("GET", f"{path}?after={after}&{fields}", further=number > 0)
            yield page
            following = page.get("next_after")
            if following is None:
                return
            if type(following) is not int or following <= after:
                break
            after = following
        raise StoreUnavailable(f"{self.name}: its pages do not come to an end")

    def _asked(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, further: bool = False
    ) -> Mapping[str, Any]:
        raw = None if body is None else jsonio.encode_line(dict(body))
        answer = self._exchange(method, path, raw, timeout_s=self._timeout_s if further else self._first_s)
        if isinstance(answer, Silent):
            raise StoreUnavailable(f"{self.name}: {answer.reason}")
        if answer.broken:
            raise StoreUnavailable(f"{self.name}: HTTP {answer.status}, {answer.broken}")
        try:
            document = jsonio.decode(answer.body, what="its answer")
        except Corrupt as error:
            raise StoreUnavailable(f"{self.name}: HTTP {answer.status}, {error}") from None
        if 200 <= answer.status < 300:
            return document
        raise _fault(self.name, answer.status, document)

    def _exchange(self, method: str, path: str, body: bytes | None, *, timeout_s: float) -> Answered | Silent:
        """One exchange, as far as the circuit of the gateway lets it be asked; it is told how it went."""
        breaker, began_s = self._breaker, self._host.monotonic_s()
        asked = None if breaker is None else breaker.ask(lease_ms=int(timeout_s * 1000) + _LEASE_MARGIN_MS)
        if isinstance(asked, Blocked):
            return Silent(reason="not asked, it failed a moment ago")
        answer = self._endpoint.ask(method, path, body=body, timeout_s=timeout_s, bytes_max=ANSWER_BYTES_MAX)
        if breaker is None or asked is None:
            return answer
        took_ms = int((self._host.monotonic_s() - began_s) * 1000)
        if isinstance(answer, Answered) and answer.status not in _NOBODY_BEHIND:
            if answer.status < 500 or isinstance(asked, Probe):  # of one inbox that is damaged: says nothing of others
                breaker.succeeded(asked)
        elif isinstance(answer, Answered) or isinstance(asked, Probe) or not _is_hasty(took_ms, timeout_s):
            breaker.failed(asked, took_ms=took_ms, answered=isinstance(answer, Answered), retry_after_ms=0)
        return answer


class UnionInbox:
    """The inboxes of several gateways as one: the union by id, so that one message is seen once wherever it arrived.

    Gateways over one store (the same store id) are one inbox, and the first of them that answers speaks for all. Where
    there are several stores, sequences mean nothing together: acknowledge by ids. `local`, this machine's own store,
    remembers which store a gateway speaks for: one that is away then makes nothing unknown as long as another speaks
    for the same store. Made by `of`, gateways that stay silent share `timeout_s` seconds, and one that was found dead a
    moment ago is not asked.
    """

    def __init__(self, inboxes: Sequence[HttpInbox], *, local: Store | None = None) -> None:
        if not inboxes:
            raise InvalidInput("no gateway to ask")
        self._inboxes = tuple(inboxes)
        self._local = local

    @classmethod
    def of(
        cls, urls: Sequence[str], *, settings: Settings, host: Host, local: Store | None, timeout_s: float = TIMEOUT_S
    ) -> UnionInbox:
        """The inboxes behind these gateways, with the configured token. Raises `BadSettings`."""
        first_s = timeout_s / max(1, len(urls))
        inboxes = [
            HttpInbox(url, token=settings.http_token, host=host, timeout_s=timeout_s, first_s=first_s, local=local)
            for url in urls
        ]
        return cls(inboxes, local=local)

    def unread(self, agent: str) -> Unread:
        """What is unread anywhere. What cannot be asked stands in `unknown`; nothing raises but bad arguments.

        `up_to` is 0 where there are several stores.
        """
        agent = check_agent(agent)
        seen: dict[str, Unread] = {}
        away: list[tuple[HttpInbox, str]] = []
        for inbox in self._inboxes:
            try:
                told, store = inbox.unread(agent)
            except (StoreUnavailable, InvalidInput) as error:
                away.append((inbox, _told(inbox, error)))
                continue
            self._remember(inbox, store)
            seen.setdefault(store or inbox.name, told)
        unknown = [reason for inbox, reason in away if self._remembered(inbox) not in seen]
        unknown += [told.unknown for told in seen.values() if told.unknown]
        letters = _union(one for told in seen.values() for one in told.letters)
        single = next(iter(seen.values())) if len(seen) == 1 and not unknown else None
        return Unread(
            agent=agent,
            count=len(letters) if single is None else single.count,
            up_to=0 if single is None else single.up_to,
            letters=tuple(letters),
            unknown="; ".join(unknown),
        )

    def list(self, agent: str, **options: Any) -> tuple[Letters, str]:
        """An agent's letters everywhere, by the time of their making, and what could not be asked."""
        agent = check_agent(agent)
        found: list[Letter] = []
        unknown = self._each(lambda inbox: found.extend(inbox.list(agent, **options)))
        return _union(found), unknown

    def thread(self, message: str) -> tuple[Envelopes, str]:
        """The messages of a thread everywhere, by the time of their making, and what could not be asked."""
        check_message_id(message)
        found: list[Envelope] = []
        unknown = self._each(lambda inbox: found.extend(inbox.thread(message)))
        once = {one.id: one for one in found}
        return sorted(once.values(), key=lambda one: (one.created_at_ms, one.id)), unknown

    def ack(self, agent: str, *, up_to: int | None = None, ids: Sequence[str] = ()) -> str:
        """Acknowledge everywhere; returns what could not be asked. By a sequence only where all is one store."""
        agent = check_agent(agent)
        if up_to is None:
            return self._each(lambda inbox: _ack_held(inbox, agent, ids))
        stores = {self._store_of(inbox, agent) for inbox in self._inboxes}
        if len(stores) != 1:
            hint = "acknowledge by ids (--id)"
            raise InvalidInput(
                "a sequence means nothing here: these gateways are several stores, or one is away", hint=hint
            )
        store = stores.pop()
        unknown: list[str] = []
        for inbox in self._inboxes:
            try:
                inbox.ack(agent, up_to=up_to, store="" if store == inbox.name else store)
            except StoreUnavailable as error:
                unknown.append(_told(inbox, error))
                continue
            return ""
        return "; ".join(unknown)

    def close(self) -> None:
        """Give back connections."""
        for inbox in self._inboxes:
            inbox.close()

    # Inside

    def _each(self, act: Callable[[HttpInbox], object]) -> str:
        """Ask every gateway; what could not be asked, unless another that answered speaks for the same store."""
        away: list[tuple[HttpInbox, str]] = []
        answered: set[str] = set()
        for inbox in self._inboxes:
            try:
                act(inbox)
            except (StoreUnavailable, InvalidInput) as error:  # what is asked has been checked: it is no good gateway
                away.append((inbox, _told(inbox, error)))
            else:
                answered.add(self._remembered(inbox))
        return "; ".join(reason for inbox, reason in away if self._remembered(inbox) not in answered)

    def _store_of(self, inbox: HttpInbox, agent: str) -> str:
        try:
            store = inbox.unread(agent)[1]
        except (StoreUnavailable, InvalidInput):
            return self._remembered(inbox)
        self._remember(inbox, store)
        return store or inbox.name

    def _remembered(self, inbox: HttpInbox) -> str:
        """The store this gateway is known to speak for; its own name when that is not known."""
        if self._local is not None:
            try:
                found = self._local.get(_MEMORY, _key(inbox))
            except SharedStateError:
                found = None
            if found is not None and isinstance(found.value.get("store"), str):
                return str(found.value["store"])
        return inbox.name

    def _remember(self, inbox: HttpInbox, store: str) -> None:
        if self._local is None or not store or self._remembered(inbox) == store:
            return

        def note(_: Snapshot) -> Decision[None]:
            return Decision(result=None, write={"store": store})

        try:
            self._local.transact(_MEMORY, _key(inbox), note, durability="relaxed", derived=True)
        except SharedStateError as error:
            logs.warn("which store %s speaks for could not be remembered: %s", inbox.name, error)


def _is_hasty(took_ms: int, timeout_s: float) -> bool:
    """Whether silence is only that of somebody who waited for a short time."""
    return timeout_s * 1000 < _SILENCE_MS_MIN and took_ms >= int(timeout_s * 1000)


def _ack_held(inbox: HttpInbox, agent: str, ids: Sequence[str]) -> None:
    """Of these ids, acknowledge those that are unread there; a gateway refuses what it does not hold."""
    unread = {letter.id for letter in inbox.unread(agent)[0].letters}
    held = [one for one in ids if one in unread]
    for start in range(0, len(held), IDS_MAX):
        inbox.ack(agent, ids=held[start : start + IDS_MAX])


def _union(letters: Iterable[Letter]) -> Letters:
    """Each message once, unread only where it is unread everywhere; by the time of its making."""
    once: dict[str, Letter] = {}
    for letter in letters:
        known = once.get(letter.id)
        once[letter.id] = letter if known is None else known.replace(unread=known.unread and letter.unread)
    return sorted(once.values(), key=lambda letter: letter.id)


def _fault(name: str, status: int, document: Mapping[str, Any]) -> SharedStateError:
    error = document.get("error")
    told = error if isinstance(error, dict) else {}
    text = f"{name}: HTTP {status}: {str(told.get('message', ''))[:200]}"
    if status == 404 and told.get("code") == _NO_SUCH_THING:
        return _NothingThere(text)
    if status in (400, 409):
        return InvalidInput(text, hint=str(told.get("hint", ""))[:200])
    return StoreUnavailable(text)


def _told(inbox: HttpInbox, error: SharedStateError) -> str:
    """Why a gateway could not be asked, with its name."""
    text = str(error)
    return text if inbox.name in text else f"{inbox.name}: {text}"


def _segment(text: str) -> str:
    """One path segment; an id of dots only would mean another place."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _key(inbox: HttpInbox) -> str:
    return fingerprint(inbox.name.encode(), size=16)
