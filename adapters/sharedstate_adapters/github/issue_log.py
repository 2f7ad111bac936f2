"""The comments of issues as a log of transitions: look, post, edit, remove. Waits are bounded and said aloud.

Unlike the board, a store may wait: a claim has to be decided before its caller goes on. A limit or a fault that does
not pass within the patience of the operation is `StoreBusy` or `StoreUnavailable`; nothing is assumed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal, TypeVar

from sharedstate import logs
from sharedstate.errors import EXIT_NOT_FOUND, Corrupt, InvalidInput, StoreBusy, StoreUnavailable
from sharedstate.host import Host
from sharedstate.sync.board import Failed, Parked
from sharedstate.values import Value
from sharedstate_adapters.github.answers import Answer, NotModified, Ok
from sharedstate_adapters.github.chain import Carrier
from sharedstate_adapters.github.edge import Edge
from sharedstate_adapters.github.identity import Account, Identity
from sharedstate_adapters.github.items import comment_of, number_of
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.repository import Pages, Repository, read_pages
from sharedstate_adapters.github.server_clock import ServerClock
from sharedstate_adapters.github.transition import looks_like_transition, mark_in, read
from sharedstate_adapters.github.trust import Comment, Rules, author_refused

T = TypeVar("T")
_BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_REPORTED_MAX: Final = 1_000
_HINT: Final = "GitHub has to answer before a claim can be decided; try again"
_HINT_FORBIDDEN: Final = "check the token: it must be allowed to read and write issues of the repository"


class Patience:
    """How long one operation may wait in all. Seconds of the host."""

    def __init__(self, host: Host, *, limit_s: float) -> None:
        self._host = host
        self._until_s = host.monotonic_s() + limit_s

    def nap(self, seconds: float, *, why: str) -> None:
        """Wait, or raise `StoreBusy` at once when that would take longer than the operation may."""
        if self._host.monotonic_s() + seconds > self._until_s:
            raise StoreBusy(f"GitHub: {why}; another {seconds:.0f} s would be too long to wait", hint=_HINT)
        self._host.sleep(seconds)


class Sent(Enum):
    """A post that has no comment id. `UNHEARD`: it may be there or may come yet. `TOO_LATE`: it was not sent."""

    UNHEARD = "unheard"
    TOO_LATE = "too late"


UNHEARD: Final = Sent.UNHEARD
TOO_LATE: Final = Sent.TOO_LATE


class NoIssue(InvalidInput):
    """The task names an issue that the repository does not have, or that was deleted or moved away."""

    code = "no_issue"
    exit_code = EXIT_NOT_FOUND
    hint = "claims on GitHub stand on the issue of the task; check its number"


class _Rows(Value):
    tag: str
    rows: tuple[Any, ...]


class IssueLog:
    """Transitions on the issues of one repository. Safe for threads: requests take turns, waits do not.

    What does not count is passed over, and said once: comments of people, of authors who are not trusted, what has
    been copied here from another issue.
    """

    def __init__(
        self, edge: Edge, *, name: str, identity: Identity, rules: Rules, clock: ServerClock, host: Host
    ) -> None:
        self.name = name
        self.edge = edge
        self._repository = Repository(edge, name)
        self._identity = identity
        self._rules = rules
        self._clock = clock
        self._host = host
        self._lists: dict[int, _Rows] = {}
        self._reported: set[int] = set()
        self._turn = threading.RLock()

    # Reading

    def look(self, number: int, patience: Patience, *, stubborn: bool = False) -> tuple[Carrier, ...]:
        """Every carrier on an issue, all records together. `stubborn`: a fault is asked again, as long as may be.

        Raises `NoIssue` when there is no such issue, `StoreUnavailable`.
        """
        rules = self._trusted(patience)
        known = self._lists.get(number)
        path = f"/repos/{self.name}/issues/{number}/comments"
        tag = "" if known is None else known.tag

        def ask() -> Pages | NotModified | Parked | Failed:
            return read_pages(self.edge, path, query={}, etag=tag)

        pages = self.answered(ask, patience, stubborn=stubborn, what=f"#{number}")
        if isinstance(pages, Failed):
            raise self._failed(pages, number, patience)
        if isinstance(pages, Pages):
            known = _Rows(tag=pages.tag, rows=self._whole(pages))
            self._lists[number] = known
        rows = () if known is None else known.rows
        return self._carriers(((number, row) for row in rows), rules)

    def look_everywhere(self, patience: Patience) -> dict[int, tuple[Carrier, ...]]:
        """Carriers of all issues, by issue number."""
        rules = self._trusted(patience)
        path = f"/repos/{self.name}/issues/comments"

        def ask() -> Pages | NotModified | Parked | Failed:
            return read_pages(self.edge, path, query={"sort": "created", "direction": "asc"})

        pages = self.answered(ask, patience, what=self.name)
        if not isinstance(pages, Pages):
            raise self._failed(pages, 0, patience) if isinstance(pages, Failed) else StoreUnavailable("GitHub: 304")
        found: dict[int, list[tuple[int, Any]]] = {}
        for row in self._whole(pages):
            try:
                found.setdefault(number_of(row), []).append((0, row))
            except Corrupt:
                continue
        return {
            number: self._carriers(((number, row) for _, row in rows), rules) for number, rows in sorted(found.items())
        }

    # Writing

    def post(self, number: int, body: str, patience: Patience, *, by_ms: int | None = None) -> int | Sent:
        """A new comment: its id, `UNHEARD`, or `TOO_LATE` when it could not be sent by `by_ms` of our boot clock.

        Raises `StoreBusy` before anything is sent when a limit would make it wait too long, `StoreUnavailable` when
        nothing was carried out.
        """

        def create() -> Answer | Literal[Sent.TOO_LATE]:
            late = by_ms is not None and self._host.now().boot_ms > by_ms
            return TOO_LATE if late else self._repository.create_comment(number, body)

        answer = self.answered(create, patience, what=f"#{number}")
        if answer is TOO_LATE:
            return TOO_LATE
        if isinstance(answer, Failed):
            if answer.kind == "transient" and answer.applied:
                return UNHEARD
            raise self._failed(answer, number, patience)
        comment = _comment(answer.document if isinstance(answer, Ok) else None)
        if comment is None:
            return UNHEARD
        self._identity.learn(Account(id=comment.author_id, login=comment.author))
        return comment.id

    def edit(self, comment_id: int, body: str, patience: Patience) -> bool:
        """Another text; False when the comment is gone. Raises `StoreUnavailable`: it may or may not be written."""
        answer = self.answered(
            lambda: self._repository.edit_comment(comment_id, body), patience, what=f"comment {comment_id}"
        )
        return self._is_there(answer, comment_id)

    def remove(self, comment_id: int, patience: Patience, *, stubborn: bool = False) -> None:
        """Remove a comment; one that is gone already is removed. Raises `StoreUnavailable`: it may stand."""
        what = f"comment {comment_id}"
        answer = self.answered(
            lambda: self._repository.delete_comment(comment_id), patience, stubborn=stubborn, what=what
        )
        self._is_there(answer, comment_id)

    # Asking

    def answered(
        self, call: Callable[[], T | Parked | Failed], patience: Patience, *, what: str, stubborn: bool = False
    ) -> T | Failed:
        """What `call` answers once no limit is in the way; with `stubborn` once no passing fault is, either."""
        tries = 0
        while True:
            with self._turn:
                asked_ms = self._host.now().boot_ms
                answer = call()
                if isinstance(answer, Ok | Pages):
                    self._clock.note(answer.date_ms, asked_ms=asked_ms)
            if isinstance(answer, Parked):
                wait_ms = max(answer.until_ms - self.edge.now_ms(), 1)
                patience.nap(wait_ms / 1000, why=f"{what}: {answer.reason}")
            elif isinstance(answer, Failed) and stubborn and answer.kind == "transient":
                patience.nap(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)], why=f"{what}: {answer.detail}")
            else:
                return answer
            tries += 1

    def trusts(self, author: Comment, patience: Patience) -> bool:
        """Whether what the author of this writes may count."""
        return author_refused(author, self._trusted(patience)) is None

    def close(self) -> None:
        """Give the connection back; a later call opens another."""
        with self._turn:
            self.edge.close()

    # Inside

    def _trusted(self, patience: Patience) -> Rules:
        account = self.answered(self._identity.account, patience, what="our own account")
        if isinstance(account, Failed):
            raise _unavailable("GitHub does not say who we are", account)
        return self._rules.replace(own_id=account.id)

    def _failed(self, failed: Failed, number: int, patience: Patience) -> StoreUnavailable | NoIssue:
        if failed.kind == "gone" and number and self._repository_is_there(patience):
            return NoIssue(f"{self.name} has no issue #{number}")
        return _unavailable(f"GitHub, {self.name}", failed)

    def _repository_is_there(self, patience: Patience) -> bool:
        """GitHub answers 404 both for what is not there and for what we may not see."""
        answer = self.answered(lambda: self.edge.call("GET", f"/repos/{self.name}"), patience, what=self.name)
        return isinstance(answer, Ok)

    def _is_there(self, answer: object, comment_id: int) -> bool:
        if isinstance(answer, Failed) and answer.kind == "gone":
            return False
        if isinstance(answer, Failed):
            raise _unavailable(f"GitHub, comment {comment_id}", answer)
        return True

    def _whole(self, pages: Pages) -> tuple[Any, ...]:
        if not pages.complete:
            raise StoreUnavailable(f"GitHub, {self.name}: more comments than can be read")
        return pages.rows

    def _carriers(self, rows: Iterable[tuple[int, Mapping[str, Any]]], rules: Rules) -> tuple[Carrier, ...]:
        found = (self._carrier(number, row, rules) for number, row in rows)
        return tuple(carrier for carrier in found if carrier is not None)

    def _carrier(self, number: int, row: Any, rules: Rules) -> Carrier | None:
        comment = _comment(row)
        if comment is None or not looks_like_transition(comment.body):
            return None
        mark = mark_in(comment.body)
        refused = author_refused(comment, rules) or ("unreadable" if mark is None else None)
        if refused is not None or mark is None:
            self._report(comment, number, refused or "")
            return None
        carrier = Carrier(comment_id=comment.id, mark=mark, transition=None, touched_ms=comment.updated_ms)
        place = Place(repository=self.name, number=number)
        try:
            held = read(comment.body, place=place, keys=rules.keys)
        except Corrupt as error:
            return carrier.replace(reason=str(error))
        step = held.transition  # whatever the first line says: this mark is sealed
        return carrier.replace(mark=step.mark, transition=step, heartbeat=held.heartbeat, mirror=held.mirror)

    def _report(self, comment: Comment, number: int, reason: str) -> None:
        if comment.id in self._reported or len(self._reported) >= _REPORTED_MAX:
            return
        self._reported.add(comment.id)
        logs.warn("%s#%d: comment %d by %s does not count: %s", self.name, number, comment.id, comment.author, reason)


def _unavailable(what: str, failed: Failed) -> StoreUnavailable:
    hint = _HINT_FORBIDDEN if failed.kind in ("forbidden", "gone") else _HINT
    return StoreUnavailable(f"{what}: {failed.detail} ({failed.kind})", hint=hint)


def _comment(document: object) -> Comment | None:
    try:
        return comment_of(document)
    except Corrupt:
        return None
