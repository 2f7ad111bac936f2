"""`claims sync` and `claims board` as real processes against a GitHub on this machine, over sockets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate.testing.github import FakeGitHub
from tests.integration.cli.real import COMMAND, DEADLINE_S, claims, environment

TOKEN = "token-bot"


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    users = {"bot": "push", "eve": "read", "ann": "maintain"}
    with FakeGitHub(repos=("acme/app",), users=users, projects=("acme/1",)) as fake:
        yield fake


class Fleet:
    """One machine of the fleet: a state root, and the settings that lead to the board."""

    def __init__(self, root: Path, github: FakeGitHub, **more: str) -> None:
        self.root = root
        self.known = {
            "GITHUB_API_URL": github.url,
            "GITHUB_TOKEN": TOKEN,
            "GH_TOKEN": "",
            "SHARED_STATE_REPOSITORY": "acme/app",
            "SHARED_STATE_PROJECT": "acme/1",
            "SHARED_STATE_GITHUB_SPACING_MS": "0",
            **more,
        }

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; no token is ever in what it prints."""
        done = claims(self.root, *words, **{**self.known, **more})
        assert TOKEN not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, **more: str) -> dict[str, Any]:
        """The one JSON object that the command prints."""
        found = json.loads(self.run(*words, "--json", **more).stdout)
        assert isinstance(found, dict)
        return found

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start the command and leave it running."""
        return subprocess.Popen(
            [*COMMAND, *words],
            env=environment(self.root, **self.known),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def fleet(tmp_path: Path, github: FakeGitHub) -> Fleet:
    return Fleet(tmp_path / "state", github)


def test_a_reviewer_sees_the_work_and_is_obeyed(fleet: Fleet, github: FakeGitHub) -> None:
    for title in ("Build", "Paint", "Sell"):
        github.add_card(github.open_issue(title))
        github.move_card(len(github.world.state.repos["acme/app"].issues), "Todo")
    fleet.run("claim", "GH-1")
    assert fleet.run("sync").returncode == 0
    [comment] = github.comments(1)
    assert "**Claimed by** `ws/agent`" in comment["body"]
    assert github.labels(1) == ("sharedstate:claimed",)
    assert github.card(1) == "In Progress"
    github.label(2, "sharedstate:ignore")
    github.close(3, reason="not_planned")
    done = fleet.json("sync")
    assert done["actions"] == {"GH-2": ["ignore"], "GH-3": ["cancel"]}
    assert fleet.run("claim", "GH-2").returncode == 6
    assert fleet.run("claim", "GH-3").returncode == 6
    github.reopen(3)
    github.unlabel(2, "sharedstate:ignore")
    fleet.run("sync")
    assert fleet.run("claim", "GH-2").returncode == 0
    assert fleet.run("claim", "GH-3").returncode == 0
    fleet.run("release", "GH-1", "--status", "complete")
    fleet.run("sync")
    assert github.card(1) == "Done"
    assert len(github.comments(1)) == 1


def test_a_stranger_s_comment_does_not_count_and_the_report_says_why(fleet: Fleet, github: FakeGitHub) -> None:
    github.open_issue("Build")
    fleet.run("claim", "GH-1")
    fleet.run("sync")
    [ours] = github.comments(1)
    github.comment(1, ours["body"].replace("claimed", "complete"), user="eve")
    shown = fleet.json("board", "show", "GH-1")
    assert (shown["record"]["status"], shown["labels"]) == ("claimed", ["claimed"])
    assert [(one["author"], one["counts"]) for one in shown["comments"]] == [("bot", True), ("eve", False)]
    report = fleet.json("board", "adopt")
    assert (report["counting"], report["ignored"]) == (1, 1)
    assert str(github.user_id("eve")) in report["hints"][0]
    assert fleet.json("board", "adopt", "--task", "GH-1")["comments"] == report["comments"]
    assert fleet.run("board", "adopt", "--task", "GH-9").returncode == 5
    assert fleet.run("board", "show", "GH-9").returncode == 5
    writes = len(github.requests.writes())
    fleet.run("sync", "--dry-run")
    assert len(github.requests.writes()) == writes


def test_a_repository_may_be_named_at_every_look_at_the_board(fleet: Fleet, github: FakeGitHub) -> None:
    github.open_issue("Build")
    nowhere = {"SHARED_STATE_REPOSITORY": ""}
    for words in (("sync",), ("sync", "--status"), ("board", "show", "GH-1"), ("board", "adopt")):
        assert fleet.json(*words, "--repo", "acme/app", **nowhere)["board"] == "acme/app"


def test_a_board_that_lets_nobody_in_is_told_from_one_that_is_away(fleet: Fleet, github: FakeGitHub) -> None:
    assert fleet.run("sync", GITHUB_TOKEN="wrong").returncode == 78
    assert fleet.run("sync", "--repo", "acme/none").returncode == 78
    for words in (("sync",), ("board", "show", "GH-1"), ("board", "adopt")):
        wrong = fleet.run(*words, "--repo", "https://github.com/acme/app")
        assert (wrong.returncode, "--repo: expected OWNER/NAME" in wrong.stderr) == (2, True)
    assert fleet.run("sync", GITHUB_TOKEN="").returncode == 78
    assert fleet.run("sync", SHARED_STATE_REPOSITORY="").returncode == 78
    github.stop()
    assert fleet.run("sync").returncode == 75
    assert fleet.run("board", "show", "GH-1").returncode == 75
    status = fleet.json("sync", "--status")
    assert status["failed_in_row"] >= 1


@pytest.mark.parametrize("words", [("sync",), ("board", "show", "GH-1"), ("list",)], ids=lambda words: str(words[0]))
def test_without_pygithub_it_says_what_to_install(tmp_path: Path, words: tuple[str, ...]) -> None:
    bare = "import sys; sys.modules.update(github=None, requests=None, urllib3=None)"  # a plain `pip install`
    program = f"{bare}; from sharedstate_cli.main import main; sys.exit(main(sys.argv[1:]))"
    url = "github://acme/app" if words == ("list",) else ""
    known = environment(tmp_path, GITHUB_TOKEN=TOKEN, SHARED_STATE_REPOSITORY="acme/app", SHARED_STATE_URL=url)
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env=known,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, "pip install 'sharedstate[github]'" in done.stderr) == (78, True), done.stderr


def test_one_of_two_syncs_goes_home(fleet: Fleet, github: FakeGitHub) -> None:
    github.open_issue("Build")
    first = fleet.start("sync", "--every", "1h", "--json")
    assert first.stdout is not None
    assert json.loads(first.stdout.readline())["ok"] is True
    second = fleet.json("sync")
    assert (second["skipped"], second["holder_pid"]) == ("already_running", first.pid)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=DEADLINE_S)
    assert "skipped" not in fleet.json("sync")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_of_syncs_obeys_without_being_asked_and_ends_in_order(
    fleet: Fleet, github: FakeGitHub, number: signal.Signals
) -> None:
    github.open_issue("Build")
    loop = fleet.start("sync", "--every", "1s", "--json")
    assert loop.stdout is not None
    assert json.loads(loop.stdout.readline())["pulled"] == ["GH-1"]
    github.clock.advance(2)
    github.label(1, "sharedstate:ignore")
    deadline_s = time.monotonic() + DEADLINE_S
    while json.loads(loop.stdout.readline())["actions"] != {"GH-1": ["ignore"]}:
        assert time.monotonic() < deadline_s
    loop.send_signal(number)
    _, err = loop.communicate(timeout=DEADLINE_S)
    assert (loop.returncode, err) == (130, "claims: interrupted\n")
    assert fleet.run("sync").returncode == 0


def test_two_machines_that_share_a_store_make_one_comment(tmp_path: Path, github: FakeGitHub) -> None:
    github.open_issue("Build")
    shared = f"file://{tmp_path / 'shared'}"
    machines = [Fleet(tmp_path / name, github, SHARED_STATE_URL=shared) for name in ("one", "two")]
    machines[0].run("claim", "GH-1")
    running = [machine.start("sync") for machine in machines]
    for one in running:
        _, err = one.communicate(timeout=DEADLINE_S)
        assert (one.returncode, err) == (0, "")
    for machine in machines:
        machine.run("sync")
    assert len(github.comments(1)) == 1


def test_the_first_of_two_sweeps_does_the_work(tmp_path: Path) -> None:
    holder = (
        "import sys, portalocker\n"
        "with portalocker.PidFileLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    (tmp_path / "local").mkdir()
    program = [sys.executable, "-c", holder, str(tmp_path / "local" / "sweep.pid")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        second = claims(tmp_path, "sweep")
        assert (second.returncode, f"(pid {first.pid})" in second.stdout) == (0, True)
        first.communicate("")
    assert "examined" in claims(tmp_path, "sweep").stdout
