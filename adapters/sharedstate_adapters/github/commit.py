"""Making one transition count: post it, look until its place is certain, take it back when another was first.

What is relied on: when a list shows a comment, it shows every older one, or else the next list a settle time later
does. So two looks in a row, a settle time apart, that show the same rivals, show all that can be before them. The same
is asked of a step that somebody else has posted before anything is built upon it: what was beaten is never continued.

A step that may count is not taken back, whatever happens to its writer: others may have built upon it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sharedstate import logs
from sharedstate.errors import SharedStateError, StoreUnavailable
from sharedstate.host import Host
from sharedstate.values import Value
from sharedstate_adapters.github.chain import Carrier, Head, head_of, leftovers, rivals, standing
from sharedstate_adapters.github.comment import SigningKey
from sharedstate_adapters.github.issue_log import TOO_LATE, IssueLog, Patience, Sent
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.transition import Mark, Transition, render

_LOOKS_MAX: Final = 20
_POSTS_MAX: Final = 3
_UNSEEN_MAX: Final = 2  # looks that do not show a post without an answer before it is sent again
_TIDY_S: Final = 5.0
_TIDY_MAX: Final = 20  # comments removed after one step; more can only be there where people copied them
Carriers = tuple[Carrier, ...]


class _Try(Value):
    """A transition on its way, and the comment we know to be ours (None: no answer came)."""

    transition: Transition
    body: str
    comment_id: int | None = None

    @property
    def mark(self) -> Mark:
        """Which try it is."""
        return self.transition.mark


class Committer:
    """Carries transitions out on one log. `settle_s`: seconds between two looks that have to agree."""

    def __init__(self, log: IssueLog, *, key: SigningKey | None, host: Host, settle_s: float) -> None:
        self._log = log
        self._key = key
        self._host = host
        self._settle_s = settle_s

    def commit(self, place: Place, transition: Transition, patience: Patience, *, by_ms: int) -> Carriers | None:
        """Post and settle. The comments of the record when the transition counts, else None: it is to be decided anew.

        That is when another was first, or when it could not be sent by `by_ms` of our boot clock: too much may have
        happened since it was decided.
        Raises `StoreUnavailable` when that cannot be found out in time: then it may count or not, as if its writer had
        died.
        """
        body = render(transition, place=place, key=self._key)
        posted = self._log.post(place.number, body, patience, by_ms=by_ms)
        if posted is TOO_LATE:
            return None
        return self._settle(place, _Try(transition=transition, body=body, comment_id=_id(posted)), patience)

    def rest(self, patience: Patience, *, why: str) -> None:
        """Wait until a list shows whatever was there before."""
        patience.nap(self._settle_s, why=why)

    def settled(self, mark: Mark, carriers: Carriers, look: Callable[[], Carriers], patience: Patience) -> Head | None:
        """Look until two looks in a row agree about what counts; `carriers` is the first look, `mark` its head.

        None when all is gone meanwhile.
        """
        for _ in range(_LOOKS_MAX):
            shown = rivals(carriers, mark)
            self.rest(patience, why=f"{mark.collection}/{mark.key}: somebody else is changing it")
            carriers = look()
            head = head_of(carriers)
            if head is None or (head.mark == mark and rivals(carriers, mark) == shown):
                return head
            mark = head.mark
        raise StoreUnavailable(f"{mark.collection}/{mark.key}: it changes with every look", hint="try again")

    def tidy(self, place: Place, transition: Transition, carriers: Carriers) -> None:
        """Remove the steps that a settled one has left behind, but for one comment that becomes its mirror.

        What fails is left to the next one: leftovers never count. With the mirror, a person who removes a comment
        removes no state, and readers see that the step is settled.
        """
        patience = Patience(self._host, limit_s=_TIDY_S)
        mirror, old = leftovers(carriers, transition.mark)
        try:
            if mirror is not None:
                body = render(transition, place=place, key=self._key, mirror=True)
                self._log.edit(mirror, body, patience)
            for comment_id in old[:_TIDY_MAX]:
                self._log.remove(comment_id, patience)
        except SharedStateError as error:
            logs.info("%s: old steps are left behind: %s", place, error)

    def _settle(self, place: Place, attempt: _Try, patience: Patience) -> Carriers | None:
        """The comments of the record once our try counts for certain; None when another was first."""
        agreed: frozenset[tuple[int, str]] | None = None
        unseen, posts = 0, 1
        for _ in range(_LOOKS_MAX):
            carriers = self._look(place, attempt.mark, patience)
            where = standing(head_of((*carriers, *_own(attempt))), attempt.mark)
            if where == "beaten":
                self._withdraw(place, attempt, carriers)
                return None
            if where == "passed":
                return ()
            if where == "unknown":
                break
            if where == "first" and any(one.mark.nonce == attempt.mark.nonce for one in carriers):
                shown = rivals(carriers, attempt.mark)
                if shown == agreed:
                    return carriers
                agreed = shown
            else:
                agreed, unseen = None, unseen + 1
                if attempt.comment_id is None and unseen % _UNSEEN_MAX == 0 and posts < _POSTS_MAX:
                    # The same body: should the first one turn up after all, both carry one and the same step.
                    attempt = attempt.replace(comment_id=_id(self._log.post(place.number, attempt.body, patience)))
                    posts += 1
            self.rest(patience, why=f"{place}: waiting for the comments to settle")
        what = f"{attempt.mark.collection}/{attempt.mark.key} on {place}"
        raise StoreUnavailable(
            f"{what}: it cannot be told whether our change counts", hint="read it again, then decide"
        )

    def _look(self, place: Place, mark: Mark, patience: Patience) -> Carriers:
        carriers = self._log.look(place.number, patience, stubborn=True)
        return tuple(one for one in carriers if (one.mark.collection, one.mark.key) == (mark.collection, mark.key))

    def _withdraw(self, place: Place, attempt: _Try, carriers: Carriers) -> None:
        """Take back a try that was beaten. It can never count again, so a failure leaves only litter."""
        patience = Patience(self._host, limit_s=_TIDY_S)
        shown = {one.comment_id for one in carriers if one.mark == attempt.mark}
        try:
            for comment_id in sorted(shown if attempt.comment_id is None else shown | {attempt.comment_id}):
                self._log.remove(comment_id, patience)
        except SharedStateError as error:
            logs.info("%s: a beaten step is left behind: %s", place, error)


def _id(posted: int | Sent) -> int | None:
    return posted if isinstance(posted, int) else None


def _own(attempt: _Try) -> Carriers:
    """Our own comment, which a list may not show yet."""
    if attempt.comment_id is None:
        return ()
    return (Carrier(comment_id=attempt.comment_id, mark=attempt.mark, transition=attempt.transition),)
