"""kill -9 of starter and supervisor at every point of a start: at most one process, and never an unknown one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.integration.claims.arena import command, is_running, wait_for
from tests.integration.services.killed_supervisor import POINTS
from tests.integration.services.yard import OTHER, OWNER, Yard

STARTER = """
import os, signal, sys
from sharedstate import SharedState
from sharedstate.claims.services import starting

point, *words = sys.argv[1:]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if point == "before the spawn":
    starting.subprocess.Popen = die
elif point == "before the wish":
    starting.wish_line = lambda wish, line=starting.wish_line: line(wish)[:20]  # half of it
    starting._heard = die
elif point == "after the wish":
    starting._heard = die
elif point == "after the word":
    starting.word_of = die
else:
    starting.PROGRAM = (sys.executable, "-m", "tests.integration.services.killed_supervisor")
    os.environ["KILL_AT"] = point
with SharedState.open() as state:
    state.guard.start("web", words)
"""
OF_THE_STARTER = ("before the spawn", "before the wish", "after the wish", "after the word")


def killed_start(yard: Yard, point: str) -> None:
    """A start in which somebody dies."""
    path = os.pathsep.join(sys.path)
    words = [sys.executable, "-c", STARTER, point, *yard.program()[1:]]
    done = yard.start(words, environment={"SHARED_STATE_OWNER": OWNER, "PYTHONPATH": path})
    _, err = done.communicate(timeout=60)
    if point in OF_THE_STARTER:
        assert done.returncode == -signal.SIGKILL, err


@pytest.mark.parametrize("point", [*OF_THE_STARTER, *POINTS])
def test_a_kill_leaves_no_unknown_process_and_the_next_start_makes_it_one(yard: Yard, point: str) -> None:
    killed_start(yard, point)
    answer = recovered(yard)
    assert answer["ok"], answer
    [pid] = wait_for(lambda: yard.alive() or None, what="service")
    wait_for(lambda: yard.json("status", "web")["supervised"], what="supervisor")
    status = yard.json("status", "web")
    assert (status["state"], status["pid"]) == ("running", pid)
    others = [line for one, line in yard.processes().items() if one != pid and "supervisor" not in line]
    assert others == []
    supervisors = [one for one, line in yard.processes().items() if "supervisor" in line]
    assert supervisors == [yard.supervisor().pid]
    owner = status["owner"]
    assert yard.json("stop", "web", by=owner)["outcome"] == "stopped"
    assert yard.alive() == []
    wait_for(lambda: yard.processes() == {}, what="nothing left")


@pytest.mark.parametrize("point", ["after the fork", "after the record", "before the go-ahead"])
def test_without_the_go_ahead_the_program_never_begins(yard: Yard, point: str) -> None:
    killed_start(yard, point)
    wait_for(lambda: yard.processes() == {}, what="waiting child gone")
    assert yard.begun() == []
    assert yard.json("status", "web")["state"] == "dead"


@pytest.mark.parametrize("point", ["after the go-ahead", "after the start is recorded", "in the watch"])
def test_a_program_that_has_begun_is_known_when_its_supervisor_dies(yard: Yard, point: str) -> None:
    killed_start(yard, point)
    [pid] = wait_for(lambda: yard.alive() or None, what="service")
    status = yard.json("status", "web")
    assert (status["state"], status["pid"], status["supervised"]) == ("running", pid, False)
    assert yard.json("stop", "web", by=OTHER)["reason"] == "not_owner"
    assert yard.json("stop", "web")["outcome"] == "stopped"
    assert not is_running(pid)


def test_in_a_storm_of_starts_stops_and_kills_there_is_never_more_than_one(yard: Yard) -> None:
    dice = random.Random(4)
    yard.up()
    for _ in range(8):
        starts = [yard.start(command("service", "start", "web"), environment=owner(n)) for n in range(3)]
        stop = yard.start(command("service", "stop", "web"), environment=owner(0) | {"SHARED_STATE_OWNER": OWNER})
        time.sleep(dice.random() * 0.6)
        for pid, line in yard.processes().items():
            if ("supervisor" in line or line.count("sharedstate_cli")) and dice.random() < 0.4:
                os.kill(pid, signal.SIGKILL)
        assert len(yard.alive()) <= 1
        for one in (*starts, stop):
            one.communicate(timeout=60)
        assert len(yard.alive()) <= 1
    answer = recovered(yard)
    assert answer["ok"], answer
    [pid] = wait_for(lambda: yard.alive() or None, what="service")
    assert yard.json("status", "web")["pid"] == pid
    assert yard.json("status", "web")["owner"] == OWNER
    unknown = [line for one, line in yard.processes().items() if one != pid and "supervisor" not in line]
    assert unknown == []


def owner(number: int) -> dict[str, str]:
    """The environment of one of many."""
    return {"SHARED_STATE_OWNER": f"here/{number}"}


def recovered(yard: Yard) -> dict[str, object]:
    """A start by another lane, again while the killed one's supervisor is on its way."""

    def attempt() -> dict[str, object] | None:
        words = yard.program() if not yard.begun() else []
        answer = yard.json("start", "web", *words, by=OTHER)
        return None if answer.get("retryable") else answer

    return wait_for(attempt, what="a start that is not in the way of another")


def test_the_points_are_all_met() -> None:
    """A point that no start comes by would test nothing."""
    known = subprocess.run(
        [sys.executable, "-c", "from tests.integration.services.killed_supervisor import POINTS as p; print(len(p))"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert json.loads(known.stdout) == len(POINTS)
