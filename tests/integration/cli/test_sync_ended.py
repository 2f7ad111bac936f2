"""`claims sync` is ended in the middle of a cycle, in order or not: the next one completes what was left."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate.testing.github import FakeGitHub, Request, Response, World
from tests.integration.cli.real import DEADLINE_S
from tests.integration.cli.test_board import Fleet

TASKS = 6
PAUSE_S = 0.1  # each write takes so long that a signal arrives between two of them, not after the last


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    handle = World.handle

    def slowly(world: World, request: Request) -> Response:
        response = handle(world, request)
        if request.method != "GET":
            time.sleep(PAUSE_S)
        return response

    with FakeGitHub(repos=("acme/app",), users={"bot": "push"}) as fake:
        monkeypatch.setattr(World, "handle", slowly)
        yield fake


@pytest.fixture
def fleet(tmp_path: Path, github: FakeGitHub) -> Fleet:
    """Six issues, all claimed, none shown yet."""
    fleet = Fleet(tmp_path / "state", github, SHARED_STATE_PROJECT="")
    for number in range(1, TASKS + 1):
        github.open_issue(f"Task {number}")
        fleet.run("claim", f"GH-{number}")
    return fleet


def comments(fake: FakeGitHub) -> list[int]:
    return [len(fake.comments(number)) for number in range(1, TASKS + 1)]


def start_and_wait(fleet: Fleet, fake: FakeGitHub, *words: str, comments_min: int) -> subprocess.Popen[str]:
    """A running sync that has made some comments."""
    running = fleet.start("sync", *words, "--json")
    deadline_s = time.monotonic() + DEADLINE_S
    while sum(comments(fake)) < comments_min:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    return running


def check_all_shown(fake: FakeGitHub) -> None:
    assert comments(fake) == [1] * TASKS
    for number in range(1, TASKS + 1):
        assert fake.labels(number) == ("sharedstate:claimed",)


@pytest.mark.parametrize("words", [("--every", "1h"), ("--once",)], ids=["every", "once"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_cycle_after_the_item_under_way(
    fleet: Fleet, github: FakeGitHub, number: signal.Signals, words: tuple[str, ...]
) -> None:
    running = start_and_wait(fleet, github, *words, comments_min=2)
    running.send_signal(number)
    out, err = running.communicate(timeout=DEADLINE_S)
    assert (running.returncode, err.splitlines()[-1]) == (130, "claims: interrupted")
    report: dict[str, Any] = json.loads(out.splitlines()[0])
    assert (report["ok"], report["reason"]) == (False, "interrupted")
    shown = [task for task, parts in report["pushed"].items() if "labels" in parts]
    assert shown == list(report["pushed"])  # no item was left half done
    assert comments(github) == [1] * len(shown) + [0] * (TASKS - len(shown))
    assert fleet.json("sync", "--status")["failed_in_row"] == 0
    assert fleet.run("sync").returncode == 0
    check_all_shown(github)
    writes = len(github.requests.writes())
    fleet.run("sync")
    assert len(github.requests.writes()) == writes


@pytest.mark.parametrize("comments_min", [1, 2, 3, 5])
def test_a_killed_sync_is_completed_by_the_next_one_without_a_second_comment(
    fleet: Fleet, github: FakeGitHub, comments_min: int
) -> None:
    running = start_and_wait(fleet, github, "--once", comments_min=comments_min)
    running.kill()
    running.communicate(timeout=DEADLINE_S)
    for _ in range(2):
        done = fleet.run("sync")
        assert done.returncode == 0, done.stderr
        github.clock.advance(3_700)  # what was in doubt is looked at
    check_all_shown(github)
