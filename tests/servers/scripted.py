"""Servers that do as a test says: silent ones, slow ones, ones that repeat what they were told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Serve = Callable[[socket.socket], None]


def stay_silent(client: socket.socket) -> None:
    """Take everything and say nothing."""
    while client.recv(65536):
        pass


class ScriptedServer:
    """Listens on a free port of this machine and lets `serve` have each connection, in a thread of its own."""

    def __init__(self, serve: Serve = stay_silent) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._served, args=(client,), daemon=True).start()

    def _served(self, client: socket.socket) -> None:
        with client:
            try:
                self._serve(client)
            except OSError:
                return
