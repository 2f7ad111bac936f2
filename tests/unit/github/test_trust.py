"""Which state comments count: the table of reasons, and which comment is THE one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate.errors import BadSettings
from sharedstate_adapters.github import trust
from sharedstate_adapters.github.comment import render
from sharedstate_adapters.github.trust import Chosen, Comment, Rules, Seen, choose, judge, raised
from tests.unit.github.texts import BOT, EVE, FRIEND, HOME, KEY, NOW_MS, OLD_KEY, comment, record

RULES = Rules(own_id=BOT, authors=frozenset((FRIEND,)), skew_ms=5_000)
SIGNED = RULES.replace(keys=(KEY, OLD_KEY))
QUOTED = "> " + render(record(), place=HOME).replace("\n", "\n> ")


def reason_of(one: Comment, rules: Rules = RULES, seen: Seen | None = None) -> str | None:
    return judge(one, place=HOME, task="GH-42", rules=rules, seen=seen or Seen(), now_ms=NOW_MS).reason


def chosen(*comments: Comment, rules: Rules = RULES, seen: Seen | None = None) -> Chosen:
    return choose(comments, place=HOME, task="GH-42", rules=rules, seen=seen or Seen(), now_ms=NOW_MS)


TABLE = [
    ("our own", comment(), RULES, Seen(), None),
    ("our own, whatever GitHub calls us", comment(association="NONE"), RULES, Seen(), None),
    ("a trusted friend", comment(author_id=FRIEND), RULES, Seen(), None),
    ("a trusted App, to which GitHub gives no association", comment(author_id=FRIEND, association="NONE", kind="Bot"),
     RULES, Seen(), None),
    ("a stranger's valid record", comment(author_id=EVE), RULES, Seen(), trust.AUTHOR),
    ("a maintainer who is not on the list", comment(author_id=EVE, association="OWNER"), RULES, Seen(), trust.AUTHOR),
    ("an account that is gone", comment(author_id=0), RULES.replace(own_id=0), Seen(), trust.AUTHOR),
    ("a friend who has left", comment(author_id=FRIEND, association="NONE"), RULES, Seen(), trust.ASSOCIATION),
    ("a friend who only contributed", comment(author_id=FRIEND, association="CONTRIBUTOR"), RULES, Seen(),
     trust.ASSOCIATION),
    ("edited JSON", comment(render(record(), place=HOME).replace('"fence": 3', '"fence": 9')), RULES, Seen(),
     trust.DIGEST),
    ("a replay from another issue", comment(task="GH-41"), RULES, Seen(), trust.OTHER_TASK),
    ("65 kB", comment(render(record(), place=HOME) + " " * 65_000), RULES, Seen(), trust.UNREADABLE),
    ("an unclosed marker", comment("<!-- sharedstate-state schema=1 task=GH%2D42"), RULES, Seen(), trust.UNREADABLE),
    ("the same fence and revision again", comment(), RULES, Seen(fence=3, revision=5), None),
    ("a lower revision", comment(), RULES, Seen(fence=3, revision=6), trust.REVISION),
    ("a lower fence", comment(revision=99), RULES, Seen(fence=4, revision=1), trust.FENCE),
    ("a higher fence in a comment begun anew", comment(fence=4, revision=1), RULES, Seen(fence=3, revision=6), None),
    ("a heartbeat within the skew", comment(heartbeat_ms=NOW_MS + 5_000), RULES, Seen(), None),
    ("a future heartbeat", comment(heartbeat_ms=NOW_MS + 5_001), RULES, Seen(), trust.FUTURE),
    ("a future beginning", comment(since_ms=NOW_MS + 5_001), RULES, Seen(), trust.FUTURE),
    ("signed", comment(key=KEY), SIGNED, Seen(), None),
    ("signed by the key before", comment(key=OLD_KEY), SIGNED, Seen(), None),
    ("unsigned where a key is configured", comment(), SIGNED, Seen(), trust.UNSIGNED),
    ("signed by a key that nobody knows", comment(key=KEY.replace(key_id="k9")), SIGNED, Seen(), trust.UNKNOWN_KEY),
    ("signed by another secret", comment(key=KEY.replace(secret="guessed")), SIGNED, Seen(), trust.SIGNATURE),
    ("signed for another issue", comment(key=KEY, place=HOME.replace(number=41)), SIGNED, Seen(), trust.SIGNATURE),
    ("signed for another repository", comment(key=KEY, place=HOME.replace(repository="acme/lib")), SIGNED, Seen(),
     trust.SIGNATURE),
    ("signed where no key is configured", comment(key=KEY), RULES, Seen(), None),
]  # fmt: skip


@pytest.mark.parametrize("what,one,rules,seen,reason", TABLE, ids=[row[0] for row in TABLE])
def test_a_comment_counts_or_does_not_for_a_reason(
    what: str, one: Comment, rules: Rules, seen: Seen, reason: str | None
) -> None:
    assert reason_of(one, rules, seen) == reason
    assert reason is None or reason in trust.REASONS


def test_a_quoted_record_is_not_even_looked_at() -> None:
    assert chosen(comment(QUOTED)) == Chosen()
    assert reason_of(comment(QUOTED)) == trust.UNREADABLE


def test_the_lowest_authentic_id_is_the_comment_and_later_ones_go() -> None:
    first, second = comment(comment_id=7, fence=3), comment(comment_id=9, fence=8, author_id=FRIEND)
    result = chosen(second, first)
    assert result.comment == first
    assert result.record == record()
    assert result.rest == (second,)
    assert [verdict.reason for verdict in result.verdicts] == [None, trust.NOT_FIRST]


def test_a_strangers_lower_id_changes_nothing() -> None:
    eve, ours = comment(comment_id=1, author_id=EVE, fence=99), comment(comment_id=7)
    result = chosen(eve, ours)
    assert (result.comment, result.record, result.rest) == (ours, record(), ())


def test_an_old_record_keeps_its_place_but_says_nothing() -> None:
    result = chosen(comment(comment_id=7), seen=Seen(fence=3, revision=6))
    assert result.comment is not None
    assert result.record is None
    assert result.authentic == record()


def test_what_somebody_broke_in_our_comment_is_written_anew_in_place() -> None:
    edited = comment(render(record(), place=HOME).replace('"fence": 3', '"fence": 9'), comment_id=7)
    assert chosen(edited).comment == edited
    assert chosen(edited).record is None


def test_what_somebody_broke_in_a_friends_comment_is_left_alone() -> None:
    edited = comment(render(record(), place=HOME) + "\nI added this", comment_id=7, author_id=FRIEND)
    result = chosen(edited, comment(comment_id=9))
    assert result.comment is not None
    assert (result.comment.id, result.rest) == (9, ())


def test_our_comment_for_another_task_is_never_touched() -> None:
    assert chosen(comment(task="GH-41")).comment is None


def test_what_has_been_seen_never_sinks() -> None:
    seen = Seen(fence=3, revision=6)
    assert raised(seen, None) == seen
    assert raised(seen, record(fence=2, revision=99)) == seen
    assert raised(seen, record(fence=3, revision=5)) == seen
    assert raised(seen, record(fence=3, revision=7)) == Seen(fence=3, revision=7)
    assert raised(seen, record(fence=4, revision=1)) == Seen(fence=4, revision=1)


AUTHORS = st.sampled_from((BOT, FRIEND, EVE))


@given(st.lists(st.tuples(st.integers(1, 9), AUTHORS, st.integers(0, 5), st.booleans()), unique_by=lambda row: row[0]))
def test_every_reader_means_the_same_comment_whatever_the_order(rows: list[tuple[int, int, int, bool]]) -> None:
    comments = [
        comment(
            render(record(fence=fence), place=HOME) + ("\nedited" if broken else ""),
            comment_id=number,
            author_id=author,
        )
        for number, author, fence, broken in rows
    ]
    one, other = chosen(*comments), chosen(*reversed(comments))
    assert one == other
    authentic = [row[0] for row in rows if row[1] != EVE and not row[3]]
    if authentic:
        assert one.comment is not None
        assert one.comment.id == min(authentic)
    assert all(gone.author_id != EVE for gone in one.rest)


PIECES = st.sampled_from(
    (
        "-->",
        "<!--",
        "\n",
        "\r",
        "\u200b",
        "\u202e",
        "\uff1c!--",
        "````",
        "`",
        '"',
        "{",
        "}",
        ",",
        "9",
        " ",
        "@all",
        "fixes #1",
        "\0",
    )
)


@given(st.data())
def test_whatever_somebody_edits_in_a_signed_comment_it_says_what_was_signed_or_nothing(data: st.DataObject) -> None:
    body = render(record(), place=HOME, key=KEY)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.sampled_from((0, 0, 1, 2, 7, 80))))
        body = body[:start] + data.draw(PIECES | st.just("") | st.text(max_size=3)) + body[end:]
    verdict = judge(comment(body), place=HOME, task="GH-42", rules=SIGNED, seen=Seen(), now_ms=NOW_MS)
    if verdict.reason is None:
        shown, right = (
            one.replace("\r\n", "\n").rpartition("\n<!-- sharedstate-seal")[0]
            for one in (body, render(record(), place=HOME, key=KEY))
        )
        assert (verdict.record, shown) == (record(), right)


# Settings


def test_keys_are_read_with_and_without_an_id() -> None:
    keys = trust.read_keys("k2:new", ("k1:old",))
    assert [(key.key_id, key.secret) for key in keys] == [("k2", "new"), ("k1", "old")]
    bare = trust.read_keys("only-a-secret", ())[0]
    assert bare.secret == "only-a-secret"
    assert bare.key_id
    assert bare.key_id not in bare.secret
    assert trust.read_keys("", ()) == ()


@pytest.mark.parametrize("current,old", [("", ("k1:x",)), ("k1:x", ("k1:y",)), (":x", ()), ("k1:", ()), ("a b:x", ())])
def test_keys_that_make_no_sense_are_refused_without_being_shown(current: str, old: tuple[str, ...]) -> None:
    with pytest.raises(BadSettings) as caught:
        trust.read_keys(current, old)
    assert "x" not in str(caught.value).replace("expected", "")


def test_authors_are_numbers_because_a_login_can_change_hands() -> None:
    assert trust.read_authors(("1", "41898282")) == {1, 41898282}
    for wrong in ("octocat", "-1", "0", "1.5", "٣", ""):
        with pytest.raises(BadSettings):
            trust.read_authors((wrong,))
