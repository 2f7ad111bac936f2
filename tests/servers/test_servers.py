"""The servers for tests: they start, survive a kill with what they acknowledged, and end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import redis

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

_STARTS_BOTH_AND_DIES = """
import os, signal
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
servers = RedisServer(), PostgresServer()
print(*(server._running.pid for server in servers), flush=True)
print(*(server.folder for server in servers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_redis_keeps_what_it_acknowledged_through_a_kill() -> None:
    server = RedisServer()
    try:
        redis.Redis(port=server.port).set("key", "kept")
        server.kill()
        server.start()
        assert redis.Redis(port=server.port).get("key") == b"kept"
    finally:
        server.stop()


def test_postgres_keeps_what_it_committed_through_a_kill() -> None:
    server = PostgresServer()
    try:
        with psycopg.connect(server.url) as connection:
            connection.execute("create table kept as select 7 as number")
        server.kill()
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select number from kept").fetchone() == (7,)
    finally:
        server.stop()


def test_servers_end_when_their_parent_is_killed() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _STARTS_BOTH_AND_DIES], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    pids, folders = (line.split() for line in ran.stdout.splitlines())
    deadline = time.monotonic() + 10
    while any(_lives(int(pid)) for pid in pids):
        assert time.monotonic() < deadline, "a server outlived its parent"
        time.sleep(0.05)
    for folder in folders:
        subprocess.run(["rm", "-rf", str(Path(folder))], check=True)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX" and os.path.exists(f"/proc/{pid}")
