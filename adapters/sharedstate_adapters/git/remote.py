"""The far end: fetch the ref, and push a commit in the place of the one that was expected there."""

from __future__ import annotations

import os
import re
from typing import Final, Literal

from sharedstate.errors import StoreUnavailable
from sharedstate.host import Host
from sharedstate.masking import masked
from sharedstate.values import Value
from sharedstate_adapters.git.command import Answer, Git
from sharedstate_adapters.git.objects import Damaged

Fate = Literal["applied", "beaten", "refused", "unknown"]
SEEN: Final = "refs/sharedstate/seen"
_OID = re.compile(r"[0-9a-f]{40}")
_REJECTED = re.compile(r"^!\t[^\t]*\t(.*)$", re.MULTILINE)
_LOCK = re.compile(r"cannot lock ref[^\n]*")
_TAKEN = re.compile(r"^[ +*=]\t", re.MULTILINE)
# What a server says when another was first; all else that it rejects is a refusal.
_BEATEN: Final = (
    "stale info",
    "fetch first",
    "cannot lock ref",
    "incorrect old value",
    "already exists",
    "to update ref",
)
# What git says of itself (not after "remote:") when objects of our own repository are broken.
_BROKEN: Final = (
    "corrupt",
    "bad object",
    "unable to read",
    "inflate:",
    "missing blob",
    "missing tree",
    "did not send all",
    "hash mismatch",
    "nonexistent object",
)


class Pushed(Value):
    """What became of a push, and `why`, in words."""

    fate: Fate
    why: str = ""


class Remote:
    """One ref at one remote, through our own repository. `mark` keeps apart what two store objects fetch at once."""

    def __init__(self, git: Git, *, url: str, ref: str, host: Host, mark: str) -> None:
        self.url = url
        self.ref = ref
        self.shown = f"{ref} at {masked(url)}"
        self._git = git
        self._host = host
        self._seen = f"{SEEN}/{mark}"

    def fetch(self, *, deadline_s: float) -> str:
        """The commit that the ref names now, its objects here; "" when there is no such ref.

        Raises `StoreUnavailable`; `Damaged` when objects of our own repository are broken.
        """
        answer = self._git.call(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
            "--", self.url, f"+{self.ref}:{self._seen}",
            deadline_s=deadline_s,
        )  # fmt: skip
        if answer.status == 0:
            return self._fetched()
        if answer.status is not None and "couldn't find remote ref" in answer.error:
            return ""
        raise self._failed("fetch", answer)

    def push(self, oid: str, *, expected: str, deadline_s: float) -> Pushed:
        """Make the ref name `oid` if it names `expected` ("" for: does not exist). Raises `Damaged`."""
        answer = self._git.call(
            "push", "--porcelain", "--no-verify", f"--force-with-lease={self.ref}:{expected}",
            "--", self.url, f"{oid}:{self.ref}",
            deadline_s=deadline_s,
        )  # fmt: skip
        told = answer.out.decode("utf-8", "replace")
        rejected = _REJECTED.search(told)
        if rejected is not None:
            return _rejection(rejected[1], answer)
        if answer.status == 0 and _TAKEN.search(told):
            return Pushed(fate="applied")
        _check_own(answer)
        return Pushed(fate="unknown", why=answer.said)

    def rehearse(self, commit: str, *, deadline_s: float) -> str:
        """Why a push would not be let in; empty when nothing speaks against it. Changes nothing there.

        `commit` is what the ref names there, empty for nothing: then the removal of what is not there is tried.
        """
        words = (f"{commit}:{self.ref}",) if commit else (f":{self.ref}",)
        answer = self._git.call("push", "--porcelain", "--dry-run", "--no-verify", "--", self.url, *words,
                                deadline_s=deadline_s)  # fmt: skip
        if answer.status == 0 or (not commit and "remote ref does not exist" in answer.error):
            return ""
        return answer.said

    def names(self, prefix: str, *, deadline_s: float) -> list[str]:
        """What the refs that begin with `prefix` are called after its last slash, sorted. Raises `StoreUnavailable`."""
        answer = self._git.call("ls-remote", "--refs", "--", self.url, f"{prefix}*", deadline_s=deadline_s)
        if answer.status != 0:
            raise self._failed("ls-remote", answer)
        refs = [line.partition("\t")[2] for line in answer.out.decode("utf-8", "replace").splitlines()]
        return sorted(ref.rpartition("/")[2] for ref in refs if ref.startswith(prefix))

    def remove(self, ref: str, *, deadline_s: float) -> None:
        """Take a ref away from the remote; fine when it is not there. Raises `StoreUnavailable`."""
        answer = self._git.call("push", "--porcelain", "--no-verify", "--", self.url, f":{ref}", deadline_s=deadline_s)
        if answer.status != 0 and "remote ref does not exist" not in f"{answer.error}{answer.out!r}":
            raise self._failed(f"push (removing {ref})", answer)

    def forget(self) -> None:
        """Give the mark of the last fetch back."""
        try:
            os.unlink(os.path.join(self._git.directory, self._seen))
        except OSError:
            pass

    def _fetched(self) -> str:
        try:
            with open(os.path.join(self._git.directory, self._seen), encoding="ascii") as file:
                oid = file.read(64).strip()
        except (OSError, ValueError) as error:
            raise Damaged(f"what was fetched is gone: {error}") from None
        if not _OID.fullmatch(oid):
            raise Damaged(f"what was fetched is no commit: {oid!a}")
        return oid

    def _failed(self, what: str, answer: Answer) -> StoreUnavailable:
        _check_own(answer)
        return StoreUnavailable(
            f"git {what} of {self.shown}: {answer.said}",
            hint="check the network, the remote's address and your access to it: `git ls-remote` must work by itself",
        )


def _rejection(reason: str, answer: Answer) -> Pushed:
    text = masked(reason, characters_max=200)
    if any(words in reason for words in _BEATEN):
        lock = _LOCK.search(answer.error)
        return Pushed(fate="beaten", why=text if lock is None else f"{text}: {masked(lock[0], characters_max=300)}")
    return Pushed(fate="refused", why=f"{text}: {answer.said}")


def _check_own(answer: Answer) -> None:
    """`Damaged` when git complains about our own objects."""
    own = [line for line in answer.error.splitlines() if not line.startswith("remote:")]
    if any(words in line for line in own for words in _BROKEN):
        raise Damaged(answer.said)
