"""What a careful engineer writes by hand for the same job, in one request and by the server's time.

An exclusive claim that expires, with a fence that only grows and an entry in a log, all in one step; renewed and
released only with the token it was given to. Left out is what the library is for: a history, reasons, retry limits,
takeover and force, an archive, scopes, gap-free sequences, answers that are lost and asked for again, hints, deadlines,
values that are checked when they are read.
"""

from __future__ import annotations

import json
from typing import Any

from tests.benchmarks.bench import OWNER
from tests.benchmarks.table import Broken

TTL_MS = 3_600_000
_META = json.dumps({"host": "bench", "pid": 1})

_CLAIM = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'status', 'until')
if held[1] == 'complete' then return 0 end
if held[1] == 'claimed' and tonumber(held[2]) > now then return 0 end
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('HSET', KEYS[1], 'status', 'claimed', 'owner', ARGV[1], 'token', ARGV[2], 'until', now + ARGV[3],
  'since', now, 'meta', ARGV[4])
redis.call('XADD', KEYS[2], '*', 'type', 'claimed', 'task', KEYS[1], 'owner', ARGV[1], 'fence', fence)
return fence
"""
_RENEW = """
local held = redis.call('HMGET', KEYS[1], 'status', 'owner', 'token')
if held[1] ~= 'claimed' or held[2] ~= ARGV[1] or held[3] ~= ARGV[2] then return 0 end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'until', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[3])
return 1
"""
_RELEASE = """
local held = redis.call('HMGET', KEYS[1], 'status', 'owner', 'token', 'fence')
if held[1] ~= 'claimed' or held[2] ~= ARGV[1] or held[3] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'status', 'complete')
redis.call('XADD', KEYS[2], '*', 'type', 'released', 'task', KEYS[1], 'owner', ARGV[1], 'fence', held[4])
return 1
"""


class LeastRedis:
    """By redis-py, as it comes: three scripts."""

    def __init__(self, url: str) -> None:
        import redis

        self._client: Any = redis.Redis.from_url(url)
        scripts = (self._client.register_script(text) for text in (_CLAIM, _RENEW, _RELEASE))
        self._claim, self._renew, self._release = scripts

    def claim(self, task: str, owner: str = OWNER) -> None:
        """Mine, or an error."""
        _must(self._claim(keys=[f"least:{task}", "least:events"], args=[owner, "token", TTL_MS, _META]))

    def get(self, task: str) -> None:
        """One look."""
        self._client.hgetall(f"least:{task}")

    def renew(self, task: str) -> None:
        """Longer."""
        _must(self._renew(keys=[f"least:{task}"], args=[OWNER, "token", TTL_MS]))

    def release(self, task: str, owner: str = OWNER) -> None:
        """Done."""
        _must(self._release(keys=[f"least:{task}", "least:events"], args=[owner, "token"]))


_TABLES = b"""CREATE TABLE IF NOT EXISTS public.least_claims (task text PRIMARY KEY, status text NOT NULL,
  owner text NOT NULL, token text NOT NULL, fence bigint NOT NULL, since timestamptz NOT NULL,
  until timestamptz NOT NULL, meta text NOT NULL);
CREATE TABLE IF NOT EXISTS public.least_events (sequence bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
  kind text NOT NULL, task text NOT NULL, owner text NOT NULL, fence bigint NOT NULL)"""
_CLAIM_SQL = """WITH held AS (
  INSERT INTO least_claims AS c VALUES
    (%s, 'claimed', %s, %s, 1, clock_timestamp(), clock_timestamp() + %s * interval '1 ms', %s)
  ON CONFLICT (task) DO UPDATE SET status = 'claimed', owner = excluded.owner, token = excluded.token,
    fence = c.fence + 1, since = excluded.since, until = excluded.until, meta = excluded.meta
    WHERE c.status <> 'complete' AND (c.status <> 'claimed' OR c.until < clock_timestamp())
  RETURNING task, owner, fence)
INSERT INTO least_events (kind, task, owner, fence) SELECT 'claimed', task, owner, fence FROM held RETURNING fence"""
_RENEW_SQL = """UPDATE least_claims SET until = clock_timestamp() + %s * interval '1 ms'
WHERE task = %s AND owner = %s AND token = %s AND status = 'claimed' RETURNING fence"""
_RELEASE_SQL = """WITH held AS (
  UPDATE least_claims SET status = 'complete' WHERE task = %s AND owner = %s AND token = %s AND status = 'claimed'
  RETURNING task, owner, fence)
INSERT INTO least_events (kind, task, owner, fence) SELECT 'released', task, owner, fence FROM held RETURNING fence"""


class LeastPostgres:
    """By psycopg, as it comes, which prepares what is asked often: one statement each.

    A renewal waits for no disk, as ours: it has a connection of its own for that.
    """

    def __init__(self, url: str, *, relaxed: bool = False) -> None:
        self._connection, self._beats = _connected(url), _connected(url)
        self._beats.execute("SET synchronous_commit = off")
        if relaxed:
            self._connection.execute("SET synchronous_commit = off")

    @staticmethod
    def prepare(url: str) -> None:
        """Make the tables."""
        with _connected(url) as connection:
            connection.execute(_TABLES)

    def claim(self, task: str, owner: str = OWNER) -> None:
        """Mine, or an error."""
        _must(self._connection.execute(_CLAIM_SQL, (task, owner, "token", TTL_MS, _META)).fetchone())

    def get(self, task: str) -> None:
        """One look."""
        self._connection.execute("SELECT * FROM least_claims WHERE task = %s", (task,)).fetchone()

    def renew(self, task: str) -> None:
        """Longer."""
        _must(self._beats.execute(_RENEW_SQL, (TTL_MS, task, OWNER, "token")).fetchone())

    def release(self, task: str, owner: str = OWNER) -> None:
        """Done."""
        _must(self._connection.execute(_RELEASE_SQL, (task, owner, "token")).fetchone())


def _connected(url: str) -> Any:
    import psycopg

    return psycopg.connect(url, autocommit=True)


def _must(answer: object) -> None:
    if not answer:
        raise Broken("the raw client was refused")
