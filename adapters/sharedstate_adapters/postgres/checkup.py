"""What `claims doctor` says about a PostgreSQL server: whether it answers, what it may lose, who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sharedstate.errors import NewerFormat, SharedStateError
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host
from sharedstate_adapters.postgres.address import Address
from sharedstate_adapters.postgres.edge import Absent, Away
from sharedstate_adapters.postgres.line import Line
from sharedstate_adapters.postgres.migrator import plan, shipped
from sharedstate_adapters.postgres.statements import Statements
from sharedstate_adapters.postgres.wire import Patience, Wire

_SLOW_MS: Final = 50.0
_SHARE_MAX: Final = 0.8
_CLOCK_MS: Final = 60_000
_LOOPBACK: Final = ("127.", "localhost", "::1", "/")
_TABLES: Final = ("records", "beats", "journals", "entries", "nonces", "kept")
_WRITES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
_FACTS: Final = """SELECT current_setting('server_version'), current_setting('fsync'),
current_setting('full_page_writes'), current_setting('synchronous_commit'), pg_is_in_recovery(),
current_setting('max_connections')::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
(SELECT coalesce(bool_or(ssl), false) FROM pg_stat_ssl WHERE pid = pg_backend_pid()), current_user,
floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
(SELECT coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::int FROM pg_stat_activity
WHERE state LIKE 'idle in transaction%' AND datname = current_database())"""
_STUCK_S: Final = 60
_HEAR_S: Final = 2.0
_PROBE: Final = "claims-doctor"  # no journal has it: hints about other journals wake nobody for long
_GRANTS: Final = "SELECT t, p FROM unnest(%s::text[]) t, unnest(%s::text[]) p WHERE NOT has_table_privilege(t, p)"
_CALLABLE: Final = "SELECT coalesce(has_function_privilege(to_regprocedure(%s), 'EXECUTE'), false)"
_MIGRATE: Final = "run `claims store migrate --plan`, then `claims store migrate`"


def examine(wire: Wire, sql: Statements, *, address: Address, host: Host, patience: Patience) -> list[Finding]:
    """All findings about the server. Writes nothing; a server that does not answer is a finding, too."""
    where = address.shown

    def work(line: Line) -> list[Finding]:
        began_s = host.monotonic_s()
        line.ask(sql.now, (), patience.answer_s, what="asking")
        took_ms = (host.monotonic_s() - began_s) * 1000
        facts = line.ask(_FACTS, (), patience.answer_s, what="asking")[0]
        found = [_answers(where, facts, took_ms), *_promises(where, facts), *_way(where, facts, address)]
        found += _clock(where, facts, host.now().at_ms)
        return [*found, *_tables(line, sql, patience, where=where, user=facts[8])]

    try:
        return [*wire.do(work, patience, what="asking"), _hints(wire, sql, where, patience)]
    except NewerFormat as error:
        return [trouble("postgres_tables", where, str(error), error.hint)]
    except SharedStateError as error:
        return [trouble("postgres_unreachable", where, str(error), error.hint or "check SHARED_STATE_URL")]


def _answers(where: str, facts: tuple[Any, ...], took_ms: float) -> Finding:
    text = f"PostgreSQL {facts[0]} answers in {took_ms:.1f} ms"
    if took_ms > _SLOW_MS:
        return warning("postgres_slow", where, text, "look at the network and the server; a claim takes two answers")
    return fine("postgres_answers", where, text)


def _promises(where: str, facts: tuple[Any, ...]) -> Iterator[Finding]:
    _, fsync, pages, commit, standby = facts[:5]
    if fsync != "on" or pages != "on":
        name = "fsync" if fsync != "on" else "full_page_writes"
        text = f"{name} is off: a power cut may destroy the whole database"
        yield trouble("postgres_fsync", where, text, f"set {name} = on")
    else:
        yield fine("postgres_fsync", where, "fsync on: a power cut loses nothing acknowledged")
    if commit == "off":
        text = "synchronous_commit is off: what is acknowledged may be lost; durable changes of ours turn it on"
        yield warning("postgres_commit", where, text, "set synchronous_commit = on, for what else uses this server")
    else:
        yield fine("postgres_commit", where, f"synchronous_commit {commit}")
    if standby:
        yield trouble(
            "postgres_role", where, "the server is a standby and takes no changes", "use the primary's address"
        )


def _way(where: str, facts: tuple[Any, ...], address: Address) -> Iterator[Finding]:
    most, used, encrypted = facts[5], facts[6], facts[7]
    if used > most * _SHARE_MAX:
        text = f"{used} of {most} connections are used"
        yield warning("postgres_connections", where, text, "put a pooler in front, or raise max_connections")
    if not encrypted and not all(name.startswith(_LOOPBACK) for name in address.hosts):
        step = "add ?sslmode=verify-full to the URL, or use a network that nobody else is in"
        yield warning("postgres_plain_text", where, "the connection is not encrypted", step)
    if facts[10] > _STUCK_S:
        text = f"a session of another program is idle in a transaction for {facts[10]} s; it may hold up clean-up"
        yield warning("postgres_stuck", where, text, "look at pg_stat_activity")


def _clock(where: str, facts: tuple[Any, ...], here_ms: int) -> Iterator[Finding]:
    off_ms = facts[9] - here_ms
    if abs(off_ms) > _CLOCK_MS:
        text = f"the server's clock is {off_ms / 1000:+.0f} s from this machine's; claims go by the server's"
        yield warning("postgres_clock", where, text, "set the clock that is wrong")


def _hints(wire: Wire, sql: Statements, where: str, patience: Patience) -> Finding:
    """Whether a connection can listen, and hears what another one says."""
    text, step = "LISTEN is not heard here: who waits looks again each second", "name the server itself for hints"
    line: Line | None = None
    try:
        line = wire.dial(patience)
        line.ask(sql.listen, (), patience.answer_s, what="listening")
        wire.do(
            lambda one: one.ask(sql.notify, (_PROBE,), patience.answer_s, what="notifying"), patience, what="asking"
        )
        heard = _PROBE in line.hear(min(_HEAR_S, patience.left_s))
    except (Away, Absent, SharedStateError) as error:
        return warning("postgres_hints", where, f"{text} ({error})", step)
    finally:
        if line is not None:
            line.close()
    if not heard:
        return warning("postgres_hints", where, f"{text}; a pooler in transaction mode, or a standby?", step)
    return fine("postgres_hints", where, "LISTEN and NOTIFY work: who waits is told at once")


def _tables(line: Line, sql: Statements, patience: Patience, *, where: str, user: str) -> Iterator[Finding]:
    missing = plan(line, sql, shipped(), patience.answer_s)
    if missing:
        names = ", ".join(f"{step.version:04} {step.name}" for step in missing)
        text = f"the schema {sql.schema} lacks migrations: {names}; the first write applies them, if it may"
        yield warning("postgres_tables", where, text, _MIGRATE)
        return
    yield fine("postgres_tables", where, f"the tables in the schema {sql.schema} are up to date")
    tables = [f'"{sql.schema}".{name}' for name in _TABLES]
    try:
        lacking = line.ask(_GRANTS, (tables, list(_WRITES)), patience.answer_s, what="asking")
        change = f'"{sql.schema}".change(jsonb)'
        if not line.ask(_CALLABLE, (change,), patience.answer_s, what="asking")[0][0]:
            lacking = [(f"the function {change}, which may be missing", "EXECUTE"), *lacking]
        kept = 0 if lacking else line.ask(sql.kept_count, (), patience.answer_s, what="asking")[0][0]
    except Absent as error:
        yield trouble("postgres_tables", where, f"a table is missing: {error}", "restore the schema from a backup")
        return
    if lacking:
        shown = ", ".join(f"{right} on {table}" for table, right in lacking[:4])
        text = f"the user {user} lacks {len(lacking)} grants: {shown}"
        yield trouble("postgres_grants", where, text, "docs/postgres-store.md, Roles, has the grants")
    else:
        yield fine("postgres_grants", where, f"the user {user} may do all that is needed")
    if kept:
        text = f"unreadable records were replaced; {kept} of their values are in {sql.schema}.kept"
        yield warning("postgres_kept", where, text, "look at them, and find out who wrote there")
