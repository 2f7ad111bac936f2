"""One connection to GitHub that PyGithub sends its requests through.

PyGithub would follow redirects (also those of a write, and without the query), sleep on a 202, and read a body of any
size. `Tamed` hands a redirect out as an answer and a 202 of a read as an unavailable server; `Wire` reads at most
`BODY_BYTES_MAX`. Nothing is tried twice in here.
"""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

BODY_BYTES_MAX: Final = 16 << 20
CONNECT_S: Final = 10.0
_CHUNK_BYTES: Final = 1 << 16


class Answered:
    """A response as PyGithub reads it."""

    def __init__(self, *, status: int, headers: dict[str, str], body: str) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    def getheaders(self) -> ItemsView[str, str]:
        """The headers."""
        return self.headers.items()

    def read(self) -> str:
        """The body as text."""
        return self._body


class Response(Protocol):
    """What a connection answers."""

    status: int

    def getheaders(self) -> ItemsView[str, str]:
        """The headers."""
        ...

    def read(self) -> str:
        """The body as text."""
        ...


class Connection(Protocol):
    """What sends one request at a time: `Wire`, or a fake in its place."""

    host: str

    def request(self, verb: str, url: str, body: Any, headers: dict[str, str], /) -> None:
        """Take a request; `getresponse` sends it."""
        ...

    def getresponse(self) -> Response:
        """Send the request that was taken."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class Wire:
    """A kept connection to the host of `base_url`. `read_s`: longest silence of the other side, in seconds."""

    def __init__(self, base_url: str, *, read_s: float) -> None:
        parts = urlsplit(base_url)
        self.host = parts.hostname or ""
        self.port = parts.port
        self._origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._timeout = (min(CONNECT_S, read_s), read_s)
        self._session = requests.Session()
        self._session.auth = _no_netrc
        self._session.mount("https://", HTTPAdapter(max_retries=0))
        self._session.mount("http://", HTTPAdapter(max_retries=0))
        self._pending: tuple[str, str, Any, dict[str, str]] | None = None

    def request(self, verb: str, url: str, body: Any, headers: dict[str, str], stream: Any = None) -> None:
        """Take a request; `getresponse` sends it."""
        self._pending = (verb, url, body, headers)

    def getresponse(self) -> Answered:
        """Send the request that was taken; raises what `requests` raises."""
        assert self._pending is not None
        verb, url, body, headers = self._pending
        response = self._session.request(
            verb,
            self._origin + url,
            headers=headers,
            data=body,
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        )
        try:
            text = _read(response)
        finally:
            response.close()
        return Answered(status=response.status_code, headers=dict(response.headers), body=text)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()


class Tamed:
    """A connection around another, whose answers make PyGithub do nothing of its own."""

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self._verb = ""
        self.host = inner.host

    def request(self, verb: str, url: str, body: Any, headers: dict[str, str], stream: Any = None) -> None:
        """Take a request; `getresponse` sends it."""
        self._verb = verb
        self._inner.request(verb, url, body, headers)

    def getresponse(self) -> Answered:
        """Send the request that was taken; a redirect and a 202 come back in a form that nobody follows."""
        answer = self._inner.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        status = answer.status
        if status in (301, 302) and "location" in headers:
            headers["x-moved-to"] = headers.pop("location")
        if status == 202 and self._verb in ("GET", "HEAD"):
            status = 503
        return Answered(status=status, headers=headers, body=answer.read())

    def close(self) -> None:
        """Give the connection back."""
        self._inner.close()


def _read(response: requests.Response) -> str:
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise requests.exceptions.ContentDecodingError(f"a body of more than {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks).decode("utf-8", "replace")


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Anything but None here keeps `requests` from sending what a `.netrc` says."""
    return request
