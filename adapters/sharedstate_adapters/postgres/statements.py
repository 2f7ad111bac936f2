"""The SQL of a store, with its schema in every name. Values are bound by the client library, never put in here.

A transition is one message, the call of a function that compares what was decided upon and changes it. Where many want
one record it is two: `look` begins a transaction, waits for the record's lock, and only then, with a new statement and
so a new snapshot, reads the record and the clock; then it is written and committed. Everybody takes first the record's
lock, then the row of a journal, so nobody waits in a circle.
"""

from __future__ import annotations

from typing import Final

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
NOW_MS: Final = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
MIGRATE_LOCK: Final = "sharedstate migrate"


def bounds(limit_ms: int) -> str:
    """No lock and no statement takes longer; until the end of this transaction."""
    return f"SET LOCAL lock_timeout = {limit_ms}; SET LOCAL statement_timeout = {limit_ms}"


def bounds_of_idleness(limit_ms: int) -> str:
    """Who begins a transaction and then falls silent (stopped, cut off) keeps its locks no longer than this."""
    return f"SET LOCAL idle_in_transaction_session_timeout = {limit_ms}"


class Statements:
    """All texts for one schema."""

    def __init__(self, schema: str, channel: str) -> None:
        def named(text: str) -> str:
            text = text.replace("#head", _HEAD).replace("#timely", _HEAD_IN_TIME)
            return text.replace("$", f'"{schema}".').replace("#channel", channel).replace("#now", NOW_MS)

        self.schema = schema
        self.channel = channel
        self.level = named("SELECT max(version), #now FROM $migrations")
        self.now = f"SELECT {NOW_MS}"
        self.lock = "SELECT pg_advisory_xact_lock(%s)"
        self.look = named(_LOOK)
        self.change = named("SELECT * FROM $change(%s)")
        self.applied = named("SELECT result FROM $nonces WHERE nonce = %s")
        self.get = named(_RECORD + " WHERE r.collection = %s AND r.key = %s")
        self.page = named(_RECORD + " WHERE r.collection = %s AND r.key > %s ORDER BY r.key LIMIT %s")
        self.page_live = named(
            _RECORD + " WHERE r.collection = %s AND r.key > %s AND r.live IS NOT NULL ORDER BY r.key LIMIT %s"
        )
        self.entries = named(_ENTRIES)
        self.last = named("SELECT last FROM $journals WHERE name = %s")
        self.journals = named('SELECT name FROM $journals WHERE last > 0 ORDER BY name COLLATE "C"')
        self.collections = named(_COLLECTIONS)
        self.insert = named("INSERT INTO $records (collection, key, revision, live, value) VALUES (%s, %s, %s, %s, %s)")
        self.update = named(
            "UPDATE $records SET revision = %s, live = %s, value = %s WHERE collection = %s AND key = %s"
        )
        self.delete = named("DELETE FROM $records WHERE collection = %s AND key = %s")
        self.keep = named("INSERT INTO $kept (collection, key, revision, value) VALUES (%s, %s, %s, %s)")
        self.beat = named(_BEAT)
        self.unbeat = named("DELETE FROM $beats WHERE collection = %s AND key = %s")
        self.log = named(_LOG)
        self.notify = named("SELECT pg_notify('#channel', %s)")
        self.listen = named('LISTEN "#channel"')
        self.mark = named("INSERT INTO $nonces (nonce) VALUES (%s)")
        self.use_up = named("INSERT INTO $nonces (nonce, result) VALUES (%s, %s) ON CONFLICT DO NOTHING")
        self.mark_result = named(_MARK_RESULT)
        self.make_head = named("INSERT INTO $journals (name, last) VALUES (%s, 0) ON CONFLICT DO NOTHING")
        self.hold_head = named("SELECT last FROM $journals WHERE name = %s FOR UPDATE")
        self.set_head = named("UPDATE $journals SET last = %s WHERE name = %s")
        self.load = named("INSERT INTO $entries (journal, sequence, at_ms, record, value) VALUES ")
        self.prune = named(_PRUNE)
        self.forget = named(_FORGET)
        self.kept_count = named("SELECT count(*) FROM $kept")


_RECORD: Final = """SELECT r.key, r.revision, r.live, r.value, b.fence, b.at_ms
FROM $records r LEFT JOIN $beats b ON b.collection = r.collection AND b.key = r.key"""

# Migrations are numbered 1, 2, 3 …, so their count is the level; `max` would take longer to plan than all of the rest.
_LOOK: Final = """SELECT #now, (SELECT count(*) FROM $migrations), current_setting('synchronous_commit'),
r.revision, r.live, r.value, b.fence, b.at_ms
FROM (SELECT %s::text AS collection, %s::text AS key) p
LEFT JOIN $records r ON r.collection = p.collection AND r.key = p.key
LEFT JOIN $beats b ON b.collection = p.collection AND b.key = p.key"""

_ENTRIES: Final = """SELECT sequence, at_ms, record, value FROM $entries
WHERE journal = %s AND sequence > %s ORDER BY sequence LIMIT %s"""

# A loose walk over the index: as many steps as there are collections, not records.
_COLLECTIONS: Final = """WITH RECURSIVE held(name) AS (
(SELECT collection FROM $records ORDER BY collection LIMIT 1)
UNION ALL
SELECT (SELECT collection FROM $records WHERE collection > held.name ORDER BY collection LIMIT 1)
FROM held WHERE held.name IS NOT NULL)
SELECT name FROM held WHERE name IS NOT NULL"""

_BEAT: Final = """INSERT INTO $beats (collection, key, fence, at_ms) VALUES (%s, %s, %s, %s)
ON CONFLICT (collection, key) DO UPDATE SET fence = excluded.fence, at_ms = excluded.at_ms"""

# The row of the journal is held until the commit: the next one waits, and a transaction that fails leaves no gap.
_HEAD: Final = """WITH head AS (INSERT INTO $journals AS j (name, last) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET last = j.last + excluded.last RETURNING last)"""

# The same, unless its sender has given up meanwhile: a request may have been under way for long.
_HEAD_IN_TIME: Final = """WITH head AS (INSERT INTO $journals AS j (name, last) SELECT %s, %s WHERE #now <= %s
ON CONFLICT (name) DO UPDATE SET last = j.last + excluded.last RETURNING last)"""

_LOG: Final = """#head
INSERT INTO $entries (journal, sequence, at_ms, record, value)
SELECT %s, head.last - %s + e.number, %s, %s, e.value FROM head, unnest(%s::text[])
WITH ORDINALITY AS e(value, number)"""

_MARK_RESULT: Final = """#timely, entry AS (INSERT INTO $entries (journal, sequence, at_ms, record, value)
SELECT %s, head.last, #now, '', %s FROM head)
INSERT INTO $nonces (nonce, result) SELECT %s, last FROM head RETURNING result"""

# Several may remove at once; each takes rows that no other is removing.
_PRUNE: Final = """DELETE FROM $nonces WHERE nonce = ANY (ARRAY(
SELECT nonce FROM $nonces WHERE at < clock_timestamp() - %s * interval '1 second'
ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED))"""

# The whole of a self-test: its collection, and its journal.
_FORGET: Final = """DELETE FROM $records WHERE collection = %s; DELETE FROM $beats WHERE collection = %s;
DELETE FROM $kept WHERE collection = %s; DELETE FROM $entries WHERE journal = %s;
DELETE FROM $journals WHERE name = %s"""
