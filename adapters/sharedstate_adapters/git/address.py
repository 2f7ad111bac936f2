"""Which ref at which remote: reading `git+ref://REMOTE/NAME`.

REMOTE is a remote of the repository around the state root, or around the working directory; `?remote=` names another
repository by its address or path, percent-encoded where needed. NAME becomes `refs/sharedstate/NAME`.
"""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from sharedstate.claims.identity import find_worktree
from sharedstate.errors import BadSettings, StoreUnavailable
from sharedstate.host import Host
from sharedstate.masking import ENCODED, masked, masked_url
from sharedstate.values import Value
from sharedstate_adapters.git.command import Git, environment

SCHEME: Final = "git+ref"
REFS: Final = "refs/sharedstate"
PATIENCE_S: Final = 10.0
NAMES = "a NAME has one to five parts of A-Z a-z 0-9 . _ -, as in git+ref://origin/state or git+ref://origin/team/state"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,4}")
_REMOTE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,99}")
_SSH = re.compile(r"(?:ssh://|(?:[^/:@]+@)?[^/:]+:(?!//))")


class Address(Value, hidden=("url",)):
    """Where the state is: the address of the repository as git takes it, and the full name of the ref."""

    url: str
    ref: str

    @property
    def by_ssh(self) -> bool:
        """Whether ssh is used to get there."""
        return _SSH.match(self.url) is not None


def read_address(url: str, *, folders: tuple[str, ...], host: Host) -> Address:
    """The address that `url` means, seen from the first of `folders` whose repository has that remote.

    Raises `BadSettings`, with secrets masked.
    """
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    remote, _, name = place.partition("/")
    shown = masked_url(url)[:200]
    if scheme != SCHEME or not _is_ref_name(unquote(name)):
        raise BadSettings(f"SHARED_STATE_URL: expected git+ref://REMOTE/NAME, not {shown!r}", hint=NAMES)
    given = dict(parse_qsl(query, keep_blank_values=True))
    address = given.pop("remote", "")
    if given:
        named = f"unknown option {min(given)[:60]!r}; known: remote"
        raise BadSettings(f"SHARED_STATE_URL: {ENCODED if '@' in query else named}")
    if bool(address) == bool(remote):
        raise BadSettings(f"SHARED_STATE_URL: name a remote, or an address by ?remote=, and not both: {shown!r}")
    if not address:
        address = _address_of(unquote(remote), folders=folders, host=host)
    return Address(url=_checked(address), ref=f"{REFS}/{unquote(name)}")


def ssh_command(folder: str, *, host: Host) -> str:
    """The ssh command that the person configured for all her repositories, empty when there is none."""
    git = Git(folder, host=host, env=environment(os.environ))
    answer = git.call("config", "--global", "--get", "core.sshCommand", deadline_s=host.monotonic_s() + PATIENCE_S)
    return answer.out.decode("utf-8", "replace").strip() if answer.status == 0 else ""


def _is_ref_name(name: str) -> bool:
    parts = name.split("/")
    bad = any(part.endswith((".", ".lock")) or ".." in part or "@{" in part for part in parts)
    # Below the ref of one state there can be no other one; git keeps refs as files and folders.
    return _NAME.fullmatch(name) is not None and not bad


def _address_of(remote: str, *, folders: tuple[str, ...], host: Host) -> str:
    if not _REMOTE.fullmatch(remote):
        shown = "what stands there" if "@" in remote else repr(remote[:60])  # it may be an address with a password
        raise BadSettings(f"SHARED_STATE_URL: {shown} is no name of a remote; an address goes into ?remote=")
    looked = []
    for folder in dict.fromkeys(folders):
        tree = find_worktree(folder)
        common = folder if tree is None and os.path.exists(os.path.join(folder, "objects")) else ""
        common = tree.common if tree is not None else common
        if not common or common in looked:
            continue
        looked.append(common)
        found = _configured(common, remote, host=host)
        if found:
            return found if "://" in found or _SSH.match(found) else os.path.join(os.path.dirname(common), found)
    where = " or ".join(looked) or "no repository"
    raise BadSettings(f"SHARED_STATE_URL: {where} has no remote {remote!r}", hint="see `git remote -v`")


def _configured(common: str, remote: str, *, host: Host) -> str:
    git = Git(common, host=host, env=environment(os.environ))
    answer = git.call("config", "--get", f"remote.{remote}.url", deadline_s=host.monotonic_s() + PATIENCE_S)
    if answer.status is None:
        raise StoreUnavailable(f"git config of {common}: {answer.said}")
    return answer.out.decode("utf-8", "surrogateescape").strip() if answer.status == 0 else ""


def _checked(address: str) -> str:
    if address.startswith("-") or "\n" in address or "\0" in address or "::" in address.partition("/")[0]:
        raise BadSettings(f"SHARED_STATE_URL: {masked(address[:100])!r} is no address of a repository")
    local = "://" not in address and not _SSH.match(address)
    return os.path.abspath(address) if local else address
