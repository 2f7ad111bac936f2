"""Tidying this machine's side: loose objects into one pack, what crashes left away. Never waits for a lock."""

from __future__ import annotations

import os
import shutil
from typing import Final

from sharedstate import logs
from sharedstate.host import Host
from sharedstate_adapters.git.beats import LocalBeats
from sharedstate_adapters.git.home import DAMAGED, Home
from sharedstate_adapters.git.objects import Objects
from sharedstate_adapters.git.remote import SEEN

PACK_AFTER: Final = 1_000
LEFT_S: Final = 86_400
PACK_S_MAX: Final = 120.0
# What is unreachable stays for an hour: a reader may still be looking at an older state.
_EXPIRE: Final = "1.hour.ago"


class Upkeep:
    """Bounded and idempotent; run by `upkeep` of the store."""

    def __init__(self, home: Home, objects: Objects, beats: LocalBeats, *, host: Host) -> None:
        self._home = home
        self._objects = objects
        self._beats = beats
        self._host = host

    def run(self, *, deadline_s: float) -> list[str]:
        """What was done, a line for each thing."""
        if not os.path.isdir(self._home.git.directory):
            return []
        done = self._swept()
        if removed := self._beats.tidy():
            done.append(f"git store: removed {removed} beats of long ago")
        if not self._home.pushing.acquire_now():
            return done
        try:
            if not self._home.staging.acquire_now():
                return done
            try:
                done += self._packed(deadline_s)
            finally:
                self._home.staging.release()
        finally:
            self._home.pushing.release()
        return done

    def _packed(self, deadline_s: float) -> list[str]:
        """One pack of all that is known, when many transitions went by since the last time and none is on its way."""
        memo = self._home.memo.load()
        if memo.unpacked < PACK_AFTER or memo.waiting or not memo.known:
            return []
        self._home.mark_known(memo.known)
        until_s = max(deadline_s, self._host.monotonic_s() + PACK_S_MAX)
        words = ("repack", "-A", "-d", "-q", "--no-write-bitmap-index", f"--unpack-unreachable={_EXPIRE}")
        for call in (words, ("prune", f"--expire={_EXPIRE}")):
            answer = self._home.git.call(*call, deadline_s=until_s)
            if answer.status != 0:
                logs.warn("git store: %s of this machine's copy: %s", call[0], answer.said)
                return []
        self._home.memo.save(memo.replace(unpacked=0))
        return [f"git store: packed the objects of {memo.unpacked} transitions"]

    def _swept(self) -> list[str]:
        """Marks, drafts and damaged copies of yesterday."""
        done: list[str] = []
        limit_s = self._host.now().at_ms / 1000 - LEFT_S
        for folder, ours in ((self._home.folder, _is_left), (os.path.join(self._home.git.directory, SEEN), _is_mark)):
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            for name in filter(ours, names):
                path = os.path.join(folder, name)
                try:
                    if os.lstat(path).st_mtime > limit_s:
                        continue
                    if os.path.isdir(path):
                        shutil.rmtree(path)
                    else:
                        os.unlink(path)
                except OSError:
                    continue
                done.append(f"git store: removed {name}")
        return done


def _is_left(name: str) -> bool:
    return name.startswith((DAMAGED, "draft-", "memo.json."))


def _is_mark(name: str) -> bool:
    return True
