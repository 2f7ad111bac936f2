"""Connections whose exchanges end at their time, also with a far side that sends a byte now and then.

The client library bounds each single read, so that a server that drips, or a name with many addresses, or a slow login
could go on for ever. Here one moment ends all that an exchange waits for.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import redis


class Ending:
    """When the exchange that is under way ends, by a monotonic clock in seconds."""

    __slots__ = ("_clock", "_end_s")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end_s = clock()

    def set_within(self, limit_s: float) -> None:
        """From now on at most `limit_s`."""
        self._end_s = self._clock() + limit_s

    @property
    def left_s(self) -> float:
        """What is left, never quite nothing: for a socket that would mean not to wait at all."""
        return max(0.001, self._end_s - self._clock())

    def check(self) -> float:
        """What is left. Raises `TimeoutError`."""
        if self._clock() >= self._end_s:
            raise TimeoutError("no answer in time")
        return self.left_s


class Timed:
    """A socket that waits until the end of the exchange, and no longer for many small pieces than for one."""

    __slots__ = ("_ending", "_sock")

    def __init__(self, sock: socket.socket, ending: Ending) -> None:
        self._sock = sock
        self._ending = ending

    def recv(self, size: int) -> bytes:
        """What has come."""
        self._sock.settimeout(self._ending.check())
        return self._sock.recv(size)

    def recv_into(self, buffer: bytearray) -> int:
        """What has come, for the library's parser in C."""
        self._sock.settimeout(self._ending.check())
        return self._sock.recv_into(buffer)

    def sendall(self, raw: bytes) -> None:
        """Send; the interpreter bounds it as a whole."""
        self._sock.settimeout(self._ending.check())
        self._sock.sendall(raw)

    def settimeout(self, _limit_s: float | None) -> None:
        """The library's own bounds, one for each read, have no say."""

    def __getattr__(self, name: str) -> Any:
        """All else is the socket's."""
        return getattr(self._sock, name)


class Bounded(redis.Connection):
    """A connection of the library, with an `ending`."""

    def __init__(self, *, ending: Ending, **named: Any) -> None:
        self.ending = ending
        super().__init__(**named)  # type: ignore[no-untyped-call]  # reason: the library gives it no types

    @property
    def socket_timeout(self) -> float | None:
        """For what the library bounds by itself: the handshake of TLS."""
        return self.ending.left_s

    @socket_timeout.setter
    def socket_timeout(self, value: float | None) -> None:
        """The ending decides."""

    @property
    def socket_connect_timeout(self) -> float | None:
        """For each address of a name."""
        return self.ending.left_s

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: float | None) -> None:
        """The ending decides."""

    def _connect(self) -> Any:
        sock = super()._connect()  # type: ignore[no-untyped-call]  # reason: the library gives it no types
        return Timed(sock, self.ending)


class BoundedTls(Bounded, redis.SSLConnection):
    """The same over TLS."""
