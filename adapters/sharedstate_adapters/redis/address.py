"""The URL of a Redis store, read once: where, as whom, over TLS or not, under which prefix. Secrets stay hidden."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, unquote

from sharedstate.documents import check_name
from sharedstate.errors import BadSettings, InvalidInput
from sharedstate.masking import ENCODED, check_credentials, masked_url
from sharedstate.values import Value

PREFIX: Final = "sharedstate"
PORT: Final = 6379
SENTINEL_PORT: Final = 26379
REPLICAS_MAX: Final = 100
SCHEMES: Final = ("redis", "rediss", "redis+sentinel")
_OPTIONS: Final = frozenset(
    ("prefix", "replicas", "ca", "cert", "key", "tls", "password_file", "sentinel_user", "sentinel_password")
)
_EXAMPLES: Final = (
    "redis://HOST:6379/0?prefix=NAME, rediss://USER:PASSWORD@HOST/0?ca=FILE, "
    "redis+sentinel://HOST:26379,HOST:26379/SERVICE/0"
)


class Address(Value, hidden=("password", "sentinel_password")):
    """Where a store is. `hosts` are sentinels when `service` names what they watch, else the one server.

    `prefix` begins every key. `replicas`: how many must have a change before it is acknowledged. `shown` is the URL
    without its secrets.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int
    prefix: str
    replicas: int
    tls: bool
    ca: str
    cert: str
    key: str
    username: str
    password: str
    sentinel_username: str
    sentinel_password: str
    shown: str


def read_address(url: str) -> Address:
    """The address in a URL. Raises `BadSettings`, which shows the URL masked."""
    shown = masked_url(url)
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        raise BadSettings(f"SHARED_STATE_URL: {shown[:200]!r} is not the URL of a Redis store; examples: {_EXAMPLES}")
    rest, _, query = rest.partition("?")
    netloc, _, path = rest.partition("/")
    credentials, _, hosts = netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    try:
        check_credentials(url)
        options = _options(query)
        sentinel = scheme == "redis+sentinel"
        service, db = _service_and_db(path, sentinel=sentinel)
        return Address(
            hosts=_hosts(hosts, sentinel=sentinel),
            service=service,
            db=_number(db, "the database", 0, 10_000),
            prefix=check_name(options.get("prefix", PREFIX), what="prefix"),
            replicas=_number(options.get("replicas", ""), "replicas", 0, REPLICAS_MAX),
            tls=scheme == "rediss" or _flag(options.get("tls", ""), "tls"),
            ca=options.get("ca", ""),
            cert=options.get("cert", ""),
            key=options.get("key", ""),
            username=unquote(username),
            password=_password(unquote(password), options.get("password_file", "")),
            sentinel_username=options.get("sentinel_user", ""),
            sentinel_password=options.get("sentinel_password", ""),
            shown=shown,
        )
    except (ValueError, InvalidInput) as error:
        reason = ENCODED if "@" in query else error  # which would tell a part of the password
        raise BadSettings(f"SHARED_STATE_URL {shown}: {reason}; examples: {_EXAMPLES}") from None


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise ValueError(f"unknown option {unknown[0][:40]!r}; known: {', '.join(sorted(_OPTIONS))}")
    return options


def _service_and_db(path: str, *, sentinel: bool) -> tuple[str, str]:
    words = path.split("/") if path else []
    if len(words) > (2 if sentinel else 1):
        raise ValueError("the path has too many parts")
    if not sentinel:
        return "", words[0] if words else ""
    if not words or not words[0]:
        raise ValueError("sentinels need the name of the service they watch")
    return unquote(words[0]), words[1] if len(words) > 1 else ""


def _hosts(text: str, *, sentinel: bool) -> tuple[tuple[str, int], ...]:
    hosts = tuple(_host(one, SENTINEL_PORT if sentinel else PORT) for one in text.split(","))
    if len(hosts) > 1 and not sentinel:
        raise ValueError("one server only; several hosts are for redis+sentinel")
    return hosts


def _host(text: str, port_default: int) -> tuple[str, int]:
    if text.startswith("["):  # an IPv6 address
        name, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    return name or "127.0.0.1", _number(port, "the port", 1, 65535) if port else port_default


def _number(text: str, what: str, low: int, high: int) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise ValueError(f"{what} is a number from {low} to {high}")
    return int(text)


def _flag(text: str, what: str) -> bool:
    if text not in ("", "0", "1", "false", "true"):
        raise ValueError(f"{what} is true or false")
    return text in ("1", "true")


def _password(given: str, path: str) -> str:
    if not path:
        return given
    if given:
        raise ValueError("a password and a password_file; give one")
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline(4096).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ValueError(f"password_file {path}: {reason}") from None
