"""Which file system holds a path, from the text of a mount table."""

from __future__ import annotations

import pytest

from sharedstate.errors import UnsafeStore
from sharedstate.files import FileStore
from sharedstate.files.mounts import file_system_of
from sharedstate.store import Decision
from sharedstate.testing.disk import SimDisk

TABLE = """\
/dev/vda / ext4 rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/export /mnt/net nfs4 rw 0 0
//server/share /mnt/my\\040share cifs rw 0 0
tmpfs /mnt/net/fast tmpfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/", "ext4"),
        ("/repo", "ext4"),
        ("/mnt/net", "nfs4"),
        ("/mnt/net/a/b", "nfs4"),
        ("/mnt/network", "ext4"),
        ("/mnt/net/fast/x", "tmpfs"),
        ("/mnt/my share/x", "cifs"),
    ],
)
def test_the_longest_mount_point_above_a_path_counts(path: str, kind: str) -> None:
    assert file_system_of(path, TABLE) == kind


def test_the_later_of_two_mounts_on_one_point_counts() -> None:
    assert file_system_of("/a", "x /a nfs rw 0 0\ny /a ext4 rw 0 0\n") == "ext4"


def test_writers_refuse_a_network_file_system_and_readers_do_not() -> None:
    disk = SimDisk(seed=1)
    disk.write("/proc/mounts", TABLE.encode())
    allowed = FileStore("/mnt/net/state", host=disk.host(), allow_network=True)
    allowed.transact("tasks", "T-1", lambda _: Decision(result=None, write={"n": 1}))
    store = FileStore("/mnt/net/state", host=disk.host())
    with pytest.raises(UnsafeStore, match="nfs4"):
        store.transact("tasks", "T-1", lambda _: Decision(result=None))
    with pytest.raises(UnsafeStore, match="nfs4"):
        store.append("events", {"n": 1})
    held = store.get("tasks", "T-1")
    assert held is not None
    assert held.value == {"n": 1}
