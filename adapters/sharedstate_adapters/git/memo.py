"""What this machine knows between two calls: the last state confirmed at the remote, and what is on its way there.

`memo.json` is small, replaced as a whole, and written under the staging lock only. It holds no truth: without it the
remote is asked, and commits that were on their way are judged by what the remote says of this machine.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from sharedstate.errors import StoreUnavailable
from sharedstate.host import Host
from sharedstate.values import Value

ENDED_MAX: Final = 256
_BYTES_MAX: Final = 4 * 1024 * 1024
_FORMAT: Final = 1

# How a chain of commits ended, for those who wait for one of them.
OVER: Final = "over"  # what was not applied by then never will be: decide again
LOST: Final = "lost"  # nobody knows
REFUSED: Final = "refused"  # the remote does not take it


class Ended(Value):
    """A chain that goes on no more: how many of its commits were applied, and what became of the others."""

    done: int
    how: str
    why: str = ""


class Waiting(Value):
    """A commit that is on its way: its object, its count in the chain, the boot time when it was staged."""

    oid: str
    count: int
    boot_ms: int


class Memo(Value):
    """One reading of `memo.json`.

    `known`: the commit last confirmed at the remote ("" none), with its `serial` and the state's `identity`; `synced`:
    the remote was asked at all. `chain`: the run of commits that builds upon `known`; `count` the number of its latest,
    `done` of its latest that is applied, `waiting` those between; `doubt`: a push of some of them got no answer.
    `ended`: the chains before. `writer`: this machine.

    For fairness between machines (`turns`), in boot time: how long the last push took (`push_ms`) and when it ended
    (`pushed_ms`), when something of another machine was last seen (`rival_ms`) and how many others wrote of late
    (`rivals`), how many pushes followed at once (`streak`).
    """

    boot_id: str
    writer: str
    chain: str
    identity: str = ""
    known: str = ""
    serial: int = 0
    synced: bool = False
    count: int = 0
    done: int = 0
    waiting: tuple[Waiting, ...] = ()
    doubt: bool = False
    ended: dict[str, Ended]
    keeps_history: bool = False
    unpacked: int = 0
    generation: int = 0
    push_ms: int = 0
    pushed_ms: int = 0
    rival_ms: int = 0
    rivals: int = 0
    streak: int = 0

    @property
    def tip(self) -> str:
        """The commit that the next one builds upon."""
        return self.waiting[-1].oid if self.waiting else self.known

    def with_chain_ended(self, how: str, *, chain: str, why: str = "") -> Memo:
        """A memo that begins the chain `chain`; what waited in the one before ended so."""
        ended = dict(list(self.ended.items())[-ENDED_MAX + 1 :])
        ended[self.chain] = Ended(done=self.done, how=how, why=why)
        return self.replace(chain=chain, waiting=(), doubt=False, ended=ended)


class MemoFile:
    """Where the memo is kept. `load` takes no lock; `save` is called under the staging lock."""

    def __init__(self, folder: str, *, host: Host) -> None:
        self._folder = folder
        self._path = os.path.join(folder, "memo.json")
        self._host = host

    def load(self) -> Memo:
        """The memo; a new one when there is none, it cannot be read, or the machine was started anew since.

        A power cut may bring back an older memo, whose counts would be given twice: hence the new chain.
        """
        memo = self._read()
        if memo is None:
            return Memo(boot_id=self._host.boot_id(), writer=self._word(), chain=self._word(), ended={})
        if memo.boot_id != self._host.boot_id():
            memo = memo.with_chain_ended(LOST, chain=self._word())
            return memo.replace(boot_id=self._host.boot_id(), synced=False)
        return memo

    def save(self, memo: Memo) -> None:
        """Replace the memo as a whole. Raises `StoreUnavailable`."""
        fields = memo.fields() | {
            "format": _FORMAT,
            "waiting": [[one.oid, one.count, one.boot_ms] for one in memo.waiting],
            "ended": {chain: [one.done, one.how, one.why] for chain, one in memo.ended.items()},
        }
        draft = f"{self._path}.{self._word()}"
        try:
            with open(draft, "w", encoding="utf-8") as file:
                file.write(json.dumps(fields))
                if not memo.boot_id:  # where a new start cannot be told, the counts themselves must be kept
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(draft, self._path)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from error

    def new_chain(self) -> str:
        """A name for a chain that nobody has used."""
        return self._word()

    def _read(self) -> Memo | None:
        try:
            with open(self._path, encoding="utf-8") as file:
                fields: dict[str, Any] = json.loads(file.read(_BYTES_MAX))
            if fields.pop("format") != _FORMAT:
                return None
            fields["waiting"] = tuple(Waiting(oid=o, count=c, boot_ms=b) for o, c, b in fields["waiting"])
            fields["ended"] = {g: Ended(done=d, how=h, why=w) for g, (d, h, w) in fields["ended"].items()}
            return Memo(**fields)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def _word(self) -> str:
        return self._host.entropy(8).hex()
