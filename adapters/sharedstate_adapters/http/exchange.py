"""One HTTP exchange that is over by its deadline, whatever the far side does: hang, trickle, half-open, huge.

urllib3 speaks the protocol and keeps connections. What it cannot give is an end: its time-outs count from byte to byte,
and the resolver has none. So the exchange runs in a thread of its own, and at the deadline its socket is shut down.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as Urllib3TimeoutError,
)

from sharedstate import jsonio
from sharedstate.addresses import MASK
from sharedstate.errors import BadSettings
from sharedstate.host import Host
from sharedstate.values import Value

RETRY_AFTER_MS_MAX: Final = 86_400_000
_CONNECTIONS_MAX: Final = 4
_PIECE_BYTES: Final = 64 * 1024
_current = threading.local()


class Answered(Value):
    """What came back: status, headers with names in lower case, and the body, empty where it did not come whole.

    `broken` says why it did not (cut, too slow, too large), and is empty where it did.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    broken: str = ""


class Silent(Value):
    """No answer, not even a status: why, in one short sentence. The request may have been carried out all the same."""

    reason: str


class _Box:
    def __init__(self) -> None:
        self.connection: Any = None
        self.head: Answered | None = None  # status and headers, from the moment they are here
        self.result: Answered | Silent | None = None


class _Plain(HTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _current.box.connection = self
        super().request(*args, **kwargs)


class _Tls(HTTPSConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _current.box.connection = self
        super().request(*args, **kwargs)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain  # pyright: ignore[reportAssignmentType] - urllib3 declares a protocol that its own class does not meet


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Tls  # pyright: ignore[reportAssignmentType] - urllib3 declares a protocol that its own class does not meet


class Endpoint:
    """An HTTP server under one base URL. Safe for threads. No redirects, no retries, no cookies, no proxies.

    `name` is the URL for people. Raises `BadSettings` for a URL that is none, or that holds credentials.
    """

    def __init__(self, url: str, *, token: str, host: Host) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise BadSettings("an endpoint's port is a number from 1 to 65535") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise BadSettings("an HTTP endpoint is http://HOST[:PORT][/PATH] or https://…, without query or fragment")
        if parts.username is not None or parts.password is not None:
            raise BadSettings(
                "an HTTP endpoint's URL holds credentials", hint="set SHARED_STATE_HTTP_TOKEN to the gateway's token"
            )
        self.name = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._path = parts.path.rstrip("/")
        self._host = host
        self._token = token
        kind = _TlsPool if parts.scheme == "https" else _PlainPool
        self._pool = kind(parts.hostname, port=port, maxsize=_CONNECTIONS_MAX, retries=False)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        bytes_max: int,
    ) -> Answered | Silent:
        """One exchange, over after `timeout_s` seconds at the latest; at most `bytes_max` bytes of a body are read."""
        box = _Box()
        usual = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sharedstate"}
        if self._token:
            usual["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            usual["Content-Type"] = "application/json"
        asked = threading.Thread(
            target=self._exchange,
            args=(box, method, self._path + path, body, {**usual, **(headers or {})}, timeout_s, bytes_max),
            name="sharedstate-http",
            daemon=True,
        )
        asked.start()
        asked.join(timeout_s)
        if box.result is not None:
            return box.result
        _shut_down(box.connection)
        if box.head is not None:
            return box.head.replace(broken=f"no whole answer within {timeout_s:.1f} s")
        return Silent(reason=f"no answer within {timeout_s:.1f} s")

    def close(self) -> None:
        """Give back connections."""
        self._pool.close()

    def _exchange(
        self,
        box: _Box,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float,
        bytes_max: int,
    ) -> None:
        _current.box = box
        ends_s = self._host.monotonic_s() + timeout_s
        try:
            response = self._pool.urlopen(
                method,
                path,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(total=timeout_s),
            )
            headers_lower = {name.lower(): value for name, value in response.headers.items()}
            box.head = Answered(status=response.status, headers=headers_lower)
            try:
                box.result = self._read(response, box.head, ends_s, bytes_max)
            finally:
                response.close()  # after a whole read it has gone back to the pool, and nothing happens here
        except (HTTPError, LocationParseError, OSError, ValueError) as error:
            told = _told(error)
            box.result = Silent(reason=told) if box.head is None else box.head.replace(broken=told)

    def _read(self, response: urllib3.BaseHTTPResponse, head: Answered, ends_s: float, bytes_max: int) -> Answered:
        pieces, size = [], 0
        while piece := response.read(min(_PIECE_BYTES, bytes_max + 1 - size), decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > bytes_max:
                return head.replace(broken=f"an answer of more than {bytes_max} bytes")
            if self._host.monotonic_s() > ends_s:
                return head.replace(broken="the answer came too slowly")
        body = b"".join(pieces)
        if not 200 <= head.status < 300:  # its words are told to people, and kept with the message
            body = self._without_token(body)
        return head.replace(body=body)

    def _without_token(self, body: bytes) -> bytes:
        """A complaint, without the token that some servers repeat in it, as it is or as JSON writes it."""
        if not self._token:
            return body
        escaped = jsonio.text_of(self._token)[1:-1]
        return body.replace(escaped.encode(), MASK.encode()).replace(self._token.encode(), MASK.encode())


def retry_after_ms(headers: Mapping[str, str], *, now_ms: int) -> int | None:
    """What `Retry-After` asks for (seconds, or an HTTP date), at most a day; None when it asks for nothing readable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, RETRY_AFTER_MS_MAX)
    try:
        at_ms = int(parsedate_to_datetime(text).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0, at_ms - now_ms), RETRY_AFTER_MS_MAX)


def _shut_down(connection: Any) -> None:
    """Wake the thread that waits on this connection; its socket may not be there yet, or be gone."""
    sock = getattr(connection, "sock", None)
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _told(error: Exception) -> str:
    """One short sentence; the libraries' own texts hold addresses of objects and the whole URL."""
    if isinstance(error, NameResolutionError):
        return "the host is not known"
    if isinstance(error, NewConnectionError):
        return "no connection (refused, or no way there)"
    if isinstance(error, ConnectTimeoutError | Urllib3TimeoutError | TimeoutError):
        return "it did not answer in time"
    if isinstance(error, SSLError):
        return "no trusted TLS connection"
    if isinstance(error, ProtocolError | ConnectionError):
        return "the connection was lost before the whole answer came"
    return f"no usable answer ({type(error).__name__})"
