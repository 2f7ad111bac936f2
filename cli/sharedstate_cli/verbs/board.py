"""`claims board`: what the board shows, and whose word counts there. Reads only."""

from __future__ import annotations

from collections.abc import Iterable

from sharedstate.ids import check_id
from sharedstate.sync.board import Failed, Item, Parked
from sharedstate_cli import boards
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session
from sharedstate_cli.wiring import Judged, board_name, choose_repository, judged_comments, opened_board

# What to do about a comment that does not count; nothing is done by itself.
_HINTS = {
    "author_not_trusted": "to trust {author}, add {author_id} to SHARED_STATE_TRUSTED_AUTHORS (`trusted_authors`)",
    "association_too_weak": "{author} ({author_id}) is trusted, but is no owner, member or collaborator here",
    "signature_missing": "{author} ({author_id}) writes without a key: set SHARED_STATE_SIGNING_KEY there, too",
    "signature_key_unknown": "{author} ({author_id}) signs with another key: name it in SHARED_STATE_SIGNING_KEYS_OLD",
    "older_tool": "comments of older tools are shown, never acted on; `claims import` takes over their ledgers",
}

_ASSOCIATIONS = ("OWNER", "MEMBER", "COLLABORATOR")


def show(session: Session, *, task: str, repo: str | None) -> Report:
    """One item as the board shows it now: card, labels, the record that counts, and every state comment's verdict."""
    choose_repository(session, repo)
    name = board_name(session)
    wanted = check_id(task)

    def look() -> tuple[Item | Parked | Failed, tuple[Judged, ...] | Parked | Failed]:
        with opened_board(session, read_only=True) as board:
            found = board.get(wanted)
            return found, judged_comments(board, task=wanted) if isinstance(found, Item) else ()

    item, comments = session.busy(look, label=f"asking {name}")
    if isinstance(item, Failed) and item.kind in ("gone", "moved"):
        return boards.absent_report(task, item, board=name, example=_example(session))
    for answer in (item, comments):
        if isinstance(answer, Parked | Failed):
            return boards.refused_by_board(answer, board=name)
    assert isinstance(item, Item)
    assert isinstance(comments, tuple)
    return boards.item_report(item, comments, board=name)


def adopt(session: Session, *, task: str | None, repo: str | None) -> Report:
    """The trust report: which state comments count, which do not, and what to configure. Changes nothing."""
    choose_repository(session, repo)
    name = board_name(session)
    wanted = None if task is None else check_id(task)

    def look() -> tuple[Judged, ...] | Parked | Failed:
        with opened_board(session, read_only=True) as board:
            return judged_comments(board, task=wanted)

    found = session.busy(look, label=f"asking {name}")
    if isinstance(found, Failed) and found.kind in ("gone", "moved") and task is not None:
        return boards.absent_report(task, found, board=name, example=_example(session))
    if isinstance(found, Parked | Failed):
        return boards.refused_by_board(found, board=name)
    counting = sum(one.reason is None for one in found)
    hints = tuple(_hints(found))
    document = {
        "ok": True,
        "board": name,
        "counting": counting,
        "ignored": len(found) - counting,
        "comments": [boards.judged_document(one) for one in found],
        "hints": list(hints),
    }
    grid = Grid(
        columns=("TASK", "AUTHOR", "ID", "COUNTS", "WHY NOT", "SAYS", "WHERE"),
        rows=tuple(_row(one) for one in found),
        tones=tuple("good" if one.reason is None else "warn" for one in found),
        empty=f"no state comments on {name}",
    )
    return Report(document=document, grid=grid, notes=() if session.json else hints)


def _example(session: Session) -> str:
    return session.state.settings.task_pattern.replace("{number}", "42")


def _row(one: Judged) -> tuple[str, ...]:
    record = one.record
    says = one.says if record is None else f"{record.status} {record.owner or 'nobody'} fence {record.fence}"
    counts = "yes" if one.reason is None else "no"
    return (one.task, one.author, str(one.author_id), counts, one.reason or "", says, one.where)


def _hints(found: Iterable[Judged]) -> list[str]:
    """Each advice once, in the order of the comments."""
    told: dict[str, None] = {}
    for one in found:
        if one.reason not in _HINTS:
            continue
        advice = _HINTS[one.reason].format(author=one.author, author_id=one.author_id)
        if one.reason == "author_not_trusted" and one.association not in _ASSOCIATIONS:
            advice += f", and give them write access (now: {one.association or 'none'}; an App needs none)"
        told[advice] = None
    return list(told)
