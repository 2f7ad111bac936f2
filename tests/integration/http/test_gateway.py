"""The gateway as a real process: what it takes, what it refuses, and that nothing acknowledged is lost at its end."""

from __future__ import annotations

import fcntl
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from sharedstate import SharedState
from tests.integration.http.gateways import TOKEN, WAIT_S, RealGateway, letter, place

JSON_BODY = b'{"up_to": 0}'


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    """One for all tests that change nothing: starting one takes a while."""
    made = RealGateway(tmp_path_factory.mktemp("refusing") / "state", "--allow-write")
    yield made
    made.end(signal.SIGKILL)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RealGateway]:
    made = RealGateway(tmp_path / "state", "--allow-write")
    assert made.url, made.process.communicate()
    yield made
    made.end(signal.SIGKILL)


# Messages


def test_a_message_arrives_once_however_often_it_is_delivered(gateway: RealGateway) -> None:
    first, again = gateway.send(letter(1)), gateway.send(letter(1))
    assert (first.status, first.json["duplicate"]) == (201, False)
    assert (again.status, again.json["duplicate"]) == (200, True)
    seen = gateway.ask("GET", place("desk/bob", "unread"))
    assert (seen.json["count"], seen.json["up_to"], len(seen.json["letters"])) == (1, 1, 1)
    assert seen.json["letters"][0]["message"]["body"] == "hello"
    assert first.json["store"] == seen.json["store"] != ""


def test_the_same_id_with_other_content_is_a_conflict(gateway: RealGateway) -> None:
    gateway.send(letter(1))
    conflict = gateway.send({**letter(1), "body": "other"})
    assert (conflict.status, conflict.code) == (409, "id_conflict")


def test_an_idempotency_key_that_is_not_the_id_is_refused(gateway: RealGateway) -> None:
    assert gateway.send(letter(1), Idempotency_Key=letter(2)["message_id"]).status == 400
    assert gateway.send(letter(1), Idempotency_Key=letter(1)["message_id"]).status == 201


def test_addresses_are_exact(gateway: RealGateway) -> None:
    gateway.send(letter(1, to="anti2"))
    assert gateway.ask("GET", place("anti", "unread")).json["count"] == 0
    assert gateway.ask("GET", place("anti2", "unread")).json["count"] == 1


def test_an_acknowledgement_moves_the_watermark_and_never_back(gateway: RealGateway) -> None:
    for number in range(1, 6):
        gateway.send(letter(number))
    assert gateway.ask("POST", place("desk/bob", "ack"), {"up_to": 4}).json["up_to"] == 4
    assert gateway.ask("POST", place("desk/bob", "ack"), {"up_to": 2}).json["up_to"] == 4
    assert gateway.ask("GET", place("desk/bob", "unread")).json["count"] == 1
    assert gateway.ask("POST", place("desk/bob", "ack"), {"ids": [letter(5)["message_id"]]}).json["up_to"] == 5
    assert gateway.ask("POST", place("desk/bob", "ack"), {"up_to": 9}).status == 400
    other = gateway.ask("POST", place("desk/bob", "ack"), {"up_to": 5, "store": "elsewhere"})
    assert (other.status, other.code) == (409, "other_store")


def test_pages_stay_small_and_hide_nothing(gateway: RealGateway) -> None:
    count = 130
    for number in range(1, count + 1):
        gateway.send(letter(number, body="\x01" * 60_000))  # six times as long in JSON
    after, found = 0, []
    while True:
        page = gateway.ask("GET", f"{place('desk/bob', 'unread')}?after={after}")
        assert page.size < 8 * 1024 * 1024
        assert page.json["count"] == count
        found += [one["sequence"] for one in page.json["letters"]]
        if page.json["next_after"] is None:
            break
        after = page.json["next_after"]
        assert page.json["up_to"] == after
    assert found == list(range(1, count + 1))
    assert page.json["up_to"] == count


def test_a_thread_is_found_by_its_exact_id(gateway: RealGateway) -> None:
    root = letter(1)
    reply = {**letter(2, to="desk/ada", sender="desk/bob"), "correlation_id": root["message_id"]}
    for one in (root, reply, letter(3)):
        gateway.send(one)
    told = gateway.ask("GET", f"/v1/threads/{root['message_id']}?limit=1").json
    assert [one["message_id"] for one in told["messages"]] == [root["message_id"]]
    rest = gateway.ask("GET", f"/v1/threads/{root['message_id']}?after={told['next_after']}").json
    assert [one["message_id"] for one in rest["messages"]] == [reply["message_id"]]
    assert rest["next_after"] is None
    assert gateway.ask("GET", f"/v1/threads/{letter(9)['message_id']}").status == 404


# Claims


def test_claims_follow_the_rules_of_the_library(gateway: RealGateway) -> None:
    mine = gateway.ask("POST", "/v1/claims", {"task": "T-1", "owner": "desk/ada"})
    theirs = gateway.ask("POST", "/v1/claims", {"task": "T-1", "owner": "desk/bob"})
    assert mine.status == 200
    assert (theirs.status, theirs.json["reason"]) == (409, "existing_owner_active")
    token = {"owner": "desk/ada", "token": mine.json["token"]}
    assert gateway.ask("POST", "/v1/claims/T-1/renew", token).json["fence"] == mine.json["fence"]
    assert gateway.ask("POST", "/v1/claims/T-1/release", {**token, "status": "complete"}).json["status"] == "complete"
    assert gateway.ask("GET", "/v1/tasks/T-1").json["status"] == "complete"
    assert gateway.ask("POST", "/v1/claims/T-9/renew", token).status == 404
    assert "token" not in str(gateway.ask("GET", "/v1/tasks?status=all").json)


def test_naming_an_owner_does_not_give_away_its_token(gateway: RealGateway) -> None:
    mine = gateway.ask("POST", "/v1/claims", {"task": "T-1", "owner": "desk/ada"}).json
    other = gateway.ask("POST", "/v1/claims", {"task": "T-1", "owner": "desk/ada"}).json
    assert other["token"] != mine["token"]
    assert other["fence"] > mine["fence"], "the first token is dead, as after a restart of its owner"
    old = {"owner": "desk/ada", "token": mine["token"]}
    assert gateway.ask("POST", "/v1/claims/T-1/renew", old).json["reason"] == "attempt_token_mismatch"
    assert gateway.ask("POST", "/v1/claims/T-1/renew", {"owner": "desk/ada"}).status == 400


def test_of_many_claims_at_once_one_wins(gateway: RealGateway) -> None:
    answers: list[int] = []

    def claim(number: int) -> None:
        body = {"task": "T-1", "owner": f"desk/{number}"}
        answers.append(gateway.ask("POST", "/v1/claims", body).status)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(answers) == [200] + [409] * 11


# What is refused


def test_a_gateway_only_reads_unless_it_is_allowed_more(tmp_path: Path) -> None:
    reading = RealGateway(tmp_path / "state")
    try:
        assert (reading.send(letter(1)).status, reading.send(letter(1)).code) == (403, "read_only")
        assert reading.ask("POST", "/v1/claims", {"task": "T", "owner": "a"}).code == "read_only"
        assert reading.ask("GET", place("desk/bob", "unread")).json["count"] == 0
        assert reading.ask("GET", "/health").json["ok"] is True
    finally:
        reading.end()
    with SharedState.open(tmp_path / "state") as state:
        assert state.inbox.agents() == []


@pytest.mark.parametrize(
    "given", [None, "Bearer wrong-token-of-tests", f"Basic {TOKEN}", "Bearer", TOKEN, f"Bearer {TOKEN}x"]
)
def test_without_the_token_nothing_is_told(refusing: RealGateway, given: str | None) -> None:
    assert refusing.ask("GET", "/v1/tasks", Authorization=given).status == 401
    assert refusing.ask("GET", "/v1/schema", Authorization=given).status == 401
    assert refusing.ask("GET", "/health", Authorization=given).json == {"schema": 1, "ok": True}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
def test_a_host_header_of_somebody_else_is_refused(refusing: RealGateway, host: str) -> None:
    assert refusing.ask("GET", "/v1/tasks", Host=host).status in (400, 421)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost.evil.example", "file://"])
def test_a_web_page_of_somebody_else_is_refused(refusing: RealGateway, origin: str) -> None:
    assert refusing.ask("GET", "/v1/tasks", Origin=origin).code == "wrong_origin"


def test_pages_of_loopback_may_ask(refusing: RealGateway) -> None:
    assert refusing.ask("GET", "/v1/tasks", Origin=f"http://localhost:{refusing.port}").status == 200


@pytest.mark.parametrize(
    "raw, status",
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"up_to": 1, "up_to": 2}', 400),
        (b'{"up_to": NaN}', 400),
        (b'{"up_to": true}', 400),
        (b'{"up_to": -1}', 400),
        (b'{"up_to": 1.0}', 400),
        (b'{"other": 1}', 400),
        (b"{}", 400),
        (b'{"up_to": 0, "ids": ["x"]}', 400),
        (b'{"ids": []}', 400),
        (b"[" * 100_000, 400),
        (b'{"ids": ["' + b"x" * (1024 * 1024) + b'"]}', 413),
        (JSON_BODY, 200),
    ],
)
def test_bodies_that_are_not_right_are_refused(refusing: RealGateway, raw: bytes, status: int) -> None:
    assert refusing.ask("POST", place("desk/bob", "ack"), raw=raw).status == status


def test_a_body_of_no_told_length_is_bounded_too(refusing: RealGateway) -> None:
    with socket.create_connection(("127.0.0.1", refusing.port), timeout=WAIT_S) as sock:
        head = f"POST {place('desk/bob', 'ack')} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        sock.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            for _ in range(40):
                sock.sendall(piece)
        except OSError:
            pass  # it has hung up, with or without an answer that could still be read
        try:
            answer = sock.recv(1000)
        except OSError:
            answer = b""
    assert answer == b"" or b" 413 " in answer
    assert refusing.ask("GET", "/health").status == 200


def test_a_body_of_two_lengths_is_refused_and_nothing_after_it_is_a_request(refusing: RealGateway) -> None:
    """A proxy in front that believes the other length would let one client's body be another's request."""
    head = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    smuggled = f"GET /v1/tasks HTTP/1.1\r\n{head}\r\n"
    with socket.create_connection(("127.0.0.1", refusing.port), timeout=WAIT_S) as sock:
        lengths = f"Content-Length: {5 + len(smuggled)}\r\nTransfer-Encoding: chunked\r\n"
        kind = "Content-Type: application/json\r\n"
        sock.sendall(f"POST /v1/messages HTTP/1.1\r\n{head}{kind}{lengths}\r\n0\r\n\r\n{smuggled}".encode())
        answer = b""
        while piece := sock.recv(65_536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_only_json_is_taken(refusing: RealGateway, kind: str | None) -> None:
    assert refusing.ask("POST", place("desk/bob", "ack"), raw=JSON_BODY, Content_Type=kind).status == 415


@pytest.mark.parametrize(
    "path, status",
    [
        ("/v1/tasks?limit=0", 400),
        ("/v1/tasks?limit=1001", 400),
        ("/v1/tasks?limit=x", 400),
        ("/v1/tasks?limit=1&limit=2", 400),
        ("/v1/tasks?lim=1", 400),
        ("/v1/tasks?status=open", 400),
        ("/v1/tasks/%00", 400),
        ("/v1/agents/%ff/inbox", 400),
        ("/v1/tasks/nix", 404),
        ("/v1/nix", 404),
        ("/v1/agents/*/unread", 400),
        ("/v1/threads/nix", 400),
    ],
)
def test_wrong_requests_say_what_is_wrong(refusing: RealGateway, path: str, status: int) -> None:
    answer = refusing.ask("GET", path)
    assert answer.status == status
    assert answer.json["error"]["message"]
    assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]


def test_the_request_id_of_a_client_comes_back_when_it_is_harmless(refusing: RealGateway) -> None:
    assert refusing.ask("GET", "/health", X_Request_Id="mine-1").headers["x-request-id"] == "mine-1"
    assert refusing.ask("GET", "/health", X_Request_Id="no spaces;").headers["x-request-id"] != "no spaces;"


def test_health_is_red_when_a_store_does_not_answer(tmp_path: Path) -> None:
    gateway = RealGateway(tmp_path / "state", "--allow-write", env={"SHARED_STATE_LOCK_TIMEOUT_MS": "1000"})
    try:
        assert gateway.ask("POST", place("desk/bob", "ack"), {"up_to": 0}).status == 200
        assert gateway.ask("GET", "/health").status == 200
        held = [path.open("rb") for path in (gateway.root / "local" / "locks").iterdir()]
        for one in held:
            fcntl.flock(one, fcntl.LOCK_EX)
        threading.Event().wait(1.1)  # a look is believed for a second
        sick = gateway.ask("GET", "/health")
        assert (sick.status, sick.json["ok"]) == (503, False)
        assert sick.json["checks"]["shared_store_read"]["ok"]
        assert sick.json["checks"]["shared_store_write"] == {"ok": False, "code": "store_busy"}
        busy = gateway.ask("POST", place("desk/bob", "ack"), {"up_to": 0})
        assert (busy.status, busy.headers["retry-after"], busy.json["error"]["retryable"]) == (503, "1", True)
        for one in held:
            one.close()
        assert gateway.send(letter(1)).status == 201
    finally:
        assert gateway.end() == 0


def test_a_store_that_hangs_holds_up_nobody_who_does_not_need_it(tmp_path: Path) -> None:
    """Whoever can reach the port may ask for /health; asking must not stop the gateway while a lock is held."""
    gateway = RealGateway(tmp_path / "state", "--allow-write", env={"SHARED_STATE_LOCK_TIMEOUT_MS": "6000"})
    try:
        assert gateway.ask("POST", place("desk/bob", "ack"), {"up_to": 0}).status == 200
        assert gateway.ask("GET", "/health").status == 200
        held = [path.open("rb") for path in (gateway.root / "local" / "locks").iterdir()]
        for one in held:
            fcntl.flock(one, fcntl.LOCK_EX)
        threading.Event().wait(1.1)  # a look is believed for a second
        asked = [
            threading.Thread(target=gateway.ask, args=("GET", "/health"), kwargs={"Authorization": token})
            for token in (None, f"Bearer {TOKEN}")
        ]
        for thread in asked:
            thread.start()
        threading.Event().wait(0.3)
        began = time.monotonic()
        assert gateway.ask("GET", "/v1/schema").status == 200
        assert time.monotonic() - began < 3
        for one in held:
            one.close()
        for thread in asked:
            thread.join(WAIT_S)
    finally:
        gateway.end()


def test_connections_that_say_nothing_are_closed_and_keep_nobody_out(tmp_path: Path) -> None:
    """Whoever can reach the port could else keep everybody out, with 200 of them and no token."""
    gateway = RealGateway(tmp_path / "state")
    try:
        silent = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(210)]
        for one in silent[::2]:
            one.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        deadline = time.monotonic() + 30
        while _status(gateway) != 200:
            assert time.monotonic() < deadline, "kept out"
            threading.Event().wait(0.5)
        for one in silent:
            one.close()
    finally:
        gateway.end()


def _status(gateway: RealGateway) -> int:
    """Of /health; the refusal of a full server is no JSON."""
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    finally:
        connection.close()


# Lanes


def test_a_gateway_is_not_held_to_the_rights_of_the_lane_it_was_started_in(tmp_path: Path) -> None:
    (tmp_path / "sharedstate.toml").write_text('[lanes.keeper]\nrights = ["start"]\n')
    made = RealGateway(tmp_path / "state", "--allow-write", env={"SHARED_STATE_LANE": "keeper"})
    try:
        assert made.url, made.process.communicate()
        assert made.send(letter(1)).status == 201
        assert made.ask("GET", place("desk/bob", "unread")).json["count"] == 1
        assert made.ask("POST", "/v1/claims", {"task": "T-1", "owner": "ws/one"}).status == 200
    finally:
        made.end(signal.SIGKILL)


def test_a_message_from_a_clock_far_ahead_is_refused_as_the_description_says(refusing: RealGateway) -> None:
    answer = refusing.send({**letter(9), "created_at": "2099-01-01T00:00:00Z"})
    assert (answer.status, answer.code) == (422, "rejected")
    assert answer.json["error"]["message"].startswith("ahead: ")
