"""Results of claims and views of tasks as JSON objects: the same for the command, the gateway and whoever else asks."""

from __future__ import annotations

from typing import Any

from sharedstate.clock import iso_of_ms
from sharedstate.tasks.model import Lease
from sharedstate.tasks.outcomes import Claimed, Holder, Kept, Lost, Refused, Released, Unverifiable
from sharedstate.tasks.service import TaskView


def present(**fields: Any) -> dict[str, Any]:
    """The fields that are not None, in the given order."""
    return {name: value for name, value in fields.items() if value is not None}


def claimed_document(answer: Claimed) -> dict[str, Any]:
    """The claim is yours; the only answer that holds the token."""
    return {
        "ok": True,
        "task": answer.task,
        "owner": answer.owner,
        "fence": answer.fence,
        "token": answer.token,
        "status": "claimed",
        "outcome": answer.outcome,
        "expires_at": iso_of_ms(answer.expires_ms),
        "ttl_s": answer.ttl_ms / 1000,
        "attempts": answer.attempts,
        "retries": answer.retries,
        "degraded": answer.degraded,
        "scope": list(answer.scope),
        "meta": dict(answer.meta),
        **present(reason=answer.reason, previous_owner=answer.previous_owner),
    }


def refused_document(answer: Refused) -> dict[str, Any]:
    """The claim is not yours, and why."""
    return {
        "ok": False,
        "reason": answer.reason,
        "task": answer.task,
        **present(holder=holder_document(answer.holder), detail=answer.detail, conflict=answer.conflict),
    }


def renewed_document(answer: Kept | Lost | Unverifiable) -> dict[str, Any]:
    """Whether the claim is still yours."""
    if isinstance(answer, Lost):
        return lost_document(answer)
    if isinstance(answer, Unverifiable):
        return {
            "ok": False,
            "reason": "unverifiable",
            "task": answer.task,
            "detail": answer.detail,
            "retryable": True,
        }
    return {
        "ok": True,
        "task": answer.task,
        "owner": answer.owner,
        "fence": answer.fence,
        "status": "claimed",
        "outcome": "kept",
        "expires_at": iso_of_ms(answer.expires_ms),
        "ttl_s": answer.ttl_ms / 1000,
        "degraded": answer.degraded,
    }


def lost_document(answer: Lost) -> dict[str, Any]:
    """The claim is not yours any more, or never was."""
    return {
        "ok": False,
        "reason": answer.reason,
        "task": answer.task,
        **present(holder=holder_document(answer.holder), detail=answer.detail),
    }


def released_document(answer: Released) -> dict[str, Any]:
    """The attempt has ended."""
    return {
        "ok": True,
        "task": answer.task,
        "owner": answer.owner,
        "fence": answer.fence,
        "status": answer.status,
        "outcome": "released",
        "repeated": answer.repeated,
    }


def holder_document(holder: Holder | None) -> dict[str, Any] | None:
    """Who holds a task, how long ago it was last seen alive, and after how long it counts as stale."""
    if holder is None:
        return None
    return {
        "owner": holder.owner,
        "fence": holder.fence,
        "age_s": holder.age_ms / 1000,
        "ttl_s": holder.ttl_ms / 1000,
    }


def task_document(view: TaskView) -> dict[str, Any]:
    """One task as a JSON object, never with a token or its fingerprint; what is not there is left out."""
    state, ignored = view.state, view.state.ignored
    return {
        "task": state.task,
        "status": state.status,
        "fence": state.fence,
        "attempts": state.attempts,
        "retries": state.retries,
        "stale": view.stale,
        "archived": view.archived,
        "revision": view.revision,
        "created_at": iso_of_ms(state.created_ms),
        "updated_at": iso_of_ms(state.updated_ms),
        **present(
            owner=state.owner,
            holder=_holder(view),
            lease=None if state.lease is None else _lease(state.lease),
            takeover=None if view.alive is None else view.alive.takeover,
            last_error=state.last_error,
            ignored=None
            if ignored is None
            else {"reason": ignored.reason, "by": ignored.by, "at": iso_of_ms(ignored.at_ms)},
        ),
    }


def _holder(view: TaskView) -> dict[str, Any] | None:
    lease, alive = view.state.lease, view.alive
    if lease is None or alive is None:
        return None
    return {
        "owner": lease.owner,
        "fence": view.state.fence,
        "age_s": alive.age_ms / 1000,
        "ttl_s": lease.ttl_ms / 1000,
    }


def _lease(lease: Lease) -> dict[str, Any]:
    return {
        "owner": lease.owner,
        "host": lease.host,
        "priority": lease.priority,
        "ttl_s": lease.ttl_ms / 1000,
        "claimed_at": iso_of_ms(lease.began.at_ms),
        "degraded": lease.degraded,
        "scope": list(lease.scope),
        "meta": dict(lease.meta),
        **present(pid=None if lease.process is None else lease.process.pid),
    }
