"""URLs, logins, rights, migrations: what is refused, what is said, and that secrets are not."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from sharedstate.errors import BadSettings, NewerFormat, SharedStateError, StoreUnavailable
from sharedstate.host import Host
from sharedstate.testing.contracts.steps import got, in_threads, writes
from sharedstate_adapters.postgres import migrator
from sharedstate_adapters.postgres.address import read_address
from sharedstate_adapters.postgres.migrator import Migration, shipped
from tests.integration.postgres.stores import postgres_store, rows
from tests.integration.stores.crew import environment
from tests.integration.stores.postgres import postgres_url, schema_url
from tests.servers.lifetime import free_port
from tests.servers.postgres import PostgresServer

SECRET = "pa55-of-nobody"
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY 1"


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgresServer]:
    """A server that asks for passwords; one role may use everything, one may read, one may nothing."""
    made = PostgresServer(fsync=False)
    postgres_store(f"{made.url}?schema=fleet").transact("tasks", "T-1", writes({"n": 1}))
    for role in ("agent", "reader", "nobody"):
        rows(made.url, f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
    rows(made.url, "GRANT USAGE ON SCHEMA fleet TO agent, reader")
    rows(made.url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fleet TO agent")
    rows(made.url, "GRANT SELECT ON ALL TABLES IN SCHEMA fleet TO reader")
    access = made.folder / "data" / "pg_hba.conf"
    access.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    rows(made.url, "SELECT pg_reload_conf()")
    yield made
    made.stop()


def login(server: PostgresServer, role: str, *, password: str = SECRET) -> str:
    return f"postgresql://{role}:{password}@127.0.0.1:{server.port}/postgres?schema=fleet"


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:/host",
        "postgresql://h/d?schema=Upper",
        "postgresql://h/d?schema=pg_x",
        "postgresql://h/d?schema=a%22b",
        "postgresql://h/d?schema=",
        "postgresql://h/d?nonsense=1",
        "postgresql://h/d?client_encoding=latin1",
        "postgresql://h/d?password_file=/does/not/exist",
        "postgresql://h:port/d",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_at_once_without_its_secrets(url: str) -> None:
    secret = url.replace("://h", f"://u:{SECRET}@h")
    with pytest.raises(BadSettings) as caught:
        postgres_store(secret)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://u:SECRET%zz@h/d", "postgresql://u:pa?SECRET@h/d", "postgresql://u:pa@SECRET@h/d"),
        *("postgresql://u:SECRET@[::1/d", "postgresql://u:SECRET x@h/d", "postgresql://u:1/SECRET@h/d"),
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_no_part_of_it_told(url: str) -> None:
    with pytest.raises(BadSettings, match="write @ / ") as caught:
        postgres_store(url.replace("SECRET", SECRET))
    assert SECRET not in f"{caught.value!r} {caught.value.hint}"


def test_an_address_shows_no_secret() -> None:
    address = read_address(f"postgresql://u:{SECRET}@h:5433/d?schema=fleet&sslmode=require&application_name=a b")
    assert SECRET not in repr(address)
    assert (address.schema, address.hosts, address.sslmode) == ("fleet", ("h",), "require")
    assert address.conninfo.endswith("/d?sslmode=require&application_name=a%20b")


def test_a_password_may_come_from_a_file(guarded: PostgresServer, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    url = login(guarded, "agent").replace(f":{SECRET}@", "@") + f"&password_file={file}"
    assert got(postgres_store(url), "tasks", "T-1").value == {"n": 1}


# Logins and rights


@pytest.mark.parametrize("role,password", [("agent", "wrong-one"), ("stranger", SECRET)])
def test_a_wrong_login_is_bad_settings_and_not_tried_for_long(
    guarded: PostgresServer, role: str, password: str
) -> None:
    store = postgres_store(login(guarded, role, password=password))
    began_s = Host().monotonic_s()
    for call in (partial(store.get, "tasks", "T-1"), partial(store.append, "log", {"n": 1})):
        with pytest.raises(BadSettings) as caught:
            call()
        assert password not in str(caught.value) + str(caught.value.hint)
    assert Host().monotonic_s() - began_s < 2
    assert [finding.code for finding in store.checkup()] == ["postgres_unreachable"]


def test_nobody_listens_there() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        postgres_store(f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/d").get("tasks", "T-1")
    assert SECRET not in str(caught.value)


def test_a_role_with_the_documented_grants_can_work_and_one_without_is_told(guarded: PostgresServer) -> None:
    agent = postgres_store(login(guarded, "agent"))
    assert agent.transact("tasks", "T-2", writes({"n": 1}, live=1, events=[{"n": 1}])) == 0
    assert agent.append("log", {"n": 1}) == 1
    assert agent.upkeep() == []
    agent.transact("selftest-1", "k", writes({"n": 1}, live=1, events=[{"n": 1}]), journal="selftest-1")
    assert agent.trials() == ["selftest-1"]
    agent.forget_trial("selftest-1")
    assert (agent.trials(), agent.collections(), agent.journals()) == ([], ["tasks"], ["events", "log"])
    assert {finding.severity for finding in agent.checkup()} <= {"ok", "error"}
    assert "postgres_grants" in {finding.code for finding in agent.checkup() if finding.severity == "ok"}
    reader = postgres_store(login(guarded, "reader"))
    assert got(reader, "tasks", "T-1").value == {"n": 1}
    for role, call in (("reader", "append"), ("nobody", "append")):
        with pytest.raises(BadSettings) as caught:
            getattr(postgres_store(login(guarded, role)), call)("log", {"n": 2})
        assert "docs/postgres-store.md" in str(caught.value.hint)
    assert "postgres_grants" in {finding.code for finding in reader.checkup() if finding.severity == "error"}


def test_a_function_that_has_gone_is_told() -> None:
    store = postgres_store(schema_url(uuid4().hex))
    store.append("log", {"n": 1})
    codes = {finding.code: finding.severity for finding in store.checkup()}
    assert codes["postgres_grants"] == "ok"
    rows(postgres_url(), f'DROP FUNCTION "{store.address.schema}".change(jsonb)')
    codes = {finding.code: finding.severity for finding in store.checkup()}
    assert codes["postgres_grants"] == "error"


# Migrations


def test_reading_makes_no_tables_and_the_first_write_does() -> None:
    name = uuid4().hex
    store = postgres_store(schema_url(name))
    schema = store.address.schema
    assert store.get("tasks", "T-1") is None
    assert (list(store.scan("tasks")), list(store.read("log")), store.collections()) == ([], [], [])
    assert store.upkeep() == []
    assert store.watch("log", after=0, timeout_s=0.01) is False
    assert store.migrate(plan=True) == ["0001 state", "0002 change"]
    assert "postgres_tables" in {finding.code for finding in store.checkup() if finding.severity == "warn"}
    assert rows(postgres_url(), TABLES, schema) == []
    assert rows(postgres_url(), "SELECT to_regnamespace(%s) IS NULL", schema) == [(True,)]
    assert store.append("log", {"n": 1}) == 1
    assert store.migrate(plan=True) == []
    assert store.migrate(plan=False) == []
    assert [row[0] for row in rows(postgres_url(), TABLES, schema)] == [
        "beats", "entries", "journals", "kept", "migrations", "nonces", "records"]  # fmt: skip
    assert "postgres_tables" in {finding.code for finding in store.checkup() if finding.severity == "ok"}


_MIGRATES = """
import sys
from tests.integration.postgres.stores import postgres_store
store = postgres_store(sys.argv[1])
store.now()
print("ready", flush=True)
sys.stdin.readline()
print(store.migrate(plan=False), store.append("log", {"n": 1}), flush=True)
"""


def test_of_four_processes_that_migrate_at_once_one_does_it() -> None:
    url = schema_url(uuid4().hex)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _MIGRATES, url],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    told = sorted(worker.communicate("go\n", timeout=60)[0].strip() for worker in workers)
    assert sum(line.startswith("['0001 state', '0002 change']") for line in told) == 1, told
    assert sorted(int(line.rpartition(" ")[2]) for line in told) == [1, 2, 3, 4]


def test_migrations_go_on_from_where_the_server_is_and_fail_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    url = schema_url(uuid4().hex)
    old = postgres_store(url)
    old.transact("tasks", "T-1", writes({"n": 1}))
    schema = old.address.schema
    more = Migration(version=3, name="more", text="CREATE TABLE more (n int);")
    broken = Migration(version=4, name="broken", text="CREATE TABLE most (n int); SELECT 1 / 0;")
    monkeypatch.setattr(migrator, "shipped", lambda: (*shipped(), more, broken))
    store = postgres_store(url)
    assert store.migrate(plan=True) == ["0003 more", "0004 broken"]
    with pytest.raises(SharedStateError):
        store.migrate(plan=False)
    assert ("more",) not in rows(postgres_url(), TABLES, schema)
    monkeypatch.setattr(migrator, "shipped", lambda: (*shipped(), more))
    assert postgres_store(url).transact("tasks", "T-1", writes({"n": 2})) == 1
    assert ("more",) in rows(postgres_url(), TABLES, schema)
    with pytest.raises(NewerFormat):  # it was opened before; each look at a record tells the level, too
        old.transact("tasks", "T-1", writes({"n": 3}))
    monkeypatch.undo()
    for call in (partial(postgres_store(url).get, "tasks", "T"), partial(postgres_store(url).append, "log", {})):
        with pytest.raises(NewerFormat):
            call()
    assert [finding.code for finding in postgres_store(url).checkup()] == ["postgres_tables"]
    assert postgres_store(schema_url(uuid4().hex)).append("log", {}) == 1


def test_the_migrations_are_part_of_what_is_packed() -> None:
    """Hatchling packs every file of a named package; nothing here excludes one."""
    folder = Path(migrator.__file__).parent
    names = [f"{step.version:04}_{step.name}.sql" for step in shipped()]
    assert names == sorted(path.name for path in folder.joinpath("migrations").glob("*.sql"))
    wheel = tomllib.loads(folder.parents[2].joinpath("pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert "adapters/sharedstate_adapters" in wheel["wheel"]["packages"]
    assert wheel["wheel"].keys() == {"packages"}


# What doctor says


def test_doctor_tells_what_a_server_may_lose(guarded: PostgresServer) -> None:
    store = postgres_store(f"{guarded.url}?schema=fleet")
    found = {finding.code: finding for finding in store.checkup()}
    assert found["postgres_fsync"].severity == "error", "this one was started with fsync off"
    assert found["postgres_commit"].severity == "ok"
    assert found["postgres_answers"].severity == "ok"
    assert found["postgres_tables"].severity == "ok"
    rows(guarded.url, "ALTER ROLE postgres SET synchronous_commit = off")
    store.close()
    assert {finding.code: finding for finding in store.checkup()}["postgres_commit"].severity == "warn"
    rows(guarded.url, "ALTER ROLE postgres RESET synchronous_commit")


def test_a_database_of_another_encoding_is_refused(guarded: PostgresServer) -> None:
    rows(guarded.url, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(BadSettings, match="UTF8"):
        postgres_store(f"{guarded.url.removesuffix('postgres')}latin").now()


def test_threads_that_open_at_once_make_the_tables_once() -> None:
    store = postgres_store(schema_url(uuid4().hex))
    in_threads([partial(store.append, "log", {"n": 1}) for _ in range(6)])
    assert [entry.sequence for entry in store.read("log")] == [1, 2, 3, 4, 5, 6]
