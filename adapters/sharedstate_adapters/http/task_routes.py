"""Claims and task state over HTTP, by the rules of the library: leases, fences, tokens."""

from __future__ import annotations

from typing import Final

from sharedstate.claims.documents import (
    claimed_document,
    lost_document,
    refused_document,
    released_document,
    renewed_document,
    task_document,
)
from sharedstate.store import Unreadable
from sharedstate.tasks.outcomes import TASK_NOT_FOUND, Claimed, Lost, Released, Unverifiable
from sharedstate_adapters.http.bodies import ClaimBody, ReleaseBody, RenewBody, read_body
from sharedstate_adapters.http.calls import Answer, Call, Query, Route, failure

STATUSES: Final = ("new", "claimed", "complete", "failed", "abandoned", "all")
LIST_MAX: Final = 1_000


def tasks(call: Call) -> Answer:
    """Tasks sorted by id; without a status the live claims."""
    status, after, limit = call.query["status"], call.query["after"], call.query["limit"]
    if status not in STATUSES:
        return failure(400, code="invalid_input", message=f"status: one of {', '.join(STATUSES)}")
    found = list(call.state.tasks.list(status=None if status == "all" else status))
    views = [view for view in found if not isinstance(view, Unreadable)]
    chosen = sorted((view for view in views if view.state.task > after), key=lambda view: view.state.task)
    page = chosen[:limit]
    document = {
        "tasks": [task_document(view) for view in page],
        "next_after": page[-1].state.task if len(chosen) > limit else None,
        "unreadable": [{"name": bad.name, "reason": bad.reason} for bad in found if isinstance(bad, Unreadable)][:100],
    }
    return Answer(status=200, document=document)


def task(call: Call) -> Answer:
    """One task."""
    view = call.state.tasks.get(call.path["task"])
    if view is None:
        return failure(404, code=TASK_NOT_FOUND, message="no such task")
    return Answer(status=200, document=task_document(view))


def claim(call: Call) -> Answer:
    """Claim a task for an owner: 200 with the token, or 409 with the reason."""
    body = read_body(ClaimBody, call.body)
    answer = call.state.claims.claim(
        body.task,
        owner=body.owner,
        ttl_ms=body.ttl_ms,
        # Never the token in this machine's ledger: whoever names an owner would get it. The holder shows its own.
        token=body.token or call.state.host.entropy(20).hex(),
        meta=body.meta,
        scope=body.scope,
        priority=body.priority,
        reopen=body.reopen,
    )
    if isinstance(answer, Claimed):
        return Answer(status=200, document=claimed_document(answer))
    return Answer(status=409, document=refused_document(answer))


def renew(call: Call) -> Answer:
    """Renew a claim: 200, 409 when it is lost, 404 when there is none, 503 when that cannot be told now."""
    body = read_body(RenewBody, call.body)
    answer = call.state.claims.renew(call.path["task"], owner=body.owner, token=body.token)
    document = renewed_document(answer)
    if isinstance(answer, Lost):
        return Answer(status=_lost_status(answer), document=document)
    if isinstance(answer, Unverifiable):
        return Answer(status=503, document=document, headers={"Retry-After": "1"})
    return Answer(status=200, document=document)


def release(call: Call) -> Answer:
    """End an attempt: 200, also when it had ended so; 409 when it is not the caller's any more; 404 without one."""
    body = read_body(ReleaseBody, call.body)
    answer = call.state.claims.release(
        call.path["task"], owner=body.owner, token=body.token, status=body.status, error=body.error
    )
    if isinstance(answer, Released):
        return Answer(status=200, document=released_document(answer))
    return Answer(status=_lost_status(answer), document=lost_document(answer))


def _lost_status(answer: Lost) -> int:
    return 404 if answer.reason == TASK_NOT_FOUND else 409


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/tasks",
        name="list_tasks",
        about="Tasks by status, sorted by id; without a status the live claims.",
        handler=tasks,
        query=(
            Query(name="status", about=f"One of {', '.join(STATUSES)}.", default="claimed"),
            Query(name="after", about="Only tasks after this id.", default=""),
            Query(name="limit", about="At most so many.", kind="number", default=100, low=1, high=LIST_MAX),
        ),
        answer="Tasks",
    ),
    Route(
        method="GET",
        path="/v1/tasks/{task:path}",
        name="read_task",
        about="One task.",
        handler=task,
        answer="Task",
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/claims",
        name="claim_task",
        about="Claim a task; the answer holds the token that renews and releases it.",
        handler=claim,
        body="Claim",
        answer="Claimed",
        errors=(409,),
        writes=True,
    ),
    Route(
        method="POST",
        path="/v1/claims/{task:path}/renew",
        name="renew_claim",
        about="Show that the owner of a claim is alive.",
        handler=renew,
        body="Renew",
        answer="Kept",
        errors=(404, 409),
        writes=True,
    ),
    Route(
        method="POST",
        path="/v1/claims/{task:path}/release",
        name="release_claim",
        about="End an attempt with its outcome.",
        handler=release,
        body="Release",
        answer="Released",
        errors=(404, 409),
        writes=True,
    ),
)
