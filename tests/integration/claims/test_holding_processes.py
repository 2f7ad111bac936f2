"""Holds in real processes: work that starves every thread, stops, kills of the holder and of its pacemaker."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sharedstate import Claimed, Refused
from tests.integration.claims.arena import Arena, everything, heard, is_running, wait_for

HEADER = """
import json, os, sys, threading, time
from sharedstate import SharedState, ClaimLost

def say(**facts):
    print(json.dumps(facts), flush=True)

def boot_s():
    return time.clock_gettime(time.CLOCK_BOOTTIME)

state = SharedState.open()
"""
STARVING = (
    HEADER
    + """
from sharedstate.claims import pacing

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()

spoke = threading.Event()
word_of_line = pacing.word_of_line
def noting(line):
    spoke.set()
    return word_of_line(line)
pacing.word_of_line = noting

begin = time.thread_time()  # not wall time: a busy machine would make the call seem slower than it is
sum(range(5_000_000))  # one C call, which keeps the interpreter lock
count = int(5_000_000 * 4 / (time.thread_time() - begin))
with state.claims.hold("T", ttl_ms=2000) as claim:
    say(pacemaker=state.claims.pacing().child_pid)
    assert spoke.wait(30)
    before, begin = ticks, time.monotonic()
    sum(range(count))
    seconds, ticked = time.monotonic() - begin, ticks - before
    say(seconds=seconds, ticks=ticked, status=claim.status)
"""
)
WATCHFUL = (
    HEADER
    + """
try:
    with state.claims.hold("T", ttl_ms=int(sys.argv[1])) as claim:
        say(pacemaker=state.claims.pacing().child_pid, token=claim.token)
        while True:
            at, status = boot_s(), claim.status
            say(at=at, status=status)
            if status == "lost":
                claim.check()
            time.sleep(0.02)
except ClaimLost:
    sys.exit(4)
"""
)
WITH_A_FORK = (
    HEADER
    + """
with state.claims.hold("T", ttl_ms=60_000) as claim:
    child = os.fork()
    if child == 0:
        time.sleep(60)  # it has inherited the pacemaker's stdin
        os._exit(0)
    say(pacemaker=state.claims.pacing().child_pid, child=child)
    time.sleep(60)
"""
)


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return Arena(tmp_path)


def test_work_that_keeps_the_interpreter_lock_beyond_the_ttl_keeps_its_claim(arena: Arena) -> None:
    refused = 0
    with arena.script(STARVING) as holder, arena.open() as other:
        assert heard(holder)["pacemaker"]
        while not has_spoken(holder):
            answer = other.claims.claim("T")
            assert isinstance(answer, Refused), f"taken over from a living holder: {answer}"
            refused += 1
            time.sleep(0.05)
        told = heard(holder)
        assert told["seconds"] > 2.5, "the call was too short to prove anything"
        assert told["ticks"] <= 5, "another thread ran: the call does not keep the interpreter lock"
        assert told["status"] == "kept"
        assert holder.wait(30) == 0
    assert refused > 10
    assert arena.task() == ("complete", None)


def has_spoken(holder: subprocess.Popen[str]) -> bool:
    assert holder.stdout is not None
    return bool(select.select([holder.stdout], [], [], 0)[0])


def test_a_stopped_holder_is_replaced_after_its_ttl_and_believes_nothing_when_it_goes_on(arena: Arena) -> None:
    with arena.script(WATCHFUL, "1500") as holder, arena.open() as other:
        pacemaker = heard(holder)["pacemaker"]
        assert heard(holder)["status"] == "kept"
        time.sleep(2)  # beyond the ttl: it is the pacemaker that keeps it
        assert isinstance(other.claims.claim("T"), Refused)
        os.kill(holder.pid, signal.SIGSTOP)
        stopped_s = boot_s()
        taken = wait_for(lambda: claimed(other.claims.claim("T")), what="takeover from a stopped holder")
        taken_s = boot_s()
        assert (taken.reason, taken.previous_owner) == ("owner_stale", "here/holder")
        assert taken_s - stopped_s < 5
        assert is_running(pacemaker)
        os.kill(holder.pid, signal.SIGCONT)
        seen = [heard(holder)]
        while seen[-1]["status"] != "lost":
            seen.append(heard(holder))
        assert holder.wait(10) == 4
        assert [line for line in seen if line["status"] == "kept" and line["at"] >= taken_s] == []
        assert arena.holder() == "here/other"


def test_a_stopped_holder_that_nobody_replaced_goes_on(arena: Arena) -> None:
    with arena.script(WATCHFUL, "400") as holder:
        heard(holder)
        os.kill(holder.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(holder.pid, signal.SIGCONT)
        resumed_s = boot_s()
        wait_for(
            lambda: (told := heard(holder))["status"] == "kept" and told["at"] > resumed_s, what="belief confirmed"
        )
        assert arena.holder() == "here/holder"


def test_a_killed_holder_is_replaced_at_once_and_its_pacemaker_ends(arena: Arena) -> None:
    with arena.script(WATCHFUL, "600000") as holder, arena.open() as other:
        pacemaker = heard(holder)["pacemaker"]
        holder.kill()
        holder.wait()
        taken = claimed(other.claims.claim("T"))
        assert taken is not None
        assert taken.reason == "owner_dead"
        wait_for(lambda: not is_running(pacemaker), what="end of the pacemaker")


def test_the_pacemaker_ends_with_its_holder_also_when_a_fork_holds_its_pipe_open(arena: Arena) -> None:
    with arena.script(WITH_A_FORK) as holder:
        told = heard(holder)
        holder.kill()
        holder.wait()
        wait_for(lambda: not is_running(told["pacemaker"]), what="end of the pacemaker")
        assert is_running(told["child"])
        os.kill(told["child"], signal.SIGKILL)


def test_a_killed_pacemaker_is_replaced_and_then_a_thread_takes_over(arena: Arena) -> None:
    with arena.script(WATCHFUL, "2400") as holder:
        first = heard(holder)["pacemaker"]
        os.kill(first, signal.SIGKILL)
        second = wait_for(lambda: pacemaker_of(holder.pid, but=first), what="a second pacemaker")
        os.kill(second, signal.SIGKILL)
        until_s = boot_s() + 3.5
        statuses = set()
        while (told := heard(holder))["at"] < until_s:
            statuses.add(told["status"])
        assert statuses == {"kept"}
        assert pacemaker_of(holder.pid, but=second) is None
        holder.kill()
        _, err = holder.communicate()
        assert "a thread renews the held claims from now on" in err


def test_a_stopped_pacemaker_costs_no_claim(arena: Arena) -> None:
    with arena.script(WATCHFUL, "1800") as holder:
        pacemaker = heard(holder)["pacemaker"]
        os.kill(pacemaker, signal.SIGSTOP)
        until_s = boot_s() + 3.5
        while (told := heard(holder))["at"] < until_s:
            assert told["status"] == "kept"
        os.kill(pacemaker, signal.SIGCONT)  # or it would outlive its holder


def test_the_token_is_in_no_command_line_and_no_environment(arena: Arena) -> None:
    with arena.script(WATCHFUL, "60000") as holder:
        told = heard(holder)
        assert is_running(told["pacemaker"])
        token = told["token"]
        assert [pid for pid, line, environment in everything() if token in line or token.encode() in environment] == []


def pacemaker_of(parent: int, *, but: int) -> int | None:
    for pid, line, _ in everything():
        if "sharedstate.claims.pacemaker" in line and pid != but and parent_of(pid) == parent:
            return pid
    return None


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return None


def claimed(answer: Claimed | Refused) -> Claimed | None:
    return answer if isinstance(answer, Claimed) else None


def boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
