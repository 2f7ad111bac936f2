"""`claims run` with real programs: exit codes, signals, loss, kills, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sharedstate import Claimed
from tests.integration.claims.arena import Arena, command, everything, is_running, wait_for

# Says which signals it gets, and ends after one that asks for it.
LISTENER = """
import os, signal, sys, time
def note(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number != signal.SIGUSR1:
        sys.exit(int(sys.argv[1]))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
    signal.signal(number, note)
print("ready", flush=True)
time.sleep(60)
"""
DEAF = """
import os, signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(60)
"""
# A program that has started another one: both belong to its group.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return Arena(tmp_path)


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", code, *words]


def line_of(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline().strip()


# Results


@pytest.mark.parametrize(
    "program,code,status,error",
    [
        (["true"], 0, "complete", None),
        (["sh", "-c", "exit 3"], 3, "failed", "exit 3"),
        (["sh", "-c", "kill -KILL $$"], 137, "failed", "signal SIGKILL"),
        (["no-such-program"], 127, "abandoned", "no-such-program: No such file or directory"),
        (["/dev/null"], 126, "abandoned", "/dev/null: Permission denied"),
    ],
    ids=["success", "failure", "signal", "not found", "not executable"],
)
def test_the_result_decides_status_and_exit_code(
    arena: Arena, program: list[str], code: int, status: str, error: str | None
) -> None:
    done = arena.claims("run", "T", "--", *program)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert arena.task() == (status, error)


def test_a_program_without_an_interpreter_line_is_not_executable(arena: Arena) -> None:
    script = arena.folder / "plain"
    script.write_text("echo hello\n", "utf-8")
    script.chmod(0o755)
    assert arena.claims("run", "T", "--", str(script)).returncode == 126
    assert arena.task()[0] == "abandoned"


def test_with_json_stdout_holds_one_object_and_the_programs_own_goes_to_stderr(arena: Arena) -> None:
    done = arena.claims("run", "--json", "T", "--", "sh", "-c", "echo mine; exit 3")
    document = json.loads(done.stdout)
    assert done.stderr == "mine\n"
    assert (document["schema"], document["ok"], document["exit_code"]) == (1, False, 3)
    assert (document["status"], document["error"]) == ("failed", "exit 3")


def test_stdin_stdout_and_environment_reach_the_program_without_the_token(arena: Arena) -> None:
    with arena.open("here/holder") as state:
        begun = state.claims.claim("T")  # the run goes on with it, as the same owner
    started = arena.start(command("run", "T", "--", "sh", "-c", "cat; env"), stdin=subprocess.PIPE)
    out, err = started.communicate("hello\n", timeout=30)
    assert started.returncode == 0, err
    assert out.startswith("hello\n")
    assert {"SHARED_STATE_TASK=T", "SHARED_STATE_FENCE=2", "SHARED_STATE_OWNER=here/holder"} <= set(out.splitlines())
    assert isinstance(begun, Claimed)
    assert begun.token not in out


def test_the_token_is_in_no_command_line_and_no_environment(arena: Arena) -> None:
    with arena.running(command("run", "T", "--", *python(LISTENER, "0"))) as run, arena.open("here/holder") as state:
        assert line_of(run) == "ready"
        local = state.claims.local("T")
        assert local is not None
        secret = local.token
        assert [pid for pid, line, env in everything() if secret in line or secret.encode() in env] == []


def test_a_refused_claim_starts_nothing(arena: Arena) -> None:
    with arena.open() as other:
        assert isinstance(other.claims.claim("T"), Claimed)
        other.tasks.ignore("U", reason="later", by="a person")
    for task, code in (("T", 3), ("U", 6)):
        done = arena.claims("run", task, "--", "touch", "started")
        assert done.returncode == code
        assert "refused" in done.stderr
    assert not (arena.folder / "started").exists()
    assert arena.holder() == "here/other"


def test_an_exit_code_of_the_program_is_told_from_one_of_ours(arena: Arena) -> None:
    with arena.open() as other:
        other.claims.claim("held")
        other.tasks.ignore("ignored", reason="later", by="a person")
    for task, code in (("held", 3), ("ignored", 6)):
        refused = arena.claims("run", task, "--json", "--", "true")
        assert (refused.returncode, "exit_code" in json.loads(refused.stdout)) == (code, False)
        assert json.loads(refused.stdout)["reason"]
        line = arena.claims("run", task, "--", "true").stderr.splitlines()[-1]
        assert line.startswith(f"claims: refused {task}: ")
    for code in (3, 4, 6):
        ended = arena.claims("run", f"own-{code}", "--json", "--", "sh", "-c", f"exit {code}")
        assert (ended.returncode, json.loads(ended.stdout)["exit_code"]) == (code, code)
        assert "reason" not in json.loads(ended.stdout)
        said = arena.claims("run", f"said-{code}", "--", "sh", "-c", f"exit {code}").stderr
        assert said.splitlines()[-1] == f"claims: said-{code} failed: exit {code}"
    unknown = arena.claims("run", "U", "--json", "--", "no-such-program")
    assert (json.loads(unknown.stdout)["exit_code"], "reason" in json.loads(unknown.stdout)) == (None, False)


def test_two_runs_of_one_owner_do_not_share_a_task(arena: Arena) -> None:
    with arena.running(command("run", "T", "--", *python(LISTENER, "0"))) as run:
        assert line_of(run) == "ready"
        assert arena.claims("run", "T", "--", "true").returncode == 3


def test_the_claim_lives_as_long_as_the_program(arena: Arena) -> None:
    done = arena.claims("run", "--ttl", "300ms", "T", "--", "sleep", "1.2")
    assert done.returncode == 0, done.stderr
    assert arena.task() == ("complete", None)


# Signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
@pytest.mark.parametrize("code", [0, 5])
def test_signals_are_forwarded_and_an_interrupted_task_is_abandoned(arena: Arena, name: str, code: int) -> None:
    with arena.running(command("run", "T", "--", *python(LISTENER, str(code)))) as run:
        assert line_of(run) == "ready"
        run.send_signal(getattr(signal, name))
        assert line_of(run) == name
        assert run.wait(30) == code
    assert arena.task() == ("abandoned", f"interrupted, exit {code}")


def test_other_signals_are_forwarded_and_change_nothing(arena: Arena) -> None:
    with arena.running(command("run", "T", "--", *python(LISTENER, "0"))) as run:
        assert line_of(run) == "ready"
        run.send_signal(signal.SIGUSR1)
        assert line_of(run) == "SIGUSR1"
        assert arena.task() == ("claimed", None)


def test_a_signal_that_is_ignored_from_outside_stays_ignored(arena: Arena) -> None:
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    with arena.running([*ignoring, *command("run", "T", "--", "sh", "-c", "echo ready; sleep 1")]) as run:
        assert line_of(run) == "ready"
        run.send_signal(signal.SIGHUP)
        assert run.wait(30) == 0
    assert arena.task() == ("complete", None)


def test_a_stopped_program_is_not_kept_alive_and_ends_when_its_task_was_taken(arena: Arena) -> None:
    words = ("run", "--ttl", "500ms", "--grace", "200ms", "T", "--", *python(DEAF))
    with arena.running(command(*words)) as run, arena.open() as other:
        program = int(line_of(run))
        os.kill(program, signal.SIGSTOP)
        wait_for(lambda: isinstance(other.claims.claim("T"), Claimed), what="takeover from a stopped program")
        os.kill(program, signal.SIGCONT)
        assert run.wait(30) == 4
        assert not is_running(program)
    assert arena.holder() == "here/other"


def test_a_signal_reaches_a_stopped_program(arena: Arena) -> None:
    with arena.running(command("run", "T", "--", *python(LISTENER, "0"))) as run:
        assert line_of(run) == "ready"
        run.send_signal(signal.SIGTSTP)
        time.sleep(0.3)
        run.send_signal(signal.SIGTERM)
        assert line_of(run) == "SIGTERM"
        assert run.wait(30) == 0


# Loss and kills


@pytest.mark.parametrize("program", [LISTENER, DEAF], ids=["polite", "deaf"])
def test_when_the_claim_is_lost_the_program_is_ended(arena: Arena, program: str) -> None:
    words = ("run", "--json", "--ttl", "600ms", "--grace", "300ms", "T", "--", *python(program, "0"))
    with arena.running(command(*words)) as run, arena.open() as other:
        wait_for(lambda: arena.holder() == "here/holder", what="the claim")
        assert isinstance(other.claims.claim("T", force_reason="needed elsewhere"), Claimed)
        out, err = run.communicate(timeout=30)
        assert run.returncode == 4
        assert "owner_mismatch" in err
    document = json.loads(out)
    assert (document["ok"], document["reason"]) == (False, "owner_mismatch")
    assert document["exit_code"] == (137 if program is DEAF else 0)
    assert arena.task() == ("claimed", "taken over from here/holder: forced")
    assert arena.processes() == {}


def test_a_killed_run_takes_its_program_along_and_frees_the_task_at_once(arena: Arena) -> None:
    with arena.running(command("run", "--grace", "500ms", "T", "--", *python(FAMILY))) as run, arena.open() as other:
        family = [int(pid) for pid in line_of(run).split()]
        run.kill()
        run.wait()
        taken = other.claims.claim("T")
        assert isinstance(taken, Claimed)
        assert taken.reason == "owner_dead"
        wait_for(lambda: not any(is_running(pid) for pid in family), what="end of the program's group")
        wait_for(lambda: not arena.processes(), what="end of the guard")


def test_a_deaf_program_of_a_killed_run_is_killed_after_the_grace(arena: Arena) -> None:
    with arena.running(command("run", "--grace", "300ms", "T", "--", *python(DEAF))) as run:
        program = int(line_of(run))
        run.kill()
        wait_for(lambda: not is_running(program), what="end of the program")


def test_nothing_is_left_behind(arena: Arena) -> None:
    assert arena.claims("run", "T", "--", "true").returncode == 0
    assert arena.claims("run", "U", "--", "no-such-program").returncode == 127
    assert arena.processes() == {}


def test_what_the_program_leaves_in_the_background_may_go_on(arena: Arena) -> None:
    started = arena.claims("run", "T", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
    assert started.returncode == 0
    left = int(started.stdout)
    assert is_running(left)
    os.kill(left, signal.SIGKILL)
