"""What answers of GitHub mean: the table, and moments relative to GitHub's own clock."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate.sync.board import Failed, Parked
from sharedstate_adapters.github.answers import WAIT_MS_MAX, NotModified, Ok, classify, message_of, tame

NOW_MS = 1_800_000_000_000
THERE_S = 1_772_323_200  # GitHub's clock is years behind ours, and it does not matter
DATE = {"date": formatdate(THERE_S, usegmt=True)}
SECONDARY = json.dumps({"message": "You have exceeded a secondary rate limit. Please wait a few minutes."})
PRIMARY = json.dumps({"message": "API rate limit exceeded for user ID 1."})


def meaning(
    status: int, text: str = "", *, method: str = "GET", headers: dict[str, str] | None = None
) -> Ok | NotModified | Parked | Failed:
    return classify(method=method, status=status, headers={**DATE, **(headers or {})}, text=text, now_ms=NOW_MS)


WAITS = [
    ("secondary with Retry-After", 403, SECONDARY, {"retry-after": "7"}, 7_000),
    ("secondary without", 403, SECONDARY, {}, 60_000),
    ("429 with Retry-After", 429, SECONDARY, {"retry-after": "7"}, 7_000),
    ("429 without", 429, "", {}, 60_000),
    ("429 with a page", 429, "<html>", {}, 60_000),
    ("Retry-After as a date", 403, "", {"retry-after": formatdate(THERE_S + 30, usegmt=True)}, 30_000),
    ("Retry-After that is no time", 403, "", {"retry-after": "soon"}, 60_000),
    ("Retry-After in the past", 403, "", {"retry-after": formatdate(THERE_S - 30, usegmt=True)}, 1_000),
    ("Retry-After of a century", 403, "", {"retry-after": "999999999"}, WAIT_MS_MAX),
    ("primary", 403, PRIMARY, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(THERE_S + 90)}, 91_000),
    ("primary as 429", 429, PRIMARY, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(THERE_S + 90)}, 91_000),
    ("primary without headers", 403, PRIMARY, {}, 60_000),
]


@pytest.mark.parametrize("what,status,text,headers,wait_ms", WAITS, ids=[row[0] for row in WAITS])
def test_a_limit_parks_until(what: str, status: int, text: str, headers: dict[str, str], wait_ms: int) -> None:
    parked = meaning(status, text, headers=headers)
    assert isinstance(parked, Parked)
    assert parked.until_ms == NOW_MS + wait_ms


REFUSALS = [
    (403, json.dumps({"message": "Resource not accessible by integration"}), "forbidden"),
    (403, json.dumps({"message": "Unable to create comment because issue is locked."}), "locked"),
    (403, json.dumps({"message": "Repository access blocked"}), "forbidden"),
    (403, json.dumps({"message": "User is blocked"}), "forbidden"),
    (403, "", "forbidden"),
    (401, json.dumps({"message": "Bad credentials"}), "forbidden"),
    (404, json.dumps({"message": "Not Found"}), "gone"),
    (410, json.dumps({"message": "This issue was deleted"}), "gone"),
    (301, "", "moved"),
    (307, "", "moved"),
    (409, "", "conflict"),
    (412, "", "conflict"),
    (422, json.dumps({"message": "Validation Failed", "errors": [{"field": "name", "code": "taken"}]}), "conflict"),
    (408, "", "transient"),
    (500, "", "transient"),
    (502, "<html>", "transient"),
    (503, "", "transient"),
]


@pytest.mark.parametrize("status,text,kind", REFUSALS)
def test_a_refusal_has_one_kind(status: int, text: str, kind: str) -> None:
    for method in ("GET", "POST", "PATCH"):
        answer = meaning(status, text, method=method)
        assert isinstance(answer, Failed)
        assert answer.kind == kind


def test_a_server_that_says_when_it_is_back_is_left_alone_until_then() -> None:
    for method in ("GET", "PATCH", "DELETE"):
        parked = meaning(503, "<html>", method=method, headers={"retry-after": "30"})
        assert isinstance(parked, Parked)
        assert parked.until_ms == NOW_MS + 30_000
    lost = meaning(503, "<html>", method="POST", headers={"retry-after": "30"})
    assert isinstance(lost, Failed)
    assert (lost.kind, lost.applied) == ("transient", True)


def test_where_something_has_moved_is_told_without_what_a_terminal_would_obey() -> None:
    answer = meaning(301, "", headers={"x-moved-to": "https://api.github.com/repositories/7\x1b[2J\x07"})
    assert isinstance(answer, Failed)
    assert answer.detail.isprintable()
    assert "repositories/7" in answer.detail


def test_a_date_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        answer = meaning(200, "{}", headers={"date": formatdate(THERE_S)})
        assert formatdate(THERE_S).endswith("-0000")
        assert isinstance(answer, Ok)
        assert answer.date_ms == THERE_S * 1000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("method,applied", [("GET", False), ("POST", True), ("PATCH", True), ("DELETE", True)])
def test_a_write_that_the_gateway_gave_up_on_may_have_been_carried_out(method: str, applied: bool) -> None:
    for status, text in ((502, ""), (200, '{"id": 1'), (201, "<html>")):
        answer = meaning(status, text, method=method)
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.applied) == ("transient", applied)


def test_good_answers_carry_document_clock_and_next_page() -> None:
    link = '<https://api.github.com/x?page=1>; rel="prev", <https://api.github.com/x?page=3>; rel="next"'
    answer = meaning(200, "[1]", headers={"link": link})
    assert isinstance(answer, Ok)
    assert (answer.document, answer.date_ms) == ([1], THERE_S * 1000)
    assert answer.next_url == "https://api.github.com/x?page=3"
    assert meaning(304) == NotModified()
    empty = meaning(204)
    assert isinstance(empty, Ok)
    assert (empty.document, empty.next_url) == (None, None)


def test_half_characters_are_replaced_and_whole_ones_kept() -> None:
    answer = meaning(200, '{"body": "a\\ud800b \\uD83D\\uDE00 \\\\ud800 \\u00fc"}')
    assert isinstance(answer, Ok)
    assert answer.document == {"body": "a?b \U0001f600 \\ud800 \u00fc"}


def test_an_error_without_a_word_is_named_by_its_status() -> None:
    answer = meaning(503, "<html>")
    assert isinstance(answer, Failed)
    assert answer.detail == "503 Service Unavailable"


def test_an_error_names_what_github_says() -> None:
    text = json.dumps({"message": "Validation Failed", "errors": [{"field": "name", "code": "already_exists"}, "odd"]})
    assert message_of(text) == "Validation Failed: name already_exists: odd"
    assert message_of("[]") == message_of("{") == message_of('{"message": null}') == ""


@given(st.text(max_size=2000))
def test_what_github_says_is_one_short_printable_line(text: str) -> None:
    assert tame(text).isprintable()
    assert len(tame(text)) <= 300
    assert len(message_of(json.dumps({"message": text}))) <= 300


@given(st.integers(100, 599), st.text(max_size=50), st.sampled_from(("GET", "POST")))
def test_every_answer_has_a_meaning(status: int, text: str, method: str) -> None:
    answer = meaning(status, text, method=method, headers={"retry-after": text, "x-ratelimit-reset": text})
    assert isinstance(answer, Ok | NotModified | Parked | Failed)
