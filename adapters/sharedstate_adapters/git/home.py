"""This machine's own side, under the state root: a bare repository that nobody else uses, memo, locks, beats.

No repository of the user is ever written to. Everything here is a copy or on its way: it may be removed when no
command runs, at the price of fetching anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from sharedstate.errors import StoreUnavailable
from sharedstate.host import Host
from sharedstate_adapters.git.command import Git
from sharedstate_adapters.git.locks import MachineLock
from sharedstate_adapters.git.memo import MemoFile

REPOSITORY: Final = "repository.git"
DAMAGED: Final = "damaged-"
KNOWN_REF: Final = "refs/sharedstate/known"
VERSION_MIN: Final = (2, 30)
_VERSION = re.compile(r"(\d+)\.(\d+)")


class Home:
    """One folder for one ref at one remote. Made with the first call that needs it."""

    def __init__(self, folder: str, *, host: Host, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.git = Git(os.path.join(folder, REPOSITORY), host=host, env=env)
        self.memo = MemoFile(folder, host=host)
        self.staging = MachineLock(os.path.join(folder, "stage.lock"), host=host)
        self.pushing = MachineLock(os.path.join(folder, "push.lock"), host=host)
        self._host = host

    def prepare(self, *, deadline_s: float) -> None:
        """Make the folder and the repository where they are missing. Raises `StoreUnavailable`, `StoreBusy`."""
        if os.path.exists(os.path.join(self.git.directory, "HEAD")):
            return
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{self.folder}: {error.strerror}") from error
        self.staging.acquire(deadline_s=deadline_s)
        try:
            if not os.path.exists(os.path.join(self.git.directory, "HEAD")):
                self.make_repository(deadline_s=deadline_s)
        finally:
            self.staging.release()

    def make_repository(self, *, deadline_s: float) -> None:
        """Make the repository, under the staging lock: in a place beside, then renamed whole."""
        draft = os.path.join(self.folder, f"draft-{self._host.entropy(8).hex()}")
        maker = Git(draft, host=self._host, env=self.git.env)
        _check_version(maker, deadline_s=deadline_s)
        answer = maker.call("init", "--quiet", "--bare", "--template=", "--object-format=sha1", deadline_s=deadline_s)
        if answer.status != 0:
            raise StoreUnavailable(f"git init of {draft}: {answer.said}")
        try:
            os.rename(draft, self.git.directory)
        except OSError as error:
            raise StoreUnavailable(f"{self.git.directory}: {error.strerror}") from error

    def set_aside(self) -> None:
        """Put a damaged repository aside, under both locks; `upkeep` removes it later."""
        try:
            os.rename(self.git.directory, os.path.join(self.folder, f"{DAMAGED}{self._host.entropy(8).hex()}"))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreUnavailable(f"{self.git.directory}: {error.strerror}") from error

    def mark_known(self, commit: str) -> None:
        """Name the known commit by a ref: git then tells the remote that we have it. Written as git writes one."""
        if not commit:
            return
        path = os.path.join(self.git.directory, KNOWN_REF)
        draft = f"{path}.{self._host.entropy(8).hex()}.lock"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(draft, "w", encoding="ascii") as file:
                file.write(f"{commit}\n")
            os.replace(draft, path)
        except OSError as error:
            raise StoreUnavailable(f"{path}: {error.strerror}") from error

    def close(self) -> None:
        """Give the descriptors back."""
        self.staging.close()
        self.pushing.close()


def _check_version(git: Git, *, deadline_s: float) -> None:
    answer = git.call("version", deadline_s=deadline_s)
    found = _VERSION.search(answer.out.decode("utf-8", "replace"))
    if answer.status != 0 or found is None:
        raise StoreUnavailable(f"git version: {answer.said}", hint="a git store needs git on the PATH")
    if (int(found[1]), int(found[2])) < VERSION_MIN:
        raise StoreUnavailable(f"git {found[0]} is too old for a git store", hint="install git 2.30 or newer")
