"""What this machine remembers of records it has written or seen settled, whatever is done to their comments.

A remembered step counts only while GitHub shows no step as high. Then a comment was removed or broken by hand: the
step is posted again as it was, so that neither owner nor fence fall back.
"""

from __future__ import annotations

from typing import Any, Final

from sharedstate import logs
from sharedstate.errors import Corrupt, StoreError
from sharedstate.ids import fingerprint
from sharedstate.store import Decision, Document, Snapshot, Store
from sharedstate_adapters.github.chain import Head
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.transition import Mark, Transition

COLLECTION: Final = "github-steps"


class Recall:
    """The highest step known of each record, in the machine-local store. `api` keeps two GitHubs apart."""

    def __init__(self, local: Store, *, api: str) -> None:
        self._local = local
        self._api = api.partition("://")[2]

    def get(self, place: Place, collection: str, key: str) -> Transition | None:
        """The highest step known of a record."""
        try:
            held = self._local.get(COLLECTION, self._name(place, collection, key))
        except Corrupt:
            return None  # the next step that is kept replaces it
        return None if held is None else _load(held.value)

    def keep(self, place: Place, transition: Transition) -> None:
        """Remember a step that stands, unless a higher one is known.

        What cannot be remembered is a warning: the step stands without it.
        """
        document = _dump(transition)

        def decide(snapshot: Snapshot) -> Decision[None]:
            known = None if snapshot.value is None else _load(snapshot.value)
            higher = known is not None and known.mark.base > transition.mark.base
            if higher or snapshot.value == document:
                return Decision(result=None)
            return Decision(result=None, write=document)

        name = self._name(place, transition.mark.collection, transition.mark.key)
        try:
            self._local.transact(COLLECTION, name, decide, durability="relaxed", derived=True)
        except (StoreError, Corrupt) as error:
            logs.warn("%s: a step was not remembered on this machine: %s", place, error)

    def _name(self, place: Place, collection: str, key: str) -> str:
        known = "\0".join((self._api, str(place).lower(), collection, key))
        return fingerprint(known.encode(), size=16, person=b"sharedstate-step")


def completed(head: Head | None, remembered: Transition | None) -> tuple[Head | None, bool]:
    """The step that counts when this machine's memory is taken into account, and whether GitHub has lost it. Pure.

    Where GitHub shows another step with the same base, that one counts: others have acted upon it.
    """
    if remembered is None:
        return head, False
    mark = remembered.mark
    broken = head is not None and head.transition is None and head.mark.nonce == mark.nonce
    if head is not None and head.mark.base >= mark.base and not broken:
        return head, False
    return Head(mark=mark, transition=remembered, carriers=()), True


def _dump(transition: Transition) -> Document:
    return {"step": {**transition.fields(), "mark": transition.mark.fields(), "after": list(transition.after)}}


def _load(document: Document) -> Transition | None:
    try:
        step: dict[str, Any] = document["step"]
        known: dict[str, Any] = {**step, "mark": Mark(**step["mark"]), "after": tuple(step["after"])}
        return Transition(**known)
    except (KeyError, TypeError):
        return None  # another version wrote it
