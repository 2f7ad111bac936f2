"""The URL of a PostgreSQL store, read once: what goes to the client library, and what is ours. Secrets stay hidden."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode

from sharedstate.errors import BadSettings
from sharedstate.masking import ENCODED, check_credentials, masked_url
from sharedstate.values import Value

SCHEMA: Final = "sharedstate"
SCHEMES: Final = ("postgresql", "postgres")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_OURS: Final = frozenset(("schema", "password_file"))
# These would change what a statement means, or let the library run statements of its own.
_REFUSED: Final = frozenset(("client_encoding", "replication"))
_EXAMPLES: Final = "postgresql://USER@HOST:5432/DATABASE?schema=NAME, postgresql:///DATABASE?host=/run/postgresql"


class Address(Value, hidden=("conninfo", "password")):
    """Where a store is: `conninfo` for the client library, the `schema` with its tables, the password of a file.

    `hosts`: the names in the URL, for what doctor says about the way there. `shown`: the URL without secrets.
    """

    conninfo: str
    schema: str
    password: str
    hosts: tuple[str, ...]
    sslmode: str
    shown: str

    @property
    def channel(self) -> str:
        """Where hints are told."""
        return f"sharedstate_{self.schema}"


def read_address(url: str) -> Address:
    """The address in a URL. Raises `BadSettings`, which shows the URL masked."""
    shown = masked_url(url)
    scheme, mark, rest = url.partition("://")
    if scheme not in SCHEMES or not mark:
        raise BadSettings(
            f"SHARED_STATE_URL: {shown[:200]!r} is not the URL of a PostgreSQL store; examples: {_EXAMPLES}"
        )
    place, _, query = rest.partition("?")
    try:
        check_credentials(url)
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        schema = _schema(options.get("schema", SCHEMA))
        refused = sorted(_REFUSED.intersection(options))
        if refused:
            raise ValueError(f"the option {refused[0]} is not for stores")
        theirs = urlencode({name: value for name, value in options.items() if name not in _OURS}, safe="/")
        return Address(
            conninfo=f"postgresql://{place}" + (f"?{theirs.replace('+', '%20')}" if theirs else ""),
            schema=schema,
            password=_password(options.get("password_file", "")),
            hosts=_hosts(place, options),
            sslmode=options.get("sslmode", ""),
            shown=shown,
        )
    except ValueError as error:
        reason = ENCODED if "@" in query else error  # which would tell a part of the password
        raise BadSettings(f"SHARED_STATE_URL {shown}: {reason}; examples: {_EXAMPLES}") from None


def _schema(name: str) -> str:
    if not _SCHEMA.fullmatch(name) or name.startswith("pg_"):
        raise ValueError("a schema is 1-40 of a-z 0-9 _, begins with no digit, and not with pg_")
    return name


def _hosts(place: str, options: dict[str, str]) -> tuple[str, ...]:
    credentials, _, netloc = place.partition("/")[0].rpartition("@")
    if "@" in credentials:  # the client library would take what follows the first for a host, and ask who that is
        raise ValueError(ENCODED)
    found = tuple(_host(one) for one in netloc.split(",") if one)
    named = options.get("host") or options.get("hostaddr") or ""
    return tuple(named.split(",")) if named else found


def _host(text: str) -> str:
    if text.startswith("["):  # an IPv6 address
        name, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        raise ValueError("the port is not a number")
    return unquote(name)


def _password(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline(4096).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ValueError(f"password_file {path}: {reason}") from None
