"""What the adapter remembers on this machine: state comments it has seen, what a listing has said.

Losing it costs requests, never state. A listing counts as delivered only when the engine comes back with the cursor it
gave: until then what it found is told again, so that a crash in between loses no person's change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sharedstate.store import DELETE, Decision, Document, Snapshot, Store, Unreadable
from sharedstate.values import Value
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.trust import Comment, Seen

ROWS_MAX: Final = 20  # comments kept per issue; more than one is rare already
TOLD_MAX: Final = 1_000
_COMMENTS: Final = "github-comments"
_LISTINGS: Final = "github-listings"
_FACTS: Final = "github-facts"


class Known(Value):
    """State comments known on one issue (by trusted authors only), and the highest that was seen in them.

    `wrote_ms`: when this machine last wrote there; `doubt_ms`: when a post of ours got no answer, 0 for none;
    `count`: how many comments of any kind the issue had.
    """

    comments: tuple[Comment, ...] = ()
    seen: Seen = Seen()
    wrote_ms: int = 0
    doubt_ms: int = 0
    count: int = 0


class Told(Value):
    """What the last listing of a repository said: its number, cards by issue, records reported as not counting.

    The fields `…before` are those of the listing before, for when the last one was never delivered.
    """

    listing: int = 0
    cards: Mapping[str, str | None] = {}
    before: Mapping[str, str | None] = {}
    distrusted: tuple[str, ...] = ()
    distrusted_before: tuple[str, ...] = ()


class Memory:
    """The adapter's own records in the machine-local store. `api` keeps two GitHubs apart."""

    def __init__(self, store: Store, *, api: str) -> None:
        self._store = store
        self._api = api.partition("://")[2]

    def known(self, place: Place) -> Known:
        """What is known of an issue."""
        found = self._store.get(_COMMENTS, self._key(place))
        return Known() if found is None else _load_known(found.value)

    def keep(self, place: Place, known: Known) -> None:
        """Remember what is known of an issue; nothing is written where nothing is new."""
        known = known.replace(comments=tuple(sorted(known.comments, key=lambda comment: comment.id)[:ROWS_MAX]))

        def decide(snapshot: Snapshot) -> Decision[None]:
            document = {"place": str(place), "api": self._api, **_dump_known(known)}
            if snapshot.value == document or (snapshot.value is None and known.replace(count=0) == Known()):
                return Decision(result=None)
            return Decision(result=None, write=document)

        self._store.transact(_COMMENTS, self._key(place), decide, durability="relaxed")

    def forget(self, place: Place) -> None:
        """Nothing is known of the issue any more."""
        self._store.transact(
            _COMMENTS, self._key(place), lambda snapshot: Decision(result=None, write=DELETE), durability="relaxed"
        )

    def places(self, repository: str) -> Iterable[Place]:
        """Every issue of a repository of which something is known."""
        for found in self._store.scan(_COMMENTS):
            if isinstance(found, Unreadable) or found.value.get("api") != self._api:
                continue
            name, _, number = str(found.value.get("place", "")).rpartition("#")
            if name.lower() == repository.lower() and number.isdigit():
                yield Place(repository=name, number=int(number))

    def told(self, repository: str) -> Told:
        """What the last listing said."""
        found = self._store.get(_LISTINGS, f"{self._api} {repository.lower()}")
        if found is None:
            return Told()
        value = found.value
        return Told(
            listing=int(value.get("listing", 0)),
            cards=dict(value.get("cards", {})),
            before=dict(value.get("before", {})),
            distrusted=tuple(value.get("distrusted", ())),
            distrusted_before=tuple(value.get("distrusted_before", ())),
        )

    def tell(self, repository: str, told: Told) -> None:
        """Remember what a listing says."""
        document = {
            name: list(held) if isinstance(held, tuple) else dict(held) if isinstance(held, Mapping) else held
            for name, held in _cut(told).fields().items()
        }
        self._put(_LISTINGS, f"{self._api} {repository.lower()}", document)

    def fact(self, name: str) -> Document | None:
        """Something looked up before (a project's field, labels that exist), None when it was not."""
        found = self._store.get(_FACTS, f"{self._api} {name}")
        return None if found is None else found.value

    def keep_fact(self, name: str, document: Document) -> None:
        """Remember something looked up."""
        self._put(_FACTS, f"{self._api} {name}", document)

    def _put(self, collection: str, key: str, document: Document) -> None:
        def decide(snapshot: Snapshot) -> Decision[None]:
            same = snapshot.value == document
            return Decision(result=None) if same else Decision(result=None, write=document)

        self._store.transact(collection, key, decide, durability="relaxed")

    def _key(self, place: Place) -> str:
        return f"{self._api} {str(place).lower()}"


def _cut(told: Told) -> Told:
    return told.replace(distrusted=told.distrusted[-TOLD_MAX:], distrusted_before=told.distrusted_before[-TOLD_MAX:])


def _dump_known(known: Known) -> Document:
    return {
        "comments": [comment.fields() for comment in known.comments],
        "seen": known.seen.fields(),
        "wrote_ms": known.wrote_ms,
        "doubt_ms": known.doubt_ms,
        "count": known.count,
    }


def _load_known(document: Mapping[str, Any]) -> Known:
    try:
        return Known(
            comments=tuple(Comment(**row) for row in document.get("comments", ())),
            seen=Seen(**document.get("seen", {})),
            wrote_ms=int(document.get("wrote_ms", 0)),
            doubt_ms=int(document.get("doubt_ms", 0)),
            count=int(document.get("count", 0)),
        )
    except (TypeError, ValueError):
        return Known()  # another version wrote it: asked for afresh
