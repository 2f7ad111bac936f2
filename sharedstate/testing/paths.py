"""How a path becomes a directory and a last component on the simulated disk, as Linux resolves it."""

from __future__ import annotations

import errno
import os

from sharedstate.testing.inodes import Directory, Inode, Special

_NAME_BYTES_MAX = 255
_LINKS_MAX = 40


def resolve(start: Inode, name: str, *, root: Directory, links: int = 0) -> tuple[Directory, str]:
    """The directory that holds the last component, and that component ("" for the directory itself).

    Links on the way are followed, at most 40; a link at the end is not. Raises what the kernel raises.
    """
    parts = [part for part in name.split("/") if part and part != "."]
    here = start
    for number, part in enumerate(parts):
        if not isinstance(here, Directory):
            raise os_error(errno.ENOTDIR, name)
        if number == len(parts) - 1 and part != "..":
            return here, part
        here = here.parent if part == ".." else _step_into(here, part, name, root=root, links=links)
    if not isinstance(here, Directory):
        raise os_error(errno.ENOTDIR, name)
    return here, ""


def lookup(folder: Directory, last: str) -> Inode | None:
    """What a name in a directory points to ("" is the directory itself); ENAMETOOLONG above 255 bytes."""
    if len(last) > _NAME_BYTES_MAX // 4 and len(os.fsencode(last)) > _NAME_BYTES_MAX:
        raise os_error(errno.ENAMETOOLONG, last)
    return folder.names.get(last) if last else folder


def os_error(number: int, name: str | None = None) -> OSError:
    """The exception that Python raises for an errno."""
    return OSError(number, os.strerror(number)) if name is None else OSError(number, os.strerror(number), name)


def _step_into(here: Directory, part: str, name: str, *, root: Directory, links: int) -> Inode:
    inode = lookup(here, part)
    if inode is None:
        raise os_error(errno.ENOENT, name)
    if not isinstance(inode, Special) or inode.target is None:
        return inode
    if links >= _LINKS_MAX:
        raise os_error(errno.ELOOP, name)
    start = root if inode.target.startswith("/") else here
    folder, last = resolve(start, inode.target, root=root, links=links + 1)
    return _step_into(folder, last, name, root=root, links=links + 1) if last else folder
