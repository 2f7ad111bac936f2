"""`claims flags`: how far an agent has read, and the audited way back."""

from __future__ import annotations

from sharedstate.errors import Corrupt, StoreError
from sharedstate_cli.hot import Usage
from sharedstate_cli.letters import count_of, unknown_report, watermark_document
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session
from sharedstate_cli.verbs.inbox import own_only


def status(session: Session, agent: str) -> Report:
    """The watermark, how many letters are unread, and how many acknowledgements the agent owes."""
    books = session.state.inbox
    try:
        mark = books.watermark(agent)
        looked = books.unread(agent, bodies=False)
        late = books.overdue(recipient=mark.agent)
    except (StoreError, Corrupt) as error:
        return unknown_report(agent, str(error))
    if looked.unknown:
        return unknown_report(mark.agent, looked.unknown, known=looked.count, **_read(mark.up_to, mark.above))
    rows = (
        ("agent", mark.agent),
        ("read up to", str(mark.up_to)),
        ("read above", ", ".join(map(str, mark.above)) or "nothing"),
        ("unread", str(looked.count)),
        ("ends at", str(looked.up_to)),
        ("overdue", str(len(late))),
    )
    document = {
        "ok": True,
        **watermark_document(mark),
        "unread": looked.count,
        "end": looked.up_to,
        "overdue": len(late),
    }
    tones = tuple("warn" if name == "overdue" and late else "" for name, _ in rows)
    return Report(document=document, grid=Grid(columns=(), rows=rows, tones=tones), notes=own_only(session))


def reset(session: Session, agent: str, *, reason: str, up_to: int) -> Report:
    """Everything behind a number is unread again; who did it and why stands in the audit trail."""
    if not reason.strip():
        raise Usage("--reason: say why; it is not to be blank")
    state = session.state
    mark = state.inbox.reset(agent, up_to=up_to, by=state.identity.owner, reason=reason)
    looked = state.inbox.unread(agent, bodies=False)
    count = None if looked.unknown else looked.count
    told = "unknown how much is unread" if count is None else f"{count_of(count, 'letter')} unread"
    document = {"ok": True, **watermark_document(mark), "unread": count}
    return Report(
        document=document, lines=(f"{mark.agent} has read up to {mark.up_to} only; {told}",), notes=own_only(session)
    )


def _read(up_to: int, above: tuple[int, ...]) -> dict[str, object]:
    return {"up_to": up_to, "above": list(above)}
