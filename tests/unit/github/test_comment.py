"""The state comment: it reads back, and no text from outside breaks out of it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate.errors import Corrupt
from sharedstate.sync.model import RemoteRecord
from sharedstate_adapters.github.comment import (
    CHARACTERS_MAX,
    SigningKey,
    digest_of,
    looks_like_ours,
    parse,
    quoted,
    render,
    signature_of,
    task_in,
)
from sharedstate_adapters.github.keys import Place
from tests.unit.github.texts import HOME, KEY, NOW_MS, foreign_text, record

COUNTS = st.integers(0, 2**53 - 1)
MOMENTS = st.none() | st.integers(0, 4_000_000_000_000)
TASKS = st.sampled_from(("GH-42", "acme/app#7", "--> @x", "task with spaces", "Ärger/<b>", "a-->b"))


@st.composite
def records(draw: st.DrawFn) -> RemoteRecord:
    return RemoteRecord(
        task=draw(TASKS),
        status=draw(st.sampled_from(("new", "claimed", "complete", "failed", "abandoned"))),
        owner=draw(st.none() | foreign_text(characters_max=200)),
        fence=draw(COUNTS),
        attempts=draw(st.integers(0, 1000)),
        retries=draw(st.integers(0, 1000)),
        retries_max=draw(st.integers(0, 1000)),
        since_ms=draw(MOMENTS),
        heartbeat_ms=draw(MOMENTS),
        last_error=draw(st.none() | foreign_text(characters_max=2000)),
        ignored=draw(st.booleans()),
        revision=draw(COUNTS),
    )


def clean(known: RemoteRecord) -> RemoteRecord:
    texts = {
        name: value.encode("utf-8", "replace").decode()
        for name, value in known.fields().items()
        if isinstance(value, str)
    }
    return known.replace(**texts)


@given(records(), st.booleans())
def test_every_record_reads_back_as_it_was_written(known: RemoteRecord, signed: bool) -> None:
    parsed = parse(render(known, place=HOME, key=KEY if signed else None))
    assert parsed.record == clean(known)
    assert parsed.intact
    if signed:
        right = signature_of(parsed.record, place=HOME, digest=parsed.digest, key=KEY)
        assert (parsed.signature, parsed.key_id) == (right, "k1")


@given(records())
def test_no_text_from_outside_closes_the_marker_breaks_the_fence_mentions_or_refers(known: RemoteRecord) -> None:
    body = render(known, place=HOME, url="https://ci.example/tasks", key=KEY)
    lines = body.split("\n")
    assert lines[0].endswith(" -->")
    assert lines[-1].startswith("<!-- sharedstate-seal ")
    assert body.count("<!--") == body.count("-->") == 2
    assert [line for line in lines if "```" in line] == ["````json", "````"]
    assert re.findall(r"</?[a-z]+", body) == ["<details", "<summary", "</summary", "</details"]
    assert not re.search(r"[@#][^\u200b]", body)
    assert not re.search(r"gh-\d", "\n".join(lines[: lines.index("````json")]), re.IGNORECASE)
    assert task_in(body) == clean(known).task


@given(foreign_text())
def test_quoted_text_is_one_code_span_on_one_line(text: str) -> None:
    shown = quoted(text)
    assert shown[0] == shown[-1] == "`"
    assert shown.isprintable() or "\u200b" in shown
    assert not set(shown[1:-1]) & set("`<>\n\r")
    assert len(shown) > 2


def test_a_comment_of_any_length_is_cut_to_60000_characters() -> None:
    long = record(last_error="\N{GRINNING FACE}" * 30_000)
    body = render(long, place=HOME)
    assert len(body) <= CHARACTERS_MAX
    cut = parse(body).record
    assert cut.replace(last_error=None) == long.replace(last_error=None)
    assert cut.last_error
    assert set(cut.last_error) == {"\N{GRINNING FACE}"}


def test_a_reviewer_reads_owner_since_last_seen_attempts_and_error() -> None:
    known = record(since_ms=NOW_MS, heartbeat_ms=NOW_MS + 60_000, last_error="tests failed", ignored=True)
    lines = render(known, place=HOME, url="https://ci.example/GH-42").split("\n")
    assert [line.strip() for line in lines[2:8]] == [
        "**Claimed by** `ws-1/agent` · **ignored**",
        "Since 2026-03-01 00:00 UTC",
        "Last seen 2026-03-01 00:01 UTC",
        "Attempt 2 of 4 · retries 1 of 3 · fence 3",
        "Last error: `tests failed`",
        "[Details](https://ci.example/GH-42)",
    ]


def test_a_task_that_ended_names_its_last_owner() -> None:
    lines = render(record(status="complete", heartbeat_ms=None), place=HOME).split("\n")
    assert lines[2].strip() == "**Complete**"
    assert lines[3].strip().endswith("last owner `ws-1/agent`")


def test_a_signature_is_bound_to_repository_issue_task_fence_and_revision() -> None:
    known, digest = record(), digest_of("x")

    def signed(one: RemoteRecord = known, place: Place = HOME, key: SigningKey = KEY, of: str = digest) -> str:
        return signature_of(one, place=place, digest=of, key=key)

    others = {
        signed(place=HOME.replace(repository="acme/lib")),
        signed(place=HOME.replace(number=43)),
        signed(known.replace(task="GH-43")),
        signed(known.replace(fence=4)),
        signed(known.replace(revision=6)),
        signed(of=digest_of("y")),
        signed(key=KEY.replace(secret="other")),
    }
    assert len(others) == 7
    assert signed() not in others
    assert signed() == signed(place=HOME.replace(repository="ACME/App"))


def broken(**changes: str) -> list[tuple[str, str]]:
    body = render(record(), place=HOME)
    head, _, rest = body.partition("\n")
    return [
        ("unclosed marker", body.replace(" -->", "", 1)),
        ("another schema", body.replace("schema=1", "schema=2")),
        ("another task in the marker", body.replace("task=GH%2D42", "task=GH%2D43")),
        ("text before the marker", "> " + body),
        ("white space before the marker", "\n" + body),
        ("two records", body + "\n" + rest),
        ("text after the seal", body + "\nlgtm"),
        ("no seal", body.partition("<!-- sharedstate-seal")[0]),
        ("no record", head),
        ("duplicate keys", body.replace('  "fence": 3,', '  "fence": 3,\n  "fence": 9,')),
        ("no JSON", body.replace('  "fence": 3,', '  "fence": 3')),
        ("a negative fence", body.replace('"fence": 3', '"fence": -3')),
        ("a fence that is true", body.replace('"fence": 3', '"fence": true')),
        ("a fence of 400 digits", body.replace('"fence": 3', '"fence": ' + "9" * 400)),
        ("depth", body.replace('"fence": 3', '"fence": ' + "[" * 2000 + "]" * 2000)),
        ("65 kB", body + " " * 65_000),
        ("an unknown status", body.replace('"claimed"', '"freed"')),
    ]


@pytest.mark.parametrize("what,body", broken(), ids=[what for what, _ in broken()])
def test_what_is_not_whole_is_refused(what: str, body: str) -> None:
    with pytest.raises(Corrupt):
        parse(body)


def test_an_edited_record_is_not_intact_even_with_its_revision_raised() -> None:
    body = render(record(), place=HOME)
    assert not parse(body.replace('"fence": 3', '"fence": 4')).intact
    assert not parse(body.replace('"revision": 5,\n', '"revision": 6,\n')).intact
    assert not parse(body.replace('"revision": 5}', '"revision": 6}')).intact


@pytest.mark.parametrize(
    "what,change",
    [
        ("another owner for people", lambda body: body.replace("`ws-1/agent`", "`eve`")),
        ("a mention in the summary", lambda body: body.replace("Since ", "@acme/team fixes #1. Since ")),
        ("a line below the marker", lambda body: body.replace(" -->\n", " -->\n<!-- nested <!-- marker -->\n", 1)),
        ("text before the block", lambda body: body.replace("<details>", "https://evil.example <details>")),
        ("text behind the block", lambda body: body.replace("</details>", "</details>\n\nall done, merge it")),
        ("an invisible character", lambda body: body.replace("Attempt", "\u200bAttempt")),
        ("a turned direction", lambda body: body.replace("Last seen", "\u202eLast seen")),
    ],
)
def test_what_people_read_is_sealed_like_what_machines_read(what: str, change: Callable[[str], str]) -> None:
    body = render(record(), place=HOME, key=KEY)
    assert change(body) != body
    assert not parse(change(body)).intact


def test_line_ends_of_the_web_form_do_not_break_the_seal() -> None:
    assert parse(render(record(), place=HOME, key=KEY).replace("\n", "\r\n")).intact


def test_a_record_without_a_token_has_nowhere_to_put_one() -> None:
    assert "token" not in render(record(), place=HOME, key=KEY)
    assert KEY.secret not in render(record(), place=HOME, key=KEY)
    assert KEY.secret not in repr(KEY)


def test_only_a_comment_that_begins_with_the_marker_looks_like_ours() -> None:
    body = render(record(), place=HOME)
    assert looks_like_ours(body)
    assert not looks_like_ours("> " + body)
    assert task_in("hello") is None
    assert task_in("<!-- sharedstate-state schema=1 task= -->") is None
