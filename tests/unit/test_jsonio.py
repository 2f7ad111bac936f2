"""JSON: canonical out, strict in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sharedstate import jsonio
from sharedstate.errors import Corrupt
from sharedstate.jsonio import DEPTH_MAX, INTEGER_MAX

SAMPLES: list[dict[str, Any]] = [
    {},
    {"b": 1, "a": [1, 2.5, -0.0, 1e300], "c": {"z": None, "y": True, "x": False}},
    {"empty": [[], {}, ""], "é": "日本語 \u2028 😀", "quote": 'a"b\\c/d', "control": "\0\x1f\x7f\n"},
    {"": "", " ": " ", "T": 1, "t": 2},
    {"big": INTEGER_MAX, "small": -INTEGER_MAX, "deep": [[[[[{"x": [1]}]]]]]},
    {"tuple": (1, 2)},
]


@pytest.mark.parametrize("value", SAMPLES, ids=range(len(SAMPLES)))
def test_canonical_bytes_are_those_of_the_standard_library_indented_and_sorted(value: dict[str, Any]) -> None:
    expected = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert jsonio.encode(value) == expected.encode()


@pytest.mark.parametrize("value", SAMPLES, ids=range(len(SAMPLES)))
def test_what_is_written_reads_back_the_same(value: dict[str, Any]) -> None:
    expected = json.loads(json.dumps(value))
    assert jsonio.decode(jsonio.encode(value), what="x") == expected
    assert jsonio.decode(jsonio.encode_line(value), what="x") == expected


def test_a_line_is_one_line() -> None:
    raw = jsonio.encode_line({"text": "a\nb\r\u2028c", "n": 1})
    assert raw.count(b"\n") == 1
    assert raw.endswith(b"\n")


def _nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


UNWRITABLE: dict[str, dict[Any, Any]] = {
    "object": {"x": object()},
    "bytes": {"x": b"x"},
    "NaN": {"x": float("nan")},
    "infinity": {"x": float("-inf")},
    "lone surrogate": {"x": "\ud800"},
    "surrogate in a key": {"\udfff": 1},
    "number as key": {1: 2},
    "beyond 64 bits": {"x": INTEGER_MAX + 1},
    "beyond minus 64 bits": {"x": -INTEGER_MAX - 1},
    "too deep": _nested(DEPTH_MAX + 1),
    "bottomless": _nested(5_000),
    "set": {"x": {1}},
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_could_not_be_read_back_is_not_written(value: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        jsonio.encode(value)


def test_as_deep_as_allowed_goes_out_and_in() -> None:
    value = _nested(DEPTH_MAX)
    assert jsonio.decode(jsonio.encode(value), what="x") == value
    assert jsonio.decode(json.dumps(value).encode(), what="x") == value


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty file"),
    "white space": (b" \n\t\n", "empty file"),
    "NULs": (b"\0" * 4096, "only NUL bytes"),
    "NULs after the end": (b'{"a": 1}\0\0\0', "Extra data"),
    "truncated": (b'{"status": "claimed", "fen', "Unterminated string"),
    "truncated number": (b'{"fence": 1', "delimiter"),
    "two objects": (b"{}{}", "Extra data"),
    "not UTF-8": (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    "overlong UTF-8": (b'{"a": "\xc0\xaf"}', "not UTF-8"),
    "surrogate in UTF-8": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "UTF-16 without mark": ('{"a": 1}'.encode("utf-16-le"), "."),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
    "duplicate key": (b'{"fence": 2, "fence": 1}', "duplicate key 'fence'"),
    "duplicate key below": (b'{"lease": {"owner": 1, "owner": 2}}', "duplicate key 'owner'"),
    "duplicate by escape": (b'{"a": 1, "\\u0061": 2}', "duplicate key 'a'"),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "Infinity": (b'{"a": [1, -Infinity]}', "-Infinity is not JSON"),
    "1e400": (b'{"a": 1e400}', "too large"),
    "-1e400": (b'{"a": -1E400}', "too large"),
    "20 digits": (b'{"a": 18446744073709551616}', "64 bits"),
    "400 digits": (b'{"a": ' + b"9" * 400 + b"}", "64 bits"),
    "10,000 digits": (b'{"a": ' + b"9" * 10_000 + b"}", "64 bits"),
    "lone surrogate": (b'{"a": "\\ud800"}', "lone surrogate"),
    "lone surrogate key": (b'{"\\udfff": 1}', "lone surrogate"),
    "65 deep": (json.dumps(_nested(DEPTH_MAX + 1)).encode(), "deeper than 64"),
    "500 deep in little": (b'{"a":' + b"[" * 400 + b"]" * 400 + b"}", "deeper than 64"),
    "100,000 deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
    "100,000 deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "deep"),
    "100,000 open": (b"[" * 100_000, "."),
    "conflict markers": (b'{\n<<<<<<< ours\n"a": 1\n=======\n"a": 2\n>>>>>>> theirs\n}', "git conflict markers"),
    "array": (b"[1, 2]", "not a JSON object"),
    "text": (b'"claimed"', "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "raw control": (b'{"a": "\x01"}', "control character"),
    "single quotes": (b"{'a': 1}", "."),
    "trailing comma": (b'{"a": 1,}', "."),
    "comment": (b'{"a": 1} // b', "Extra data"),
}


@pytest.mark.parametrize("raw, reason", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_bad_input_is_corrupt_with_a_reason_and_the_name_of_its_source(raw: bytes, reason: str) -> None:
    with pytest.raises(Corrupt, match=reason) as caught:
        jsonio.decode(raw, what="tasks/T-1")
    assert str(caught.value).startswith("tasks/T-1: ")
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_pairs_of_surrogates_are_one_sound_character() -> None:
    assert jsonio.decode(b'{"a": "\\ud83d\\ude00"}', what="x") == {"a": "😀"}
