"""Sockets around a world: HTTP/1.1 with kept connections, on the loopback interface only."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from sharedstate.testing.github.wire import BODY_BYTES_MAX, REASONS, Request, Response, request_of
from sharedstate.testing.github.world import World

LOOPBACK: Final = "127.0.0.1"
TRICKLE_BYTES: Final = 512
TRICKLE_S: Final = 0.002
IDLE_S: Final = 60.0  # a client that keeps a connection and says nothing is let go
CONTROL_PATH: Final = "/_fake/"
# Method, what to do, JSON body.
Control = Callable[[str, str, bytes], Response]


class Server:
    """Answers requests for one world, in turns, until `stop`.

    `turn` is the lock that every use of the world from outside must hold while the server runs. `hold_s` is how long
    a time-out holds its connection at most, in real seconds.
    """

    def __init__(self, world: World, *, port: int, hold_s: float, control: Control) -> None:
        self.world = world
        self.control = control
        self.turn = threading.RLock()
        self.hold_s = hold_s
        self.stopping = threading.Event()
        self._port = port
        self._http: _Http | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL; without a running server it ends in the port that was asked for, or 80."""
        port = self._port if self._http is None else self._http.server_port
        return f"http://{LOOPBACK}:{port or 80}"

    def start(self) -> None:
        """Bind and answer in threads; nothing when it runs already. `OSError` when the port is taken."""
        if self._http is not None:
            return
        self.stopping.clear()
        self._http = _Http(self, self._port)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections, and wait for the threads."""
        if self._http is None or self._thread is None:
            return
        self.stopping.set()
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()
        self._http = self._thread = None


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 128

    def __init__(self, server: Server, port: int) -> None:
        self.serves = server
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((LOOPBACK, port), _Conversation)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is shown as usual."""
        import sys

        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def remember(self, connection: socket.socket) -> None:
        """Keep an open connection in mind."""
        with self._guard:
            self._open.add(connection)

    def forget(self, connection: socket.socket) -> None:
        """The connection is closed."""
        with self._guard:
            self._open.discard(connection)

    def close_connections(self) -> None:
        """End what clients keep open, so that no thread waits for them."""
        with self._guard:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    @property
    def _http(self) -> _Http:
        assert isinstance(self.server, _Http)
        return self.server

    def setup(self) -> None:
        super().setup()
        self._http.remember(self.connection)

    def finish(self) -> None:
        self._http.forget(self.connection)
        super().finish()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._converse
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - reason: the name that the base class gives
        """The request log is the only log."""

    def _converse(self) -> None:
        serves = self._http.serves
        request = self._request()
        if request is None:
            return
        with serves.turn:
            if request.path.startswith(CONTROL_PATH):
                act = request.path.removeprefix(CONTROL_PATH)
                response = serves.control(request.method, act, request.body)
            else:
                response = serves.world.handle(request)
        if response.how == "held":
            serves.stopping.wait(serves.hold_s)
        if response.how in ("held", "reset"):
            self._abandon()
            return
        self._send(response)

    def _request(self) -> Request | None:
        length = self.headers.get("Content-Length") or "0"
        if self.headers.get("Transfer-Encoding") or not length.isdigit() or int(length) > BODY_BYTES_MAX:
            status = 413 if length.isdigit() and int(length) > BODY_BYTES_MAX else 411
            body = json.dumps({"message": REASONS[status]}).encode()
            self.close_connection = True
            self._send(Response(status=status, headers=(("Content-Type", "application/json"),), body=body))
            return None
        body = self.rfile.read(int(length))
        return request_of(self.command, self.path, headers=dict(self.headers.items()), body=body)

    def _send(self, response: Response) -> None:
        lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if response.status not in (204, 304):
            lines.append(f"Content-Length: {len(response.body)}")
        if self.close_connection:
            lines.append("Connection: close")
        whole = "\r\n".join((*lines, "", "")).encode("latin-1", "replace") + response.body
        if response.how == "truncated":
            self.wfile.write(whole[: len(whole) - (len(response.body) + 1) // 2])
            self.close_connection = True
        elif response.how == "trickled":
            for start in range(0, len(whole), TRICKLE_BYTES):
                self.wfile.write(whole[start : start + TRICKLE_BYTES])
                self._http.serves.stopping.wait(TRICKLE_S)
        else:
            self.wfile.write(whole)

    def _abandon(self) -> None:
        """Close so that the client sees a reset, not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
