"""Real services around one state root, driven by the real command in the name of several owners."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sharedstate.ids import Process
from tests.integration.claims.arena import Arena, is_running, wait_for

OWNER, OTHER = "here/dev", "here/ops"
# Writes its pid down, one line for each process that ever ran, and waits.
SERVICE = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(fd, b"%d\\n" % os.getpid())
time.sleep(600)
"""
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVICE
# The service, and a child in its session.
FAMILY = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n" + SERVICE
# A child that leaves session and group by two forks, as daemons do; the service itself stays.
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN) if (signal := __import__("signal")) else None
        time.sleep(600)
    os._exit(0)
os.wait()
"""


class Yard(Arena):
    """A state root, its services, and who is alive in them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pids = folder / "pids"

    def service(self, *words: str, by: str = OWNER, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `claims service …` to its end."""
        return self.claims("service", *words, environment={"SHARED_STATE_OWNER": by, **environment})

    def json(self, *words: str, by: str = OWNER) -> dict[str, Any]:
        """The answer of `claims service …` as an object."""
        done = self.service(*words[:1], "--json", *words[1:], by=by)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def program(self, code: str = SERVICE) -> list[str]:
        """The command line of a service."""
        return ["--", sys.executable, "-c", code, str(self.pids)]

    def begun(self) -> list[int]:
        """The pid of every service process that ever began."""
        return [int(line) for line in self.pids.read_text().split()] if self.pids.exists() else []

    def up(self, code: str = SERVICE, *, by: str = OWNER) -> int:
        """Start the service `web` and wait until it works; its pid."""
        before = len(self.begun())
        done = self.service("start", "web", *self.program(code), by=by)
        assert done.returncode == 0, done.stderr
        return wait_for(lambda: self.begun()[before:] or None, what="service")[0]

    def alive(self) -> list[int]:
        """The service processes that live."""
        return [pid for pid in self.begun() if is_running(pid)]

    def supervisor(self) -> Process:
        """Who supervises `web`."""
        with self.open() as state:
            view = state.guard.status("web")
            assert view is not None
            assert view.record.supervisor is not None
            return view.record.supervisor

    def trail(self) -> list[tuple[str, str, str]]:
        """Kind, by whom, and reason of every entry of the trail."""
        with self.open() as state:
            return [(entry.kind, entry.by, entry.reason) for entry in state.audit.entries()]
