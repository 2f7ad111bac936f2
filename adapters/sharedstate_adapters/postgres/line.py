"""Connections to the server: made, checked once, used for one exchange at a time, thrown away after any doubt.

No state of a session is relied on (a pooler may give each transaction another one): time-outs are `SET LOCAL`, nothing
is prepared, statements carry the schema. Several statements go in one message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from sharedstate.errors import BadSettings, DurabilityUnknown, NewerFormat, StoreUnavailable
from sharedstate.host import Host
from sharedstate.masking import ENCODED
from sharedstate_adapters.postgres.address import Address
from sharedstate_adapters.postgres.edge import Absent, Away, not_connected, shown, translated

VERSION_MIN: Final = 130000
_UNREADABLE: Final = f"the client library cannot read it; {ENCODED}"  # its own words tell parts of a password
_UPGRADE: Final = "upgrade the server, or name another in SHARED_STATE_URL"
_ROLL_BACK_S: Final = 1.0
_IDLE: Final = pq.TransactionStatus.IDLE
_ONLY_HERE: Final = "01000"  # a commit that a time-out kept from waiting for a standby comes with such a warning
Row = tuple[Any, ...]
Dial = Callable[[float], "Line"]


class ServerClock:
    """The server's time, reckoned: never ahead of it as long as it is not set back, behind by what an answer takes.

    It is never believed: what goes by it is refused by the server when it is ahead, or too late.
    """

    __slots__ = ("_ahead_s", "_host", "_newest_ms")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ahead_s: float | None = None
        self._newest_ms = 0

    def heard(self, now_ms: int) -> int:
        """A moment that the server has told just now, in Unix milliseconds."""
        self._ahead_s = now_ms / 1000 - self._host.monotonic_s()
        self._newest_ms = now_ms
        return now_ms

    def reckoned_ms(self) -> int | None:
        """The server's time now in Unix milliseconds, not before the last that it told; None before the first."""
        if self._ahead_s is None:
            return None
        return max(self._newest_ms, int((self._ahead_s + self._host.monotonic_s()) * 1000))

    def forget(self) -> None:
        """It was wrong: the server's clock was set. The next answer tells."""
        self._ahead_s = None


class _Search(threading.local):
    """How long this thread may look for a server, and at how many hosts: each gets a share of what is left."""

    end_s: float = 0.0
    hosts: int = 1

    def begin(self, limit_s: float, hosts: int) -> None:
        """Look at `hosts`, for `limit_s` in all."""
        self.end_s, self.hosts = monotonic() + limit_s, hosts

    def next_end_s(self) -> float:
        """The end of the next host's share."""
        now_s, left = monotonic(), max(1, self.hosts)
        self.hosts -= 1
        return now_s + max(0.0, self.end_s - now_s) / left


_search = _Search()


class Bounded(psycopg.Connection[Row]):
    """A connection whose every wait ends: `limit_s` bounds each request, also when the far side says nothing."""

    limit_s: float = 10.0

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> Any:
        """As the library's, which bounds each host by whole seconds, two at least, and not all of them together."""
        making, ready = super()._connect_gen(conninfo), None
        end_s = _search.next_end_s()
        while True:
            try:
                wanted = next(making) if ready is None else making.send(ready)
            except StopIteration as made:
                return made.value
            ready = yield wanted
            if monotonic() >= end_s:
                raise psycopg.errors.ConnectionTimeout("no answer in time")

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As the library's, with a time-out when none is given."""
        return super().wait(gen, interval, self.limit_s if timeout is None else timeout)

    def __del__(self, _warn: Any = None, /) -> None:
        """Quiet: a store that nobody uses any more hangs up, which the library would warn of."""


class Line:
    """One connection. After an `Away` it is of no use any more.

    `level`: of the server's tables, 0 for none. `clock`: the server's time, for all connections to it.
    """

    __slots__ = ("_connection", "_cursor", "_warnings", "clock", "level", "where")

    def __init__(self, connection: Bounded, *, clock: ServerClock, where: str) -> None:
        self._connection = connection
        self.clock = clock
        self._cursor = psycopg.ClientCursor(connection)
        self._warnings: list[str] = []
        self.where = where
        self.level = 0
        connection.add_notice_handler(partial(_note, self._warnings))  # no way back to here: a cycle would keep it open

    def open(self, level_query: str, level_known: int, timeout_s: float) -> None:
        """Look at the server and at the level of its tables. Raises `Away`, `BadSettings`, `StoreUnavailable`."""
        version = self._connection.info.server_version
        if version < VERSION_MIN:
            raise StoreUnavailable(
                f"PostgreSQL at {self.where} is version {version // 10000}; {VERSION_MIN // 10000} or newer is needed",
                hint=_UPGRADE,
            )
        encoding = self._connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise BadSettings(
                f"the database at {self.where} has the encoding {encoding}; it must be UTF8",
                hint="make one with ENCODING 'UTF8'",
            )
        try:
            level, now_ms = self.ask(level_query, (), timeout_s, what="connecting")[0]
            self.level = int(level or 0)
            self.clock.heard(int(now_ms))
        except Absent:
            self.level = 0
        check_level(self.level, level_known, where=self.where)

    def ask(self, text: str, values: Sequence[Any], timeout_s: float, *, what: str, changes: bool = False) -> list[Row]:
        """The rows of the last statement of `text` that has some. Raises `Away`, `Absent`, `Taken`, or what it means.

        `changes`: the request ends with a commit, so that a lost answer leaves doubt.
        """
        self._warnings.clear()
        self._connection.limit_s = max(timeout_s, 0.001)
        try:
            cursor = self._cursor.execute(text.encode(), values or None)
            rows: list[Row] = []
            while True:
                if cursor.pgresult is not None and cursor.pgresult.nfields:
                    rows = cursor.fetchall()
                if not cursor.nextset():
                    break
        except psycopg.Error as error:
            if error.sqlstate is None:
                self.close()
            raise translated(error, what=what, where=self.where, changes=changes) from None
        except OSError as error:
            self.close()
            raise Away(str(error) or type(error).__name__, sent=changes) from None
        if changes and _ONLY_HERE in self._warnings:
            raise DurabilityUnknown(
                f"{what}: committed at {self.where}, but no standby has confirmed it in time",
                hint="read the state again before acting; a failover now could undo it",
            )
        return rows

    def hear(self, timeout_s: float) -> list[str]:
        """What notifications say, when some come within the time. Raises `Away`."""
        try:
            return [notice.payload for notice in self._connection.notifies(timeout=timeout_s, stop_after=1)]
        except (psycopg.Error, OSError) as error:
            self.close()
            raise Away(type(error).__name__, sent=False) from None

    @property
    def is_idle(self) -> bool:
        """Whether it is connected and in no transaction."""
        return self._connection.pgconn.transaction_status == _IDLE

    def roll_back(self) -> None:
        """End a transaction without effect; hang up when that cannot be done."""
        try:
            self.ask("ROLLBACK", (), _ROLL_BACK_S, what="rolling back")
        except Exception:  # noqa: BLE001 - reason: whatever it was, hanging up ends the transaction, too
            self.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def _note(warnings: list[str], diagnostic: Any) -> None:
    if diagnostic.severity_nonlocalized == "WARNING":
        warnings.append(diagnostic.sqlstate)


def check_level(level: int, level_known: int, *, where: str) -> None:
    """Raise `NewerFormat` when the tables were made by a newer version than this one."""
    if level > level_known:
        raise NewerFormat(f"the tables at {where} are of level {level}; this version knows {level_known}")


def dialer(address: Address, *, clock: ServerClock, timeout_s: float, level_query: str, level_known: int) -> Dial:
    """How connections to `address` are made; the kernel gives up a silent network after `timeout_s`.

    Raises `BadSettings` for what the client library does not know.
    """
    wanted: dict[str, Any] = {
        "application_name": "sharedstate",
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": max(1000, int(timeout_s * 1000)),
    }
    try:
        given = conninfo_to_dict(address.conninfo)
    except psycopg.Error as error:
        reason = shown(error) if str(error).startswith("invalid URI query parameter") else _UNREADABLE
        raise BadSettings(f"SHARED_STATE_URL {address.shown}: {reason}") from None
    if address.password:
        wanted["password"] = address.password
    merged: dict[str, Any] = {**wanted, **given, "client_encoding": "UTF8"}

    hosts = max(str(merged.get(name) or "").count(",") + 1 for name in ("host", "hostaddr"))
    said_s = str(merged.pop("connect_timeout", ""))
    host_s = int(said_s) if said_s.isdigit() and int(said_s) else timeout_s

    def dial(limit_s: float) -> Line:
        _search.begin(min(hosts * host_s, limit_s), hosts)
        try:
            connection = Bounded.connect(**merged, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise not_connected(error, where=address.shown) from None
        except OSError as error:
            raise Away(str(error), sent=False) from None
        line = Line(connection, clock=clock, where=address.shown)
        try:
            line.open(level_query, level_known, min(timeout_s, limit_s))
        except Away as lost:
            line.close()
            raise Away(lost.reason, sent=False) from None
        except BaseException:
            line.close()
            raise
        return line

    return dial
