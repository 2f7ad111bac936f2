"""The life of gateways: ports, the owner guard, ends of every kind, the description put to the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from sharedstate import SharedState
from sharedstate.errors import EXIT_CONFIG, EXIT_REFUSED, EXIT_RETRY, EXIT_USAGE
from tests.integration.http.gateways import TOKEN, WAIT_S, RealGateway, letter, place

SENDERS = 6
ANSWERS = 41
ANSWER_S_MAX = 0.02


def serve(root: Path, *options: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """A gateway that is expected to end by itself."""
    argv = [sys.executable, "-m", "sharedstate_cli", "serve", "--json", "--dir", str(root), *options]
    env = {**os.environ, "SHARED_STATE_HTTP_TOKEN": token}
    return subprocess.run(argv, capture_output=True, text=True, timeout=WAIT_S, env=env, check=False)


def test_an_answer_does_not_wait_for_the_network_to_acknowledge_its_beginning(tmp_path: Path) -> None:
    gateway = RealGateway(tmp_path / "state")
    line = HTTPConnection("127.0.0.1", gateway.port, timeout=WAIT_S)
    taken: list[float] = []
    for _ in range(ANSWERS):
        began_s = time.perf_counter()
        line.request("GET", "/v1/no-such-place", headers={"Authorization": f"Bearer {TOKEN}"})
        assert line.getresponse().read()
        taken.append(time.perf_counter() - began_s)
    line.close()
    gateway.end(signal.SIGTERM)
    assert sorted(taken)[ANSWERS // 2] < ANSWER_S_MAX, "a delayed ACK costs 40 ms for each answer"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_was_acknowledged_survives_the_end_of_the_gateway(tmp_path: Path, how: signal.Signals) -> None:
    gateway = RealGateway(tmp_path / "state", "--allow-write")
    acknowledged: list[str] = []
    begun = threading.Barrier(SENDERS + 1)

    def send(first: int) -> None:
        begun.wait()
        for number in range(first, first + 500):
            envelope = letter(number)
            try:
                if gateway.send(envelope).status == 201:
                    acknowledged.append(envelope["message_id"])
            except (OSError, HTTPException):
                return  # the gateway is gone

    threads = [threading.Thread(target=send, args=(1 + at * 500,)) for at in range(SENDERS)]
    for thread in threads:
        thread.start()
    begun.wait()
    while len(acknowledged) < 40:
        time.sleep(0.01)
    code = gateway.end(how)
    for thread in threads:
        thread.join(WAIT_S)
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    assert len(acknowledged) < SENDERS * 500, "the gateway ended before the senders did"
    with SharedState.open(tmp_path / "state") as state:
        there = [one.id for one in state.inbox.list("desk/bob")]
    assert len(there) == len(set(there))
    assert set(acknowledged) <= set(there)


def test_two_gateways_over_one_store_are_one_service(tmp_path: Path) -> None:
    first = RealGateway(tmp_path / "state", "--allow-write")
    second = RealGateway(tmp_path / "state", "--allow-write", "--fallback-port", "0", port=first.port)
    try:
        assert (first.told["service"], second.told["service"]) == ("gateway", "gateway-fallback")
        assert first.port != second.port
        assert first.send(letter(1)).status == 201
        assert second.send(letter(1)).status == 200, "the fallback knows what the primary took"
        assert second.send(letter(2)).status == 201
        told = [one.ask("GET", place("desk/bob", "unread")).json for one in (first, second)]
        assert told[0] == told[1]
        assert told[0]["count"] == 2
        assert first.end() == 0
        assert second.ask("POST", place("desk/bob", "ack"), {"up_to": 2}).json["up_to"] == 2
    finally:
        first.end(signal.SIGKILL)
        assert second.end() == 0


def test_a_taken_port_without_a_fallback_is_said(tmp_path: Path) -> None:
    first = RealGateway(tmp_path / "one")
    try:
        ran = serve(tmp_path / "two", "--port", str(first.port))
        assert ran.returncode == EXIT_RETRY
        assert json.loads(ran.stdout)["error"]["code"] == "port_taken"
    finally:
        first.end()


def test_the_owner_guard_may_say_no(tmp_path: Path) -> None:
    first = RealGateway(tmp_path / "state", "--owner", "desk/ada")
    try:
        ran = serve(tmp_path / "state", "--port", "0", "--owner", "desk/bob")
        assert ran.returncode == EXIT_REFUSED
    finally:
        assert first.end() == 0
    again = RealGateway(tmp_path / "state", "--owner", "desk/bob")
    assert again.url, "a start for recovery is open to all"
    assert again.end() == 0


@pytest.mark.parametrize(
    "options, token, code",
    [
        (("--port", "70000"), TOKEN, EXIT_USAGE),
        (("--port", "-1"), TOKEN, EXIT_USAGE),
        ((), "", EXIT_CONFIG),
        ((), "short", EXIT_USAGE),
        ((), "with spaces in the token", EXIT_USAGE),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(
    tmp_path: Path, options: tuple[str, ...], token: str, code: int
) -> None:
    ran = serve(tmp_path / "state", "--port", "0", *options, token=token)
    assert ran.returncode == code, ran.stderr
    if token:
        assert token not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "phases, examples",
    [("fuzzing", "25"), pytest.param("coverage,fuzzing", "300", marks=pytest.mark.soak)],
    ids=["short", "long"],
)
def test_the_gateway_keeps_to_its_own_description(tmp_path: Path, phases: str, examples: str) -> None:
    """Made-up requests, right and wrong ones: no 5xx, no answer that is not in the description."""
    gateway = RealGateway(tmp_path / "state", "--allow-write")
    try:
        for number in range(3):
            gateway.send(letter(number + 1))
        ran = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{gateway.url}/v1/schema"),
                *("--header", f"Authorization: Bearer {TOKEN}", "--seed", "7", "--max-examples", examples),
                *("--checks", "not_a_server_error,response_schema_conformance,status_code_conformance"),
                *("--phases", phases, "--no-color"),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=1500,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-6000:]
        assert "11/11" in ran.stdout, ran.stdout[-3000:]
    finally:
        gateway.end()
