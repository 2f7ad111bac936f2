"""Asking sentinels where the primary is: one after the other, each for its share of the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import redis

from sharedstate_adapters.redis.edge import Away, refused_login, shown, without

_DOWN: Final = frozenset(("s_down", "o_down"))
Host = tuple[str, int]


class Sentinels:
    """Those that watch one `service`. Who has answered is asked first the next time. Safe for threads."""

    def __init__(
        self,
        hosts: tuple[Host, ...],
        service: str,
        *,
        connect: Callable[[Host], Any],
        secret: str = "",
    ) -> None:
        self._hosts = hosts
        self._secret = secret
        self._service = service
        self._connect = connect

    def primary(self, limit_s: float) -> Host:
        """Where the primary is, as the first sentinel says that knows one that is up. Raises `Away`, `BadSettings`."""
        reasons: list[str] = []
        hosts = self._hosts
        for number, host in enumerate(hosts):
            connection = self._connect(host)
            # What one of them does not use up is not passed on: the primary has to be asked within the limit, too.
            connection.ending.set_within(limit_s / (len(hosts) + 1))
            try:
                told = _fields(_asked(connection, self._service))
            except redis.AuthenticationError as error:
                raise refused_login(without(error, self._secret), where=f"{host[0]}:{host[1]}, a sentinel,") from None
            except (redis.RedisError, OSError) as error:
                reasons.append(f"{host[0]}:{host[1]}: {shown(without(error, self._secret))}")
                continue
            finally:
                connection.disconnect()
            if _is_up(told):
                self._hosts = (host, *hosts[:number], *hosts[number + 1 :])
                return told["ip"], int(told["port"])
            reasons.append(f"{host[0]}:{host[1]}: says that it is down")
        raise Away(f"no sentinel names a primary of {self._service!r}: {'; '.join(reasons)}", sent=False)


def _asked(connection: Any, service: str) -> Any:
    connection.connect()
    connection.send_command("SENTINEL", "MASTER", service, check_health=False)
    return connection.read_response()


def _fields(told: Any) -> dict[str, str]:
    words = [word.decode(errors="replace") for word in told] if isinstance(told, list) else []
    return dict(zip(words[::2], words[1::2], strict=False))


def _is_up(told: dict[str, str]) -> bool:
    flags = told.get("flags", "").split(",")
    return "master" in flags and not _DOWN.intersection(flags) and told.get("port", "").isdigit() and "ip" in told
