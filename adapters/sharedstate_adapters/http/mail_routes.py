"""Messages over HTTP: sending into a store, inboxes, what is unread, acknowledging, threads."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.clock import iso_of_ms
from sharedstate.errors import InvalidInput
from sharedstate.messages.model import Letter, Rejected
from sharedstate.messages.wire import check_message_id, document_of, envelope_of
from sharedstate_adapters.http.bodies import AckBody, read_body
from sharedstate_adapters.http.calls import Answer, Call, Query, Route, failure

PAGE_BYTES_MAX: Final = 6 * 1024 * 1024  # an answer stays below what clients read (16 MiB), escapes included
PAGE_MAX: Final = 1_000
_PROBLEM_CHARACTERS_MAX: Final = 200
_SEQUENCE_MAX: Final = jsonio.COUNT_MAX
_AFTER: Final = Query(
    name="after", about="Only what comes after this place.", kind="number", default=0, low=0, high=_SEQUENCE_MAX
)


def _limit(default: int) -> Query:
    return Query(name="limit", about="At most so many.", kind="number", default=default, low=1, high=PAGE_MAX)


def send(call: Call) -> Answer:
    """Take a message in. Answers when it is durable; the same id again has no second effect."""
    envelope = envelope_of(call.body)
    if call.idempotency_key and call.idempotency_key != envelope.id:
        raise InvalidInput("Idempotency-Key is not the id of the message")
    received = call.state.inbox.receive(envelope)
    if isinstance(received, Rejected):
        code = "id_conflict" if received.status == 409 else "rejected"
        return failure(received.status or 422, code=code, message=received.reason)
    document = {
        "id": received.id,
        "duplicate": received.duplicate,
        "recipients": list(received.recipients),
        "store": call.store_id,
    }
    return Answer(status=200 if received.duplicate else 201, document=document)


def inbox(call: Call) -> Answer:
    """A page of an inbox."""
    agent, after, limit = call.path["agent"], call.query["after"], call.query["limit"]
    letters = call.state.inbox.list(
        agent,
        unread_only=call.query["unread"],
        after=after,
        limit=limit + 1,
        kind=call.query["kind"] or None,
        phase=call.query["phase"] or None,
    )
    page, next_after = _page(letters, limit)
    return Answer(
        status=200,
        document={"agent": agent, "store": call.store_id, "letters": page, "next_after": next_after},
    )


def unread(call: Call) -> Answer:
    """How much an agent has not acknowledged, and a page of it. What cannot be looked at is `unknown`."""
    agent, after, limit = call.path["agent"], call.query["after"], call.query["limit"]
    seen = call.state.inbox.unread(agent, bodies=False)
    if seen.unknown and not seen.letters:
        return failure(503, code="unknown", message=f"what is unread is unknown: {seen.unknown}", retryable=True)
    letters = call.state.inbox.list(agent, unread_only=True, after=after, limit=limit + 1)
    known = [letter for letter in letters if letter.sequence <= seen.up_to]  # what came since belongs to the next look
    page, next_after = _page(known, limit)
    problems = [f"message {letter['id']}: {letter['problem']}" for letter in page if "problem" in letter]
    document = {
        "agent": agent,
        "store": call.store_id,
        "count": seen.count,
        "up_to": seen.up_to if next_after is None else next_after,
        "letters": page,
        "next_after": next_after,
        "guidance": [],
        "unknown": "; ".join(filter(None, (seen.unknown, *problems))),
    }
    return Answer(status=200, document=document)


def ack(call: Call) -> Answer:
    """Move an agent's watermark, never backwards."""
    body = read_body(AckBody, call.body)
    agent = call.path["agent"]
    if body.store and body.store != call.store_id:
        return failure(
            409,
            code="other_store",
            message="these sequences belong to another store than this gateway's",
            hint="acknowledge by ids, or at the gateway that told the sequences",
        )
    if (body.up_to is None) == (body.ids is None):
        raise InvalidInput("give up_to or ids")
    mark = call.state.inbox.ack(agent, up_to=body.up_to, ids=body.ids or ())
    document = {"agent": mark.agent, "store": call.store_id, "up_to": mark.up_to, "above": list(mark.above)}
    return Answer(status=200, document=document)


def thread(call: Call) -> Answer:
    """The messages of a thread, in order; `after` is a position in it."""
    identity, after, limit = check_message_id(call.path["id"]), call.query["after"], call.query["limit"]
    envelopes = call.state.inbox.thread(identity)
    if not envelopes:
        return failure(404, code="not_found", message=f"no thread {identity}")
    chosen = ((at, document_of(one)) for at, one in enumerate(envelopes, start=1) if at > after)
    page, next_after = _fitting(chosen, limit)
    document = {"id": identity, "store": call.store_id, "messages": page, "next_after": next_after}
    return Answer(status=200, document=document)


def _page(letters: Iterable[Letter], limit: int) -> tuple[list[dict[str, Any]], int | None]:
    return _fitting(((letter.sequence, _letter(letter)) for letter in letters), limit)


def _fitting(rows: Iterable[tuple[int, dict[str, Any]]], limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """As many as the limits allow, one at least, and the place to go on from, None when that was all."""
    left = iter(rows)
    page: list[dict[str, Any]] = []
    size = last = 0
    for place, row in islice(left, limit):
        size += len(jsonio.encode(row))
        if page and size > PAGE_BYTES_MAX:
            return page, last
        page.append(row)
        last = place
    return page, last if next(left, None) is not None else None


def _letter(letter: Letter) -> dict[str, Any]:
    document: dict[str, Any] = {
        "sequence": letter.sequence,
        "id": letter.id,
        "received_at": iso_of_ms(letter.received_at_ms),
        "unread": letter.unread,
        "message": None if letter.envelope is None else document_of(letter.envelope),
    }
    if letter.acknowledged_at_ms is not None:
        document["acknowledged_at"] = iso_of_ms(letter.acknowledged_at_ms)
    if letter.problem:
        document["problem"] = letter.problem[:_PROBLEM_CHARACTERS_MAX]
    if letter.envelope is None:
        document["gist"] = _gist(letter)
    return document


def _gist(letter: Letter) -> dict[str, Any]:
    """What the inbox still knows of a message that is not kept any more, or cannot be read."""
    told = {
        "from": letter.sender,
        "kind": letter.kind,
        "lane": letter.lane,
        "phase": letter.phase,
        "correlation_id": letter.correlation_id,
        "reply_to": letter.reply_to,
        "summary": letter.summary,
    }
    return {name: text for name, text in told.items() if text}


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/messages",
        name="send_message",
        about="Deliver a message into its recipients' inboxes; idempotent by its id.",
        handler=send,
        body="Message",
        answer="Received",
        statuses=(200, 201),
        errors=(409, 410, 422),
        writes=True,
    ),
    Route(
        method="GET",
        path="/v1/agents/{agent:path}/inbox",
        name="read_inbox",
        about="A page of an agent's inbox.",
        handler=inbox,
        query=(
            _AFTER,
            _limit(100),
            Query(name="unread", about="Only what is unread.", kind="flag", default=False),
            Query(name="kind", about="Only messages of this kind.", default=""),
            Query(name="phase", about="Only messages of this phase.", default=""),
        ),
        answer="Letters",
    ),
    Route(
        method="GET",
        path="/v1/agents/{agent:path}/unread",
        name="count_unread",
        about="How much an agent has not acknowledged, and a page of it; changes nothing.",
        handler=unread,
        query=(_AFTER, _limit(PAGE_MAX), Query(name="phase", about="Reserved for guidance.", default="")),
        answer="Unread",
    ),
    Route(
        method="POST",
        path="/v1/agents/{agent:path}/ack",
        name="acknowledge",
        about="Acknowledge what was looked at: up to a sequence, or by ids. Never goes back.",
        handler=ack,
        body="Ack",
        answer="Watermark",
        errors=(409,),
        writes=True,
    ),
    Route(
        method="GET",
        path="/v1/threads/{id}",
        name="read_thread",
        about="The messages whose correlation id is exactly this one.",
        handler=thread,
        query=(_AFTER, _limit(100)),
        answer="Thread",
        errors=(404,),
    ),
)
