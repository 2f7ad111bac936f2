"""A process that is a service itself: it holds the claim, and stands in the record, for the length of a block."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sharedstate import logs
from sharedstate.claims.services import model as m
from sharedstate.claims.services import policy
from sharedstate.claims.services.book import Book
from sharedstate.claims.services.changes import Begin, Begun, decide_begin, decide_end
from sharedstate.claims.services.model import Denied, task_of
from sharedstate.errors import ClaimRefused, SharedStateError

if TYPE_CHECKING:
    from sharedstate.claims.hold import Hold
    from sharedstate.claims.service import Claims
    from sharedstate.claims.services.service import Guard


class Registration:
    """The block of `Guard.running`. `hold` is the claim, None under a supervisor, which has it."""

    def __init__(
        self,
        guard: Guard,
        claims: Claims,
        book: Book,
        *,
        name: str,
        by: str,
        rights: Collection[str] | None,
        command: tuple[str, ...],
        supervised: bool,
        options: dict[str, Any],
    ) -> None:
        self._guard = guard
        self._claims = claims
        self._book = book
        self._name = name
        self._by = by
        self._rights = rights
        self._command = command
        self._supervised = supervised
        self._options = options
        self.hold: Hold | None = None

    def __enter__(self) -> Self:
        if self._supervised:
            return self
        self._guard.check(self._name, self._by, rights=self._rights)
        record = self._book.record(self._name)
        owner = self._by if record is None else record.owner
        hold = self._claims.hold(task_of(self._name), owner=owner, reopen=True, **self._options)
        try:
            hold.__enter__()
        except ClaimRefused as error:
            self._deny(owner, error.reason, str(error))
            raise
        try:
            self._register(owner, hold)
        except BaseException as error:
            hold.abandon()
            hold.__exit__(type(error), error, error.__traceback__)
            raise
        self.hold = hold
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        hold = self.hold
        if hold is None:
            return
        try:
            self._write_end(hold, error)
        except SharedStateError as fault:
            logs.warn("the end of service %r is not written down: %s", self._name, fault)
        hold.__exit__(kind, error, trace)

    @property
    def lost(self) -> bool:
        """Whether the claim is known to be somebody else's: stop serving."""
        return self.hold is not None and self.hold.lost

    def _register(self, owner: str, hold: Hold) -> None:
        host = self._claims.host
        begin = Begin(
            name=self._name,
            owner=owner,
            by=self._by,
            host=self._claims.host_name,
            fence=hold.fence,
            command=self._command,
            folder="",
            log="",
            supervisor=None,
            process=host.process(host.pid()),
            grouped=False,
        )
        answer = self._book.change(self._name, lambda snapshot: decide_begin(snapshot, begin, lives=self._book.lives))
        if not isinstance(answer, Begun):
            raise self._deny(owner, m.ALREADY_RUNNING, "another process of it runs")

    def _deny(self, owner: str, code: str, detail: str) -> ClaimRefused:
        from sharedstate.claims.services.service import refused

        denied = Denied(name=self._name, action=policy.START, code=code, detail=detail, owner=owner, by=self._by)
        return refused(self._guard.told(denied))

    def _write_end(self, hold: Hold, error: BaseException | None) -> None:
        record = self._book.record(self._name)
        asked = record is not None and record.stop is not None
        wanted = asked or error is None or not isinstance(error, Exception)
        detail = "" if error is None else f"{type(error).__name__}: {error}"
        self._book.change(
            self._name,
            lambda snapshot: decide_end(
                snapshot,
                name=self._name,
                fence=hold.claimed.fence,
                state=m.STOPPED if wanted else m.ENDED,
                code=None,
                detail=detail,
            ),
        )
