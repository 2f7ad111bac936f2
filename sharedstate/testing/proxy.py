"""A TCP proxy that breaks connections on purpose, for tests of whatever talks to a server. Loopback only.

    with FaultProxy(("127.0.0.1", 6379), script=["pass", "reset", "lose_answer"]) as proxy:
        ...  # talk to proxy.address

Each connection takes the next fault of `script`; after the last one, or without any, the `default`. Seeded and logged.
Clients that keep their connection are met in the middle of it: `cut` and `hold` act after so many bytes, wherever they
flow, `silent` and `shut` from now on.
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
Direction = Literal["up", "down"]  # to the server, from the server
_PIECE_BYTES: Final = 16 * 1024
_POLL_S: Final = 0.2
_DELIVERY_S: Final = 5.0
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close sends RST


class Handled(Value):
    """One connection: its number (1, 2, 3 …), its fault, how many bytes went there and back."""

    number: int
    fault: Fault
    there: int
    back: int


class FaultProxy:
    """Passes connections on to `target`, each with its fault. Usable as a context manager; safe for threads.

    It listens at `address`, on `port`, or where a `listener` that is given does.

    `pass` changes nothing. `refuse`: closed at once with a reset. `hang`: taken, then nothing for ever. `reset`: in the
    middle of the request. `cut`: an orderly end in the middle of the answer. `lose_answer`: the whole request arrives,
    the answer does not. `trickle`: the answer comes one byte each `pause_s`. `slow`: each piece is `pause_s` late.

    `silent` swallows all answers while it is True, `shut` refuses all connections. `cuts` counts what `cut` and `hold`
    have done.
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
        listener: socket.socket | None = None,
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
        self.silent = False
        self.shut = False
        self.cuts = 0
        self._count = 0
        self._direction: Direction | None = None
        self._left = 0
        self._holding = False
        self._held: dict[socket.socket, bytes] = {}  # what waits for `deliver`
        self._kept: set[socket.socket] = set()  # connections to the server that outlive their clients
        self._listener = listener or socket.create_server(("127.0.0.1", port), backlog=256)
        self._listener.settimeout(_POLL_S)
        self.address: tuple[str, int] = self._listener.getsockname()
        self.port = self.address[1]
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
            victims, self._open = self._open - self._kept, set()
        for sock in victims:
            _reset(sock)

    def cut(self, direction: Direction, *, after: int) -> None:
        """Of the bytes that go that way from now on `after` pass; then every connection ends. New ones are served."""
        with self._gate:
            self._direction, self._left, self._holding = direction, after, False

    def hold(self, *, after: int) -> None:
        """The same on the way to the server, but what comes then is kept, and given to the server by `deliver`."""
        with self._gate:
            self._direction, self._left, self._holding = "up", after, True

    def deliver(self) -> None:
        """Give the server what was kept, although its sender is long gone, and wait until it has dealt with it."""
        with self._gate:
            held, self._held = self._held, {}
        for server, kept in held.items():
            with server:
                server.settimeout(_DELIVERY_S)
                try:
                    server.sendall(kept)
                    server.shutdown(socket.SHUT_WR)
                    while server.recv(_PIECE_BYTES):
                        pass
                except OSError:
                    pass  # it has hung up on its own

    def relax(self) -> bool:
        """Cut and hold nothing; whether what was asked for had not come to pass."""
        with self._gate:
            waiting, self._direction = self._direction is not None, None
        return waiting

    def end_connections(self) -> None:
        """End every connection that is open now in an orderly way; what was passed on arrives."""
        with self._gate:
            ends = self._open - self._kept
        for sock in ends:
            _end(sock)

    def close(self) -> None:
        """End it, with every connection. Returns when its threads have ended."""
        self._ending.set()
        self._listener.close()
        self.drop_connections()
        for server in self._kept:
            _end(server)
            server.close()
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
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
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
        if self.shut:
            return "refuse"
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
        with self._gate:
            self._open.add(server)
        moved = [0, 0]
        try:
            for sock in (client, server):  # pieces go on as they come, not when the last one has been acknowledged
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answering = threading.Thread(target=self._back, args=(server, client, fault, moved), daemon=True)
            answering.start()
            self._there(client, server, fault, moved)
            answering.join()
        finally:
            with self._gate:
                self._open.discard(server)
                kept = server in self._kept
            if not kept:
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
                passed, over = self._rationed("up", piece, server)
                server.sendall(passed)
                moved[0] += len(passed)
                if over:
                    self.end_connections()
                    return
            server.shutdown(socket.SHUT_WR)
        except OSError:
            self._end_server(server)

    def _back(self, server: socket.socket, client: socket.socket, fault: Fault, moved: list[int]) -> None:
        try:
            while piece := server.recv(_PIECE_BYTES):
                if fault in ("lose_answer", "reset"):
                    break
                if fault == "cut":
                    piece = piece[: len(piece) // 2]
                if self.silent:
                    continue
                passed, over = self._rationed("down", piece, server)
                if not self._give(client, passed, fault, moved) or fault == "cut":
                    break
                if over:
                    self.end_connections()
                    return
        except OSError:
            pass
        _end(client)
        self._end_server(server)

    def _rationed(self, direction: Direction, piece: bytes, server: socket.socket) -> tuple[bytes, bool]:
        """What of a piece may pass, and whether that is the end; the rest is kept where that was asked for."""
        with self._gate:
            if direction != self._direction:
                return piece, False
            if len(piece) <= self._left:
                self._left -= len(piece)
                return piece, False
            self._direction = None
            self.cuts += 1
            if self._holding:
                self._held[server] = piece[self._left :]
                self._kept.add(server)
            return piece[: self._left], True

    def _end_server(self, server: socket.socket) -> None:
        with self._gate:
            kept = server in self._kept
        if not kept:
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
