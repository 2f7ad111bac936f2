"""The fake over real sockets: kept connections, lost answers, and the program."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sharedstate.testing.github import FakeGitHub

ISSUES = "/repos/acme/app/issues"
DEADLINE_S = 30.0


@pytest.fixture
def fake() -> Iterator[FakeGitHub]:
    with FakeGitHub(users={"bot": "push", "eve": "read"}, hold_s=0.2) as made:
        made.open_issue("One")
        yield made


def connected(fake: FakeGitHub, *, timeout_s: float = DEADLINE_S) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection(fake.url.partition("//")[2], timeout=timeout_s))


def asked_once(fake: FakeGitHub, method: str, target: str, given: Any = None) -> tuple[int, Any]:
    with connected(fake) as connection:
        return asked(connection, method, target, given)


def asked(connection: http.client.HTTPConnection, method: str, target: str, given: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": "Bearer token-bot", "User-Agent": "tests"}
    connection.request(method, target, body=None if given is None else json.dumps(given), headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if body else None


def test_one_connection_serves_many_requests(fake: FakeGitHub) -> None:
    with connected(fake) as connection:
        connection.connect()
        kept = connection.sock
        assert asked(connection, "GET", f"{ISSUES}/1")[1]["title"] == "One"
        assert asked(connection, "PATCH", f"{ISSUES}/1", {"title": "Two"})[0] == 200
        assert asked(connection, "PUT", f"{ISSUES}/1/lock", {})[0] == 204
        assert asked(connection, "GET", "/nowhere")[0] == 404
        assert asked(connection, "GET", f"{ISSUES}/1")[1]["title"] == "Two"
        assert connection.sock is kept


def test_addresses_in_answers_lead_back_to_the_server(fake: FakeGitHub) -> None:
    shown = asked_once(fake, "GET", f"{ISSUES}/1")[1]
    assert shown["url"] == f"{fake.url}{ISSUES}/1"
    assert asked_once(fake, "GET", shown["repository_url"].removeprefix(fake.url))[1]["full_name"] == "acme/app"


def test_it_listens_on_one_loopback_address_only(fake: FakeGitHub) -> None:
    assert fake.url.startswith("http://127.0.0.1:")
    port = int(fake.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=1)


def test_a_time_out_holds_the_connection_and_then_drops_it(fake: FakeGitHub) -> None:
    fake.faults.plan("timeout-applied", method="PATCH")
    with pytest.raises(ConnectionError):
        asked_once(fake, "PATCH", f"{ISSUES}/1", {"title": "Two"})
    assert fake.issue(1)["title"] == "Two"
    assert asked_once(fake, "GET", ISSUES)[0] == 200


def test_a_client_with_less_patience_gives_up_first() -> None:
    with FakeGitHub(hold_s=DEADLINE_S) as fake:
        fake.faults.plan("timeout")
        with connected(fake, timeout_s=0.05) as connection, pytest.raises(TimeoutError):
            asked(connection, "GET", ISSUES)


def test_a_reset_reaches_the_client_as_a_reset(fake: FakeGitHub) -> None:
    fake.faults.plan("reset")
    with pytest.raises(ConnectionResetError):
        asked_once(fake, "PATCH", f"{ISSUES}/1", {"title": "Two"})
    assert fake.issue(1)["title"] == "One"


def test_a_truncated_body_ends_too_early(fake: FakeGitHub) -> None:
    fake.faults.plan("truncated")
    with pytest.raises(http.client.IncompleteRead):
        asked_once(fake, "GET", f"{ISSUES}/1")


def test_a_trickled_answer_arrives_whole(fake: FakeGitHub) -> None:
    fake.faults.plan("trickled")
    assert asked_once(fake, "GET", f"{ISSUES}/1")[1]["title"] == "One"


def test_many_clients_at_once_lose_nothing(fake: FakeGitHub) -> None:
    def comment(number: int) -> None:
        with connected(fake) as connection:
            for turn in range(10):
                asked(connection, "POST", f"{ISSUES}/1/comments", {"body": f"{number}.{turn}"})

    threads = [threading.Thread(target=comment, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    shown = fake.comments(1)
    assert {comment["body"] for comment in shown} == {f"{number}.{turn}" for number in range(4) for turn in range(10)}
    assert [comment["id"] for comment in shown] == sorted(comment["id"] for comment in shown)


@pytest.mark.parametrize(
    "header,status", [(("Content-Length", "99999999"), 413), (("Transfer-Encoding", "chunked"), 411)]
)
def test_a_body_too_large_or_of_unknown_length_is_refused(
    fake: FakeGitHub, header: tuple[str, str], status: int
) -> None:
    with connected(fake) as connection:
        connection.putrequest("POST", ISSUES)
        connection.putheader(*header)
        connection.endheaders()
        assert connection.getresponse().status == status


def test_stopping_waits_neither_for_kept_connections_nor_for_held_answers() -> None:
    fake = FakeGitHub(hold_s=600).start()
    with connected(fake) as kept, connected(fake) as held:
        asked(kept, "GET", ISSUES)
        fake.faults.plan("timeout")
        held.request("GET", ISSUES, headers={"User-Agent": "tests"})
        give_up = time.monotonic() + DEADLINE_S
        while len(fake.requests) < 2 and time.monotonic() < give_up:
            time.sleep(0.002)
        fake.stop()
        fake.stop()
    assert time.monotonic() < give_up


def test_what_is_stored_outlives_the_server(fake: FakeGitHub) -> None:
    asked_once(fake, "POST", f"{ISSUES}/1/comments", {"body": "x"})
    fake.stop()
    with fake:
        assert asked_once(fake, "GET", f"{ISSUES}/1/comments")[1][0]["body"] == "x"


# The program


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "sharedstate.testing.github", "--port", "0", "--until-eof", "--issues", "2"]
    command += ["--repo", "acme/app", "--user", "bot:push", "--user", "eve:read", "--project", "acme/1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def base(program: subprocess.Popen[str]) -> closing[http.client.HTTPConnection]:
    assert program.stdout is not None
    host = program.stdout.readline().strip().partition("//")[2]
    return closing(http.client.HTTPConnection(host, timeout=DEADLINE_S))


def test_the_program_prints_its_address_and_answers(program: subprocess.Popen[str]) -> None:
    with base(program) as connection:
        assert asked(connection, "GET", "/user")[1]["login"] == "bot"
        assert [issue["number"] for issue in asked(connection, "GET", ISSUES)[1]] == [2, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program(program: subprocess.Popen[str], number: int) -> None:
    base(program)
    os.kill(program.pid, number)
    assert program.wait(DEADLINE_S) == 0


def test_the_end_of_its_input_ends_the_program(program: subprocess.Popen[str]) -> None:
    base(program)
    assert program.stdin is not None
    program.stdin.close()
    assert program.wait(DEADLINE_S) == 0


def test_the_program_is_steered_from_outside(program: subprocess.Popen[str]) -> None:
    with base(program) as connection:

        def done(act: str, **given: Any) -> tuple[int, Any]:
            return asked(connection, "POST", f"/_fake/{act}", given)

        before = asked(connection, "GET", f"{ISSUES}/1")[1]["updated_at"]
        assert done("advance", seconds=3600) == (200, {"result": None})
        assert done("close", number=1, reason="not_planned")[0] == 200
        after = asked(connection, "GET", f"{ISSUES}/1")[1]
        assert (after["state_reason"], after["updated_at"] > before) == ("not_planned", True)
        assert done("label", number=2, names=["ignore"])[0] == 200
        assert done("labels", number=2)[1] == {"result": ["ignore"]}
        assert done("move_card", number=2, status="Blocked")[0] == 200
        done("faults", fault="unavailable", nth=1, times=9)
        assert asked_status(connection, ISSUES) == 503
        asked(connection, "DELETE", "/_fake/faults")
        assert asked_status(connection, ISSUES) == 200
        log = asked(connection, "GET", "/_fake/requests")[1]["result"]
        assert [entry["status"] for entry in log] == [200, 200, 503, 200]
        assert done("faults", fault="secondary", retry_after_s=2, method="GET")[0] == 200
        connection.request("GET", ISSUES, headers={"User-Agent": "tests"})
        limited = connection.getresponse()
        limited.read()
        assert (limited.status, limited.headers["Retry-After"]) == (403, "2")
        assert done("faults", fault="secondary", retry_after_s="soon")[0] == 422
        assert done("faults", fault="hiccup")[0] == 422
        assert done("faults")[0] == 422
        assert done("explode")[0] == 404
        assert done("close", number=99)[0] == 422


def asked_status(connection: http.client.HTTPConnection, target: str) -> int:
    connection.request("GET", target, headers={"User-Agent": "tests"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize(
    "arguments,told",
    [
        (("--user", ":push"), "LOGIN:RIGHT"),
        (("--user", "bot:everything"), "unknown right"),
        (("--repo", "app"), "owner/name"),
        (("--project", "acme"), "owner/number"),
        (("--port", "99999"), "0-65535"),
        (("--port", "{taken}"), "in use"),
    ],
)
def test_wrong_arguments_are_a_usage_error(fake: FakeGitHub, arguments: tuple[str, ...], told: str) -> None:
    given = [part.format(taken=urlsplit(fake.url).port) for part in arguments]
    command = [sys.executable, "-m", "sharedstate.testing.github", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S, cwd=Path.cwd())
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
