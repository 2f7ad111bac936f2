"""A store that is not there, silent, or does not let us in: one sentence, a hint, the code, in time, no secret."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.tasks.outcomes import Claimed, Kept, Refused
from tests.integration.stores.places import redis_url
from tests.integration.stores.postgres import postgres_url
from tests.servers.redis import RedisServer
from tests.unit.cli.shell import Answer, Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SECRET = "hunter2-very-secret"
TIMEOUT_S = 0.4
GIT_TIMEOUT_S = 1.0  # less is not allowed
SLACK_S = 3.0


class Silent:
    """A server that takes connections, and never says anything."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let everybody go."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for one in self._taken:
            one.close()

    def _take(self) -> None:
        while True:
            try:
                self._taken.append(self._listening.accept()[0])
            except OSError:
                return


@pytest.fixture(scope="module")
def silent() -> Iterator[Silent]:
    made = Silent()
    yield made
    made.close()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHARED_STATE_LOCK_TIMEOUT_MS", str(int(TIMEOUT_S * 1000)))
    monkeypatch.setenv("SHARED_STATE_GIT_DEADLINE_MS", str(int(GIT_TIMEOUT_S * 1000)))
    return Shell(tmp_path, host=Host())


def with_login(url: str, login: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{login}@{rest.rpartition('@')[2]}"


def away_urls(port: int) -> dict[str, str]:
    login, there = f"u:{SECRET}", f"127.0.0.1:{port}"
    return {
        "redis": f"redis://{login}@{there}/0",
        "postgres": f"postgresql://{login}@{there}/db",
        "git": f"git+ref:///state?remote={quote(f'http://{login}@{there}/x.git', safe='')}",
    }


def check_told(answer: Answer, code: int, *, more: str = "") -> None:
    """One sentence and a hint on standard error, the exit code, and no secret."""
    assert answer.code == code, (answer.out, answer.err)
    assert SECRET not in answer.out + answer.err + more
    sentence, hint = answer.err.splitlines()
    assert sentence.startswith("claims: ")
    assert hint.startswith("claims: hint: ")
    assert "Traceback" not in answer.err


def check_document(answer: Answer, code: int, error: str) -> None:
    assert answer.code == code, (answer.out, answer.err)
    told = answer.document["error"]
    assert (told["code"], told["message"] != "", told["hint"] != "") == (error, True, True)
    assert SECRET not in answer.out + answer.err


@pytest.mark.parametrize("store", ["redis", "postgres", "git"])
def test_a_silent_server_is_given_up_in_time_by_every_kind_of_verb(
    store: str, silent: Silent, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_URL", away_urls(silent.port)[store])
    least_s = GIT_TIMEOUT_S if store == "git" else TIMEOUT_S
    for line, code in (("list", 75), ("claim T-1", 0), ("doctor", 1), ("hub health", 75)):
        begun_s = time.monotonic()
        answer = shell(line)
        took_s = time.monotonic() - begun_s
        calls = 2 if line in ("doctor", "hub health") else 1  # those look at two things, and say so of each
        assert took_s < calls * least_s + SLACK_S, (line, took_s)
        assert answer.code == code, (line, answer.out)
        assert SECRET not in answer.out + answer.err
    monkeypatch.setenv("SHARED_STATE_REQUIRED", "true")
    check_document(shell("claim T-2"), 75, "store_unavailable")


@pytest.mark.parametrize("store", ["redis", "postgres", "git"])
def test_a_server_that_is_not_there_is_told_in_one_sentence(
    store: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_URL", away_urls(1)[store])
    check_told(shell.text("list"), 75)
    check_document(shell("list"), 75, "store_unavailable")
    assert shell("unread bob").code == 75
    assert shell("send --to bob --from ann --body hello").code == 9, "accepted, and waits here"
    claimed = shell("claim T-1")
    assert (claimed.code, claimed.document["degraded"]) == (0, True)
    assert claimed.document["fence"] > 1_000_000_000, "above every fence that a server may have given"
    shown = shell.text("config show --origin")
    assert SECRET not in shown.out + shown.err + claimed.out + claimed.err


def wrong_urls() -> dict[str, str]:
    return {
        "password": with_login(redis_url(), f"nobody:{SECRET}"),
        "redis-database": f"{redis_url().rpartition('/')[0]}/9999",
        "role": with_login(postgres_url(), f"nobody:{SECRET}"),
        "database": f"{postgres_url().rpartition('/')[0]}/nowhere",
        "tls": f"{postgres_url()}?sslmode=require",
        "scheme": f"mysql://u:{SECRET}@db/x",
        "no-scheme": f"u:{SECRET}@db/x",
        "repository": f"github://u:{SECRET}@db",
        "remote": "git+ref://nowhere/state",
        "schema": f"{postgres_url()}?schema=No",
    }


@pytest.mark.parametrize("wrong", ["password", "redis-database", "role", "database", "tls", "scheme", "no-scheme",
                                   "repository", "remote", "schema"])  # fmt: skip
def test_what_only_a_person_can_put_right_is_a_matter_of_settings(
    wrong: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_URL", wrong_urls()[wrong])
    for line in ("list", "claim T-1", "show T-1", "sweep"):
        check_told(shell.text(line), 78)
        check_document(shell(line), 78, "bad_settings")
    shown = shell("config show --origin")
    assert SECRET not in shown.out + shown.err


@pytest.mark.parametrize("wrong", ["password", "role", "database"])
def test_doctor_tells_of_a_login_that_fails_beside_all_else(
    wrong: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_URL", wrong_urls()[wrong])
    answer = shell("doctor")
    found = {finding["code"]: finding for finding in answer.document["findings"]}
    assert answer.code == 1
    assert found.keys() & {"redis_unreachable", "postgres_unreachable"}
    assert {"space", "clock", "local_claims"} <= found.keys(), "one fault hides no other"
    assert SECRET not in answer.out


@pytest.mark.parametrize(
    "module,url,extra", [("redis", "redis://h/0", "redis"), ("psycopg", "postgresql://h/d", "postgres")]
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    module: str, url: str, extra: str, tmp_path: Path
) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from sharedstate_cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "list", "--json", "--dir", str(tmp_path)],
        capture_output=True,
        check=False,
        env={**os.environ, "SHARED_STATE_URL": url},
        timeout=60,
    )
    told = json.loads(done.stdout)["error"]
    assert (done.returncode, told["code"], told["hint"]) == (78, "bad_settings", f"pip install 'sharedstate[{extra}]'")
    assert module in told["message"]


def test_an_unexpected_fault_shows_no_secret_either(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "import sharedstate_cli.verbs.list as verb\n"
        f"def list_tasks(*a, **k): raise RuntimeError('cannot reach redis://u:{SECRET}@h/0')\n"
        "for name in [n for n in vars(verb) if callable(vars(verb)[n]) and getattr(vars(verb)[n], '__module__', '') "
        "== verb.__name__]: setattr(verb, name, list_tasks)\n"
        "from sharedstate_cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "list", "--dir", str(tmp_path)],
        capture_output=True,
        check=False,
        env={**os.environ, "SHARED_STATE_DEBUG": "1"},
        timeout=60,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    told = [line for line in done.stderr.splitlines() if not line.strip().startswith("def ")]
    assert SECRET not in "\n".join(told)


def test_claims_made_while_the_server_was_away_come_home_and_two_machines_agree_again(tmp_path: Path) -> None:
    server = RedisServer()
    try:
        url = f"{server.url}?prefix={tmp_path.name}"

        def machine(name: str) -> SharedState:
            return SharedState.open(
                tmp_path / name, url=url, owner=f"{name}/agent", folder=tmp_path, lock_timeout_ms=800
            )

        with machine("one") as one, machine("two") as two:
            before = one.claims.claim("T-0")
            assert isinstance(before, Claimed)
            server.kill()
            first, second = one.claims.claim("T-1"), two.claims.claim("T-2")
            assert isinstance(first, Claimed)
            assert isinstance(second, Claimed)
            assert (first.degraded, second.degraded) == (True, True)
            assert not isinstance(two.claims.claim("T-2"), Refused), "its own ledger knows it"
            server.start()
            wait_until_answers(server)
            assert isinstance(one.claims.renew("T-1"), Kept)
            assert isinstance(two.claims.renew("T-2"), Kept)
            for task, owner, other in (("T-1", "one/agent", two), ("T-2", "two/agent", one)):
                refused = other.claims.claim(task)
                assert isinstance(refused, Refused), "the other machine sees it now"
                assert refused.holder is not None
                assert refused.holder.owner == owner
            shared = two.store.get("tasks", "T-1")
            assert shared is not None
            assert shared.live is not None
            assert shared.live >= first.fence
            assert {entry.value["type"] for entry in two.events()} >= {"claimed", "reconciled"}
    finally:
        server.stop()


def wait_until_answers(server: RedisServer) -> None:
    """Until the server takes commands again."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            redis.Redis(port=server.port).ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the server did not come back")
