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


def exchange(sock: socket.socket, line: bytes) -> bytes:
    """What comes back for a line on a connection that is kept."""
    sock.sendall(line)
    try:
        return sock.recv(1000)
    except ConnectionError:
        return b""


@pytest.mark.parametrize("after", [0, 3, 9])
def test_a_cut_on_the_way_there_lets_so_many_bytes_pass(echo: tuple[tuple[str, int], list[bytes]], after: int) -> None:
    with FaultProxy(echo[0]) as proxy, socket.create_connection(proxy.address, timeout=5) as sock:
        assert exchange(sock, b"first\n") == ANSWER
        proxy.cut("up", after=after)
        exchange(sock, b"question\n")
        assert proxy.relax() == (after == 9), "all of it passed: the cut is still to come"
        assert proxy.cuts == (after < 9)
        assert asked(proxy) == ANSWER
    assert b"".join(echo[1]) == b"first\n" + b"question\n"[:after] + b"question\n"


def test_a_cut_on_the_way_back_lets_so_many_bytes_pass(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy, socket.create_connection(proxy.address, timeout=5) as sock:
        proxy.cut("down", after=7)
        assert exchange(sock, b"question\n") == ANSWER[:7]
        assert sock.recv(1000) == b"", "an orderly end"
        assert asked(proxy) == ANSWER


def test_what_was_held_back_arrives_after_its_sender_has_gone(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy:
        with socket.create_connection(proxy.address, timeout=5) as sock:
            proxy.hold(after=3)
            assert exchange(sock, b"question\n") == b""
        assert asked(proxy) == ANSWER
        proxy.deliver()
    assert sorted(echo[1]) == sorted([b"que", b"stion\n", b"question\n"])


def test_silence_swallows_answers_and_a_shut_proxy_refuses(echo: tuple[tuple[str, int], list[bytes]]) -> None:
    with FaultProxy(echo[0]) as proxy:
        proxy.silent = True
        assert asked(proxy, wait_s=0.3) == "timeout"
        proxy.silent, proxy.shut = False, True
        assert asked(proxy) in ("reset", b"")
        proxy.shut = False
        assert asked(proxy) == ANSWER
