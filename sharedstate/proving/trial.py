"""A trial: a name that only one run uses, the store opened under it, and the processes that work there.

Everything that a run writes carries the run's name, and goes when it ends. What a killed run left behind is older than
an hour when the next one finds it; then that removes it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self, cast

from sharedstate.connect import SharedState
from sharedstate.errors import BadSettings, SharedStateError
from sharedstate.files.selftest import NoAnswer, Peer
from sharedstate.host import Host
from sharedstate.masking import masked_url
from sharedstate.store import TRIAL_PREFIX, Portable, Provable

PEERS: Final = 4
RUN_S_MAX: Final = 60.0
PEER: Final = (sys.executable, "-P", "-m", "sharedstate.proving.peer")
_LEFT_MS: Final = 3_600_000
_OPERATION_MS_MAX: Final = 8_000
_OPEN_S: Final = 20.0


class Trial:
    """One run on one store: `source` as its users open it, `store` where the trial works, `peers`. A context manager.

    Raises what the store raises when it cannot be used at all; nothing is left there then. `leftovers` says what could
    not be removed at the end, or is None.
    """

    def __init__(self, state: SharedState, *, folder: str, host: Host, peer: Sequence[str] = PEER) -> None:
        store: Any = state.store
        if not hasattr(store, "forget_trial"):
            where = masked_url(state.settings.url) if state.settings.url else state.root
            raise BadSettings(
                f"{where}: this kind of store has no self-test of its own",
                hint="docs/cli.md, claims selftest, names those that have one",
            )
        self.host = host
        self.name = f"{TRIAL_PREFIX}{store.now().at_ms // 1000}-{host.entropy(4).hex()}"
        self.leftovers: str | None = None
        self.peers: list[Peer] = []
        self.until_s = host.monotonic_s() + RUN_S_MAX
        self.op_s = 0.01
        self.source = cast("Provable", store)
        self._url = self.source.trial_url(state.settings.url, self.name)
        self._settings: dict[str, Any] = {
            "lock_timeout_ms": min(state.settings.lock_timeout_ms, _OPERATION_MS_MAX),
            "git_deadline_ms": min(state.settings.git_deadline_ms, 2 * _OPERATION_MS_MAX),
        }
        self._folder = folder
        self._command = peer
        self._stack = ExitStack()
        self._own: SharedState | None = None
        self._removed = False

    @property
    def store(self) -> Portable:
        """The store, opened under the name of this run."""
        assert self._own is not None, "the trial has not begun"
        return cast("Portable", self._own.store)

    @property
    def work_s(self) -> float:
        """How long the processes work in one check: longer where an operation takes longer."""
        return min(4.0, max(0.5, 15 * self.op_s))

    def key(self, name: str) -> str:
        """A key of this run."""
        return f"{self.name}-{name}"

    def __enter__(self) -> Self:
        try:
            roots = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sharedstate-selftest-"))
            self._own = self._stack.enter_context(
                SharedState.open(f"{roots}/own", url=self._url, folder=self._folder, owner=self.name, **self._settings)
            )
            self._remove_old()
            self._start(roots)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
        self._stack.close()

    def remove(self) -> None:
        """Let the processes end, and take everything of this run out of the store."""
        self._end_peers()
        if self._removed:
            return
        self._removed = True
        try:
            self.source.forget_trial(self.name)
        except SharedStateError as failure:
            self.leftovers = f"{self.name} could not be removed: {failure}"

    def together(self, verb: str, **arguments: Any) -> list[Any]:
        """All processes do the same at once; their answers. Raises `NoAnswer`."""
        return answers_of(self.peers, verb, limit_s=self.work_s + 2 * self._limit_s, **arguments)

    def kill(self, peer: Peer) -> None:
        """SIGKILL one process; it is not replaced."""
        peer.kill()
        self.peers.remove(peer)
        self._stack.callback(peer.close)

    @property
    def _limit_s(self) -> float:
        return float(max(self._settings.values())) / 1000

    def _start(self, roots: str) -> None:
        for number in range(PEERS):
            peer = Peer(self._command, f"{roots}/peer-{number}", host=self.host, until_s=self.until_s, answer_s=_OPEN_S)
            self.peers.append(peer)
        self._stack.callback(self._end_peers)
        # Addresses may hold passwords: they go through the pipe, never into an argument that everybody can see.
        opening = {"url": self._url, "folder": self._folder, "settings": self._settings}
        for told in answers_of(self.peers, "open", limit_s=_OPEN_S, **opening):
            if "error" in told:
                raise NoAnswer(f"a test process cannot open the store: {told['error']}")

    def _end_peers(self) -> None:
        while self.peers:
            self.peers.pop().close()

    def _remove_old(self) -> None:
        limit_s = (self.source.now().at_ms - _LEFT_MS) // 1000
        for name in self.source.trials():
            began = name.removeprefix(TRIAL_PREFIX).partition("-")[0]
            if began.isdigit() and int(began) < limit_s:
                self.source.forget_trial(name)


def answers_of(peers: Sequence[Peer], verb: str, *, limit_s: float, **arguments: Any) -> list[Any]:
    """The answers of all to one order, each within the time."""
    for number, peer in enumerate(peers):
        peer.answer_s = limit_s
        peer.tell(verb, number=number, **arguments)
    return [peer.answer() for peer in peers]
