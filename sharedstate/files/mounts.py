"""Which file system a path is on: advisory locks are trusted on local ones only."""

from __future__ import annotations

import os

from sharedstate.host import Host

_NETWORK = frozenset(
    (
        *("nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs", "gpfs"),
        *("ocfs2", "gfs2", "davfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs"),
        *("fuse.davfs2", "fuse.ceph-fuse"),
    )
)
_TABLE = "/proc/mounts"
_PIECE_BYTES = 64 * 1024
_TABLE_BYTES_MAX = 4 * 1024 * 1024


def network_file_system(path: str, *, host: Host) -> str:
    """Type of the network file system that holds `path` (which need not exist yet); empty when local or unknown."""
    kind = file_system_of(os.path.realpath(path), _mounts(host))
    return kind if kind in _NETWORK else ""


def file_system_of(path: str, table: str) -> str:
    """Type of the file system with the longest mount point above `path`, from the text of a mount table."""
    best, kind = -1, ""
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _unescaped(fields[1]).rstrip("/")
        if len(point) >= best and (path + "/").startswith(point + "/"):
            best, kind = len(point), fields[2]  # the later of two on one point covers the earlier
    return kind


def _unescaped(field: str) -> str:
    if "\\" not in field:
        return field
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _mounts(host: Host) -> str:
    try:
        fd = host.open(_TABLE, os.O_RDONLY)
    except OSError:
        return ""  # not Linux, or no /proc: nothing can be said
    try:
        raw = b""
        while len(raw) < _TABLE_BYTES_MAX:
            piece = host.pread(fd, _PIECE_BYTES, len(raw))
            if not piece:
                break
            raw += piece
    finally:
        host.close(fd)
    return raw.decode("utf-8", "replace")
