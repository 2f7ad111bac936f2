"""What became of a sync, and what a board shows, as reports: JSON shapes and exit codes (`docs/cli.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sharedstate.clock import Instant, iso_of_ms
from sharedstate.errors import EXIT_CONFIG, EXIT_INTERRUPTED, EXIT_NOT_FOUND, EXIT_OK, EXIT_RETRY, SharedStateError
from sharedstate.sync.board import Failed, Fault, Item, Parked
from sharedstate.sync.cycle import LIST, MEMORY, STORE
from sharedstate.sync.memory import SyncStatus, Waiting
from sharedstate.sync.model import RemoteRecord
from sharedstate.sync.report import SyncReport
from sharedstate_cli.human import moment, moment_of_iso
from sharedstate_cli.report import Grid, Report, compact, complaint, error_document
from sharedstate_cli.wiring import Judged

TASKS_SHOWN_MAX: Final = 50
WAITING_SHOWN_MAX: Final = 20
UNREACHABLE: Final = "board_unreachable"
INTERRUPTED: Final = "interrupted"
_NEVER_MS: Final = 0
_NO_TASKS: Final = {LIST: "the listing", STORE: "a store here", MEMORY: "what is remembered of the board"}
# The next step, by what a detail says first; a listing's begins with it, a write's comes behind `push: `.
_HINTS: Final = {
    "forbidden": "the token may be wrong, expired, or lack the right to write issues there",
    "gone": "look at the name (--repo, `repository`), and whether the token may see it",
    "moved": "call it by its new name (--repo, `repository`)",
    "transient": "a sync loses nothing and goes on the next time; GITHUB_API_URL says where GitHub answers",
}
_HINT_OF_DISTRUST: Final = "hint: `claims board adopt` says which comments count, and how to trust an author"


def sync_report(done: SyncReport) -> Report:
    """One cycle. Exit code 0 also with parked items and conflicts; 75 and 78 when the board could not be listed; that
    of the fault when a store on this side failed.
    """
    code, why = EXIT_OK, {}
    if done.broken is not None:
        code, why = done.broken.exit_code, {"reason": done.broken.code, "detail": str(done.broken)}
    elif done.unlisted is not None:
        code, why = _code_of(done.unlisted.kind), {"reason": UNREACHABLE, "detail": _told_of(done.unlisted)}
    elif done.stopped:
        code, why = EXIT_INTERRUPTED, {"reason": INTERRUPTED}
    document = {
        "ok": code == EXIT_OK,
        **why,
        "board": done.board,
        "dry_run": done.dry_run,
        "pulled": list(done.pulled),
        "actions": dict(done.actions),
        "pushed": dict(done.pushed),
        "conflicts": list(done.conflicts),
        "gone": list(done.gone),
        "distrusted": [one.fields() for one in done.distrusted],
        "errors": [dict(error) for error in done.errors],
        "waiting": done.waiting,
        **compact(
            skipped_until=_moment_or_none(done.skipped_until_ms), parked_until=_moment_or_none(done.parked_until_ms)
        ),
    }
    return Report(code=code, document=document, lines=tuple(_told(done)), problems=tuple(_wrong(done)))


def joined(first: SyncReport, second: SyncReport) -> SyncReport:
    """Two cycles told as one; until when something waits is the second one's word."""

    def parts(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> dict[str, list[str]]:
        return {task: _once(one.get(task, ()), other.get(task, ())) for task in {**one, **other}}

    return second.replace(
        pulled=tuple(_once(first.pulled, second.pulled)),
        actions=parts(first.actions, second.actions),
        pushed=parts(first.pushed, second.pushed),
        conflicts=tuple(_once(first.conflicts, second.conflicts)),
        errors=(*first.errors, *second.errors),
        gone=tuple(_once(first.gone, second.gone)),
        distrusted=(*first.distrusted, *second.distrusted),
        unlisted=second.unlisted or first.unlisted,
    )


def _once(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*one, *other)))


def _told(done: SyncReport) -> Iterable[str]:
    if done.skipped_until_ms:
        until = moment(done.skipped_until_ms)
        yield f"{done.board}: nothing is asked before {until}; `claims sync --status` says why"
        return
    obeyed, wrote = ("would obey", "would write") if done.dry_run else ("obeyed", "wrote")
    for label, tasks in ((obeyed, done.actions), (wrote, done.pushed)):
        for task, parts in list(tasks.items())[:TASKS_SHOWN_MAX]:
            yield f"{label} {task}: {', '.join(parts)}"
        if len(tasks) > TASKS_SHOWN_MAX:
            yield f"{label} {len(tasks) - TASKS_SHOWN_MAX} more"
    yield from (f"skipped {task}: a fresher attempt, or a newer record, is on the board" for task in done.conflicts)
    yield from (f"gone from the board: {task}" for task in done.gone)
    counts = (
        f"{len(done.pulled)} read",
        f"{len(done.pushed)} {'to write' if done.dry_run else 'written'}",
        f"{len(done.conflicts)} skipped",
        f"{len(done.errors)} failed",
        f"{done.waiting} waiting",
    )
    yield from ("stopped early; the next sync goes on",) if done.stopped else ()
    until = f"; goes on after {moment(done.parked_until_ms)}" if done.parked_until_ms else ""
    yield f"{done.board}: {', '.join(counts)}{until}"


def _wrong(done: SyncReport) -> Iterable[str]:
    for one in done.distrusted:
        yield f"{one.task}: a state comment of {one.author} does not count: {one.reason} ({one.where})"
    if done.distrusted:
        yield _HINT_OF_DISTRUST
    if done.unlisted is not None:
        yield f"{done.board} could not be listed: {_told_of(done.unlisted)}"
        yield from _next_step(done.unlisted.kind)
    for error in done.errors:
        yield f"{error['task']}: {error['detail']}"
    for kind in dict.fromkeys(error.get("kind") for error in done.errors):
        yield from _next_step(kind)
    if done.broken is not None:
        yield from complaint(done.broken)


def _next_step(kind: object) -> Iterable[str]:
    return (f"hint: {_HINTS[kind]}",) if isinstance(kind, str) and kind in _HINTS else ()


def fault_report(error: Exception, *, board: str) -> Report:
    """A cycle that broke off, for a loop that goes on."""
    if isinstance(error, SharedStateError):
        document = error_document(code=error.code, message=str(error), hint=error.hint, retryable=error.retryable)
        return Report(code=error.exit_code, document={**document, "board": board}, problems=complaint(error))
    text = f"{type(error).__name__}: {error}"
    document = error_document(code="unexpected", message=text, hint="", retryable=False)
    return Report(code=1, document={**document, "board": board}, problems=(f"unexpected {text}",))


def status_report(status: SyncStatus, *, board: str, waiting: tuple[Waiting, ...], now: Instant) -> Report:
    """Where syncing stands on this machine. Asks the board nothing."""
    pause_ms = status.pause_ms(now)
    resume_ms = now.at_ms + pause_ms if pause_ms else _NEVER_MS
    document = {
        "ok": True,
        "board": board,
        "cycles": status.cycles,
        "failed_in_row": status.failed_in_row,
        "counters": dict(status.counters),
        "waiting": [
            {
                "task": one.task,
                "not_before": iso_of_ms(one.not_before_ms),
                "tries": one.tries,
                "reason": one.reason,
            }
            for one in waiting
        ],
        "errors": [dict(error) for error in status.errors],
        **compact(
            last_at=_moment_or_none(status.last_ms),
            last_clean_at=_moment_or_none(status.last_clean_ms),
            resume_at=_moment_or_none(resume_ms),
            damage=status.damage or None,
        ),
    }
    rows = [
        ("board", board),
        ("cycles", f"{status.cycles}, {status.failed_in_row} failed in a row"),
        ("last", _shown(status.last_ms)),
        ("last clean", _shown(status.last_clean_ms)),
    ]
    if resume_ms:
        rows.append(("resumes", moment(resume_ms)))
    rows += [(name, str(count)) for name, count in sorted(status.counters.items())]
    rows.append(("waiting", str(len(waiting))))
    rows += [
        ("", f"{one.task}: not before {moment(one.not_before_ms)}, {one.reason} ({_tries(one.tries)})")
        for one in waiting[:WAITING_SHOWN_MAX]
    ]
    rows += [("error", _error_text(error)) for error in status.errors]
    problems = (status.damage,) if status.damage else ()
    return Report(document=document, grid=Grid(columns=(), rows=tuple(rows)), problems=problems)


def _tries(count: int) -> str:
    return "tried once" if count == 1 else f"tried {count} times"


def _error_text(error: Mapping[str, Any]) -> str:
    what = _NO_TASKS.get(error["task"], error["task"])
    return f"{moment_of_iso(error['at'])} {what}: {error['detail']}"


def refused_by_board(answer: Parked | Failed, *, board: str) -> Report:
    """The board gave no answer: 75 to try again, 78 when it does not let us in, 5 when there is no such item."""
    if isinstance(answer, Parked):
        text = f"{board}: nothing is asked before {moment(answer.until_ms)} ({answer.reason})"
        document = {
            "ok": False,
            "reason": UNREACHABLE,
            "detail": text,
            "board": board,
            "until": iso_of_ms(answer.until_ms),
        }
        return Report(code=EXIT_RETRY, document=document, problems=(text,))
    detail = _told_of(answer)
    return Report(
        code=_code_of(answer.kind),
        document={"ok": False, "reason": UNREACHABLE, "detail": detail, "board": board},
        problems=(f"{board}: {detail}", *_next_step(answer.kind)),
    )


def absent_report(task: str, answer: Failed, *, board: str, example: str) -> Report:
    """The board has no such item. `example`: what the task of issue 42 is called there."""
    text, hint = f"{task}: not on {board}: {answer.detail}", f"hint: issue 42 there is the task {example}"
    document = {"ok": False, "reason": "task_not_found", "task": task, "detail": answer.detail, "board": board}
    return Report(code=EXIT_NOT_FOUND, document=document, problems=(text, hint))


def item_report(item: Item, comments: tuple[Judged, ...], *, board: str) -> Report:
    """What the board shows of one task, and which of its state comments count."""
    card = item.card
    document = {
        "ok": True,
        "board": board,
        "task": item.task,
        "title": item.title,
        "url": item.url,
        "open": card.open,
        "labels": sorted(item.labels),
        "ignored": card.ignored,
        "locked": item.locked,
        "comments": [judged_document(one) for one in comments],
        **compact(
            reason=card.reason,
            status=card.status,
            updated_at=_moment_or_none(item.updated_ms),
            record=None if item.record is None else record_document(item.record),
        ),
    }
    rows = [("task", item.task), ("title", item.title), ("url", item.url)]
    rows.append(("issue", "open" if card.open else f"closed ({card.reason or 'completed'})"))
    rows += [("card", card.status)] if card.status is not None else []
    rows.append(("labels", ", ".join(sorted(item.labels)) or "none of ours"))
    rows += [("locked", "nobody without write access can comment")] if item.locked else []
    rows += _record_rows(item.record)
    rows += [("comment", f"{judged_text(one)}: {one.where}") for one in comments]
    return Report(document=document, grid=Grid(columns=(), rows=tuple(rows)))


def _record_rows(record: RemoteRecord | None) -> list[tuple[str, str]]:
    if record is None:
        return [("record", "no state comment that counts")]
    rows = [
        ("record", f"{record.status}, fence {record.fence}, revision {record.revision}"),
        ("owner", record.owner or "nobody"),
        ("attempts", f"{record.attempts} begun, {record.retries} of {record.retries_max} retries"),
    ]
    rows += [("since", moment(record.since_ms))] if record.since_ms is not None else []
    rows += [("seen", moment(record.heartbeat_ms))] if record.heartbeat_ms is not None else []
    rows += [("last error", record.last_error)] if record.last_error else []
    return rows


def record_document(record: RemoteRecord) -> dict[str, Any]:
    """A record as it is told: moments in RFC 3339, what is unknown left out."""
    told = {name: value for name, value in record.fields().items() if value is not None and not name.endswith("_ms")}
    return {
        **told,
        **compact(since=_moment_or_none(record.since_ms or 0), heartbeat=_moment_or_none(record.heartbeat_ms or 0)),
    }


def judged_document(one: Judged) -> dict[str, Any]:
    """One state comment, and why it does not count, if it does not."""
    return {
        "task": one.task,
        "counts": one.reason is None,
        "where": one.where,
        "author": one.author,
        "author_id": one.author_id,
        "association": one.association,
        **compact(
            reason=one.reason,
            record=None if one.record is None else record_document(one.record),
            says=one.says or None,
        ),
    }


def judged_text(one: Judged) -> str:
    """The verdict in a few words."""
    return f"by {one.author}, counts" if one.reason is None else f"by {one.author}, does not count: {one.reason}"


def _code_of(kind: Fault) -> int:
    """A wrong token or repository stays wrong: only a person can put it right."""
    return EXIT_CONFIG if kind in ("forbidden", "gone", "moved") else EXIT_RETRY


def _told_of(answer: Failed) -> str:
    return f"{answer.kind}: {answer.detail}"


def _moment_or_none(at_ms: int) -> str | None:
    return iso_of_ms(at_ms) if at_ms else None


def _shown(at_ms: int) -> str:
    return moment(at_ms) if at_ms else "never"
