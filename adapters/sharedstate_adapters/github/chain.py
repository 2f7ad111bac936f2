"""Which transition of a record counts, as a pure function of the comments that are there.

The rule: **the highest base wins, and of those with the same base the lowest comment id.** Whoever wants to change a
record posts a step upon the one that counts; of two at once, GitHub's order of comments decides.

Nobody builds upon a step before it is settled (`commit`), and a step that may count is never taken back. So all steps
with the same base follow the same one, and what counted once can only be passed, never replaced.

The rule is the fold "in order of ids, take what follows at least the step reached so far" without its dependence on
what was before: any set of comments that holds the winner, whatever else is missing from it, has the same winner
(tests/property holds both to each other). So old steps can be removed in any order, by anybody, at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sharedstate.values import Value
from sharedstate_adapters.github.transition import Heartbeat, Mark, Transition

Standing = Literal["first", "passed", "beaten", "unseen", "unknown"]


class Carrier(Value):
    """A comment by a trusted author that carries a transition; `transition` None: it is broken, and `reason` why.

    A broken one still says by its marker which step it was, so that a damaged record blocks instead of falling back
    to an older owner. `touched_ms` is when GitHub last saw it written.
    """

    comment_id: int
    mark: Mark
    transition: Transition | None
    heartbeat: Heartbeat | None = None
    touched_ms: int = 0
    mirror: bool = False
    reason: str = ""


class Head(Value):
    """The step that counts, and the comments that carry it, oldest first. `transition` None: it is there, but broken.

    `heartbeat` is the last sign of life since then; those on other steps' comments count for nothing.
    """

    mark: Mark
    transition: Transition | None
    carriers: tuple[Carrier, ...]
    heartbeat: Heartbeat | None = None
    reason: str = ""

    @property
    def rank(self) -> tuple[int, int]:
        """Lower is better: the base, from above, then the comment id."""
        return (-self.mark.base, self.carriers[0].comment_id)


def head_of(carriers: Iterable[Carrier]) -> Head | None:
    """The step that counts among the comments of one record; None when there is none. In any order, doubles allowed."""
    tries: dict[str, list[Carrier]] = {}
    for carrier in carriers:
        tries.setdefault(carrier.mark.nonce, []).append(carrier)
    heads = [_head(group) for group in tries.values()]
    return min(heads, key=lambda head: head.rank, default=None)


def standing(head: Head | None, mark: Mark) -> Standing:
    """Where our own try stands: it is `first`; others have gone on from it (`passed`); another was first (`beaten`).

    `unseen`: nothing as high is there. `unknown`: so much has happened since that nobody knows any more.
    """
    if head is None or head.mark.base < mark.base:
        return "unseen"
    if head.mark.base == mark.base:
        return "first" if head.mark.nonce == mark.nonce else "beaten"
    steps = head.mark.base - mark.base
    if head.transition is None or steps > len(head.transition.after):
        return "unknown"
    return "passed" if head.transition.after[steps - 1] == mark.nonce else "beaten"


def rivals(carriers: Iterable[Carrier], mark: Mark) -> frozenset[tuple[int, str]]:
    """The comments that bear on whether this step counts: two looks that show the same ones agree."""
    return frozenset((one.comment_id, one.mark.nonce) for one in carriers if one.mark.base >= mark.base)


def leftovers(carriers: Iterable[Carrier], mark: Mark) -> tuple[int | None, tuple[int, ...]]:
    """After `mark` has won: the old comment that becomes its mirror (the oldest, so mostly the same), those to remove.

    Tries with the same base are left to those who made them: they are about to find out.
    """
    old = sorted(one.comment_id for one in carriers if one.mark.base < mark.base)
    return (old[0], tuple(old[1:])) if old else (None, ())


def _head(group: list[Carrier]) -> Head:
    """One try and all that carries it. A broken copy neither moves it forward nor counts beside a sound one."""
    sound = sorted((one for one in group if one.transition is not None), key=lambda one: one.comment_id)
    if not sound:
        worst = min(group, key=lambda one: (-one.mark.base, one.comment_id))
        return Head(mark=worst.mark, transition=None, carriers=(worst,), reason=worst.reason)
    transition = sound[0].transition
    assert transition is not None
    beat = _last_heartbeat(transition, sound)
    return Head(mark=transition.mark, transition=transition, carriers=tuple(sound), heartbeat=beat)


def _last_heartbeat(transition: Transition, carriers: list[Carrier]) -> Heartbeat | None:
    """The last sign of life since this step, under the fence it was given for.

    None is later than GitHub itself has seen its comment written.
    """
    if transition.live is None:
        return None
    signs = [] if transition.seen_ms is None else [Heartbeat(fence=transition.live, at_ms=transition.seen_ms)]
    for carrier in carriers:
        beat = carrier.heartbeat
        if beat is not None:
            signs.append(beat.replace(at_ms=min(beat.at_ms, carrier.touched_ms + 999)))  # GitHub shows whole seconds
    return max(reversed(signs), key=lambda sign: sign.at_ms, default=None)
