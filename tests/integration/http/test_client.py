"""The HTTP transport against real gateways and broken connections: in time, by their status, never doubled."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sharedstate import SharedState, jsonio
from sharedstate.errors import BadSettings
from sharedstate.messages.model import Deferred, Delivered, Rejected, Sent
from sharedstate.messages.wire import envelope_of
from sharedstate.testing.proxy import FaultProxy
from sharedstate_adapters.http.client import HttpTransport
from tests.integration.http.gateways import TOKEN, RealGateway, letter, place


@contextmanager
def answering(status: int, body: bytes = b"{}", **headers: str) -> Generator[str]:
    """A server that answers every request alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - reason: its name in the library
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def one_answer(status: int, broken: str) -> Generator[str]:
    """A server that answers one connection with this status, and a body that is cut, without end, or trickles."""

    def serve() -> None:
        connection = listening.accept()[0]
        with connection:
            connection.recv(65_536)
            connection.sendall(f"HTTP/1.1 {status} So\r\nContent-Length: 1000000\r\n\r\n{{".encode())
            try:
                if broken == "endless":
                    connection.sendall(b" " * 200_000)
                elif broken == "trickled":
                    over.wait(10)
            except OSError:
                pass  # it has had enough

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join(10)


def tried(url: str, *, timeout_s: float = 5.0, number: int = 1) -> Delivered | Rejected | Deferred:
    transport = HttpTransport(url, token=TOKEN)
    try:
        return transport.deliver(envelope_of(letter(number)), timeout_s=timeout_s)
    finally:
        transport.close()


@pytest.mark.parametrize(
    "status, kind",
    [
        *[(status, Delivered) for status in (200, 201, 202, 204)],
        *[(status, Deferred) for status in (301, 302, 307, 408, 409, 425, 429, 500, 502, 503, 504, 599)],
        *[(status, Rejected) for status in (400, 401, 403, 404, 405, 410, 413, 415, 422, 451)],
    ],
)
def test_only_the_status_decides(status: int, kind: type) -> None:
    for body in (b"{}", b'{"ok": true, "duplicate": false}', b"error", b""):
        with answering(status, b"" if status == 204 else body) as url:
            assert isinstance(tried(url), kind)


def test_a_taken_id_is_refused_for_good() -> None:
    with answering(409, b'{"error": {"code": "id_conflict", "message": "other content"}}') as url:
        assert tried(url) == Rejected(via=url, reason="HTTP 409: id_conflict: other content", status=409)


def test_a_redirect_is_not_followed() -> None:
    with answering(201) as elsewhere, answering(307, Location=elsewhere) as url:
        assert tried(url) == Deferred(via=url, reason="HTTP 307: a redirect, which is not followed", status=307)


@pytest.mark.parametrize("token", [TOKEN, 'a"quoted\\token'])
def test_a_server_that_repeats_the_token_does_not_get_it_into_what_is_told(token: str) -> None:
    body = jsonio.encode({"error": {"code": "unauthorized", "message": f"no such token: {token}, at all"}})
    with answering(401, body) as url:
        answer = HttpTransport(url, token=token).deliver(envelope_of(letter(1)), timeout_s=5.0)
        assert answer == Rejected(via=url, reason="HTTP 401: unauthorized: no such token: …, at all", status=401)


@pytest.mark.parametrize(
    "text, wait_ms",
    [("7", 7_000), ("99999999", 86_400_000), ("soon", None), ("-1", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_retry_after_is_understood(text: str, wait_ms: int | None) -> None:
    with answering(503, Retry_After=text) as url:
        answer = tried(url)
        assert isinstance(answer, Deferred)
        assert answer.retry_after_ms == wait_ms


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://user:secret@127.0.0.1:1",
        "ftp://127.0.0.1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1:x",
    ],
)
def test_a_url_that_is_no_endpoint_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(BadSettings) as caught:
        HttpTransport(url)
    assert "secret" not in str(caught.value)


def test_nobody_there_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = tried(f"http://127.0.0.1:{port}")
    assert answer == Deferred(via=f"http://127.0.0.1:{port}", reason="no connection (refused, or no way there)")
    assert isinstance(tried("http://no-such-host.invalid", timeout_s=2.0), Deferred)


@pytest.mark.parametrize("body", [b'{"ok": false}', b'{"ok": true, "id": "01J00000000000000000000000"}'])
def test_a_success_whose_answer_names_another_outcome_is_tried_again(body: bytes) -> None:
    with answering(200, body) as url:
        answer = tried(url)
    assert isinstance(answer, Deferred)
    assert (answer.status, answer.reason.partition(",")[0]) == (200, "HTTP 200")


@pytest.mark.parametrize(
    "status, kind, broken",
    [
        *[(201, Delivered, broken) for broken in ("cut", "endless", "trickled")],
        *[(302, Deferred, "cut"), (403, Rejected, "cut"), (409, Deferred, "cut"), (503, Deferred, "trickled")],
    ],
)
def test_a_status_counts_also_when_the_body_behind_it_does_not_come_whole(status: int, kind: type, broken: str) -> None:
    with one_answer(status, broken) as url:
        assert isinstance(tried(url, timeout_s=1.0), kind)


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_a_try_is_over_by_its_deadline(fault: Any) -> None:
    with answering(503, b"{" + b" " * 5_000 + b"}") as url:
        target = ("127.0.0.1", int(url.rpartition(":")[2]))
        with FaultProxy(target, default=fault, pause_s=0.1) as proxy:
            began = time.monotonic()
            answer = tried(f"http://127.0.0.1:{proxy.port}", timeout_s=0.5)
            took_s = time.monotonic() - began
    assert isinstance(answer, Deferred)
    assert took_s < 1.5


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    made = RealGateway(tmp_path_factory.mktemp("client") / "state", "--allow-write")
    yield made
    made.end()


@pytest.mark.parametrize("fault", ["refuse", "reset", "cut", "lose_answer", "slow", "pass"])
def test_whatever_happens_to_the_connection_a_message_arrives_once(gateway: RealGateway, fault: Any) -> None:
    agent = f"desk/{fault}"
    with FaultProxy(("127.0.0.1", gateway.port), script=[fault] * 2) as proxy:
        transport = HttpTransport(f"http://127.0.0.1:{proxy.port}", token=TOKEN)
        envelope = envelope_of(letter(hash(fault) % 10_000 + 1, to=agent))
        answers = [transport.deliver(envelope, timeout_s=5) for _ in range(4)]
        transport.close()
    assert isinstance(answers[-1], Delivered), answers
    if fault not in ("slow", "pass", "cut"):  # of a cut answer the status may have come, and it counts
        assert isinstance(answers[0], Deferred)
    assert gateway.ask("GET", place(agent, "unread")).json["count"] == 1


def test_connections_are_used_again(gateway: RealGateway) -> None:
    with FaultProxy(("127.0.0.1", gateway.port)) as proxy:
        transport = HttpTransport(f"http://127.0.0.1:{proxy.port}", token=TOKEN)
        for number in range(20_001, 20_011):
            assert isinstance(transport.deliver(envelope_of(letter(number)), timeout_s=5), Delivered)
        transport.close()
    assert len(proxy.log) == 1


def test_an_outbox_sends_through_the_endpoint_it_is_told(gateway: RealGateway, tmp_path: Path) -> None:
    dead = "http://127.0.0.1:1"
    with SharedState.open(tmp_path / "mine", http_token=TOKEN, endpoints=(dead, gateway.url)) as state:
        sent = state.outbox.send(sender="desk/ada", to="desk/through", body="over the fallback")
        assert isinstance(sent, Sent), sent
        assert sent.via == gateway.url
        with pytest.raises(BadSettings):
            state.outbox.send(sender="desk/ada", to="desk/b", body="x", endpoints=("gopher://x",))
        assert state.outbox.counts().pending == 0
        assert state.inbox.list("desk/through") == [], "it went there and not into the own store"
    assert gateway.ask("GET", place("desk/through", "unread")).json["count"] == 1
