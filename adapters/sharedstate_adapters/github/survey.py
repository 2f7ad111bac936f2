"""The trust report: all state comments of the board, which count, which do not, and why. Nothing is written."""

from __future__ import annotations

from sharedstate.errors import Corrupt
from sharedstate.sync.board import Failed, Parked
from sharedstate.sync.model import RemoteRecord
from sharedstate.values import Value
from sharedstate_adapters.github.answers import NotModified
from sharedstate_adapters.github.board import GitHubBoard
from sharedstate_adapters.github.comment import looks_like_ours
from sharedstate_adapters.github.items import comment_of, number_of
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.legacy import LegacyState, is_legacy, read_legacy
from sharedstate_adapters.github.trust import Comment, Rules, choose

LEGACY = "older_tool"


class StateComment(Value):
    """One state comment: whose, what it says, and why it does not count: a word of `trust.REASONS`, or `older_tool`."""

    task: str
    comment_id: int
    url: str
    author: str
    author_id: int
    association: str
    counts: bool
    reason: str | None
    record: RemoteRecord | None = None
    legacy: LegacyState | None = None


def survey(board: GitHubBoard, *, task: str | None = None) -> tuple[StateComment, ...] | Parked | Failed:
    """Every comment that is, or pretends to be, a state comment: of one task, or in all repositories of the board."""
    if task is not None:
        place = board.place_of(task)
        return () if place is None else _surveyed(board, place.repository, number=place.number)
    found: list[StateComment] = []
    for name in board.repositories:
        one = _surveyed(board, name)
        if isinstance(one, Parked | Failed):
            return one
        found += one
    return tuple(found)


def _surveyed(
    board: GitHubBoard, name: str, *, number: int | None = None
) -> tuple[StateComment, ...] | Parked | Failed:
    """The state comments of a repository, or of one of its issues."""
    desk = board.desk(Place(repository=name, number=number or 1))
    rules = desk.comments.rules()
    if isinstance(rules, Parked | Failed):
        return rules
    pages = desk.repository.comments(since_ms=None) if number is None else desk.repository.comments_of(number)
    if isinstance(pages, Parked | Failed):
        return pages
    by_issue: dict[int, list[Comment]] = {}
    for row in () if isinstance(pages, NotModified) else pages.rows:
        try:
            by_issue.setdefault(number_of(row), []).append(comment_of(row))
        except Corrupt:
            continue
    found: list[StateComment] = []
    for at, comments in sorted(by_issue.items()):
        found += _judged(board, Place(repository=name, number=at), comments, rules)
    return tuple(found)


def _judged(board: GitHubBoard, place: Place, comments: list[Comment], rules: Rules) -> list[StateComment]:
    task = board.keys.task_of(place)
    seen = board.memory.known(place).seen
    ours = [comment for comment in comments if looks_like_ours(comment.body)]
    now_ms = board.edge.now_ms()
    chosen = choose(ours, place=place, task=task, rules=rules, seen=seen, now_ms=now_ms)
    told = [
        _row(task, verdict.comment, reason=verdict.reason).replace(record=verdict.record) for verdict in chosen.verdicts
    ]
    older = [comment for comment in comments if is_legacy(comment.body)]
    return told + [_row(task, comment, reason=LEGACY).replace(legacy=read_legacy(comment.body)) for comment in older]


def _row(task: str, comment: Comment, *, reason: str | None) -> StateComment:
    return StateComment(
        task=task,
        comment_id=comment.id,
        url=comment.url,
        author=comment.author,
        author_id=comment.author_id,
        association=comment.association,
        counts=reason is None,
        reason=reason,
    )
