"""The simulated disk answers every file call as a real directory does: the same calls on both, step by step."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharedstate.host import Host
from sharedstate.testing.disk import SimDisk, SimHost
from sharedstate.testing.interposed import InterposedHost

_NAMES = st.sampled_from(
    ("a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "../d", "d/..", ".", "a/b", "link", "link/a", "dead", "fifo",
     "loop", "loop/x", "", "x" * 255, "x" * 256, "none/x", "d//a", "./a")
)  # fmt: skip
_FLAGS = st.sampled_from(
    (
        os.O_RDONLY,
        os.O_WRONLY,
        os.O_RDWR,
        os.O_RDWR | os.O_CREAT,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        os.O_RDWR | os.O_TRUNC,
        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        os.O_RDONLY | os.O_DIRECTORY,
    )
)
_SLOT = st.integers(0, 5)
_CALLS = st.one_of(
    st.tuples(st.just("open"), _NAMES, _FLAGS),
    st.tuples(st.just("open"), _NAMES, _FLAGS),
    st.tuples(st.just("open_dir"), _NAMES),
    st.tuples(st.just("lstat"), _NAMES),
    st.tuples(st.just("rename"), _NAMES, _NAMES),
    st.tuples(st.just("unlink"), _NAMES),
    st.tuples(st.just("mkdir"), _NAMES),
    st.tuples(st.just("close"), _SLOT),
    st.tuples(st.just("pread"), _SLOT, st.integers(0, 20), st.integers(-1, 30)),
    st.tuples(st.just("pwrite"), _SLOT, st.binary(max_size=20), st.integers(-1, 30)),
    st.tuples(st.just("fsync"), _SLOT),
    st.tuples(st.just("fdatasync"), _SLOT),
    st.tuples(st.just("fstat"), _SLOT),
    st.tuples(st.just("listdir"), _SLOT),
    st.tuples(st.just("try_lock"), _SLOT),
    st.tuples(st.just("unlock"), _SLOT),
)


class _Side:
    """One of the two machines: a base directory, and descriptors by the order of their opening."""

    def __init__(self, host: Host, base: str) -> None:
        self.host = host
        self.base = host.open_dir(base)
        self.opened: list[int | None] = []

    def answer(self, call: tuple[Any, ...]) -> Any:
        operation, *arguments = call
        try:
            if operation in ("open", "open_dir"):
                self.opened.append(getattr(self.host, operation)(*arguments, dir_fd=self.base))
                return "opened"
            if operation in ("lstat", "rename", "unlink", "mkdir"):
                return self._shown(getattr(self.host, operation)(*arguments, dir_fd=self.base))
            return self._by_descriptor(operation, *arguments)
        except OSError as error:
            return os.strerror(error.errno or 0)

    def _by_descriptor(self, operation: str, slot: int, *rest: Any) -> Any:
        if slot >= len(self.opened) or self.opened[slot] is None:
            return "not open"
        fd = self.opened[slot]
        if operation == "close":
            self.opened[slot] = None
        return self._shown(getattr(self.host, operation)(fd, *rest))

    def _shown(self, result: Any) -> Any:
        if isinstance(result, list):
            return sorted(result)
        if hasattr(result, "is_file"):
            return (
                result.is_file,
                result.is_dir,
                result.is_file and (result.size, result.links, result.mode),
                result.uid,
            )
        return result

    def contents(self) -> Any:
        return self._below(self.base)

    def _below(self, folder: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in sorted(self.host.listdir(folder)):
            info = self.host.lstat(name, dir_fd=folder)
            if info.is_dir:
                below = self.host.open_dir(name, dir_fd=folder)
                found[name] = self._below(below)
                self.host.close(below)
            elif info.is_file:
                fd = self.host.open(name, os.O_RDONLY, dir_fd=folder)
                found[name] = (self.host.pread(fd, 1000, 0), info.links)
                self.host.close(fd)
            else:
                found[name] = "special"
        return found

    def close(self) -> None:
        for fd in [*self.opened, self.base]:
            if fd is not None:
                self.host.close(fd)


def _real(base: str) -> _Side:
    os.makedirs(f"{base}/d", 0o700)
    with open(f"{base}/a", "wb") as file:
        file.write(b"hello")
    os.chmod(f"{base}/a", 0o600)
    os.symlink("d", f"{base}/link")
    os.symlink("nowhere", f"{base}/dead")
    os.symlink("loop", f"{base}/loop")
    os.mkfifo(f"{base}/fifo")
    return _Side(Host(), base)


def _simulated(base: str) -> _Side:
    disk = SimDisk()
    disk.write(f"{base}/a", b"hello")
    disk.write(f"{base}/d/x", b"")
    disk.remove(f"{base}/d/x")
    disk.plant_link(f"{base}/link", "d")
    disk.plant_link(f"{base}/dead", "nowhere")
    disk.plant_link(f"{base}/loop", "loop")
    disk.plant_fifo(f"{base}/fifo")
    return _Side(disk.host(), base)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls=st.lists(_CALLS, max_size=40))
def test_every_call_answers_as_on_a_real_directory(calls: list[tuple[Any, ...]]) -> None:
    top = tempfile.mkdtemp()
    base = f"{top}/base"
    real, simulated = _real(base), _simulated(base)
    try:
        for number, call in enumerate(calls):
            assert simulated.answer(call) == real.answer(call), f"call {number}: {call}"
        assert simulated.contents() == real.contents()
    finally:
        real.close()
        shutil.rmtree(top)


def _inherited(kind: type[Host]) -> set[str]:
    names = {name for name, value in vars(Host).items() if callable(value) and not name.startswith("_")}
    return {name for name in names if getattr(kind, name) is getattr(Host, name)}


def test_sim_host_simulates_every_public_call_of_the_host() -> None:
    assert _inherited(SimHost) == set(), "these would reach the real machine"


def test_interposed_host_forwards_every_public_call_of_the_host() -> None:
    assert _inherited(InterposedHost) == set(), "these would pass by the host inside"
