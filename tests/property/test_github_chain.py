"""Laws of the chain: which comment counts depends on nothing but the comments, and least of all on what was removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate_adapters.github import chain
from sharedstate_adapters.github.chain import Carrier, Head, head_of, leftovers, rivals, standing
from sharedstate_adapters.github.recall import completed
from sharedstate_adapters.github.transition import AFTER_MAX, Heartbeat, Mark, Transition


def step(base: int, nonce: str, *, after: tuple[str, ...] = (), live: int | None = None) -> Transition:
    mark = Mark(collection="tasks", key="GH-1", base=base, nonce=nonce)
    value = {"by": nonce}
    return Transition(mark=mark, after=after, revision=base + 1, value=value, live=live, seen_ms=None, at_ms=0)


def carrier(comment_id: int, transition: Transition, **more: object) -> Carrier:
    known = Carrier(comment_id=comment_id, mark=transition.mark, transition=transition)
    return known.replace(**more)


def broken(comment_id: int, transition: Transition) -> Carrier:
    return carrier(comment_id, transition).replace(transition=None, reason="edited")


@st.composite
def piles(draw: st.DrawFn) -> list[Carrier]:
    """Any comments whatever: bases in no order, losers, broken ones."""
    bases = draw(st.lists(st.integers(0, 5), min_size=1, max_size=12))
    pile = [carrier(10 + index, step(base, f"n{index}")) for index, base in enumerate(bases)]
    broken = draw(st.sets(st.integers(0, len(pile) - 1), max_size=2))
    return [one.replace(transition=None, reason="edited") if index in broken else one for index, one in enumerate(pile)]


@st.composite
def histories(draw: st.DrawFn) -> list[Carrier]:
    """What writers that keep the rules post: each upon the step that counts, some long after they have read it."""
    posted: list[Carrier] = []
    read: list[Head | None] = [None, None, None]
    for comment_id in range(10, 10 + draw(st.integers(1, 20))):
        writer = draw(st.integers(0, 2))
        if draw(st.booleans()):
            read[writer] = head_of(posted)
        before = read[writer]
        after = () if before is None or before.transition is None else (before.mark.nonce, *before.transition.after)
        base = 0 if before is None else before.mark.base + 1
        posted.append(carrier(comment_id, step(base, f"n{comment_id}", after=after[:AFTER_MAX])))
    return posted


def folded(pile: Sequence[Carrier]) -> str | None:
    """The rule as a story: in order of ids, a comment counts when it follows at least the step reached so far."""
    reached, nonce = 0, None
    for one in sorted(pile, key=lambda one: one.comment_id):
        if one.mark.base >= reached:
            reached, nonce = one.mark.base + 1, one.mark.nonce
    return nonce


def nonce_of(head: Head | None) -> str | None:
    return None if head is None else head.mark.nonce


@given(piles(), st.randoms(use_true_random=False))
def test_order_and_doubles_do_not_matter(pile: list[Carrier], rng: object) -> None:
    shuffled = [*pile, *pile[:3]]
    getattr(rng, "shuffle")(shuffled)  # noqa: B009 - reason: hypothesis gives no type for its Random
    assert nonce_of(head_of(shuffled)) == nonce_of(head_of(pile))


@given(piles())
def test_the_rule_is_the_story_without_its_order(pile: list[Carrier]) -> None:
    assert nonce_of(head_of(pile)) == folded(pile)


@given(piles(), st.data())
def test_whatever_is_removed_the_winner_stays_the_winner(pile: list[Carrier], data: st.DataObject) -> None:
    head = head_of(pile)
    assert head is not None
    kept = [one for one in pile if one.mark.nonce == head.mark.nonce or data.draw(st.booleans())]
    assert head_of(kept) == head


@given(piles())
def test_every_suffix_that_holds_the_winner_replays_to_the_same(pile: list[Carrier]) -> None:
    head = head_of(pile)
    assert head is not None
    for cut in range(len(pile)):
        if any(one.mark.nonce == head.mark.nonce for one in pile[cut:]):
            assert head_of(pile[cut:]) == head


@given(histories())
def test_tidying_keeps_the_winner_also_when_its_comment_is_removed_by_hand(posted: list[Carrier]) -> None:
    head = head_of(posted)
    assert head is not None
    assert head.transition is not None
    mirror, removed = leftovers(posted, head.mark)
    left = [one for one in posted if one.comment_id not in removed]
    assert nonce_of(head_of(left)) == head.mark.nonce
    if mirror is not None:
        mirrored = [one if one.comment_id != mirror else carrier(mirror, head.transition, mirror=True) for one in left]
        assert nonce_of(head_of(mirrored)) == head.mark.nonce
        without = [one for one in mirrored if one.comment_id != head.carriers[0].comment_id]
        assert nonce_of(head_of(without)) == head.mark.nonce


@given(histories())
def test_of_writers_that_keep_the_rules_the_lowest_comment_wins_and_losers_never_do(posted: list[Carrier]) -> None:
    winners: dict[int, str] = {}
    for count in range(1, len(posted) + 1):
        head = head_of(posted[:count])
        assert head is not None
        known = winners.setdefault(head.mark.base, head.mark.nonce)
        assert known == head.mark.nonce, "a step that counted was replaced"
        assert max(winners) == head.mark.base, "the chain went back"
    for base, nonce in winners.items():
        first = min((one for one in posted if one.mark.base == base), key=lambda one: one.comment_id)
        assert first.mark.nonce == nonce
    for one in posted:
        told = standing(head_of(posted), one.mark)
        won = winners[one.mark.base] == one.mark.nonce
        assert told == ("beaten" if not won else "first" if one.mark.base == max(winners) else "passed")


@given(histories(), st.data())
def test_a_writer_whose_comment_is_gone_still_learns_how_it_went(posted: list[Carrier], data: st.DataObject) -> None:
    head = head_of(posted)
    assert head is not None
    one = data.draw(st.sampled_from(posted))
    told = standing(head_of([*head.carriers, one]), one.mark)
    assert told == standing(head_of(posted), one.mark)


@given(piles())
def test_looks_agree_only_when_they_show_the_same_rivals(pile: list[Carrier]) -> None:
    mark = pile[0].mark
    others = [one for one in pile if one.mark.base >= mark.base]
    assert (rivals(pile, mark) == rivals(others[1:], mark)) is (not others[:1])
    assert rivals(pile, mark) == rivals(others, mark)


# Broken comments and memory


def test_a_broken_comment_of_the_last_step_blocks_and_falls_back_to_nobody() -> None:
    old, last = carrier(10, step(0, "a", live=1)), broken(11, step(1, "b", live=2))
    head = head_of([old, last])
    assert head is not None
    assert (head.transition, head.reason) == (None, "edited")


def test_a_broken_copy_beside_a_sound_one_counts_for_nothing() -> None:
    sound = carrier(10, step(1, "b"))
    forged = broken(3, step(900, "b"))
    head = head_of([sound, forged])
    assert head is not None
    assert (head.mark.base, head.carriers) == (1, (sound,))


@given(piles(), st.integers(0, 6))
def test_memory_counts_only_above_everything_that_is_shown(pile: list[Carrier], base: int) -> None:
    remembered = step(base, "mine")
    shown = head_of(pile)
    assert shown is not None
    head, lost = completed(shown, remembered)
    assert head is not None
    assert lost == (base > shown.mark.base)
    assert nonce_of(head) == ("mine" if lost else shown.mark.nonce)
    assert completed(shown, None) == (shown, False)
    assert completed(None, None) == (None, False)


# Heartbeats


def beat_counts_only_for_who_won() -> None:
    winner, loser = step(1, "w", live=2), step(1, "x", live=2)
    late = Heartbeat(fence=2, at_ms=90_000)
    pile = [
        carrier(10, winner, heartbeat=Heartbeat(fence=2, at_ms=5_000), touched_ms=5_000),
        carrier(11, loser, heartbeat=late, touched_ms=90_000),
        carrier(9, step(0, "o", live=1), heartbeat=late.replace(fence=1), touched_ms=90_000),
    ]
    head = head_of(pile)
    assert head is not None
    assert head.heartbeat == Heartbeat(fence=2, at_ms=5_000)


def test_the_beat_of_a_loser_or_of_an_old_owner_counts_for_nothing() -> None:
    beat_counts_only_for_who_won()


def test_a_chain_in_which_the_beat_of_a_loser_counts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Head] = chain._head
    latest = Heartbeat(fence=2, at_ms=90_000)
    monkeypatch.setattr(chain, "_head", lambda group: real(group).replace(heartbeat=latest))
    with pytest.raises(AssertionError):
        beat_counts_only_for_who_won()


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 3))
def test_a_beat_is_never_later_than_github_saw_its_comment(at_ms: int, touched_s: int, fence: int) -> None:
    held = step(1, "w", live=2).replace(seen_ms=7)
    one = carrier(10, held, heartbeat=Heartbeat(fence=fence, at_ms=at_ms), touched_ms=touched_s * 1000)
    head = head_of([one])
    assert head is not None
    beaten_ms = min(at_ms, touched_s * 1000 + 999)
    assert head.heartbeat == Heartbeat(fence=fence if beaten_ms >= 7 else 2, at_ms=max(7, beaten_ms))
    released = head_of([one.replace(transition=held.replace(live=None))])
    assert released is not None
    assert released.heartbeat is None
