"""Machines with a network of their own and a cable that can be pulled: packets vanish, nobody is told anything."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
import time
from typing import Final, Self

from sharedstate.testing.proxy import FaultProxy

_CLONE_NEWNET: Final = 0x40000000
_LIFE_S: Final = 900  # also when the test run is killed
_START_S_MAX: Final = 10.0
_HERE, _THERE = "10.0.0.1", "10.0.0.2"


def why_not() -> str:
    """Why no machine can be made here; empty where one can."""
    if not all(shutil.which(program) for program in ("unshare", "nsenter", "ip")):
        return "the programs unshare, nsenter and ip are needed"
    ran = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    return "" if ran.returncode == 0 else "no right to make network namespaces"


class Machine:
    """A network namespace of its own, joined by a cable to another one, where a way to a local port begins.

    `prefix`: what a process is to be started by to run there. `address`: where it finds the port.
    """

    def __init__(self, port: int) -> None:
        words = ["unshare", "--net", "sleep", str(_LIFE_S)]
        self._holders = [subprocess.Popen(words) for _ in range(2)]
        near, far = (holder.pid for holder in self._holders)
        deadline_s = time.monotonic() + _START_S_MAX
        while any(os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net") for pid in (near, far)):
            assert time.monotonic() < deadline_s, "no network of its own"
            time.sleep(0.005)
        self.prefix = ["nsenter", f"--target={far}", "--net", "--"]
        self._switch = ["nsenter", f"--target={near}", "--net", "--", "ip", "link", "set", "cable"]
        _ip(near, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(far))
        for pid, address in ((near, _HERE), (far, _THERE)):
            _ip(pid, "address", "add", f"{address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                _ip(pid, "link", "set", device, "up")
        self._proxy = FaultProxy(("127.0.0.1", port), listener=_listener_in(near))
        self.address = self._proxy.address

    def unplug(self) -> None:
        """Pull the cable."""
        subprocess.run([*self._switch, "down"], check=True)

    def plug(self) -> None:
        """Put it in again."""
        subprocess.run([*self._switch, "up"], check=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.close()
        for holder in self._holders:
            holder.kill()
            holder.wait()


def _ip(pid: int, *words: str) -> None:
    subprocess.run(["nsenter", f"--target={pid}", "--net", "--", "ip", *words], check=True)


def _listener_in(pid: int) -> socket.socket:
    """A socket that listens in the network of a process: a thread goes there to make it, and ends."""
    made: list[socket.socket] = []

    def make() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{pid}/ns/net", "rb") as network:
            if libc.setns(network.fileno(), _CLONE_NEWNET):
                return
        made.append(socket.create_server((_HERE, 0), backlog=256))

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    assert made, "the network could not be entered"
    return made[0]
