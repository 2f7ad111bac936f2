"""The proxy that breaks connections breaks them as it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from sharedstate.testing.proxy import FaultProxy

ANSWER = b"answer" * 10


@pytest.fixture
def echo() -> Iterator[tuple[tuple[str, int], list[bytes]]]:
    """A server that notes what it gets and answers every line."""
    got: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(sock,), daemon=True).start()

    def answer(sock: socket.socket) -> None:
        with sock:
            try:
                while piece := sock.recv(1000):
                    got.append(piece)
                    sock.sendall(ANSWER)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield ("127.0.0.1", server.getsockname()[1]), got
    server.close()


def asked(proxy: FaultProxy, *, wait_s: float = 5.0) -> bytes | str:
    """What comes back for one line: all of it, or the name of the error."""
    got = b""
    try:
        with socket.create_connection(proxy.address, timeout=wait_s) as sock:
            sock.sendall(b"question\n")
            while len(got) < len(ANSWER) and (piece := sock.recv(1000)):
                got += piece
    except TimeoutError:
        return got or "timeout"
    except ConnectionError:
        return "reset"
    return got


def test_pass_and_slow_change_nothing(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0], script=["pass", "slow"]) as proxy:
        assert [asked(proxy), asked(proxy)] == [ANSWER, ANSWER]
    assert [(one.fault, one.there, one.back) for one in proxy.log] == [
        ("pass", 9, len(ANSWER)),
        ("slow", 9, len(ANSWER)),
    ]


def test_a_refused_or_reset_connection_gives_no_answer(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0], script=["refuse", "reset"]) as proxy:
        assert asked(proxy) in ("reset", b"")
        assert asked(proxy) in ("reset", b"")
    assert b"".join(echo[1]) in (b"", b"ques"), "of a reset request at most a half arrives"


def test_a_lost_answer_comes_after_the_whole_request(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0], script=["lose_answer"]) as proxy:
        assert asked(proxy) in ("reset", b"")
    assert b"".join(echo[1]) == b"question\n"


def test_a_cut_answer_is_half_of_it(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0], script=["cut"]) as proxy:
        assert asked(proxy) == ANSWER[: len(ANSWER) // 2]


def test_hanging_and_trickling_take_longer_than_one_waits(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0], script=["hang", "trickle"], pause_s=0.02) as proxy:
        assert asked(proxy, wait_s=0.3) == "timeout"
        assert asked(proxy) == ANSWER


def test_a_seed_makes_the_same_faults_again(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    def faults(seed: int) -> list[str]:
        with FaultProxy(echo[0], mix=["pass", "refuse", "cut"], seed=seed) as proxy:
            for _ in range(12):
                asked(proxy)
        return [one.fault for one in sorted(proxy.log, key=lambda one: one.number)]

    assert faults(3) == faults(3) != faults(4)


def test_dropped_connections_are_reset(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy, socket.create_connection(proxy.address, timeout=5) as sock:
        sock.sendall(b"question\n")
        assert sock.recv(1000)
        proxy.drop_connections()
        try:
            rest = sock.recv(1000)
        except ConnectionError:
            rest = b""
        assert rest == b""
