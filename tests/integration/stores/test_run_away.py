"""`claims run` while the server is away: it goes on, releases as soon as it can, and says what nobody has heard."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate import SharedState
from tests.integration.claims.arena import wait_for
from tests.integration.cli.real import COMMAND, environment
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    made = RedisServer()
    yield made
    made.stop()


class Run:
    """`claims run` of a program that ends when a file appears."""

    def __init__(self, folder: Path, url: str, *, ttl_ms: int, code: int = 0) -> None:
        self.root, self.begun, self.end = folder / "root", folder / "begun", folder / "end"
        self.url = url
        program = (
            f"import os, sys, time; open({str(self.begun)!r}, 'w').close()\n"
            f"while not os.path.exists({str(self.end)!r}): time.sleep(0.02)\nsys.exit({code})"
        )
        settings = {
            "SHARED_STATE_URL": url,
            "SHARED_STATE_LOCK_TIMEOUT_MS": "500",
            "SHARED_STATE_HEARTBEAT_INTERVAL_MS": "300",
            "SHARED_STATE_STALE_THRESHOLD_MS": str(ttl_ms),
        }
        self.running = subprocess.Popen(
            [*COMMAND, "run", "T-1", "--", sys.executable, "-c", program],
            env=environment(self.root, **settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: self.begun.exists() or None, what="the program began")

    def finish(self) -> tuple[int, str]:
        """Exit code and what it said on standard error."""
        _, err = self.running.communicate(timeout=60)
        return self.running.returncode, err

    def status(self) -> str:
        """What the store says of the task."""
        with SharedState.open(self.root, url=self.url, owner="ws/agent") as state:
            view = state.tasks.get("T-1")
            return "none" if view is None else view.state.status


def test_a_server_that_comes_back_hears_of_the_end(server: RedisServer, tmp_path: Path) -> None:
    run = Run(tmp_path, server.url, ttl_ms=30_000)
    server.kill()
    run.end.touch()
    time.sleep(1.5)  # at least one release has failed
    assert run.running.poll() is None, "it waits for the server"
    server.start()
    code, err = run.finish()
    assert (code, run.status()) == (0, "complete"), err
    assert "cannot be released yet, trying again" in err


def test_a_server_that_stays_away_is_told_with_what_to_do(server: RedisServer, tmp_path: Path) -> None:
    run = Run(tmp_path, server.url, ttl_ms=1_000)
    server.kill()
    run.end.touch()
    code, err = run.finish()
    assert code == 75, err
    assert "the program has ended well, but the claim could not be released as complete" in err
    assert "`claims release T-1`" in err
    server.start()
    wait_for(lambda: run.status() == "claimed" or None, what="the server came back")


def test_a_program_that_failed_keeps_its_code(server: RedisServer, tmp_path: Path) -> None:
    run = Run(tmp_path, server.url, ttl_ms=1_000, code=9)
    server.kill()
    run.end.touch()
    code, err = run.finish()
    assert code == 9, err


def test_who_is_asked_to_end_waits_no_longer(server: RedisServer, tmp_path: Path) -> None:
    run = Run(tmp_path, server.url, ttl_ms=60_000)
    server.kill()
    run.end.touch()
    time.sleep(1.5)
    run.running.terminate()
    begun_s = time.monotonic()
    code, err = run.finish()
    assert time.monotonic() - begun_s < 10
    assert code == 75, err
