"""Canonical JSON out, strict JSON in.

Out: sorted keys, two-space indent, UTF-8, final newline, so that git diffs and merges read well. The encoder is ours
because `json.dumps(indent=2)` leaves the C encoder and costs twice as much; a property test holds it equal to the
standard library's. In: everything `json.loads` lets through and a state file must not: duplicate keys, NaN,
infinities, huge numbers, lone surrogates, byte order marks, depth bombs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

from sharedstate.errors import Corrupt

DEPTH_MAX = 64
INTEGER_MAX = 2**63 - 1
# A fence, revision or sequence above is damage. Below there is room to go on counting, and every JSON reader is exact.
COUNT_MAX = 2**53 - 1
Document = dict[str, Any]


def encode(value: Document) -> bytes:
    """Canonical bytes of a JSON object. Raises `TypeError` or `ValueError` for what `decode` would not take back."""
    raw = (_text(value, "\n") + "\n").encode()
    return _read_back(raw) if _may_hold_long_number(raw) else raw


def encode_line(value: Document) -> bytes:
    """One line of compact JSON with sorted keys, for journals; the newline included. Raises as `encode` does."""
    raw = _LINE.encode(value).encode() + b"\n"
    return _read_back(raw) if _may_be_deep(raw) or _may_hold_long_number(raw) else raw


def _read_back(raw: bytes) -> bytes:
    try:
        decode(raw, what="document")
    except Corrupt as error:
        raise ValueError(str(error)) from None
    return raw


# Both are cheap and never wrong on the safe side: brackets and digits in texts count too.


def _may_be_deep(raw: bytes) -> bool:
    return raw.count(b"{") + raw.count(b"[") > DEPTH_MAX


def _may_hold_long_number(raw: bytes) -> bool:
    return _LONG_NUMBER in raw.translate(_DIGITS_AS_ZEROS)


def _text(value: Any, newline: str) -> str:
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    deeper = newline + "  "
    if len(deeper) > 2 * DEPTH_MAX + 1:
        raise ValueError(f"deeper than {DEPTH_MAX} levels")
    if isinstance(value, dict):
        if not value:
            return "{}"
        parts: list[str] = []
        for key in sorted(value):
            item = value[key]
            write = _WRITERS.get(type(item))  # asked here too: a call for each plain value takes half as long again
            parts.append(encode_basestring(key) + ": " + (_text(item, deeper) if write is None else write(item)))
        return "{" + deeper + ("," + deeper).join(parts) + newline + "}"
    if isinstance(value, list | tuple):
        if not value:
            return "[]"
        return "[" + deeper + ("," + deeper).join([_text(item, deeper) for item in value]) + newline + "]"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def decode(raw: bytes, *, what: str) -> Document:
    """The JSON object in `raw`, or `Corrupt` with the reason (`what` names the source in the message)."""
    try:
        text = raw.decode("utf-8")
        value = (_STRICT_DECODER if _may_hold_long_number(raw) else _DECODER).decode(text)
        if _may_be_deep(raw):
            _check_depth([value], 0)
        if "\\u" in text:
            text_of(value).encode()  # only an escape can smuggle in a lone surrogate
    except RecursionError:
        raise Corrupt(f"{what}: nested too deeply") from None
    except ValueError as error:
        raise Corrupt(f"{what}: {_reason(raw, error)}") from None
    if not isinstance(value, dict):
        raise Corrupt(f"{what}: not a JSON object")
    return value


def text_of(value: Any) -> str:
    """Any JSON value as one line of text, characters outside ASCII unescaped (for checks and messages)."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _check_depth(container: Any, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ValueError(f"deeper than {DEPTH_MAX} levels")
    for item in container.values() if type(container) is dict else container:
        if type(item) is dict or type(item) is list:
            _check_depth(item, depth + 1)


def _reason(raw: bytes, error: ValueError) -> str:
    if not raw.strip():
        return "empty file"
    if not raw.strip(b"\0"):
        return "only NUL bytes"
    if any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in raw.splitlines()):
        return "unresolved git conflict markers"
    if raw.startswith(b"\xef\xbb\xbf"):
        return "starts with a byte order mark"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, UnicodeEncodeError):
        return "contains a lone surrogate"
    return str(error)


def _unique(pairs: list[tuple[str, Any]]) -> Document:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"duplicate key {key[:60]!a}")
            seen.add(key)
    return value


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _integer(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > INTEGER_MAX:
        raise ValueError("a number outside 64 bits")
    return number


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number too large")
    return number


_LONG_NUMBER = b"0" * len(str(INTEGER_MAX))
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}
_LINE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float)
_STRICT_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer, parse_float=_float
)
