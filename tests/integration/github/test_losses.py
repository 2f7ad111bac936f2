"""What is said when no whole answer arrives: one sentence, made from what the sockets of this machine really raise."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.sync.board import Failed
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.edge import Edge
from sharedstate_adapters.github.losses import loss_of
from sharedstate_adapters.github.opening import github_edge

RAW = ("HTTPConnectionPool", "HTTPSConnectionPool", "Max retries", "url:", "Errno", "0x", "Caused by", "Error(")


@contextmanager
def answering(raw: bytes, *, holds: bool = False) -> Generator[str]:
    """A server that sends these bytes, and closes unless it `holds`; its host and port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            for _ in range(2):
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(raw)
                    if holds:
                        done.wait(5)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        done.set()


def edge_of(url: str) -> Edge:
    settings = resolve({"github_api_url": url, "github_deadline_ms": 1_000}, env={}, folder="/")
    return github_edge(settings, MemoryStore(), Host(), env={"GITHUB_TOKEN": "t0ken"})


def lost(url: str) -> Failed:
    answer = edge_of(url).call("POST", "/repos/acme/app/issues/1/comments", body={"body": "x"})
    assert isinstance(answer, Failed)
    assert answer.kind == "transient"
    assert not [mark for mark in (*RAW, "t0ken") if mark in answer.detail], answer.detail
    assert len(answer.detail) < 120
    return answer


def test_a_refused_connection_names_host_and_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
    answer = lost(f"http://{host}")
    assert answer.detail == f"no connection to {host} (Connection refused); try again later"
    assert not answer.applied


def test_an_unknown_name_is_said_to_be_one() -> None:
    answer = lost("https://github.invalid/api/v3")
    assert answer.detail == "the name of github.invalid could not be looked up; try again later"
    assert not answer.applied


@pytest.mark.parametrize(
    "raw,holds,said",
    [
        (b"", False, "broke off before its answer was whole"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", False, "broke off before its answer was whole"),
        (b"no HTTP at all\r\n\r\n", False, "broke off before its answer was whole"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde", False, "broke off before"),
        (b"", True, "gave no whole answer in time"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", True, "gave no whole answer in time"),
    ],
)
def test_a_lost_answer_may_have_been_a_write_that_was_carried_out(raw: bytes, holds: bool, said: str) -> None:
    with answering(raw, holds=holds) as host:
        answer = lost(f"http://{host}")
    assert said in answer.detail
    assert host in answer.detail
    assert answer.applied


def test_a_broken_tls_handshake_is_no_proof_that_nothing_was_carried_out() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as host:
        answer = lost(f"https://{host}")
    assert answer.detail == f"TLS with {host} failed; try again later"
    assert answer.applied


def test_the_password_of_a_proxy_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:pa55word@127.0.0.1:1")
    answer = lost("https://github.invalid")
    assert answer.detail == "the proxy on the way to github.invalid could not be used; try again later"
    assert not answer.applied


def test_what_nobody_has_thought_of_is_named_and_counts_as_perhaps_carried_out() -> None:
    loss = loss_of(ValueError("odd\nthing"), host="github.test")
    assert (loss.text, loss.reached) == ("the request to github.test failed: ValueError: odd thing", True)
