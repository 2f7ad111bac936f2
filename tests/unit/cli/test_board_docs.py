"""The picture and the page of the board say what the code does."""

from __future__ import annotations

import re
from html import unescape

import pytest

from sharedstate.sync import statuses
from sharedstate.sync.model import POLICIES, RemoteRecord
from sharedstate.testing.clock import WALL_MS_AT_START
from sharedstate_adapters.github.comment import render
from sharedstate_adapters.github.keys import Place
from tests.style.source import ROOT

NOON_MS = WALL_MS_AT_START + 12 * 3_600_000
RECORD = RemoteRecord(
    task="GH-42",
    status="claimed",
    owner="ws-1/agent",
    fence=7,
    attempts=2,
    retries=1,
    retries_max=3,
    since_ms=NOON_MS,
    heartbeat_ms=NOON_MS + 1_800_000,
    last_error="exit 1: tests/test_chart.py failed",
    revision=5,
)


def test_the_picture_shows_the_comment_as_it_is_rendered() -> None:
    body = render(RECORD, place=Place(repository="acme/app", number=42), url="https://ci.example/tasks/GH-42")
    picture = (ROOT / "docs" / "board-comment.svg").read_text("utf-8")
    shown = " ".join(unescape(re.sub(r"<[^>]+>", " ", picture)).split())
    summary = body.split("<details>")[0].split("-->")[1]
    for line in filter(None, map(str.strip, summary.splitlines())):
        plain = re.sub(r"\[(.*)\]\(.*\)", r"\1", line.replace("**", "").replace("`", ""))
        assert plain in shown
    assert re.search(r"<summary>(.*)</summary>", body)[1] in shown  # type: ignore[index]  # there is one


@pytest.mark.parametrize("word", [*POLICIES, *statuses.STATUSES])
def test_the_page_names_every_policy_and_status(word: str) -> None:
    page = (ROOT / "docs" / "board.md").read_text("utf-8")
    assert re.search(rf"\b{word}\b", page)
