"""`claims ack`: the only thing that makes letters read."""

from __future__ import annotations

from sharedstate.errors import EXIT_RETRY, InvalidInput
from sharedstate_cli.letters import count_of, watermark_document
from sharedstate_cli.mailboxes import mailbox
from sharedstate_cli.report import Report, compact
from sharedstate_cli.session import Session


def ack(session: Session, agent: str, *, up_to: int | None, ids: tuple[str, ...], guidance: tuple[str, ...]) -> Report:
    """Acknowledge everything up to a number, single messages, and guidance as it was seen."""
    if up_to is None and not ids and not guidance:
        raise InvalidInput("nothing to acknowledge: give --up-to, --id or --guidance")
    mark, unknown = None, ""
    if up_to is not None or ids:
        mark, unknown = mailbox(session).ack(agent, up_to=up_to, ids=ids)
    if unknown:
        document = {"ok": False, "reason": "unknown", "agent": agent, "detail": unknown, "retryable": True}
        text = f"{agent}: unknown whether it is acknowledged everywhere; repeat it: {unknown}"
        return Report(code=EXIT_RETRY, document={**document, "count": None}, problems=(text,))
    if guidance:
        session.state.inbox.ack(agent, guidance=guidance)
    told = []
    if mark is not None:
        above = f" and {', '.join(map(str, mark.above))}" if mark.above else ""
        told.append(f"{mark.agent} has read up to {mark.up_to}{above}")
    elif up_to is not None or ids:
        told.append(f"{agent} has read {f'up to {up_to}' if up_to is not None else count_of(len(ids), 'message')}")
    told += [f"guidance acknowledged: {one}" for one in guidance]
    read = {} if mark is None else watermark_document(mark)
    document = {"ok": True, "agent": agent, **compact(up_to=up_to), **read, "guidance": list(guidance)}
    return Report(document=document, lines=tuple(told))
