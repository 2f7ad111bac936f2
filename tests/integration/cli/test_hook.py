"""`claims unread --hook` with real processes: it ends within two seconds with exit code 0, whatever hangs."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.cli.real import COMMAND, claims, environment

BOUND_S = 2.0
SLACK_S = 1.0  # a busy machine starts an interpreter late; the bound counts from there
HOOK = ("unread", "desk/bob", "--hook")
GATEWAY = "SHARED_STATE_ENDPOINTS"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    assert claims(made, "send", "--to", "desk/bob", "--body", "hello").returncode == 0
    return made


@contextmanager
def silent_server() -> Generator[str]:
    """Takes connections and never says a word; its URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def hooked(root: Path, *more: str, **env: str) -> tuple[subprocess.CompletedProcess[str], float]:
    began_s = time.monotonic()
    done = claims(root, *HOOK, *more, **env)
    return done, time.monotonic() - began_s


def assert_unknown(done: subprocess.CompletedProcess[str], took_s: float) -> None:
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("unread: unknown (")
    assert done.stdout.count("\n") == 1
    assert took_s < BOUND_S + SLACK_S


def test_the_hook_says_news_and_is_silent_without(root: Path) -> None:
    done, took_s = hooked(root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("unread: 1 letter from ws/agent")
    assert took_s < BOUND_S
    claims(root, "ack", "desk/bob", "--up-to", "1")
    done, _ = hooked(root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_hung_holder_of_every_lock_does_not_matter(root: Path) -> None:
    held = []
    for path in root.rglob("locks/*"):
        fd = os.open(path, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        held.append(fd)
    assert held
    try:
        done, took_s = hooked(root)
    finally:
        for fd in held:
            os.close(fd)
    assert done.stdout.startswith("unread: 1 letter")
    assert took_s < BOUND_S + SLACK_S


def test_a_stopped_writer_does_not_matter(root: Path) -> None:
    words = [*COMMAND, "send", "--to", "desk/bob", "--body", "-"]
    with silent_server() as url:
        env = environment(root, SHARED_STATE_ENDPOINTS=url)
        writer = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert writer.stdin is not None
        writer.stdin.write(b"on its way")
        writer.stdin.close()
        try:
            deadline_s = time.monotonic() + 30
            while not any(root.rglob("outbox-*/*.json")) and time.monotonic() < deadline_s:
                time.sleep(0.01)
            os.kill(writer.pid, signal.SIGSTOP)
            done, took_s = hooked(root)
        finally:
            writer.kill()
            writer.wait(30)
    assert done.stdout.startswith("unread: 1 letter")
    assert took_s < BOUND_S + SLACK_S


def test_a_gateway_that_never_answers_is_unknown_in_time(root: Path) -> None:
    with silent_server() as url:
        assert_unknown(*hooked(root, SHARED_STATE_ENDPOINTS=url))
        done, took_s = hooked(root, "--json", SHARED_STATE_ENDPOINTS=url)
    assert done.returncode == 0
    assert '"count":null' in done.stdout
    assert took_s < BOUND_S + SLACK_S


def test_many_gateways_that_never_answer_are_unknown_in_time(root: Path) -> None:
    with silent_server() as one, silent_server() as two, silent_server() as three:
        assert_unknown(*hooked(root, SHARED_STATE_ENDPOINTS=f"{one},{two},{three}"))


def test_a_gateway_that_is_away_is_unknown_and_not_nothing(root: Path) -> None:
    with socket.socket() as taken:  # bound, not listening: refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert_unknown(*hooked(root, SHARED_STATE_ENDPOINTS=url))
        done = claims(root, "unread", "desk/bob", SHARED_STATE_ENDPOINTS=url)
    assert done.returncode == 75
    assert "unknown" in done.stderr
    assert "letters unread" not in done.stdout


def test_a_look_that_no_signal_wakes_does_not_hold_the_shell(root: Path) -> None:
    """The child that looks is stopped, as one that waits for a dead disk is; the caller's pipe ends all the same."""
    with silent_server() as url:
        began_s = time.monotonic()
        env = environment(root, SHARED_STATE_ENDPOINTS=url)
        hook = subprocess.Popen([*COMMAND, *HOOK], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        child = _child_of(hook.pid)
        os.kill(child, signal.SIGSTOP)
        out, _ = hook.communicate(timeout=30)
        took_s = time.monotonic() - began_s
    assert hook.returncode == 0
    assert out.startswith(b"unread: unknown (no answer")
    assert took_s < BOUND_S + SLACK_S


def test_a_look_that_is_killed_is_unknown(root: Path) -> None:
    with silent_server() as url:
        env = environment(root, SHARED_STATE_ENDPOINTS=url)
        hook = subprocess.Popen([*COMMAND, *HOOK], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.kill(_child_of(hook.pid), signal.SIGKILL)
        out, _ = hook.communicate(timeout=30)
    assert hook.returncode == 0
    assert out == b"unread: unknown (the look ended without an answer)\n"


def _child_of(pid: int) -> int:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        found = path.read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.005)
    raise AssertionError("the hook has no child")


def test_a_pipe_that_nobody_empties_does_not_hold_the_hook(root: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    began_s = time.monotonic()
    hook = subprocess.Popen([*COMMAND, *HOOK], env=environment(root), stdout=writer)
    assert hook.wait(30) == 0
    assert time.monotonic() - began_s < BOUND_S + SLACK_S
    os.close(reader)
    os.close(writer)


def test_a_closed_or_full_output_does_not_fail_the_hook(root: Path) -> None:
    line = f"{' '.join(COMMAND)} {' '.join(HOOK)}"
    for redirect in (">&-", ">/dev/full", "| true", ">&- 2>&- <&-"):
        script = f"{line} {redirect}; exit $?"
        done = subprocess.run(["sh", "-c", script], env=environment(root), capture_output=True, timeout=30, check=False)
        assert (redirect, done.returncode) == (redirect, 0)


def test_a_folder_that_is_gone_does_not_fail_the_hook(root: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && {' '.join(COMMAND)} {' '.join(HOOK)}"
    done = subprocess.run(
        ["sh", "-c", script], env=environment(root), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("unread: ")


def test_a_state_root_that_is_no_folder_does_not_fail_the_hook(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.write_text("a file")
    assert_unknown(*hooked(place))


def test_a_fifo_in_the_place_of_guidance_does_not_hang_the_hook(root: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "GUIDANCE.md")
    began_s = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *HOOK], cwd=tmp_path, env=environment(root), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert time.monotonic() - began_s < BOUND_S + SLACK_S


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hung_look_leaves_nothing_behind(root: Path) -> None:
    with silent_server() as url:
        hook = subprocess.Popen([*COMMAND, *HOOK], env=environment(root, **{GATEWAY: url}), stdout=subprocess.DEVNULL)
        child = _child_of(hook.pid)
        hook.wait(30)
    deadline_s = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline_s:
        if "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[:1]:
            break
        time.sleep(0.01)
    else:
        assert not Path(f"/proc/{child}").exists()
