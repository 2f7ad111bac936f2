"""A TCP proxy that cuts, swallows or holds back bytes, exactly where a test wants it."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Literal, Self

Direction = Literal["up", "down"]  # to the server, from the server
_CHUNK = 65536


class CuttingProxy:
    """Passes connections on to a port of this machine, until told otherwise.

    `cut(direction, after)`: of the bytes that go that way from now on, `after` pass; then all connections are closed,
    and new ones are passed on again. `hold(after)`: the same to the server, but what comes then is kept, and given to
    the server by `deliver`, although its sender has been cut off. `silent` swallows all answers. `shut` refuses.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._guard = threading.Lock()
        self._pairs: list[_Pair] = []
        self._direction: Direction | None = None
        self._left = 0
        self._held: list[tuple[socket.socket, bytearray]] | None = None
        self.silent = False
        self.shut = False
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.drop()

    def cut(self, direction: Direction, *, after: int) -> None:
        """Cut everything after so many more bytes."""
        with self._guard:
            self._direction, self._left, self._held = direction, after, None

    def hold(self, *, after: int) -> None:
        """Keep what comes for the server after so many more bytes, and cut off its sender."""
        with self._guard:
            self._direction, self._left, self._held = "up", after, []

    def deliver(self) -> None:
        """Give the server what was kept, and wait until it has dealt with it: it hangs up after us."""
        with self._guard:
            held, self._held = self._held or [], None
        for server, kept in held:
            server.sendall(kept)
            server.shutdown(socket.SHUT_WR)
            server.settimeout(5.0)
            try:
                while server.recv(_CHUNK):
                    pass
            except OSError:
                pass
            server.close()

    def relax(self) -> bool:
        """Pass everything on again; whether what was asked for had not come to pass."""
        with self._guard:
            waiting, self._direction = self._direction is not None, None
        return waiting

    def drop(self) -> None:
        """Close every connection now."""
        with self._guard:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            pair.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.shut:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            pair = _Pair(client, server)
            with self._guard:
                self._pairs.append(pair)
            threading.Thread(target=self._pump, args=(pair, "up"), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, "down"), daemon=True).start()

    def _pump(self, pair: _Pair, direction: Direction) -> None:
        source, sink = (pair.client, pair.server) if direction == "up" else (pair.server, pair.client)
        while True:
            try:
                raw = source.recv(_CHUNK)
                if not raw:
                    break
                if self.silent and direction == "down":
                    continue
                passed, stop = self._rationed(pair, direction, raw)
                if passed:
                    sink.sendall(passed)
            except OSError:
                break
            if stop:
                self.drop()
                return
        if not pair.keeps_server:
            pair.close()

    def _rationed(self, pair: _Pair, direction: Direction, raw: bytes) -> tuple[bytes, bool]:
        with self._guard:
            if direction != self._direction:
                return raw, False
            if len(raw) <= self._left:
                self._left -= len(raw)
                return raw, False
            passed, kept = raw[: self._left], raw[self._left :]
            self._direction = None
            self.cuts += 1
            if self._held is not None:
                self._held.append((pair.server, bytearray(kept)))
                pair.keeps_server = True
            return passed, True


class _Pair:
    """One connection, both halves."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.keeps_server = False

    def close(self) -> None:
        """Close both, or only the client's when the server's is still needed."""
        for sock in (self.client,) if self.keeps_server else (self.client, self.server):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
