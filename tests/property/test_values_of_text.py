"""Texts from anywhere: JSON, ids, durations and moments round-trip or are refused, and never raise anything else."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import hypothesis.strategies as st
from hypothesis import example, given

from sharedstate import jsonio
from sharedstate.clock import DURATION_MS_MAX, iso_of_ms, ms_of_iso, parse_duration_ms
from sharedstate.errors import Corrupt, InvalidId
from sharedstate.ids import check_id, record_name
from sharedstate.jsonio import INTEGER_MAX

sound_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | sound_text
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(sound_text, inner, max_size=5), max_leaves=40
)
documents = st.dictionaries(sound_text, values, max_size=8)


@given(documents)
def test_the_canonical_encoder_is_the_standard_librarys(document: dict[str, Any]) -> None:
    expected = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert jsonio.encode(document) == expected.encode()


@given(documents)
def test_documents_come_back_as_they_went(document: dict[str, Any]) -> None:
    assert jsonio.decode(jsonio.encode(document), what="x") == document
    assert jsonio.decode(jsonio.encode_line(document), what="x") == document
    assert jsonio.encode_line(document).count(b"\n") == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_corrupt(raw: bytes) -> None:
    try:
        value = jsonio.decode(raw, what="x")
    except Corrupt as error:
        told = str(error)
    else:
        assert jsonio.decode(jsonio.encode(value), what="x") == value
        return
    assert told.startswith("x: ")


@given(documents, st.integers(0, 10_000), st.binary(max_size=4))
def test_damaged_documents_are_documents_or_corrupt(document: dict[str, Any], place: int, splinter: bytes) -> None:
    raw = jsonio.encode(document)
    place %= len(raw)
    for damaged in (raw[:place], raw[:place] + splinter + raw[place + len(splinter) :]):
        try:
            value = jsonio.decode(damaged, what="x")
        except Corrupt:
            continue
        jsonio.encode(value)


@given(st.recursive(st.floats() | st.integers() | st.text(), st.lists, max_leaves=10))
def test_what_can_be_written_can_be_read(value: Any) -> None:
    try:
        raw = jsonio.encode({"x": value})
    except ValueError:
        return
    assert jsonio.decode(raw, what="x") == {"x": value}


@given(st.text(max_size=210))
@example("e\u0301" * 200)
def test_an_id_is_refused_or_has_one_spelling(text: str) -> None:
    try:
        checked = check_id(text)
    except InvalidId as error:
        told = str(error)
    else:
        assert check_id(checked) == checked
        assert checked == unicodedata.normalize("NFC", text)
        assert 1 <= len(checked) <= 200
        assert jsonio.decode(jsonio.encode({checked: checked}), what="x") == {checked: checked}
        return
    assert told.isprintable()


@given(sound_text, sound_text)
def test_distinct_ids_have_distinct_plain_file_names(one: str, other: str) -> None:
    names = record_name(one), record_name(other)
    assert (names[0].casefold() == names[1].casefold()) == (one == other)
    for name in names:
        assert name.isascii()
        assert "/" not in name
        assert "." not in name


@given(st.text("0123456789.smhd -+e", max_size=12))
def test_a_text_is_a_duration_in_range_or_refused(text: str) -> None:
    try:
        ms = parse_duration_ms(text)
    except ValueError as error:
        told = str(error)
    else:
        assert 0 <= ms <= DURATION_MS_MAX
        return
    assert "not a duration" in told


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_moments_come_back_to_the_millisecond_and_sort_as_texts(ms: int) -> None:
    assert ms_of_iso(iso_of_ms(ms)) == ms
    assert (iso_of_ms(ms) < iso_of_ms(0)) == (ms < 0)
