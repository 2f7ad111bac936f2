"""The transition comment: it reads back what was written, and nothing that was changed, moved or made up."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate.errors import Corrupt, InvalidInput, NewerFormat
from sharedstate_adapters.github.comment import SigningKey
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.transition import (
    CHARACTERS_MAX,
    Heartbeat,
    Mark,
    Transition,
    looks_like_transition,
    mark_in,
    read,
    render,
)

HOME = Place(repository="acme/app", number=42)
KEY = SigningKey(key_id="k1", secret="hush")
OTHER = SigningKey(key_id="k2", secret="quiet")
STEP = Transition(
    mark=Mark(collection="tasks", key="GH-42", base=4, nonce="0123456789abcdef"),
    after=("fedcba9876543210",),
    revision=5,
    value={"status": "claimed", "fence": 3, "lease": {"owner": "ws/a"}},
    live=3,
    seen_ms=1_772_323_200_000,
    at_ms=1_772_323_200_000,
)
BEAT = Heartbeat(fence=3, at_ms=1_772_323_260_000)
NASTY = "--> <!-- ````json @octocat #1 fixes #2 GH-3 </details> <script>x</script> \u202e \x7f"


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def documents() -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | texts() | st.just(NASTY)
    values = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3)
    )
    return st.dictionaries(texts(), values, max_size=4)


@given(documents(), st.text("aZ./-_ é<>&@#", min_size=1, max_size=20), st.booleans(), st.booleans())
def test_what_was_written_reads_back(value: dict[str, Any], key: str, signed: bool, mirror: bool) -> None:
    step = STEP.replace(value=value, mark=STEP.mark.replace(key=key))
    keys = (KEY,) if signed else ()
    body = render(step, place=HOME, key=KEY if signed else None, heartbeat=BEAT, mirror=mirror)
    held = read(body, place=HOME, keys=keys)
    assert (held.transition, held.heartbeat, held.mirror) == (step, BEAT, mirror)
    assert mark_in(body) == step.mark
    assert read(body.replace("\n", "\r\n"), place=HOME, keys=keys).transition == step


def test_a_deletion_is_a_step_without_a_value() -> None:
    step = STEP.replace(value=None, live=None, seen_ms=None, revision=0)
    body = render(step, place=HOME, key=KEY)
    assert read(body, place=HOME, keys=(KEY,)).transition == step
    assert "removed" in body.split("\n")[2]


def test_text_from_outside_stands_only_in_the_block_and_in_code_spans() -> None:
    step = STEP.replace(
        mark=STEP.mark.replace(key=NASTY), value={"status": NASTY, "lease": {"owner": NASTY}, "why": NASTY}
    )
    body = render(step, place=HOME, key=KEY)
    assert body.count("-->") == body.count("<!--") == 2
    assert body.count("````") == 2
    payload = body.partition("````json")[2].partition("````")[0]
    assert not set("<>`@&#") & set(payload)
    summary = re.sub(r"`[^`]*`", "", body.split("\n")[2])
    assert not set("<>@#") & set(summary)


def test_the_marker_must_be_the_very_first_characters() -> None:
    body = render(STEP, place=HOME, key=KEY)
    for other in ("> " + body, " " + body, "\n" + body, "Look:\n" + body):
        assert mark_in(other) is None
        with pytest.raises(Corrupt):
            read(other, place=HOME, keys=(KEY,))
    assert not looks_like_transition("> " + body)
    assert mark_in(body.replace(" -->", "", 1)) is None, "an unclosed marker"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body.replace('"fence": 3', '"fence": 9'), id="value"),
        pytest.param(lambda body: body.replace('"base": 4', '"base": 400'), id="base"),
        pytest.param(lambda body: body.replace('"live": 3', '"live": null'), id="live"),
        pytest.param(lambda body: body.replace('"number": 42', '"number": 43'), id="issue"),
        pytest.param(lambda body: body + "\n````json\n{}\n````", id="second-block"),
        pytest.param(lambda body: body + "\n" + body.split("\n")[-1], id="second-seal"),
        pytest.param(lambda body: re.sub(r"<!-- sharedstate-store-seal.*", "", body), id="no-seal"),
        pytest.param(lambda body: body[: len(body) // 2], id="half"),
        pytest.param(lambda body: body + "\n" + "x" * 65_000, id="65-kB"),
        pytest.param(lambda body: body.replace("````json", "````json\n{"), id="broken-json"),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_whatever_was_changed_does_not_hold(change: Any, signed: bool) -> None:
    body = render(STEP, place=HOME, key=KEY if signed else None)
    changed = change(body)
    assert changed != body
    with pytest.raises(Corrupt):
        read(changed, place=HOME, keys=(KEY,) if signed else ())


@pytest.mark.parametrize("old,new", [("base=4 ", "base=400 "), ("GH%2D42", "GH%2D43")])
def test_the_first_line_is_a_label_and_what_is_sealed_counts(old: str, new: str) -> None:
    body = render(STEP, place=HOME, key=KEY)
    changed = body.replace(old, new, 1)
    assert changed != body
    assert read(changed, place=HOME, keys=(KEY,)).transition == STEP


def test_a_body_means_nothing_on_another_issue_or_in_another_repository() -> None:
    for signed in (KEY, None):
        body = render(STEP, place=HOME, key=signed)
        keys = () if signed is None else (signed,)
        for place in (HOME.replace(number=43), HOME.replace(repository="acme/lib")):
            with pytest.raises(Corrupt, match=r"another issue|signature"):
                read(body, place=place, keys=keys)
        assert read(body, place=HOME.replace(repository="ACME/App"), keys=keys).transition == STEP


def test_signatures_are_asked_for_where_keys_are_known_and_old_keys_still_read() -> None:
    unsigned, signed = render(STEP, place=HOME, key=None), render(STEP, place=HOME, key=KEY)
    forged = render(STEP, place=HOME, key=KEY.replace(secret="guess"))
    for body in (unsigned, forged, render(STEP, place=HOME, key=OTHER)):
        with pytest.raises(Corrupt, match=r"signed|signature"):
            read(body, place=HOME, keys=(KEY,))
    assert read(signed, place=HOME, keys=(OTHER, KEY)).transition == STEP
    assert read(signed, place=HOME, keys=()).transition == STEP
    assert "hush" not in signed


def test_a_newer_format_is_told_from_a_broken_one() -> None:
    body = render(STEP, place=HOME, key=KEY).replace("schema=1", "schema=2")
    with pytest.raises(NewerFormat):
        read(body, place=HOME, keys=(KEY,))


def test_a_heartbeat_that_is_not_sound_is_a_lost_one() -> None:
    body = render(STEP, place=HOME, key=KEY, heartbeat=BEAT)
    later = body.replace(str(BEAT.at_ms), str(BEAT.at_ms + 1))
    elsewhere = render(
        STEP.replace(mark=STEP.mark.replace(nonce="f" * 16)), place=HOME, key=KEY, heartbeat=BEAT.replace(at_ms=10**13)
    )
    moved = "\n".join([*body.split("\n")[:-1], elsewhere.split("\n")[-1]])
    twice = body + "\n" + body.split("\n")[-1]
    for changed in (later, moved, twice, body.replace('"fence": 3, "hmac"', '"fence": true, "hmac"')):
        held = read(changed, place=HOME, keys=(KEY,))
        assert (held.transition, held.heartbeat) == (STEP, None)


def test_a_long_record_is_deflated_and_one_that_fits_no_comment_is_refused() -> None:
    long = STEP.replace(value={"history": [{"owner": "é" * 200, "at": str(number)} for number in range(300)]})
    body = render(long, place=HOME, key=KEY)
    assert len(body) < CHARACTERS_MAX
    assert read(body, place=HOME, keys=(KEY,)).transition == long
    noise = random.Random(1).randbytes(60_000).hex()
    with pytest.raises(InvalidInput, match=str(CHARACTERS_MAX)):
        render(STEP.replace(value={"x": noise}), place=HOME, key=KEY)


@pytest.mark.parametrize("raw", [b"\0" * (5 << 20), b"[]", b"{"])
def test_what_inflates_to_nonsense_or_to_no_end_is_refused(raw: bytes) -> None:
    packed = base64.b64encode(zlib.compress(raw)).decode()
    for deflated in (packed, packed[:-8], "é"):
        payload = json.dumps({"deflated": deflated})
        plain = render(STEP, place=HOME, key=None)
        block = plain.partition("````json\n")[2].partition("\n````")[0]
        old, new = (hashlib.sha256(text.encode()).hexdigest() for text in (block, payload))
        with pytest.raises(Corrupt):
            read(plain.replace(block, payload).replace(old, new), place=HOME, keys=())


def test_what_json_cannot_carry_is_refused() -> None:
    for bad in ({"x": float("nan")}, {"x": object()}, {"x": "\ud800"}, {"x": 10**20}):
        with pytest.raises((TypeError, ValueError)):
            render(STEP.replace(value=bad), place=HOME, key=KEY)
