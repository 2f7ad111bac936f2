"""A TCP proxy that breaks connections on purpose, for tests of whatever talks to a server. Loopback only.

    with FaultProxy(("127.0.0.1", 6379), script=["pass", "reset", "lose_answer"]) as proxy:
        ...  # talk to proxy.address

Each connection takes the next fault of `script`; after the last one, or without any, the `default`. Seeded and logged.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Literal, Self, get_args

from sharedstate.values import Value

Fault = Literal["pass", "refuse", "hang", "reset", "cut", "lose_answer", "trickle", "slow"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
_PIECE_BYTES: Final = 16 * 1024
_POLL_S: Final = 0.2
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close sends RST


class Handled(Value):
    """One connection: its number (1, 2, 3 …), its fault, how many bytes went there and back."""

    number: int
    fault: Fault
    there: int
    back: int


class FaultProxy:
    """Passes connections on to `target`, each with its fault. Usable as a context manager; safe for threads.

    It listens at `address`, on `port`. `pass` changes nothing. `refuse`: closed at once with a reset. `hang`: taken,
    then nothing for ever. `reset`: a reset in the middle of the request. `cut`: an orderly end in the middle of the
    answer. `lose_answer`: the whole request arrives, the answer does not. `trickle`: the answer comes one byte each
    `pause_s`. `slow`: each piece is `pause_s` late.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        script: Iterable[Fault] = (),
        default: Fault = "pass",
        mix: Iterable[Fault] = (),
        seed: int = 0,
        pause_s: float = 0.05,
        port: int = 0,
    ) -> None:
        self._target = target
        self._script = list(script)
        self._mix = tuple(mix)
        self.default: Fault = default
        self._chance = random.Random(seed)  # noqa: S311 - reason: faults are to be repeatable, not secret
        self._pause_s = pause_s
        self._gate = threading.Lock()
        self._ending = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.log: list[Handled] = []
        self._count = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._listener.settimeout(_POLL_S)
        self.port = int(self._listener.getsockname()[1])
        self.address = ("127.0.0.1", self.port)
        self._start(self._accept)

    def then(self, *faults: Fault) -> None:
        """Add faults for the next connections."""
        with self._gate:
            self._script.extend(faults)

    def calm(self) -> None:
        """No more faults: every connection from now on is passed on."""
        with self._gate:
            self._script.clear()
            self._mix, self.default = (), "pass"

    def drop_connections(self) -> None:
        """Reset every connection that is open now."""
        with self._gate:
            victims, self._open = self._open, set()
        for sock in victims:
            _reset(sock)

    def close(self) -> None:
        """End it, with every connection. Returns when its threads have ended."""
        self._ending.set()
        self._listener.close()
        self.drop_connections()
        for thread in list(self._threads):
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]  # a bound method
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with self._gate:
                self._count += 1
                number, fault = self._count, self._next()
                self._open.add(client)
            self._start(self._serve, client, number, fault)

    def _next(self) -> Fault:
        if self._script:
            return self._script.pop(0)
        return self._chance.choice(self._mix) if self._mix else self.default

    def _serve(self, client: socket.socket, number: int, fault: Fault) -> None:
        there = back = 0
        try:
            if fault == "refuse":
                return
            if fault == "hang":
                while not self._ending.wait(_POLL_S) and _is_open(client):
                    pass
                return
            there, back = self._carry(client, fault)
        except OSError:
            pass  # one of the ends has gone, which is what this is about
        finally:
            with self._gate:
                self._open.discard(client)
                self.log.append(Handled(number=number, fault=fault, there=there, back=back))
            if fault in ("refuse", "reset"):
                _reset(client)
            else:
                client.close()

    def _carry(self, client: socket.socket, fault: Fault) -> tuple[int, int]:
        """Both directions until one end is done; the bytes that went there and back."""
        server = socket.create_connection(self._target, timeout=5)
        for sock in (
            client,
            server,
        ):  # pieces go on as they come, not when the other side has acknowledged the last one
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._gate:
            self._open.add(server)
        moved = [0, 0]
        try:
            answering = threading.Thread(target=self._back, args=(server, client, fault, moved), daemon=True)
            answering.start()
            self._there(client, server, fault, moved)
            answering.join()
        finally:
            with self._gate:
                self._open.discard(server)
            server.close()
        return moved[0], moved[1]

    def _there(self, client: socket.socket, server: socket.socket, fault: Fault, moved: list[int]) -> None:
        try:
            while piece := client.recv(_PIECE_BYTES):
                if fault == "reset":
                    half = piece[: max(1, len(piece) // 2)]
                    server.sendall(half)
                    moved[0] += len(half)
                    _reset(server)
                    _reset(client)
                    return
                if fault == "slow":
                    self._ending.wait(self._pause_s)
                server.sendall(piece)
                moved[0] += len(piece)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            _end(server)

    def _back(self, server: socket.socket, client: socket.socket, fault: Fault, moved: list[int]) -> None:
        try:
            while piece := server.recv(_PIECE_BYTES):
                if fault in ("lose_answer", "reset"):
                    break
                if fault == "cut":
                    piece = piece[: len(piece) // 2]
                if not self._give(client, piece, fault, moved) or fault == "cut":
                    break
        except OSError:
            pass
        _end(client)
        _end(server)

    def _give(self, client: socket.socket, piece: bytes, fault: Fault, moved: list[int]) -> bool:
        step = 1 if fault == "trickle" else len(piece) or 1
        for start in range(0, len(piece), step):
            if fault in ("trickle", "slow") and self._ending.wait(self._pause_s):
                return False
            client.sendall(piece[start : start + step])
            moved[1] += len(piece[start : start + step])
        return True


def _end(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _reset(sock: socket.socket) -> None:
    """Close with a reset: whoever waits on the other side learns of it at once, as of a crash."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    sock.close()


def _is_open(sock: socket.socket) -> bool:
    """Whether the other side is still there; what it says is not read."""
    try:
        sock.settimeout(0)
        return sock.recv(1, socket.MSG_PEEK) != b""
    except (BlockingIOError, TimeoutError):
        return True
    except OSError:
        return False
