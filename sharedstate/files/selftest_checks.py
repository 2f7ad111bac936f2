"""The checks of `claims selftest`, in the order in which they build on each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from sharedstate.clock import Instant
from sharedstate.files.cells import make_cell
from sharedstate.files.mounts import network_file_system
from sharedstate.files.plain import replace_plain
from sharedstate.files.roots import Root
from sharedstate.files.selftest import FAIL, PASS, UNKNOWN, Bench, Check, Verdict
from sharedstate.files.selftest_peer import whole
from sharedstate.ids import record_name

_COUNTERS: Final = 3
_COUNTS: Final = 100
_CREATORS: Final = 3
_NAMES: Final = 60
_READ_S: Final = 0.6
_SIZES: Final = (300, 3000)
_CLOCK_SAMPLES: Final = 1000
_CLOCK_DRIFT_MS_MAX: Final = 100
_MTIME_TRIES: Final = 20_000
_MTIME_S_MAX: Final = 2.5
_FSYNCS: Final = 5
_KILL_WAIT_S: Final = 2.0
_BOUNDED_MS_MAX: Final = 1000


def file_system(bench: Bench) -> Check:
    """Locks and renames between processes of one machine prove nothing about two machines."""
    kind = network_file_system(bench.folder, host=bench.host)
    if kind:
        return _check(file_system, UNKNOWN, f"{kind} is a network file system: proved below for this machine only")
    return _check(file_system, PASS, "not a network file system that is known as one")


def lock_excludes(bench: Bench) -> Check:
    """A lock held by one process is refused to another, and free again after an unlock."""
    peer, fd = bench.peer(), bench.host.open(bench.make("excludes"), os.O_RDWR)
    try:
        taken = peer.ask("lock", name="excludes")
        both = taken and bench.host.try_lock(fd)
        peer.ask("unlock", name="excludes")
        free = bench.host.try_lock(fd)
    finally:
        bench.host.close(fd)
    if not taken or both:
        return _check(
            lock_excludes, FAIL, "two processes held one exclusive lock" if both else "no lock could be taken"
        )
    return _check(lock_excludes, PASS if free else FAIL, "one holder at a time" if free else "an unlock freed nothing")


def lock_counts(bench: Bench) -> Check:
    """Counting under the lock loses nothing, with several processes at it."""
    bench.make("counter", b"%020d" % 0)
    peers = [bench.peer() for _ in range(_COUNTERS)]
    for peer in peers:
        peer.tell("count", name="counter", times=_COUNTS)
    expected = sum(peer.answer() for peer in peers)
    fd = bench.host.open(bench.path("counter"), os.O_RDONLY)
    try:
        counted = int(bench.host.pread(fd, 20, 0) or b"0")
    finally:
        bench.host.close(fd)
    measured = {"processes": _COUNTERS, "counted": counted, "expected": _COUNTERS * _COUNTS}
    if counted == expected == _COUNTERS * _COUNTS:
        return _check(lock_counts, PASS, f"{counted} changes by {_COUNTERS} processes, none lost", measured)
    return _check(lock_counts, FAIL, f"{expected} changes were made, {counted} are there", measured)


def lock_freed_by_kill(bench: Bench) -> Check:
    """The lock of a killed process is free at once."""
    peer, fd = bench.peer(), bench.host.open(bench.make("killed"), os.O_RDWR)
    try:
        if not peer.ask("lock", name="killed"):
            return _check(lock_freed_by_kill, FAIL, "no lock could be taken")
        peer.kill()
        begun_s, until_s = bench.host.monotonic_s(), bench.until_s(_KILL_WAIT_S)
        while not bench.host.try_lock(fd):
            if bench.host.monotonic_s() > until_s:
                return _check(lock_freed_by_kill, FAIL, f"still held {_KILL_WAIT_S:g} s after its holder was killed")
            bench.host.sleep(0.001)
        freed_ms = round((bench.host.monotonic_s() - begun_s) * 1000, 1)
    finally:
        bench.host.close(fd)
    return _check(lock_freed_by_kill, PASS, f"free {freed_ms} ms after SIGKILL", {"freed_ms": freed_ms})


def lock_survives_close(bench: Bench) -> Check:
    """Closing another descriptor of the same file does not drop the lock (as POSIX record locks would)."""
    path, peer = bench.make("closed"), bench.peer()
    fd = bench.host.open(path, os.O_RDWR)
    try:
        held = bench.host.try_lock(fd)
        bench.host.close(bench.host.open(path, os.O_RDWR))
        stolen = peer.ask("lock", name="closed")
    finally:
        bench.host.close(fd)
    if not held or stolen:
        text = "closing another descriptor dropped the lock" if held else "no lock could be taken"
        return _check(lock_survives_close, FAIL, text)
    return _check(lock_survives_close, PASS, "held until its own descriptor is unlocked")


def lock_waits(bench: Bench) -> Check:
    """A wait for a lock is bounded, and ends when the lock is free."""
    peer, path = bench.peer(), bench.make("waits")
    if not peer.ask("lock", name="waits"):
        return _check(lock_waits, FAIL, "no lock could be taken")
    early, bounded_ms = _waited(bench, path, timeout_s=0.1)
    if early:
        return _check(lock_waits, FAIL, "a held lock was given away")
    peer.tell("unlock", name="waits", after_s=0.05)
    held, waited_ms = _waited(bench, path, timeout_s=2.0)
    peer.answer()
    measured = {"bounded_ms": bounded_ms, "waited_ms": waited_ms}
    if not held or bounded_ms > _BOUNDED_MS_MAX:
        return _check(lock_waits, FAIL, "the wait was not bounded" if held else "never free after the unlock", measured)
    return _check(lock_waits, PASS, f"gave up after {bounded_ms} ms as told, got it after {waited_ms} ms", measured)


def rename_is_atomic(bench: Bench) -> Check:
    """Readers of a file that is being replaced see old or new, never nothing, never a mixture."""
    folder = bench.host.open_dir(bench.folder)
    try:
        _replace(bench, folder, 0)
        peers = [bench.peer() for _ in range(2)]
        for peer in peers:
            peer.tell("read", name="renamed", seconds=_READ_S + 0.2)
        replaced, until_s = 0, bench.until_s(_READ_S + 0.3)
        while bench.host.monotonic_s() < until_s:
            replaced += 1
            _replace(bench, folder, replaced)
        seen = [peer.answer() for peer in peers]
    finally:
        bench.host.close(folder)
    told = {name: sum(one[name] for one in seen) for name in ("reads", "missing", "torn")}
    measured = {**told, "replaced": replaced}
    if told["missing"] or told["torn"]:
        text = f"of {told['reads']} reads {told['missing']} found nothing and {told['torn']} a torn file"
        return _check(rename_is_atomic, FAIL, text, measured)
    if not told["reads"] or replaced < 10:
        return _check(rename_is_atomic, UNKNOWN, "too slow to tell", measured)
    return _check(rename_is_atomic, PASS, f"{told['reads']} reads during {replaced} replacements, all whole", measured)


def create_is_exclusive(bench: Bench) -> Check:
    """Of several processes that create one name with O_EXCL exactly one succeeds."""
    names = [f"won-{number}" for number in range(_NAMES)]
    peers = [bench.peer() for _ in range(_CREATORS)]
    for peer in peers:
        peer.tell("create", names=names)
    winners = [name for peer in peers for name in peer.answer()]
    measured = {"names": _NAMES, "processes": _CREATORS, "winners": len(winners)}
    good = sorted(winners) == sorted(names)
    text = (
        f"{_NAMES} names, {_CREATORS} processes, one winner each"
        if good
        else f"{len(winners)} winners of {_NAMES} names"
    )
    return _check(create_is_exclusive, PASS if good else FAIL, text, measured)


def links_are_refused(bench: Bench) -> Check:
    """A planted link is not followed, and a planted FIFO does not block."""
    target = bench.make("target", b"secret")
    try:
        os.symlink(target, bench.path("link"))
    except OSError as error:
        return _check(links_are_refused, UNKNOWN, f"no links here: {error.strerror}")
    try:
        bench.host.close(bench.host.open(bench.path("link"), os.O_RDONLY))
        return _check(links_are_refused, FAIL, "a planted link was followed")
    except OSError:
        pass  # as it should be
    try:
        os.mkfifo(bench.path("fifo"))
    except (OSError, AttributeError):
        return _check(links_are_refused, PASS, "a planted link is refused; no FIFOs here")
    bench.host.close(bench.host.open(bench.path("fifo"), os.O_RDONLY))
    return _check(links_are_refused, PASS, "a planted link is refused, a planted FIFO does not block")


def fsync_is_accepted(bench: Bench) -> Check:
    """Files and directories can be synced. That the device keeps its word only a power cut can tell."""
    folder, fd = bench.host.open_dir(bench.folder), bench.host.open(bench.make("synced"), os.O_RDWR)
    file_ms, folder_ms = [], []
    try:
        for number in range(_FSYNCS):
            bench.host.pwrite(fd, b"%d" % number, 0)
            file_ms.append(_took_ms(bench, lambda: bench.host.fsync(fd)))
            bench.make(f"synced-{number}")
            folder_ms.append(_took_ms(bench, lambda: bench.host.fsync(folder)))
        bench.host.fdatasync(fd)
    finally:
        bench.host.close(fd)
        bench.host.close(folder)
    measured = {"file_ms": sorted(file_ms)[_FSYNCS // 2], "folder_ms": sorted(folder_ms)[_FSYNCS // 2]}
    text = f"a file takes {measured['file_ms']} ms, a folder {measured['folder_ms']} ms"
    return _check(fsync_is_accepted, PASS, text, measured)


def names_stay_distinct(bench: Bench) -> Check:
    """Ids that differ only in case, accents or length have files of their own, whatever happens to names."""
    ids = ("Task", "task", "t", "t.json", "caf\u00e9", "cafe\u0301", "x" * 199 + "a", "x" * 199 + "b", "CON", "../x")
    for one in ids:
        bench.make(f"{record_name(one)}.json", one.encode())
    broken = [one for one in ids if _content(bench, f"{record_name(one)}.json") != one.encode()]
    bench.make("Case", b"1")
    bench.make("nfc-caf\u00e9", b"1")
    measured = {
        "case_sensitive": not os.path.exists(bench.path("cASE")),
        "keeps_unicode_forms": not os.path.exists(bench.path("nfc-cafe\u0301")),
    }
    if broken:
        return _check(names_stay_distinct, FAIL, f"records of {broken} became one file", measured)
    case = "case matters" if measured["case_sensitive"] else "case does not matter"
    forms = "Unicode forms stay" if measured["keeps_unicode_forms"] else "Unicode forms are unified"
    return _check(
        names_stay_distinct, PASS, f"{len(ids)} awkward ids, {len(ids)} files ({case}, {forms} here)", measured
    )


def clocks_agree(bench: Bench) -> Check:
    """The boot clock never goes back, and runs as fast as the wall clock."""
    first = last = bench.host.now()
    backwards = 0
    for _ in range(_CLOCK_SAMPLES):
        now = bench.host.now()
        backwards += now.boot_ms < last.boot_ms
        last = now
    bench.host.sleep(0.2)
    last = bench.host.now()
    drift_ms = abs((last.at_ms - first.at_ms) - (last.boot_ms - first.boot_ms))
    measured = {"drift_ms": drift_ms, "backwards": backwards, "boot_id": bool(last.boot_id)}
    if backwards:
        return _check(clocks_agree, FAIL, f"the boot clock went back {backwards} times", measured)
    if not last.boot_id:
        return _check(clocks_agree, UNKNOWN, "no boot id: ages are measured by the wall clock alone", measured)
    if drift_ms > _CLOCK_DRIFT_MS_MAX:
        return _check(clocks_agree, UNKNOWN, f"the wall clock was stepped by {drift_ms} ms during the test", measured)
    return _check(clocks_agree, PASS, f"the boot clock never went back; {drift_ms} ms apart after 0.2 s", measured)


def mtime_moves(bench: Bench) -> Check:
    """How far apart two changes must be for the time of a file to tell them apart."""
    fd, seen = bench.host.open(bench.make("mtime"), os.O_RDWR), set[int]()
    until_s = bench.until_s(_MTIME_S_MAX)
    try:
        for _ in range(_MTIME_TRIES):
            bench.host.pwrite(fd, b"x", 0)
            seen.add(bench.host.fstat(fd).mtime_ns)
            if len(seen) >= 4 or bench.host.monotonic_s() > until_s:
                break
    finally:
        bench.host.close(fd)
    moments = sorted(seen)
    if len(moments) < 2:
        return _check(mtime_moves, UNKNOWN, f"did not move within {_MTIME_S_MAX:g} s")
    step_ms = round(min(later - earlier for earlier, later in pairwise(moments)) / 1e6, 3)
    return _check(mtime_moves, PASS, f"moves in steps of {step_ms} ms", {"step_ms": step_ms})


def beats_are_never_torn(bench: Bench) -> Check:
    """Readers of a heartbeat that is being written in place always find a whole one, and never an older one."""
    root = Root(bench.path("root"), host=bench.host, allow_network=True)
    cell = make_cell(root, "beats", "one")
    cell.write(1, Instant(at_ms=1, boot_ms=1, boot_id="b"))
    cell.write(1, Instant(at_ms=2, boot_ms=1, boot_id="b"))
    peers = [bench.peer() for _ in range(2)]
    for peer in peers:
        peer.tell("beats", name="one", seconds=_READ_S)
    written, until_s = 2, bench.until_s(_READ_S + 0.2)
    while bench.host.monotonic_s() < until_s:
        written += 1
        cell.write(1, Instant(at_ms=written, boot_ms=1, boot_id="b"))
    seen = [peer.answer() for peer in peers]
    cell.close()
    told = {name: sum(one[name] for one in seen) for name in ("reads", "unreadable", "backwards")}
    measured = {**told, "written": written}
    if told["unreadable"] or told["backwards"]:
        text = f"of {told['reads']} reads {told['unreadable']} found no beat and {told['backwards']} an older one"
        return _check(beats_are_never_torn, FAIL, text, measured)
    return _check(beats_are_never_torn, PASS, f"{told['reads']} reads during {written} beats, all whole", measured)


CHECKS: Final[tuple[Callable[[Bench], Check], ...]] = (
    file_system,
    lock_excludes,
    lock_counts,
    lock_freed_by_kill,
    lock_survives_close,
    lock_waits,
    rename_is_atomic,
    create_is_exclusive,
    links_are_refused,
    fsync_is_accepted,
    names_stay_distinct,
    clocks_agree,
    mtime_moves,
    beats_are_never_torn,
)


def _check(
    made: Callable[[Bench], Check], verdict: Verdict, what: str, measured: dict[str, Any] | None = None
) -> Check:
    return Check(name=made.__name__, verdict=verdict, what=what, measured=measured or {})


def _replace(bench: Bench, folder: int, number: int) -> None:
    raw = whole(number, _SIZES[number % len(_SIZES)])
    replace_plain(bench.host, "renamed", raw, dir_fd=folder, durable=False, what="the file of the test")


def _waited(bench: Bench, path: str, *, timeout_s: float) -> tuple[bool, int]:
    """Whether the lock was had in time, and after how many milliseconds; it is given back."""
    fd, begun_s = bench.host.open(path, os.O_RDWR), bench.host.monotonic_s()
    held = bench.host.wait_lock(fd, timeout_s=timeout_s)
    waited_ms = round((bench.host.monotonic_s() - begun_s) * 1000)
    if held:  # else the descriptor belongs to whoever still waits
        bench.host.unlock(fd)
        bench.host.close(fd)
    return held, waited_ms


def _took_ms(bench: Bench, call: Callable[[], None]) -> float:
    begun_s = bench.host.monotonic_s()
    call()
    return round((bench.host.monotonic_s() - begun_s) * 1000, 2)


def _content(bench: Bench, name: str) -> bytes:
    fd = bench.host.open(bench.path(name), os.O_RDONLY)
    try:
        return bench.host.pread(fd, 4096, 0)
    finally:
        bench.host.close(fd)
