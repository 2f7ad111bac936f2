"""`claims sync` and `claims board` on a board in memory: what is done, said, and answered by exit code."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import portalocker
import pytest

from sharedstate.settings import SYNC_POLICIES
from sharedstate.sync.board import Distrust, Failed, Parked
from sharedstate.sync.model import POLICIES
from sharedstate.testing.board import Call, MemoryBoard, Trouble
from sharedstate.testing.clock import FakeHost
from sharedstate_cli.full.schemas import MODELS
from sharedstate_cli.table import BY_NAME
from tests.unit.cli.shell import Shell


class Alarm(FakeHost):
    """A machine that lets something happen whenever somebody sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.naps: list[float] = []
        self.on_sleep: Callable[[int], None] | None = None

    def sleep(self, seconds: float) -> None:
        """Note it, let time pass, and call."""
        self.naps.append(seconds)
        super().sleep(seconds)
        if self.on_sleep is not None:
            self.on_sleep(len(self.naps))


@pytest.fixture
def host() -> Alarm:
    return Alarm()


@pytest.fixture
def board(host: Alarm) -> MemoryBoard:
    return MemoryBoard(host=host)


@pytest.fixture
def shell(tmp_path: Path, host: Alarm, board: MemoryBoard) -> Shell:
    return Shell(tmp_path, host=host, board=board.seat("ws"))


def check(name: str, document: dict[str, Any]) -> None:
    MODELS[name].model_validate_json(json.dumps(document))


def test_a_claim_shows_on_the_board_and_a_person_s_word_comes_home(shell: Shell, board: MemoryBoard) -> None:
    board.open_issue("GH-1")
    board.open_issue("GH-2", ignored=True)
    shell("claim GH-1")
    answer = shell("sync")
    check("sync", answer.document)
    assert (answer.code, answer.document["board"]) == (0, "acme/app")
    assert answer.document["actions"] == {"GH-2": ["ignore"]}
    assert set(answer.document["pushed"]["GH-1"]) == {"record", "labels", "card"}
    assert board.record("GH-1").status == "claimed"
    assert shell("claim GH-2").code == 6
    text = shell.text("sync").out
    assert text.splitlines()[-1].startswith("acme/app: ")


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(shell: Shell, board: MemoryBoard) -> None:
    board.open_issue("GH-1")
    board.open_issue("GH-2", ignored=True)
    shell("claim GH-1")
    answer = shell("sync --dry-run")
    assert answer.document["dry_run"] is True
    assert answer.document["actions"] == {"GH-2": ["ignore"]}
    assert "record" in answer.document["pushed"]["GH-1"]
    assert board.writes() == 0
    assert shell("sync --status").document["cycles"] == 0
    assert not (shell.root / "local" / "sync.pid.lock").exists()
    out = shell.text("sync --dry-run").out
    assert "would obey GH-2: ignore" in out
    assert "would write GH-1: record" in out


def test_a_second_sync_leaves_the_work_to_the_first(shell: Shell, board: MemoryBoard) -> None:
    board.open_issue("GH-1")
    shell("sync")
    calls = len(board.calls)
    with portalocker.PidFileLock(shell.root / "local" / "sync.pid"):
        answer = shell("sync")
        assert (answer.code, answer.document["skipped"]) == (0, "already_running")
        check("sync", answer.document)
        assert answer.document["holder_pid"] == os.getpid()
        assert f"another sync of this state root is running (pid {os.getpid()});" in shell.text("sync --every 5m").out
        assert shell("sync --status").code == 0
        assert len(board.calls) == calls
    assert "skipped" not in shell("sync").document


def test_a_second_sweep_leaves_the_work_to_the_first(shell: Shell) -> None:
    shell("claim T-1 --ttl 10s")
    shell.advance(20)
    assert shell("sweep --dry-run").document["swept"]
    assert not (shell.root / "local" / "sweep.pid.lock").exists()
    (shell.root / "local").mkdir(exist_ok=True)
    with portalocker.PidFileLock(shell.root / "local" / "sweep.pid"):
        answer = shell("sweep")
        assert (answer.code, answer.document) == (
            0,
            {"schema": 1, "ok": True, "skipped": "already_running", "holder_pid": os.getpid()},
        )
        check("sweep", answer.document)
        assert shell("sweep --dry-run").document["swept"]
    assert len(shell("sweep").document["swept"]) == 1


@pytest.mark.parametrize("name", ["sync.pid", "sync.pid.lock"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_stands_in_the_place_of_the_lock_is_neither_followed_nor_waited_for(
    shell: Shell, name: str, kind: str
) -> None:
    path = shell.root / "local" / name
    path.parent.mkdir(parents=True)
    path.symlink_to("elsewhere") if kind == "link" else os.mkfifo(path)
    answer = shell("sync")
    assert (answer.code, answer.document["error"]["code"]) == (78, "unsafe_store")
    assert name in answer.document["error"]["message"]
    assert not (shell.root / "local" / "elsewhere").exists()


def test_a_lock_that_cannot_be_made_is_a_fault_with_its_path(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(lock: object, **how: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(portalocker.PidFileLock, "acquire", full)
    answer = shell("sync")
    assert (answer.code, answer.document["error"]["code"]) == (75, "store_unavailable")
    assert answer.document["error"]["message"].endswith("local/sync.pid: No space left on device")


def test_a_pid_that_cannot_be_read_blocks_nobody_and_frees_nobody(shell: Shell) -> None:
    path = shell.root / "local" / "sync.pid"
    path.parent.mkdir(parents=True)
    path.write_text("what a crash may leave")
    assert "skipped" not in shell("sync").document
    with portalocker.PidFileLock(path):
        path.write_text("")
        answer = shell("sync")
        assert (answer.document["skipped"], "holder_pid" in answer.document) == ("already_running", False)


@pytest.mark.parametrize(
    "answer,code",
    [
        (Failed(kind="transient", detail="no answer"), 75),
        (Failed(kind="forbidden", detail="401 Bad credentials"), 78),
        (Failed(kind="gone", detail="404 Not Found"), 78),
        (Parked(until_ms=1 << 42, reason="primary rate limit"), 0),
    ],
)
def test_the_exit_code_tells_a_board_that_is_away_from_one_that_lets_nobody_in(
    tmp_path: Path, host: Alarm, board: MemoryBoard, answer: Failed | Parked, code: int
) -> None:
    shell = Shell(tmp_path, host=host, board=board.seat("ws", lambda call: Trouble(answer=answer)))
    found = shell("sync")
    check("sync", found.document)
    assert (found.code, found.document["ok"]) == (code, code == 0)
    if code:
        assert found.document["reason"] == "board_unreachable"
        assert "could not be listed" in shell.text("sync").err
    else:
        assert found.document["parked_until"].startswith("2109")
        assert "nothing is asked before 2109" in shell.text("sync").out


def test_what_was_done_is_told_as_done_and_what_went_wrong_with_the_next_step(
    tmp_path: Path, host: Alarm, board: MemoryBoard
) -> None:
    board.open_issue("GH-1")
    board.open_issue("GH-2", ignored=True)
    shell = Shell(tmp_path, host=host, board=board.seat("ws"))
    shell("claim GH-1")
    told = shell.text("sync").out.splitlines()
    assert told[:2] == ["obeyed GH-2: ignore", "wrote GH-1: record, labels, card"]

    def wrong(call: Call) -> Trouble | None:
        return Trouble(answer=Failed(kind="forbidden", detail="401 Bad credentials"))

    refused = Shell(tmp_path, host=host, board=board.seat("ws", wrong))
    said = refused.text("sync").err.splitlines()
    assert said == [
        "claims: acme/app could not be listed: forbidden: 401 Bad credentials",
        "claims: hint: the token may be wrong, expired, or lack the right to write issues there",
    ]
    assert refused.text("board show GH-1").err.splitlines()[-1] == said[-1]
    status = shell.text("sync --status").out
    assert "UTC the listing: forbidden: 401" in status


def test_what_waits_and_what_failed_is_told_by_the_status(tmp_path: Path, host: Alarm, board: MemoryBoard) -> None:
    def plan(call: Call) -> Trouble | None:
        return Trouble(answer=Failed(kind="transient", detail="502\x1b[31m")) if call.verb == "write" else None

    board.open_issue("GH-1")
    board.distrusted = (Distrust(task="GH-1", where="comment 7", author="eve (9)", reason="author_not_trusted"),)
    shell = Shell(tmp_path, host=host, board=board.seat("ws", plan))
    shell("claim GH-1")
    answer = shell("sync")
    assert (answer.code, answer.document["waiting"]) == (0, 1)
    assert answer.document["distrusted"][0]["author"] == "eve (9)"
    status = shell("sync --status").document
    check("sync-status", status)
    assert [one["task"] for one in status["waiting"]] == ["GH-1"]
    assert status["counters"]["failures"] == 1
    assert "502" in status["errors"][0]["detail"]
    text = shell.text("sync --status").out
    assert "not before" in text
    assert "\x1b" not in text
    assert "does not count: author_not_trusted" in shell.text("sync").err


def test_a_board_that_nobody_synced_with_has_an_empty_status(shell: Shell) -> None:
    status = shell("sync --status").document
    check("sync-status", status)
    assert (status["cycles"], status["waiting"]) == (0, [])
    assert not shell.root.exists()


def test_what_has_to_wait_a_moment_is_done_in_the_same_sync(tmp_path: Path, host: Alarm, board: MemoryBoard) -> None:
    last_ms = [0]

    def paced(call: Call) -> Trouble | None:
        """One write in three seconds, as the pace of new comments on GitHub is."""
        now_ms = host.now().at_ms
        if call.verb != "write":
            return None
        if now_ms < last_ms[0] + 3000:
            return Trouble(answer=Parked(until_ms=last_ms[0] + 3000, reason="request budget"))
        last_ms[0] = now_ms
        return None

    shell = Shell(tmp_path, host=host, board=board.seat("ws", paced))
    for number in range(1, 6):
        board.open_issue(f"GH-{number}")
        shell(f"claim GH-{number}")
    answer = shell("sync")
    check("sync", answer.document)
    assert (answer.document["waiting"], len(host.naps)) == (0, 4)
    assert board.writes("record") == 5
    assert sorted(answer.document["pushed"]) == [f"GH-{number}" for number in range(1, 6)]
    assert answer.document["pulled"] == [f"GH-{number}" for number in range(1, 6)]


def test_it_waits_a_minute_at_most(tmp_path: Path, host: Alarm, board: MemoryBoard) -> None:
    def slow(call: Call) -> Trouble | None:
        parked = Parked(until_ms=host.now().at_ms + 9_000, reason="request budget")
        return Trouble(answer=parked) if call.verb == "write" else None

    shell = Shell(tmp_path, host=host, board=board.seat("ws", slow))
    board.open_issue("GH-1")
    shell("claim GH-1")
    answer = shell("sync")
    assert (answer.code, answer.document["waiting"]) == (0, 1)
    assert sum(host.naps) == pytest.approx(63)


# Cycle after cycle


def test_every_goes_on_through_faults_until_it_is_told_to_end(tmp_path: Path, host: Alarm, board: MemoryBoard) -> None:
    def plan(call: Call) -> Trouble | None:
        lists = sum(one.verb == "list" for one in board.calls)
        if call.verb != "list" or lists not in (2, 3):
            return None
        if lists == 2:
            return Trouble(answer=Failed(kind="transient", detail="no answer"))
        return Trouble(death=RuntimeError("an answer nobody has thought of"))

    def wake(naps: int) -> None:
        if naps == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    board.open_issue("GH-1")
    host.on_sleep = wake
    before = signal.getsignal(signal.SIGTERM)
    answer = Shell(tmp_path, host=host, board=board.seat("ws", plan))("sync --every 90s")
    assert answer.code == 130
    assert [document["ok"] for document in answer.documents] == [True, False, False, True]
    assert answer.documents[2]["error"]["message"] == "RuntimeError: an answer nobody has thought of"
    for document in answer.documents:
        check("sync" if "error" not in document else "error", document)
    assert host.naps == [90.0] * 4
    assert "interrupted" in answer.err
    assert signal.getsignal(signal.SIGTERM) is before
    with portalocker.PidFileLock(tmp_path / "state" / "local" / "sync.pid"):
        pass  # nothing is left that blocks


def test_ctrl_c_ends_the_loop_too(shell: Shell, host: Alarm) -> None:
    host.on_sleep = lambda naps: os.kill(os.getpid(), signal.SIGINT)
    answer = shell.text("sync --every 1s")
    assert answer.code == 130
    assert len(answer.out.splitlines()) == 1


@pytest.mark.parametrize(
    "line", ["--once --every 5m", "--every 500ms", "--every 25h", "--every 5m --status", "--policy x"]
)
def test_what_makes_no_sense_is_refused(shell: Shell, line: str) -> None:
    assert shell(f"sync {line}").code == 2


# Without a board


@pytest.mark.parametrize("line", ["sync", "sync --status", "sync --dry-run", "board show GH-1", "board adopt"])
def test_without_a_repository_it_says_what_to_set(tmp_path: Path, line: str) -> None:
    answer = Shell(tmp_path)(line)
    assert (answer.code, answer.document["error"]["code"]) == (78, "bad_settings")
    assert "SHARED_STATE_REPOSITORY" in answer.document["error"]["hint"]


@pytest.mark.parametrize("line", ["sync", "sync --dry-run", "board show GH-1", "board adopt"])
def test_without_a_token_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHARED_STATE_REPOSITORY", "acme/app")
    answer = Shell(tmp_path)(line)
    assert (answer.code, answer.document["error"]["code"]) == (78, "bad_settings")
    assert "GITHUB_TOKEN" in answer.document["error"]["hint"]


def test_the_command_line_knows_all_policies() -> None:
    [param] = [param for param in BY_NAME["sync"].params if param.name == "policy"]
    assert param.choices == SYNC_POLICIES == POLICIES


def test_a_policy_from_the_command_line_holds_for_this_sync(shell: Shell, board: MemoryBoard) -> None:
    board.open_issue("GH-1", ignored=True)
    assert shell("sync --policy mirror-only").document["actions"] == {}


# What the board shows


def test_an_item_is_shown_with_card_and_record(shell: Shell, board: MemoryBoard) -> None:
    board.open_issue("GH-1", status="In Review")
    shell("claim GH-1")
    shell("sync")
    board.close("GH-1", reason="not_planned")
    answer = shell("board show GH-1")
    check("board-item", answer.document)
    shown = answer.document
    assert (shown["open"], shown["reason"], shown["record"]["owner"]) == (
        False,
        "not_planned",
        shown["record"]["owner"],
    )
    assert shown["record"]["status"] == "claimed"
    text = shell.text("board show GH-1").out
    assert "closed (not_planned)" in text


def test_an_item_that_the_board_does_not_have_is_not_found(shell: Shell) -> None:
    answer = shell("board show GH-9")
    assert (answer.code, answer.document["reason"]) == (5, "task_not_found")
    assert shell.text("board show T-9").err.splitlines()[-1] == "claims: hint: issue 42 there is the task GH-42"


@pytest.mark.parametrize(
    "trouble",
    [Failed(kind="transient", detail="no answer"), Parked(until_ms=1 << 42, reason="primary rate limit")],
)
def test_a_board_that_is_away_is_said(
    tmp_path: Path, host: Alarm, board: MemoryBoard, trouble: Failed | Parked
) -> None:
    shell = Shell(tmp_path, host=host, board=board.seat("ws", lambda call: Trouble(answer=trouble)))
    answer = shell("board show GH-1")
    assert (answer.code, answer.document["reason"]) == (75, "board_unreachable")
