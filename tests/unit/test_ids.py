"""Ids are data: what may name a task, and how a name becomes a file that nothing else is called."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest

from sharedstate.errors import InvalidId
from sharedstate.ids import ID_CHARACTERS_MAX, check_id, digest_of, record_name

AWKWARD = (
    *("../x", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b", ".", "..", ".lock", ".tmp-1", "-rf", "~", "%2e", "a b"),
    *("CON", "con", "nul", "NUL.txt", "COM1", "T", "t", "t.json", "T.json", "T-1", "t-1", "a:b", "a*?", "a|b", "a'\"b"),
    *("é", "日本語", "😀", "ß", "SS", "ss", "İ", "i", "ı", "I", "owner/repo#12", "x" * 199 + "1", "x" * 199 + "2"),
    *("[/foo]", "[link=http://x]y[/link]", "<b>", "$(id)", "`id`", "; true", "' OR 1=1", "{}", "null", "0"),
)


@pytest.mark.parametrize("text", AWKWARD)
def test_path_like_and_reserved_names_are_data(text: str) -> None:
    assert check_id(text) == unicodedata.normalize("NFC", text)


def test_awkward_ids_get_distinct_plain_file_names_on_every_file_system() -> None:
    names = [record_name(text) for text in AWKWARD]
    assert len({name.casefold() for name in names}) == len(AWKWARD), "distinct even where case does not count"
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*-[0-9a-f]{32}", name)
        assert len(name) <= 80
        assert name.partition(".")[0].casefold() not in ("con", "nul", "com1", "prn", "aux"), "no device of Windows"


def test_common_prefixes_of_any_length_stay_distinct() -> None:
    keys = ["p" * 199 + last for last in "abcdefgh"]
    assert len({record_name(key) for key in keys}) == len(keys)


def test_ids_are_normalised_to_nfc_so_that_two_spellings_are_one_task() -> None:
    assert check_id("e\u0301") == "\u00e9"
    assert check_id("\u212b") == "\u00c5"
    assert record_name(check_id("e\u0301")) == record_name(check_id("\u00e9"))


def test_the_length_limit_counts_characters_after_normalisation() -> None:
    assert check_id("x" * ID_CHARACTERS_MAX) == "x" * 200
    assert len(check_id("e\u0301" * 200)) == 200
    with pytest.raises(InvalidId, match="201 characters"):
        check_id("x" * 201)
    with pytest.raises(InvalidId, match="400 characters"):
        check_id("\u0958" * 200)  # one character whose NFC is two


REFUSED = {
    "empty": "",
    "blank": " ",
    "leading space": " a",
    "trailing space": "a ",
    "trailing no-break space": "a\u00a0",
    "NUL": "a\0b",
    "newline": "a\nb",
    "tab": "a\tb",
    "escape": "a\x1b[31mb",
    "delete": "a\x7f",
    "next line": "a\x85b",
    "high surrogate": "a\ud800b",
    "low surrogate": "\udfff",
    "right-to-left override": "a\u202eb",
    "isolate": "a\u2066b",
    "right-to-left mark": "a\u200fb",
    "zero width joiner": "a\u200db",
    "byte order mark": "\ufeffa",
    "soft hyphen": "a\u00adb",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "private use": "\ue000",
    "unassigned": "\u0378",
    "tag": "a\U000e0041",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_no_id_may_contain_is_refused_with_one_clear_printable_line(text: str) -> None:
    with pytest.raises(InvalidId) as caught:
        check_id(text)
    message = str(caught.value)
    assert message.startswith("task id ")
    assert message.isascii()
    assert message.isprintable()


@pytest.mark.parametrize("text", [None, 5, b"T-1", ["T-1"], True])
def test_an_id_is_text(text: Any) -> None:
    with pytest.raises(InvalidId, match="must be text"):
        check_id(text)


def test_the_message_says_what_the_id_was_for_and_stays_short() -> None:
    with pytest.raises(InvalidId, match=r"owner has 5000 characters") as caught:
        check_id("x" * 5_000, what="owner")
    assert len(str(caught.value)) < 200


def test_digests_tell_tokens_apart_and_do_not_contain_them() -> None:
    assert digest_of("swordfish") == digest_of("swordfish")
    assert digest_of("swordfish") != digest_of("swordfisj")
    assert re.fullmatch(r"[0-9a-f]{64}", digest_of("swordfish"))
