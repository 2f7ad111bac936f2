"""Laws of the merge: records join in any order, nothing counted falls, a person's change stands, no value vanishes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sharedstate.sync.merge import Agreement, agree, join, merge_cards
from sharedstate.sync.model import BOARD_PRIMARY, INTERNAL_PRIMARY, MIRROR_ONLY, POLICIES, Card, RemoteRecord
from sharedstate.sync.policy import decide_actions, needs_write
from sharedstate.sync.statuses import same
from sharedstate.tasks.model import CLAIMED, ENDINGS, NEW, STATUSES, Ignored, TaskState

SILENT_MS = 10
moments = st.one_of(st.none(), st.integers(0, 30))
records = st.builds(
    RemoteRecord,
    task=st.just("T"),
    status=st.sampled_from(STATUSES),
    owner=st.sampled_from((None, "a/1", "b/2", "c/3")),
    fence=st.integers(0, 4),
    attempts=st.integers(0, 4),
    retries=st.integers(0, 4),
    retries_max=st.integers(0, 4),
    since_ms=moments,
    heartbeat_ms=moments,
    last_error=st.sampled_from((None, "", "no disk")),
    ignored=st.booleans(),
    revision=st.integers(0, 4),
)
cards = st.builds(
    Card,
    open=st.booleans(),
    reason=st.sampled_from((None, "completed", "not_planned", "reopened")),
    status=st.sampled_from((None, "Todo", "to-do", "In Progress", "Done", "closed", "Cancelled", "Needs design")),
    ignored=st.booleans(),
)
states = st.builds(
    TaskState,
    task=st.just("T"),
    status=st.sampled_from((NEW, *ENDINGS)),
    ignored=st.one_of(st.none(), st.just(Ignored(reason="why", by="me", at_ms=0))),
)


def agreed(mine: RemoteRecord, shown: RemoteRecord | None, *, own: bool = False, now_ms: int = 20) -> Agreement:
    return agree(mine=mine, shown=shown, own=own, restarted=False, now_ms=now_ms, silent_ms=SILENT_MS)


@given(records)
def test_a_record_joined_with_itself_is_itself(one: RemoteRecord) -> None:
    assert join(one, one) == one


@given(records, records)
def test_it_does_not_matter_which_record_is_asked_first(one: RemoteRecord, other: RemoteRecord) -> None:
    assert join(one, other) == join(other, one)


@given(records, records, records)
def test_it_does_not_matter_in_which_order_three_records_are_joined(
    one: RemoteRecord, two: RemoteRecord, three: RemoteRecord
) -> None:
    assert join(join(one, two), three) == join(one, join(two, three))


@given(records, records)
def test_a_join_lowers_nothing_that_is_counted(one: RemoteRecord, other: RemoteRecord) -> None:
    joined = join(one, other)
    for name in ("fence", "attempts", "retries", "retries_max", "revision"):
        assert getattr(joined, name) == max(getattr(one, name), getattr(other, name))
    assert joined.ignored == (one.ignored or other.ignored)


@given(records, records)
def test_at_a_lower_or_equal_fence_what_runs_yields_to_what_has_ended(one: RemoteRecord, other: RemoteRecord) -> None:
    ended, running = one.replace(status=ENDINGS[0]), other.replace(status=CLAIMED)
    if running.fence <= ended.fence:
        assert join(ended, running).status == ended.status


@given(records, records)
def test_of_two_running_attempts_at_one_fence_the_newer_heartbeat_stands(
    one: RemoteRecord, other: RemoteRecord
) -> None:
    one, other = one.replace(status=CLAIMED, fence=1), other.replace(status=CLAIMED, fence=1)
    assert (join(one, other).heartbeat_ms or 0) == max(one.heartbeat_ms or 0, other.heartbeat_ms or 0)


@given(records, records, st.booleans())
def test_what_the_board_shows_never_falls(mine: RemoteRecord, shown: RemoteRecord, own: bool) -> None:
    record = agreed(mine, shown, own=own).record
    for name in ("fence", "attempts", "retries"):
        assert getattr(record, name) >= getattr(shown, name)


@given(records, records)
def test_what_was_published_is_agreed_on_at_once(mine: RemoteRecord, shown: RemoteRecord) -> None:
    first = agreed(mine, shown)
    if first.ours:
        again = agreed(mine, first.record, own=mine.owner is not None)
        assert again.ours or mine.owner is None
        assert not needs_write(first.record, again.record, window_ms=1_000)


@given(records, records)
def test_two_ledgers_do_not_take_turns(mine: RemoteRecord, theirs: RemoteRecord) -> None:
    """Whoever went second: once both have spoken, neither has more to say."""
    mine, theirs = mine.replace(owner="a/1"), theirs.replace(owner="b/2")
    shown = mine
    for record in (theirs, mine, theirs):
        answer = agreed(record, shown, own=shown.owner == record.owner)
        shown = answer.record.replace(revision=shown.revision + 1) if answer.ours else shown
    for record in (mine, theirs):
        answer = agreed(record, shown, own=shown.owner == record.owner)
        assert not answer.ours or answer.record.replace(heartbeat_ms=0) == shown.replace(heartbeat_ms=0)


@given(records, records)
def test_a_living_claim_elsewhere_is_not_published_over_without_a_higher_fence(
    mine: RemoteRecord, shown: RemoteRecord
) -> None:
    shown = shown.replace(owner="b/2", status=CLAIMED, heartbeat_ms=20)
    mine = mine.replace(owner="a/1")
    assert agreed(mine, shown).ours == (mine.fence > shown.fence)


@given(records, records)
def test_what_has_ended_elsewhere_never_blocks_a_claim(mine: RemoteRecord, shown: RemoteRecord) -> None:
    shown = shown.replace(status=ENDINGS[0])
    assert agreed(mine.replace(owner="a/1", status=CLAIMED), shown).ours


@given(records, records, st.booleans())
def test_our_own_word_never_blocks_our_own_push(mine: RemoteRecord, shown: RemoteRecord, same_owner: bool) -> None:
    mine = mine.replace(owner=shown.owner if same_owner else mine.owner)
    assert agreed(mine, shown, own=True).ours


@given(records, records)
def test_every_value_of_a_record_is_in_the_winner_or_among_the_losers(mine: RemoteRecord, shown: RemoteRecord) -> None:
    if mine.owner is not None and mine.owner == shown.owner:
        return  # our own earlier word: its later one does not overwrite anybody's
    answer = agreed(mine, shown)
    lost = {(one.side, one.field): one.value for one in answer.losers}
    side, loser = ("board", shown) if answer.ours else ("fleet", mine)
    for name, value in loser.fields().items():
        assert name == "revision" or value == getattr(answer.record, name) or lost[side, name] == value


@given(cards, st.sampled_from(POLICIES))
def test_cards_that_agree_stay_as_they_are(card: Card, policy: str) -> None:
    assert merge_cards(base=card, mine=card, theirs=card, policy=policy) == (card, ())


@given(cards, cards)
def test_what_only_a_person_changed_stands(base: Card, theirs: Card) -> None:
    for policy in (BOARD_PRIMARY, INTERNAL_PRIMARY):
        merged, losers = merge_cards(base=base, mine=base, theirs=theirs, policy=policy)
        assert (merged.open, merged.ignored) == (theirs.open, theirs.ignored)
        assert same(merged.status, theirs.status)
        assert losers == ()


@given(cards, cards)
def test_what_only_the_fleet_changed_stands_but_a_label_on_the_board(base: Card, mine: Card) -> None:
    for policy in (BOARD_PRIMARY, INTERNAL_PRIMARY):
        merged, _ = merge_cards(base=base, mine=mine, theirs=base, policy=policy)
        assert (merged.open, merged.ignored) == (mine.open, mine.ignored or base.ignored)
        assert same(merged.status, mine.status)


@given(cards, cards, cards)
def test_where_both_changed_something_the_person_wins(base: Card, mine: Card, theirs: Card) -> None:
    merged, _ = merge_cards(base=base, mine=mine, theirs=theirs, policy=BOARD_PRIMARY)
    if theirs.open != base.open:
        assert merged.open == theirs.open
    if not same(theirs.status, base.status):
        assert merged.status == theirs.status


@given(cards, cards, cards)
def test_where_both_changed_something_the_fleet_wins_if_it_is_primary(base: Card, mine: Card, theirs: Card) -> None:
    merged, _ = merge_cards(base=base, mine=mine, theirs=theirs, policy=INTERNAL_PRIMARY)
    if not same(mine.status, base.status):
        assert merged.status == mine.status


@given(cards, cards, cards)
def test_an_ignore_label_on_the_board_wins(base: Card, mine: Card, theirs: Card) -> None:
    for policy in (BOARD_PRIMARY, INTERNAL_PRIMARY):
        merged, _ = merge_cards(base=base, mine=mine, theirs=theirs.replace(ignored=True), policy=policy)
        assert merged.ignored


@given(cards, cards, cards)
def test_a_mirror_only_shows(base: Card, mine: Card, theirs: Card) -> None:
    assert merge_cards(base=base, mine=mine, theirs=theirs, policy=MIRROR_ONLY)[0] == mine


@given(cards, cards, cards, st.sampled_from(POLICIES))
def test_every_changed_value_of_a_card_is_in_the_winner_or_among_the_losers(
    base: Card, mine: Card, theirs: Card, policy: str
) -> None:
    merged, losers = merge_cards(base=base, mine=mine, theirs=theirs, policy=policy)
    lost = {(one.side, one.field): one.value for one in losers}
    for side, card in (("fleet", mine), ("board", theirs)):
        for name, value in card.fields().items():
            kept = value in (getattr(merged, name), getattr(base, name)) or lost.get((side, name)) == value
            assert kept or (name == "status" and _is_alike(value, merged.status, base.status))


@given(cards, states)
def test_a_board_that_says_nothing_new_obliges_to_nothing(card: Card, state: TaskState) -> None:
    card = card.replace(ignored=state.ignored is not None)
    assert decide_actions(base=card, merged=card, state=state) == ()


@given(cards, cards, states)
def test_a_reopen_and_an_end_are_never_asked_for_at_once(base: Card, merged: Card, state: TaskState) -> None:
    kinds = [action.kind for action in decide_actions(base=base, merged=merged, state=state)]
    assert len(kinds) == len(set(kinds))
    assert len({"reopen", "complete", "cancel"} & set(kinds)) <= 1


@given(cards, cards, states)
def test_a_closed_issue_is_never_reopened_in_the_fleet(base: Card, merged: Card, state: TaskState) -> None:
    actions = decide_actions(base=base, merged=merged.replace(open=False), state=state)
    assert "reopen" not in [action.kind for action in actions]


@given(cards, cards, states)
def test_an_ignore_label_is_always_obeyed(base: Card, merged: Card, state: TaskState) -> None:
    actions = decide_actions(base=base, merged=merged.replace(ignored=True), state=state)
    kinds = [action.kind for action in actions]
    assert state.ignored is not None or {"ignore", "cancel"} & set(kinds)
    assert "unignore" not in kinds


def _is_alike(value: object, *others: str | None) -> bool:
    return isinstance(value, str) and any(same(value, other) for other in others)
