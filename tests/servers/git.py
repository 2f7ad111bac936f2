"""A real git daemon for tests: a bare repository, served on the loopback to whoever asks."""

from __future__ import annotations

import shutil
import socket
import subprocess

from tests.servers.lifetime import ServerChild, free_port, server_folder


class GitDaemon:
    """One bare repository behind a server of its own; `kill` and `start` again to see what survives."""

    def __init__(self) -> None:
        self.folder = server_folder("git")
        self.port = free_port()
        self._running: ServerChild | None = None
        subprocess.run(["git", "init", "--quiet", "--bare", str(self.folder / "remote.git")], check=True)
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"git://127.0.0.1:{self.port}/remote.git"

    def start(self) -> None:
        """Start it (again) on its folder and port. What a kill left locked is freed, as its operator would do."""
        for lock in (self.folder / "remote.git").rglob("*.lock"):
            lock.unlink()
        argv = [
            *("git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={self.port}"),
            *(f"--base-path={self.folder}", "--export-all", "--enable=receive-pack", "--max-connections=100"),
        ]
        self._running = ServerChild(argv, log=self.folder / "server.log", group=True)
        self._running.wait_until(self._answers)

    def kill(self) -> None:
        """SIGKILL, also to those that are serving somebody."""
        assert self._running is not None
        self._running.kill()

    def halt(self) -> None:
        """End it in an orderly way."""
        assert self._running is not None
        self._running.stop()

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._running is not None:
            self._running.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return True
        except OSError:
            return False
