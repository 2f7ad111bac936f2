"""Heartbeats between two publications: this machine's own, in a small file for each record.

A beat goes to the remote with each write of its record and else only now and then. What was given in between counts
here, as long as the record at the remote still has the beat that it went on from; after a takeover, a release or a
deletion it counts no more.
"""

from __future__ import annotations

import json
import os
from typing import Final

from sharedstate.errors import Corrupt, StoreUnavailable
from sharedstate.host import Host
from sharedstate.ids import record_name
from sharedstate.store import Beat
from sharedstate_adapters.git.layout import Stored, beat_in, beat_out

FOLDER: Final = "beats"
KEPT_S: Final = 31 * 86_400
_BYTES_MAX: Final = 4096


class LocalBeats:
    """Beats of records, in files under `folder`. Written under the staging lock, read without."""

    def __init__(self, folder: str, *, host: Host) -> None:
        self._folder = os.path.join(folder, FOLDER)
        self._host = host

    def latest(self, collection: str, stored: Stored) -> Beat | None:
        """The last beat of a record: the one that stands in it, or the one given here since."""
        if stored.live is None or stored.beat is None:
            return stored.beat
        try:
            with open(self._path(collection, stored.key), encoding="utf-8") as file:
                told = json.loads(file.read(_BYTES_MAX))
            if told["since"] == _since(stored):
                return beat_in(told["beat"], what="beat")
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, Corrupt):  # a lost beat only makes a claim look older
            pass
        return stored.beat

    def give(self, collection: str, stored: Stored, beat: Beat) -> None:
        """Keep a beat of a record that says `stored` at the remote. Raises `StoreUnavailable`."""
        path = self._path(collection, stored.key)
        draft = f"{path}.{self._host.entropy(8).hex()}"
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(draft, "w", encoding="utf-8") as file:
                file.write(json.dumps({"since": _since(stored), "beat": beat_out(beat)}))
            os.replace(draft, path)
        except OSError as error:
            raise StoreUnavailable(f"beat of {collection}/{stored.key}: {error.strerror}") from error

    def tidy(self) -> int:
        """Remove what is older than a month; returns how many."""
        removed, limit_s = 0, self._host.now().at_ms / 1000 - KEPT_S
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    if os.lstat(path).st_mtime < limit_s:
                        os.unlink(path)
                        removed += 1
                except OSError:
                    continue
        return removed

    def _path(self, collection: str, key: str) -> str:
        return os.path.join(self._folder, collection, f"{record_name(key)}.json")


def _since(stored: Stored) -> list[object]:
    beat = stored.beat
    return [stored.live, None if beat is None else beat_out(beat)]
