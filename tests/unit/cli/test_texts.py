"""What a person sees: nothing from outside is obeyed by a terminal, read as markup, or cut off."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate_cli import human
from sharedstate_cli.full.progress import busy
from sharedstate_cli.report import Grid, aligned, json_line, visible
from tests.unit.cli.shell import Screen, Shell

NASTY = "\x1b]0;x\x07[red]bold[/nope] [link=http://x]y[/link] :smile: \u202e end\nnext"


@given(st.text())
def test_visible_text_holds_nothing_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


@given(st.dictionaries(st.text(), st.text()))
def test_json_lines_are_one_line_of_ascii(document: dict[str, str]) -> None:
    line = json_line({"meta": document})
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith('{"schema":1,')


def test_columns_are_aligned_without_trailing_space() -> None:
    grid = Grid(columns=("A", "B"), rows=(("one", ""), ("x", "two")))
    assert aligned(grid) == ["A    B", "one", "x    two"]


@pytest.mark.parametrize("screen", [True, False])
def test_text_from_outside_is_shown_as_it_is(shell: Shell, screen: bool) -> None:
    shell("claim T-1 --meta", f"note={NASTY}")
    shell("release T-1 --status failed --error", NASTY)
    for line in ("show T-1", "log T-1", "list --status all"):
        out = shell.text(line, screen=screen).out
        assert "\x1b]0" not in out
        assert "\x07" not in out
        assert "\u202e" not in out
        flat = "".join(out.split())
        assert "[/nope]" in flat
        assert "[link=http://x]" in flat
        assert ":smile:" in flat


def test_colour_is_for_terminals_without_no_color(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("claim T-1")
    assert "\x1b[" not in shell.text("list").out
    assert "\x1b[" in shell.text("list", screen=True).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shell.text("list", screen=True).out
    monkeypatch.setenv("TERM", "dumb")
    assert shell.text("list", screen=True).out == shell.text("list").out


def test_long_work_shows_that_it_goes_on_and_short_work_does_not() -> None:
    screen = Screen()
    drawn = threading.Event()
    screen.on_write = drawn.set
    assert busy(lambda: drawn.wait(30), label="reading [red]\x1b", stream=screen, quiet_s=0) is True
    assert "reading [red]\\x1b" in screen.getvalue()
    quiet = Screen()
    assert busy(lambda: 7, label="reading", stream=quiet) == 7
    assert quiet.getvalue() == ""


def test_long_work_may_tell_what_it_is_at() -> None:
    screen, seen = Screen(), threading.Event()
    screen.on_write = lambda: seen.set() if "tasks, 5" in screen.getvalue() else None
    said = iter(("copying", "copying: tasks, 3"))
    assert busy(lambda: seen.wait(30), label=lambda: next(said, "copying: tasks, 5"), stream=screen, quiet_s=0) is True


def test_an_empty_list_says_so(shell: Shell) -> None:
    assert shell.text("list").out == "no live claims\n"
    assert shell.text("list --status all").out == "no such tasks\n"


@pytest.mark.parametrize(
    "ms,text",
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1 s"),
        (59_999, "59 s"),
        (60_000, "1 m"),
        (61_000, "1 m 1 s"),
        (5_400_000, "1 h 30 m"),
        (86_400_000, "1 d"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_lengths_of_time_are_short(ms: int, text: str) -> None:
    assert human.span(ms) == text


def test_moments_are_utc() -> None:
    assert human.moment(1_772_323_200_000) == "2026-03-01 00:00:00 UTC"
    assert human.moment_of_iso("2026-03-01T00:00:00.000Z") == "2026-03-01 00:00:00 UTC"
    assert human.moment_of_iso(None) == "None"
