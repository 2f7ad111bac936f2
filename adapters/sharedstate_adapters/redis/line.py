"""Connections to the server: made, checked once, used for one exchange at a time, thrown away after any doubt."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis
from redis import exceptions as foreign
from redis.backoff import NoBackoff
from redis.retry import Retry

from sharedstate.errors import DurabilityUnknown, StoreUnavailable, UnsafeStore
from sharedstate.host import Host
from sharedstate.values import Value
from sharedstate_adapters.redis.address import Address
from sharedstate_adapters.redis.bounded import Bounded, BoundedTls, Ending
from sharedstate_adapters.redis.edge import Away, away, refused_login, translated, without
from sharedstate_adapters.redis.scripts import Script
from sharedstate_adapters.redis.sentinels import Sentinels

VERSION_MIN: Final = (6, 2)
EVICTION: Final = "noeviction"
_FIELD: Final = re.compile(rb"^([a-z_0-9]+):(.*?)\r?$", re.MULTILINE)
Dial = Callable[[float], "Line"]


class Premises(Value):
    """What a server says of itself: its version, and what it does when its memory is full."""

    version: tuple[int, ...]
    eviction: str

    def check_version(self, *, where: str) -> None:
        """Raise `StoreUnavailable` for a server that lacks what is needed."""
        if self.version < VERSION_MIN:
            has, needs = (".".join(map(str, version)) for version in (self.version, VERSION_MIN))
            raise StoreUnavailable(f"Redis at {where} is version {has}; {needs} or newer is needed", hint=_UPGRADE)

    def check_safe(self, *, where: str) -> None:
        """Raise `UnsafeStore` for a server that may throw state away: whoever writes relies on it."""
        if self.eviction != EVICTION:
            raise UnsafeStore(
                f"Redis at {where} has maxmemory-policy {self.eviction}: it may drop claims when its memory is full",
                hint=f"set maxmemory-policy {EVICTION} on the server, or use another one",
            )


_UPGRADE: Final = "upgrade the server, or name another in SHARED_STATE_URL"


def fields_of(info: bytes) -> dict[str, str]:
    """The fields of an answer to INFO."""
    return {found[1].decode(): found[2].decode(errors="replace") for found in _FIELD.finditer(info)}


def packed(words: Sequence[Any]) -> bytes:
    """A request in the server's protocol; the library's own way costs four times as much."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if type(word) is bytes else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


class Line:
    """One connection. After an `Away` it is of no use any more; the server's errors leave it usable."""

    __slots__ = ("_connection", "_secret", "premises", "where")

    def __init__(self, connection: Any, *, where: str, secret: str = "") -> None:
        self._connection = connection
        self._secret = secret
        self.where = where
        self.premises = Premises(version=VERSION_MIN, eviction=EVICTION)

    def open(self, timeout_s: float) -> None:
        """Connect, log in, look at the server. Raises `Away`, `BadSettings`, `StoreUnavailable`."""
        self._connection.ending.set_within(timeout_s)
        try:
            self._connection.connect()
        except redis.AuthenticationError as error:
            raise refused_login(without(error, self._secret), where=self.where) from None
        except redis.ResponseError as error:
            raise translated(without(error, self._secret), what="connecting", where=self.where) from None
        except (redis.RedisError, OSError) as error:
            raise away(without(error, self._secret), sent=False) from None
        try:
            server = fields_of(self.ask(("INFO", "server"), timeout_s, what="connecting"))
            memory = fields_of(self.ask(("INFO", "memory"), timeout_s, what="connecting"))
        except Away as error:
            raise Away(error.reason, sent=False) from None
        numbers = re.findall(r"\d+", server.get("redis_version", ""))[:3]
        self.premises = Premises(
            version=tuple(map(int, numbers)), eviction=memory.get("maxmemory_policy", "of an unknown kind")
        )
        self.premises.check_version(where=self.where)

    def run(self, script: Script, keys: Sequence[str], words: Sequence[Any], timeout_s: float, *, what: str) -> Any:
        """Run a script and return its answer. Raises `Away`, or what the server's error means."""
        tail = (len(keys), *keys, *words)
        try:
            return self._exchange(("EVALSHA", script.sha, *tail), timeout_s)
        except foreign.NoScriptError:
            return self.ask(("EVAL", script.text, *tail), timeout_s, what=what)
        except redis.ResponseError as error:
            raise translated(error, what=what, where=self.where) from None

    def ask(self, words: Sequence[Any], timeout_s: float, *, what: str) -> Any:
        """Ask one command. Raises `Away`, or what the server's error means."""
        try:
            return self._exchange(words, timeout_s)
        except redis.ResponseError as error:
            raise translated(error, what=what, where=self.where) from None

    def wait_for(self, replicas: int, timeout_s: float, *, what: str) -> None:
        """Wait until so many replicas have what this connection changed last. Raises `DurabilityUnknown`, `Away`."""
        wait_ms = max(1, int(timeout_s * 800))  # less than the answer may take, so that there is one
        count = self.ask(("WAIT", replicas, wait_ms), timeout_s, what=what)
        if count < replicas:
            raise DurabilityUnknown(
                f"{what}: done, but only {count} of {replicas} replicas of Redis at {self.where} have it so far",
                hint="read the state again before acting; a failover now could undo it",
            )

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()

    def _exchange(self, words: Sequence[Any], timeout_s: float) -> Any:
        self._connection.ending.set_within(timeout_s)
        try:
            self._connection.send_packed_command([packed(words)], check_health=False)
            return self._connection.read_response()
        except foreign.BusyLoadingError as error:
            raise away(error, sent=False) from None
        except redis.AuthenticationError as error:  # a login that was taken away meanwhile
            raise refused_login(error, where=self.where) from None
        except redis.ResponseError:
            raise
        except (redis.RedisError, OSError) as error:
            self.close()
            raise away(error, sent=True) from None
        except BaseException:  # half an answer may be left on it
            self.close()
            raise


def dialer(address: Address, *, timeout_s: float, host: Host) -> Dial:
    """How connections to `address` are made; `timeout_s` bounds the search for the primary, and the login."""
    where = address.shown
    sentinels = Sentinels(
        address.hosts,
        address.service,
        connect=lambda place: _watcher(address, place, host),
        secret=address.sentinel_password,
    )

    def dial(limit_s: float) -> Line:
        limit_s = min(timeout_s, limit_s)
        ending = Ending(host.monotonic_s)
        ending.set_within(limit_s)
        place = sentinels.primary(limit_s) if address.service else address.hosts[0]
        login = {"username": address.username or None, "password": address.password or None, "db": address.db}
        line = Line(_connection(address, place, host, login), where=where, secret=address.password)
        try:
            line.open(ending.left_s)
        except BaseException:
            line.close()
            raise
        return line

    return dial


def _watcher(address: Address, place: tuple[str, int], host: Host) -> Any:
    login = {"username": address.sentinel_username or None, "password": address.sentinel_password or None}
    return _connection(address, place, host, login)


def _connection(address: Address, place: tuple[str, int], host: Host, login: dict[str, Any]) -> Any:
    """One connection: not of a pool of theirs, which counts every one ever made against its limit."""
    kind = BoundedTls if address.tls else Bounded
    return kind(
        ending=Ending(host.monotonic_s),
        host=place[0],
        port=place[1],
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),  # what is tried again, and how often, is decided in one place: `wire`
        protocol=2,
        driver_info=None,
        **login,
        **_tls(address),
    )


def _tls(address: Address) -> dict[str, Any]:
    if not address.tls:
        return {}
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": address.ca or None,
        "ssl_certfile": address.cert or None,
        "ssl_keyfile": address.key or None,
    }
