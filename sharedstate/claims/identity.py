"""Who is asking, and where the shared state of this repository lives."""

from __future__ import annotations

import os
import sys

from sharedstate.errors import BadSettings
from sharedstate.ids import check_id, fingerprint
from sharedstate.values import Value

_GIT_FILE_BYTES_MAX = 4096
_NAME_CHARACTERS_MAX = 40


class Worktree(Value):
    """Where a folder stands: `top` of its work tree, and `common`, the git directory that all work trees share."""

    top: str
    common: str
    linked: bool


class Identity(Value):
    """One canonical owner in every ledger, `workstation/agent`, and where it was derived from."""

    owner: str
    host: str
    origin: str


def find_worktree(folder: str) -> Worktree | None:
    """The git work tree around `folder`, or None. Reads `.git` itself; starts no git."""
    here = os.path.abspath(folder)
    while True:
        dot_git = os.path.join(here, ".git")
        if os.path.isdir(dot_git):
            return Worktree(top=here, common=dot_git, linked=False)
        if os.path.isfile(dot_git):
            return _linked(here, dot_git)
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above


def _linked(top: str, dot_git: str) -> Worktree | None:
    text = _line(dot_git)
    if not text.startswith("gitdir:"):
        return None
    own = os.path.normpath(os.path.join(top, text[len("gitdir:") :].strip()))
    if not os.path.isdir(own):
        return None
    shared = _line(os.path.join(own, "commondir"))
    if not shared:  # a submodule or `git init --separate-git-dir`: its git directory is its own
        return Worktree(top=top, common=own, linked=False)
    return Worktree(top=top, common=os.path.normpath(os.path.join(own, shared)), linked=True)


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_GIT_FILE_BYTES_MAX).strip()
    except OSError:
        return ""


def default_root(folder: str) -> str:
    """`.cache/sharedstate` beside the repository's common git directory, so that all work trees share one state.

    A git directory that is not called `.git` (bare, a submodule's, a separate one) may have others of its kind beside
    it: the state then lies in it, as `sharedstate`. Outside a repository: `.cache/sharedstate` in `folder` itself.
    """
    tree = find_worktree(folder)
    if tree is None:
        return os.path.join(os.path.abspath(folder), ".cache", "sharedstate")
    if os.path.basename(tree.common) != ".git":
        return os.path.join(tree.common, "sharedstate")
    return os.path.join(os.path.dirname(tree.common), ".cache", "sharedstate")


def host_name() -> str:
    """The name of this workstation, as `uname -n` prints it."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "localhost")


def identify(configured: str, *, origin: str, folder: str) -> Identity:
    """The owner: `configured` when given, else `workstation/user.worktree`.

    The default is the same in every shell of one work tree and differs between work trees and users, so that two
    agents in two work trees are two owners. A configured owner without a slash gets the workstation in front.
    """
    host = host_name()
    if configured:
        owner = configured if "/" in configured else f"{host}/{configured}"
        try:
            return Identity(owner=check_id(owner, what="owner"), host=host, origin=origin)
        except ValueError as error:
            raise BadSettings(f"owner from {origin}: {error}") from None
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or os.environ.get("USERNAME") or _login()
    tree = find_worktree(folder)
    top = os.path.realpath(folder if tree is None else tree.top)
    mark = fingerprint(os.fsencode(top), size=4)  # with 2, one pair in 300 work trees of one name would be one owner
    owner = f"{host}/{_plain(user)}.{_plain(os.path.basename(top))}-{mark}"
    return Identity(owner=check_id(owner, what="owner"), host=host, origin="default")


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name[:_NAME_CHARACTERS_MAX])


def _login() -> str:
    """The user's name where the environment has none (cron, containers), or its number where it has no name either."""
    if sys.platform == "win32":
        return "user"
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid{os.getuid()}"
