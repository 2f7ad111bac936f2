"""The command as users meet it: real processes, pipes, signals, terminals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.cli.real import COMMAND, DEADLINE_S, claims, environment


def statuses(root: Path) -> dict[str, str]:
    document = json.loads(claims(root, "list", "--status", "all", "--json").stdout)
    return {task["task"]: task["status"] for task in document["tasks"]}


def test_a_task_goes_from_shell_to_shell_without_a_token(tmp_path: Path) -> None:
    claimed = claims(tmp_path, "claim", "T-1", "--json")
    assert claimed.returncode == 0
    token = json.loads(claimed.stdout)["token"]
    assert claims(tmp_path, "claim", "T-1", SHARED_STATE_OWNER="ws/other").returncode == 3
    assert claims(tmp_path, "renew", "T-1").returncode == 0
    shown = claims(tmp_path, "show", "T-1")
    assert "ws/agent" in shown.stdout
    assert token not in shown.stdout
    assert claims(tmp_path, "release", "T-1", "--status", "failed", "--error", "boom").returncode == 0
    assert statuses(tmp_path) == {"T-1": "failed"}


def test_the_token_is_in_no_shared_file(tmp_path: Path) -> None:
    token = json.loads(claims(tmp_path, "claim", "T-1", "--json").stdout)["token"]
    holding = [path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if _holds(path, token)]
    assert set(holding) == {"local"}


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and text.encode() in path.read_bytes()


def test_ids_flow_through_pipes(tmp_path: Path) -> None:
    claimed = claims(tmp_path, "claim", "-", "--json", stdin="a\nb\nc\n")
    assert [json.loads(line)["task"] for line in claimed.stdout.splitlines()] == ["a", "b", "c"]
    assert claims(tmp_path, "release", "-", stdin="a\nb\n").returncode == 0
    assert statuses(tmp_path) == {"a": "complete", "b": "complete", "c": "claimed"}


def test_a_reader_that_goes_away_is_no_noise(tmp_path: Path) -> None:
    claims(tmp_path, "claim", "-", stdin="".join(f"task-{number}\n" for number in range(200)))
    lister = subprocess.Popen(
        [*COMMAND, "list", "--json"], env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert lister.stdout is not None
    lister.stdout.close()
    _, err = lister.communicate(timeout=DEADLINE_S)
    assert (lister.returncode, err) == (0, b"")


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_a_closed_stream_is_no_fault(tmp_path: Path, fd: int) -> None:
    closed = subprocess.run(
        ["sh", "-c", f'"$@" {fd}>&-', "sh", *COMMAND, "claim", "T-1"],
        env=environment(tmp_path),
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert closed.returncode == 0
    assert statuses(tmp_path) == {"T-1": "claimed"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_behind_stdout_is_said_and_no_traceback(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "claim", "T-1", "--json"],
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_encoding_that_cannot_carry_an_id_is_no_fault(tmp_path: Path) -> None:
    done = claims(
        tmp_path, "claim", "größe", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert claims(tmp_path, "list", PYTHONIOENCODING="ascii").returncode == 0


def test_ctrl_c_leaves_nothing_held(tmp_path: Path) -> None:
    claimer = subprocess.Popen(
        [*COMMAND, "claim", "-", "--json"],
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert claimer.stdin is not None
    assert claimer.stdout is not None
    claimer.stdin.write("a\nb\n")
    claimer.stdin.flush()
    assert [json.loads(claimer.stdout.readline())["task"] for _ in range(2)] == ["a", "b"]
    claimer.send_signal(signal.SIGINT)
    _, err = claimer.communicate(timeout=DEADLINE_S)
    assert claimer.returncode == 130
    assert "given back" in err
    assert "Traceback" not in err
    assert statuses(tmp_path) == {"a": "abandoned", "b": "abandoned"}


def test_ctrl_c_ends_a_wait_for_candidates(tmp_path: Path) -> None:
    claims(tmp_path, "claim", "held", SHARED_STATE_OWNER="ws/other")
    with subprocess.Popen(
        [*COMMAND, "next", "--from", "-"], env=environment(tmp_path), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as waiting:
        assert waiting.stdin is not None
        waiting.stdin.write(b"held\n")
        waiting.stdin.flush()
        deadline_s = time.monotonic() + DEADLINE_S
        while not _catches_sigint(waiting.pid) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(DEADLINE_S) == 130


def test_next_claims_without_waiting_for_more_candidates(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "next", "--from", "-"], env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as claimer:
        assert claimer.stdin is not None
        claimer.stdin.write(b"free\n")
        claimer.stdin.flush()
        assert claimer.wait(DEADLINE_S) == 0
    assert statuses(tmp_path) == {"free": "claimed"}


def _catches_sigint(pid: int) -> bool:
    """Whether Python's start has come as far as to catch SIGINT, and the process waits for input."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    idle = "State:\tS" in status and "pipe" in Path(f"/proc/{pid}/wchan").read_text()
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGINT - 1)) and idle


def on_a_terminal(root: Path, *words: str, **more: str) -> str:
    """What a person sees: the command on a terminal of its own."""
    master, terminal = pty.openpty()
    env = environment(root, **{"TERM": "xterm-256color", "COLUMNS": "150", **more})
    shown = subprocess.Popen([*COMMAND, *words], env=env, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    assert shown.wait(DEADLINE_S) == 0
    return seen.decode()


def test_a_person_sees_a_table_and_colour_and_a_pipe_does_not(tmp_path: Path) -> None:
    claims(tmp_path, "claim", "T-1", "--meta", "note=[red]x[/nope]\x1b[2J")
    screen = on_a_terminal(tmp_path, "list")
    assert "─" in screen
    assert "\x1b[32m" in screen
    assert "\x1b[3" not in on_a_terminal(tmp_path, "list", NO_COLOR="1")
    assert "\x1b[2J" not in on_a_terminal(tmp_path, "show", "T-1")
    piped = claims(tmp_path, "list").stdout
    assert piped.isascii()
    assert "\x1b" not in piped


def test_help_is_drawn_on_a_terminal_and_plain_in_a_pipe(tmp_path: Path) -> None:
    assert "╭" in on_a_terminal(tmp_path, "claim", "--help")
    assert "[default: complete]" in on_a_terminal(tmp_path, "release", "--help")
    plain = claims(tmp_path, "claim", "--help").stdout
    assert "╭" not in plain
    assert "\x1b" not in plain


INTERRUPTED_WHILE_LOADING = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "sharedstate_cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["claims", "whoami"]
from sharedstate_cli.start import main
sys.exit(main())
"""


def test_an_interrupt_while_the_command_loads_is_no_traceback(tmp_path: Path) -> None:
    for usual, code in (("default_int_handler", -signal.SIGINT), ("SIG_IGN", 0)):
        before = f"import signal; signal.signal(signal.SIGINT, signal.{usual})"
        done = subprocess.run(
            [sys.executable, "-c", before + INTERRUPTED_WHILE_LOADING],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, "")


def test_a_bare_command_prints_its_help_with_exit_code_2(tmp_path: Path) -> None:
    for words in ((), ("config",)):
        bare, asked = claims(tmp_path, *words), claims(tmp_path, *words, "--help")
        assert (bare.returncode, asked.returncode) == (2, 0)
        assert (bare.stdout, bare.stderr) == (asked.stdout, "")


def test_version_prints_the_version(tmp_path: Path) -> None:
    version = claims(tmp_path, "--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, "sharedstate")


def completed(root: Path, words: str, **more: str) -> list[str]:
    """What bash would offer for the last word."""
    at = str(len(words.split(" ")) - 1)
    done = claims(root, COMP_WORDS=words, COMP_CWORD=at, _CLAIMS_COMPLETE="complete_bash", **more)
    assert done.returncode == 0
    return done.stdout.split("\n")[:-1]


def test_the_shell_completes_commands_options_choices_and_ids(tmp_path: Path) -> None:
    claims(tmp_path, "claim", "-", stdin="T-1\nT-2\nU-1\nevil$(touch x)\na b\n")
    claims(tmp_path, "release", "T-2")
    assert completed(tmp_path, "claims rel") == ["release"]
    assert completed(tmp_path, "claims release --st") == ["--status"]
    assert completed(tmp_path, "claims release T-1 --status f") == ["failed"]
    assert completed(tmp_path, "claims release T") == ["T-1"]
    assert completed(tmp_path, "claims show T") == ["T-1", "T-2"]
    assert completed(tmp_path, "claims show e") == [""]
    assert completed(tmp_path, "claims config ") == ["show"]
    assert completed(tmp_path / "nowhere", "claims show T") == [""]
    assert completed(tmp_path / "nowhere", f"claims show --dir {tmp_path} T") == ["T-1", "T-2"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script_for_every_shell(tmp_path: Path, shell: str) -> None:
    script = claims(tmp_path, "completion", shell)
    assert script.returncode == 0
    assert "_CLAIMS_COMPLETE" in script.stdout
    assert "claims" in script.stdout


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    done = claims(root, "claim", "T-1", "--json")
    assert done.returncode == 78
    assert json.loads(done.stdout)["error"]["code"] == "unsafe_store"
    assert list(root.iterdir()) == []
