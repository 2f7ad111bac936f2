"""Two machines as two processes of the real command, over real sockets and real PyGithub, on one issue."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sharedstate.testing.github import FakeGitHub
from sharedstate.testing.github.__main__ import RunningMachine
from tests.integration.cli.real import COMMAND, DEADLINE_S, claims, environment

RACES = 4
USERS = {"a": "bot", "b": "friend"}


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with FakeGitHub(users=dict.fromkeys(USERS.values(), "push"), clock=RunningMachine()) as made:
        for number in range(RACES):
            made.open_issue(f"Task {number + 1}")
        yield made


def settings(fake: FakeGitHub, name: str) -> dict[str, str]:
    return {
        "SHARED_STATE_URL": "github://acme/app?settle=300ms",
        "SHARED_STATE_OWNER": f"ws/{name}",
        "SHARED_STATE_SIGNING_KEY": "k1:hush",
        "SHARED_STATE_TRUSTED_AUTHORS": ",".join(str(fake.user_id(user)) for user in USERS.values()),
        "SHARED_STATE_GITHUB_SPACING_MS": "0",
        "GITHUB_API_URL": fake.url,
        "GITHUB_TOKEN": fake.token(USERS[name]),
    }


def start(fake: FakeGitHub, root: Path, name: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words, "--json"],
        env=environment(root / name, **settings(fake, name)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_of_two_processes_that_share_only_github_exactly_one_gets_the_task(fake: FakeGitHub, tmp_path: Path) -> None:
    for number in range(1, RACES + 1):
        task = f"GH-{number}"
        racing = {name: start(fake, tmp_path, name, "claim", task) for name in USERS}
        answers = {name: process.communicate(timeout=DEADLINE_S) for name, process in racing.items()}
        codes = {name: process.returncode for name, process in racing.items()}
        assert sorted(codes.values()) == [0, 3], (codes, answers)
        winner = next(name for name, code in codes.items() if code == 0)
        loser = next(name for name in USERS if name != winner)
        won, lost = json.loads(answers[winner][0]), json.loads(answers[loser][0])
        assert (won["ok"], won["fence"], won["degraded"]) == (True, 1, False)
        assert (lost["ok"], lost["reason"], lost["holder"]["owner"]) == (False, "existing_owner_active", f"ws/{winner}")
        for name, words, code in (
            (loser, ("renew", task), 4),
            (winner, ("renew", task), 0),
            (loser, ("release", task), 4),
            (winner, ("release", task), 0),
        ):
            done = claims(tmp_path / name, *words, **settings(fake, name))
            assert done.returncode == code, (name, words, done.stdout, done.stderr)


def test_a_command_that_cannot_reach_github_fails_closed(fake: FakeGitHub, tmp_path: Path) -> None:
    away = {**settings(fake, "a"), "GITHUB_API_URL": "http://127.0.0.1:9"}
    done = claims(tmp_path / "a", "claim", "GH-1", "--json", **away)
    assert done.returncode == 75
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["retryable"]) == ("store_unavailable", True)
    claimed = claims(tmp_path / "a", "claim", "GH-1", "--json", **settings(fake, "a"))
    assert json.loads(claimed.stdout)["degraded"] is False


@pytest.mark.slow
def test_a_program_keeps_its_claim_through_a_pacemaker_of_its_own(fake: FakeGitHub, tmp_path: Path) -> None:
    """The pacemaker is a process: it has to sign the heartbeats, or the claim would look stale after its ttl."""
    words = ("run", "GH-1", "--ttl", "4s", "--", "sleep", "8")
    with subprocess.Popen([*COMMAND, *words], env=environment(tmp_path / "a", **settings(fake, "a"))) as holding:
        wait_for(lambda: any(entry.method == "PATCH" for entry in list(fake.requests)))
        refused = 0
        while holding.poll() is None:
            code = claims(tmp_path / "b", "claim", "GH-1", **settings(fake, "b")).returncode
            refused += code == 3
            assert code == 3 or holding.wait(timeout=DEADLINE_S) == 0, "taken while its holder was at work"
        assert holding.returncode == 0
    assert refused > 2
    assert sum(entry.method == "PATCH" for entry in list(fake.requests)) > 3


def wait_for(condition: Callable[[], bool]) -> None:
    """Look again and again, but not for ever."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
