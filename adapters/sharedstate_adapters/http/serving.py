"""Running the gateway: a socket on loopback, the primary port or the fallback, an end that loses nothing."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from sharedstate.errors import StoreUnavailable

CONCURRENT_MAX: Final = 200
IDLE_S: Final = 15
END_S: Final = 10
_BACKLOG: Final = 512


class PortTaken(StoreUnavailable):
    """Neither the primary nor the fallback port is free."""

    code = "port_taken"
    hint = "another gateway may be running there; give other ports with --port and --fallback-port"


def bound(host: str, ports: tuple[int, ...]) -> socket.socket:
    """A listening socket on the first of the ports that is free. Raises `PortTaken`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in ports:
        # Named as TCP: asyncio sends small answers at once only on such sockets; else each waits 40 ms for an ACK.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE:
                raise PortTaken(f"cannot listen on {host} port {port}: {error.strerror}") from error
            continue
        sock.set_inheritable(False)
        return sock
    told = " and ".join(str(port) for port in ports)
    raise PortTaken(f"{host}: port {told} taken")


def url_of(sock: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Serving:
    """One run of the gateway on a listening socket; `end` may be called from any thread."""

    def __init__(self, app: Starlette, sock: socket.socket) -> None:
        self.url = url_of(sock)
        self.port = int(sock.getsockname()[1])
        self._sock = sock
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONCURRENT_MAX,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=END_S,
                h11_max_incomplete_event_size=64 * 1024,
            )
        )

    def run(self, *, ready: Callable[[str], None]) -> None:
        """Answer requests until `end`, SIGTERM or SIGINT; `ready` is called with the base URL once they are answered.

        At the end nothing new is taken, and what has begun has 10 s to come to its end. A message is acknowledged
        only when it is durable, so whatever has not been answered by then is tried again by its sender.
        """
        self._server.told = lambda: ready(self.url)
        self._server.run(sockets=[self._sock])

    def end(self) -> None:
        """Take nothing new, finish what has begun."""
        self._server.should_exit = True


class _Protocol(H11Protocol):
    """As uvicorn's, but the head of a request has to come in time: else a few silent connections keep all out."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it, too
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _wait(self) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self._waiting = self.loop.call_later(IDLE_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.transport.close()


class _Server(uvicorn.Server):
    told: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self.told()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn does, without raising the signal once more at the end: being asked to stop is no failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
