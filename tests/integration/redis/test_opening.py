"""What a server must be before anybody relies on it, who may log in, and that no secret is ever told."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from socket import create_connection, create_server

import pytest
import redis

from sharedstate.errors import BadSettings, SharedStateError, StoreUnavailable, UnsafeStore
from sharedstate.findings import Finding
from sharedstate.host import Host
from sharedstate.testing.contracts.steps import beats, writes
from sharedstate_adapters.redis.line import Premises, dialer
from sharedstate_adapters.redis.store import RedisStore
from tests.integration.redis.stores import check_counts, command, counted_on, redis_store
from tests.servers.redis import RedisServer
from tests.style.source import ROOT

SECRET = "hunter2-very-secret"
pytestmark = [pytest.mark.slow]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    made = RedisServer()
    yield made
    made.stop()


def severities(findings: list[Finding]) -> dict[str, str]:
    return {finding.code: finding.severity for finding in findings}


def test_a_server_that_may_evict_is_refused_to_writers_and_open_to_readers(server: RedisServer) -> None:
    store = redis_store(server.url)
    assert store.transact("counters", "c", counted_on) == 1
    redis.Redis(port=server.port).config_set("maxmemory-policy", "allkeys-lru")
    other = redis_store(server.url)
    check_counts(other, 1)
    writing: tuple[Callable[[], object], ...] = (
        lambda: other.transact("counters", "c", counted_on),
        lambda: other.append("log", {"n": 1}),
    )
    for act in writing:
        with pytest.raises(UnsafeStore, match="allkeys-lru"):
            act()
    check_counts(other, 1)
    assert severities(other.checkup())["redis_eviction"] == "error"


def test_a_server_that_is_too_old_is_refused(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharedstate_adapters.redis.line.VERSION_MIN", (99, 1))
    with pytest.raises(StoreUnavailable, match=r"version 6.2.5; 99.1 or newer is needed"):
        redis_store(server.url, lock_timeout_ms=300).get("tasks", "T-1")
    Premises(version=(99, 1), eviction="noeviction").check_version(where="here")


def test_doctor_warns_of_a_server_that_forgets(server: RedisServer) -> None:
    store = redis_store(server.url)
    fine = severities(store.checkup())
    assert set(fine.values()) == {"ok"}
    client = redis.Redis(port=server.port)
    client.config_set("appendfsync", "no")
    assert severities(store.checkup())["redis_persistence"] == "warn"
    client.config_set("appendonly", "no")
    assert severities(store.checkup())["redis_persistence"] == "warn"
    client.config_set("maxmemory", "1mb")
    assert severities(store.checkup())["redis_memory"] == "warn"
    server.kill()
    assert severities(redis_store(server.url, lock_timeout_ms=300).checkup()) == {"redis_unreachable": "error"}


def test_a_full_server_refuses_changes_whole(server: RedisServer) -> None:
    store = redis_store(server.url)
    assert store.transact("counters", "c", counted_on) == 1
    redis.Redis(port=server.port).config_set("maxmemory", "100kb")
    with pytest.raises(StoreUnavailable, match="out of memory"):
        store.transact("counters", "c", counted_on)
    check_counts(store, 1)


def test_the_acl_user_of_the_documentation_can_do_everything_and_no_secret_is_told(server: RedisServer) -> None:
    document = (ROOT / "docs" / "redis-store.md").read_text()
    words = next(line for line in document.splitlines() if line.startswith("ACL SETUSER")).split()
    words[words.index(">PASSWORD")] = f">{SECRET}"
    command(server.port, *words)
    command(server.port, "ACL", "SETUSER", "default", "off")
    store = redis_store(f"redis://fleet:{SECRET}@127.0.0.1:{server.port}/0?prefix=sharedstate")
    assert store.transact("counters", "c", counted_on) == 1
    store.transact("counters", "c", beats(1))
    store.transact("tasks", "T-1", writes({"n": 1}))
    store.append("log", {"n": 1})
    assert store.watch("log", after=1, timeout_s=0.05) is False
    assert store.watch("log", after=0, timeout_s=1) is True
    assert (store.collections(), store.journals()) == (["counters", "tasks"], ["events", "log"])
    assert [len(list(store.scan("counters", live_only=live))) for live in (True, False)] == [1, 1]
    check_counts(store, 1)
    store.transact("selftest-1", "k", writes({"n": 1}, live=1, events=[{"n": 1}]), journal="selftest-1")
    assert store.trials() == ["selftest-1"]
    store.forget_trial("selftest-1")
    assert store.trials() == []
    assert not redis.Redis(port=server.port, username="fleet", password=SECRET).exists(
        *(
            f"{store.keys.prefix}{kind}:selftest-1{rest}"
            for kind, rest in (("records", ""), ("live", ""), ("beat", ":k"))
        )
    )
    assert "error" not in severities(store.checkup()).values()
    elsewhere = redis_store(f"redis://fleet:{SECRET}@127.0.0.1:{server.port}/0?prefix=other")
    wrong = redis_store(f"redis://fleet:x{SECRET}@127.0.0.1:{server.port}/0")
    nobody = redis_store(f"redis://127.0.0.1:{server.port}/0")
    for refused in (elsewhere, wrong, nobody):
        with pytest.raises(BadSettings) as caught:
            refused.transact("counters", "c", counted_on)
        findings = refused.checkup() if refused is not elsewhere else []
        told = f"{caught.value!r} {caught.value} {caught.value.hint} {findings} {refused!r} {refused.address!r}"
        assert SECRET not in told
        assert not findings or findings[0].severity == "error"


def test_a_password_may_stand_in_a_file(server: RedisServer, tmp_path: Path) -> None:
    redis.Redis(port=server.port).config_set("requirepass", SECRET)
    (tmp_path / "password").write_text(SECRET + "\n")
    store = redis_store(f"redis://127.0.0.1:{server.port}/0?password_file={tmp_path}/password")
    assert store.transact("counters", "c", counted_on) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for localhost, and its key beside it."""
    program = which("openssl")
    if program is None:
        pytest.skip("no openssl here to make a certificate with")
    path = tmp_path / "cert.pem"
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", str(tmp_path / "key.pem"), "-out", str(path))
    subprocess.run([program, *words, *names, *files], check=True, capture_output=True, timeout=60)
    return path


def test_tls_is_used_and_the_certificate_checked(server: RedisServer, certificate: Path) -> None:
    port = _tls_in_front_of(server.port, certificate)
    store = redis_store(f"rediss://localhost:{port}/0?ca={certificate}")
    assert store.transact("counters", "c", counted_on) == 1
    check_counts(store, 1)
    for untrusted in (f"rediss://localhost:{port}/0", f"rediss://127.0.0.1:{port}/0?ca={certificate}"):
        with pytest.raises(StoreUnavailable, match="certificate"):
            redis_store(untrusted, lock_timeout_ms=300).get("tasks", "T-1")


def _tls_in_front_of(port: int, certificate: Path) -> int:
    """The wheel's server speaks no TLS: somebody in front of it does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    listener = create_server(("127.0.0.1", 0))

    def pump(source: ssl.SSLSocket, sink: ssl.SSLSocket) -> None:
        try:
            while raw := source.recv(65536):
                sink.sendall(raw)
        except OSError:
            pass
        source.close()
        sink.close()

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            try:
                secured = context.wrap_socket(client, server_side=True)
            except OSError:
                continue
            server = create_connection(("127.0.0.1", port))
            threading.Thread(target=pump, args=(secured, server), daemon=True).start()
            threading.Thread(target=pump, args=(server, secured), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    found: int = listener.getsockname()[1]
    return found


def test_connections_are_made_anew_as_often_as_needed(server: RedisServer) -> None:
    """A library's pool counted every connection ever made against its limit of a hundred."""
    store = redis_store(server.url)
    for count in range(1, 131):
        assert store.transact("counters", "c", counted_on) == count
        store.close()
    assert dialer(store.address, timeout_s=1, host=Host())(1.0).premises.version >= (6, 2)


def test_foreign_keys_under_the_prefix_are_told_and_left_alone(server: RedisServer) -> None:
    client = redis.Redis(port=server.port)
    store = redis_store(server.url)
    client.set(store.keys.records("tasks"), "somebody else's")
    with pytest.raises(SharedStateError, match="holds something else"):
        store.transact("tasks", "T-1", counted_on)
    assert client.get(store.keys.records("tasks")) == b"somebody else's"
    client.set(store.keys.journal("events"), "somebody else's")
    with pytest.raises(SharedStateError, match="holds something else"):
        store.transact("counters", "c", counted_on)
    assert store.get("counters", "c") is None, "a script that fails has changed nothing"


def test_replaced_damage_is_kept_and_told(server: RedisServer) -> None:
    client = redis.Redis(port=server.port)
    store = redis_store(server.url)
    store.transact("views", "v", writes({"n": 1}))
    client.hset(store.keys.records("views"), "v", b'{"torn": ')
    store.transact("views", "v", writes({"n": 2}), derived=True)
    assert list(client.hgetall(store.keys.kept("views")).values()) == [b'{"torn": ']
    assert severities(store.checkup())["redis_kept"] == "warn"


def test_a_fork_is_refused(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = redis_store(server.url)
    store.transact("counters", "c", counted_on)
    monkeypatch.setattr(store._host, "pid", lambda: 1)
    calls = (
        lambda: store.get("counters", "c"),
        lambda: store.transact("counters", "c", counted_on),
        lambda: store.append("log", {"n": 1}),
        store.now,
        store.upkeep,
    )
    for call in calls:
        with pytest.raises(SharedStateError, match="was opened by process"):
            call()
    assert isinstance(store, RedisStore)
