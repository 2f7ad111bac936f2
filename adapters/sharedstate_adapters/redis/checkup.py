"""What `claims doctor` says about a Redis server: whether it answers, what it may lose, who may read it."""

from __future__ import annotations

from typing import Final

from sharedstate.errors import SharedStateError
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host
from sharedstate_adapters.redis.address import Address
from sharedstate_adapters.redis.line import EVICTION, fields_of
from sharedstate_adapters.redis.records import Keys
from sharedstate_adapters.redis.wire import Patience, Wire

_LOOPBACK: Final = ("127.", "localhost", "::1")
_SLOW_MS: Final = 50.0
_CLOCK_S: Final = 60
_MEMORY_SHARE_MAX: Final = 0.8


def examine(wire: Wire, *, address: Address, keys: Keys, host: Host, patience_s: float) -> list[Finding]:
    """All findings about the server. Writes nothing; a server that does not answer is a finding, too."""
    patience = Patience(host, limit_s=patience_s)
    where = address.shown
    try:
        wire.ask(("PING",), patience, what="asking")
        began_s = host.monotonic_s()
        wire.ask(("PING",), patience, what="asking")
        took_ms = (host.monotonic_s() - began_s) * 1000
        info = {name: fields_of(wire.ask(("INFO", name), patience, what="asking")) for name in _SECTIONS}
        kept = _kept_count(wire, keys, patience)
        seconds, _ = wire.ask(("TIME",), patience, what="asking")
        off_s = int(seconds) - host.now().at_ms / 1000
    except SharedStateError as error:
        step = error.hint or "check SHARED_STATE_URL and the server"
        return [trouble("redis_unreachable", where, str(error), step)]
    merged = {name: value for fields in info.values() for name, value in fields.items()}
    return [
        _answers(where, merged, took_ms),
        _eviction(where, merged),
        _persistence(where, merged, _fsync(wire, patience)),
        _role(where, merged, address),
        *_clock(where, off_s),
        *_memory(where, merged),
        *_exposure(where, address),
        *_kept(where, kept),
    ]


_SECTIONS: Final = ("server", "memory", "persistence", "replication")


def _kept_count(wire: Wire, keys: Keys, patience: Patience) -> int:
    names = [raw.decode().partition(" ") for raw in wire.ask(("SMEMBERS", keys.names), patience, what="asking")]
    kept = [keys.kept(name) for kind, _, name in names if kind == "collection"]
    return sum(wire.ask(("HLEN", key), patience, what="asking") for key in kept)


def _answers(where: str, told: dict[str, str], took_ms: float) -> Finding:
    text = f"Redis {told.get('redis_version', '?')} answers in {took_ms:.1f} ms"
    if took_ms > _SLOW_MS:
        return warning("redis_slow", where, text, "look at the network and at SLOWLOG; each claim takes a few answers")
    return fine("redis_answers", where, text)


def _eviction(where: str, told: dict[str, str]) -> Finding:
    policy = told.get("maxmemory_policy", "unknown")
    if policy == EVICTION:
        return fine("redis_eviction", where, f"maxmemory-policy {EVICTION}: nothing is dropped when memory is full")
    text = f"maxmemory-policy {policy}: claims may be dropped when memory is full; writing is refused"
    return trouble("redis_eviction", where, text, f"set maxmemory-policy {EVICTION}")


def _fsync(wire: Wire, patience: Patience) -> str:
    """When the server syncs its log; empty when this user may not know."""
    try:
        answer = wire.ask(("CONFIG", "GET", "appendfsync"), patience, what="asking")
    except SharedStateError:
        return ""
    return str(answer[1].decode()) if len(answer) > 1 else ""


def _persistence(where: str, told: dict[str, str], fsync: str) -> Finding:
    if told.get("aof_enabled") != "1":
        text = "appendonly no: a restart of the server forgets claims, or brings back old ones"
        return warning("redis_persistence", where, text, "set appendonly yes")
    if told.get("aof_last_write_status", "ok") != "ok" or told.get("aof_last_bgrewrite_status", "ok") != "ok":
        return trouble("redis_persistence", where, "the last write of the log failed", "look at the server's disk")
    if fsync == "no":
        text = "appendonly yes, appendfsync no: a power cut may lose half a minute"
        return warning("redis_persistence", where, text, "set appendfsync everysec, or always")
    said = {"always": "a power cut loses nothing acknowledged", "everysec": "a power cut loses at most about 2 s"}
    return fine(
        "redis_persistence", where, f"appendonly yes, appendfsync {fsync or '?'}: {said.get(fsync, 'see docs')}"
    )


def _role(where: str, told: dict[str, str], address: Address) -> Finding:
    if told.get("role") != "master":
        return trouble("redis_role", where, "the server is a replica and takes no changes", "use the primary's address")
    count = int(told.get("connected_slaves", "0"))
    text = f"primary with {count} replicas; a change waits for {address.replicas}"
    if count < address.replicas:
        return trouble("redis_role", where, text, "connect the replicas, or lower ?replicas=")
    if count and not address.replicas:
        step = "add ?replicas=1 to the URL where a failover must not lose what was acknowledged"
        return warning("redis_role", where, f"{text}: a failover may lose the newest", step)
    return fine("redis_role", where, text)


def _clock(where: str, off_s: float) -> list[Finding]:
    if abs(off_s) <= _CLOCK_S:
        return []
    text = f"the server's clock is {off_s:+.0f} s from this machine's; claims go by the server's"
    return [warning("redis_clock", where, text, "set the clock that is wrong")]


def _memory(where: str, told: dict[str, str]) -> list[Finding]:
    used, most = int(told.get("used_memory", "0")), int(told.get("maxmemory", "0"))
    if not most or used < most * _MEMORY_SHARE_MAX:
        return []
    text = f"{used / most:.0%} of maxmemory is used; when it is full, changes are refused"
    return [warning("redis_memory", where, text, "raise maxmemory")]


def _exposure(where: str, address: Address) -> list[Finding]:
    near = all(name.startswith(_LOOPBACK) for name, _ in address.hosts)
    found: list[Finding] = []
    if not near and not address.tls:
        step = "use rediss://, or a network that nobody else is in"
        found.append(warning("redis_plain_text", where, "the connection is not encrypted", step))
    if not near and not address.password and not address.cert:
        step = "give the server an ACL user with a password (docs/redis-store.md)"
        found.append(warning("redis_no_password", where, "the server asks for no password", step))
    return found


def _kept(where: str, count: int) -> list[Finding]:
    if not count:
        return []
    text = f"unreadable records were replaced; their bytes are kept: {count} of them, in …:kept:…"
    return [warning("redis_kept", where, text, "look at them, and find out who wrote there")]
