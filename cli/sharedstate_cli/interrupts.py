"""Ctrl-C leaves nothing held: a claim is made whole or not at all, and given back when the command is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from sharedstate.claims.service import Claims
from sharedstate.errors import SharedStateError
from sharedstate.tasks.model import ABANDONED
from sharedstate.tasks.outcomes import Claimed
from sharedstate_cli.session import Session

T = TypeVar("T")


class Undivided:
    """While entered, the first Ctrl-C is only noted, so that nobody is left with a claim that was made but not told.

    The same for other signals, where `numbers` names them. In `check` it becomes a `KeyboardInterrupt`. A second one is
    raised at once: the store's lock timeout bounds the wait, but a person may not want to sit it out.
    """

    def __init__(self, *numbers: int) -> None:
        self.noted = False
        self._at_once = False
        self._numbers = numbers or (signal.SIGINT,)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        try:
            for number in self._numbers:
                self._before[number] = signal.signal(number, self._note)
        except ValueError:
            pass  # not the main thread: no signal arrives here
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def check(self) -> None:
        """Raise the noted Ctrl-C, if there is one."""
        if self.noted:
            raise KeyboardInterrupt

    def between(self, items: Iterator[T]) -> Iterator[T]:
        """The items; while the next one is fetched nothing is under way, and a Ctrl-C is raised at once."""
        while True:
            self._at_once = True
            try:
                self.check()
                item = next(items)
            except StopIteration:
                return
            finally:
                self._at_once = False
            yield item

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted or self._at_once:
            raise KeyboardInterrupt
        self.noted = True


class GiveBack:
    """The claims that one command has made; when Ctrl-C ends it, those that it began are released as abandoned."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._begun: list[Claimed] = []

    def claim(self, ask: Callable[[Undivided], T]) -> T:
        """Run `ask` undivided; what it claimed is remembered before a Ctrl-C can strike."""
        with Undivided() as undivided:
            answer = ask(undivided)
            if isinstance(answer, Claimed) and answer.outcome != "already_owned":
                self._begun.append(answer)
        undivided.check()
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            return
        claims = self._session.state.claims
        given = sum(_give_back(claims, claimed) for claimed in self._begun)
        if given:
            self._session.note(f"interrupted: {given} claimed and given back as abandoned")


def _give_back(claims: Claims, claimed: Claimed) -> bool:
    try:
        claims.release(claimed.task, status=ABANDONED, error="interrupted", owner=claimed.owner, token=claimed.token)
    except SharedStateError:
        return False  # its ttl ends it
    return True
