"""Messages to a gateway over HTTP: the transport, and how its answers are understood: by their status."""

from __future__ import annotations

from typing import Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt
from sharedstate.host import Host
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected
from sharedstate.messages.wire import document_of
from sharedstate.settings import Settings
from sharedstate_adapters.http.exchange import Answered, Endpoint, Silent, retry_after_ms

ANSWER_BYTES_MAX: Final = 64 * 1024
_LATER: Final = frozenset((408, 409, 425, 429))
_ID_CONFLICT: Final = "id_conflict"
_DETAIL_CHARACTERS_MAX: Final = 200


class HttpTransport:
    """Delivers to `POST {url}/v1/messages`; see docs/gateway.md. Safe for threads, never retries by itself.

    2xx is delivered, whatever becomes of the body, unless that is whole and says otherwise (`"ok": false`, another
    message's id). Redirects, 408, 409 (other than `id_conflict`), 425, 429, 5xx, and no status at all are deferred,
    with the server's Retry-After. A redirect is never followed, for it would take the token to a place that nobody
    configured; and it is a fault of the way (a login page), not of the message. Every other status is a refusal.
    """

    def __init__(self, url: str, *, token: str = "", host: Host | None = None) -> None:
        self._host = Host() if host is None else host
        self._endpoint = Endpoint(url, token=token, host=self._host)

    @classmethod
    def from_url(cls, url: str, *, settings: Settings, host: Host) -> HttpTransport:
        """The transport of an `http://` or `https://` endpoint, with the configured token. Raises `BadSettings`."""
        return cls(url, token=settings.http_token, host=host)

    @property
    def name(self) -> str:
        """The endpoint's URL; it never holds credentials."""
        return self._endpoint.name

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """One try, over after `timeout_s` seconds. The message's id is the idempotency key."""
        answer = self._endpoint.ask(
            "POST",
            "/v1/messages",
            body=jsonio.encode_line(document_of(envelope)),
            headers={"Idempotency-Key": envelope.id},
            timeout_s=timeout_s,
            bytes_max=ANSWER_BYTES_MAX,
        )
        if isinstance(answer, Silent):
            return Deferred(via=self.name, reason=answer.reason)
        return understood(answer, message=envelope.id, via=self.name, now_ms=self._host.now().at_ms)

    def close(self) -> None:
        """Give back connections."""
        self._endpoint.close()


def understood(answer: Answered, *, message: str, via: str, now_ms: int) -> Answer:
    """What an answer to the delivery of a message means: its status says it, and no text is searched for words.

    A gateway sends the status only when the message is durable, so what is lost behind it changes nothing.
    """
    status = answer.status
    document = _document(answer.body)
    error = document.get("error")
    told = error if isinstance(error, dict) else {}
    reason = _reason(status, told)
    if 200 <= status < 300:
        if document.get("ok") is False:
            return Deferred(via=via, reason=f"{reason}, but its answer says that it was not taken", status=status)
        if document.get("id", message) != message:
            return Deferred(via=via, reason=f"{reason}, but its answer is about another message", status=status)
        return Delivered(via=via, duplicate=document.get("duplicate") is True)
    if 300 <= status < 400 or status >= 500 or (status in _LATER and told.get("code") != _ID_CONFLICT):
        wait_ms = retry_after_ms(answer.headers, now_ms=now_ms)
        return Deferred(via=via, reason=reason, status=status, retry_after_ms=wait_ms)
    return Rejected(via=via, reason=reason, status=status)


def _reason(status: int, told: dict[str, object]) -> str:
    words = [str(told[name]) for name in ("code", "message") if isinstance(told.get(name), str)]
    detail = ": ".join(words)[:_DETAIL_CHARACTERS_MAX]
    if 300 <= status < 400:
        detail = "a redirect, which is not followed"
    return f"HTTP {status}: {detail}" if detail else f"HTTP {status}"


def _document(raw: bytes) -> jsonio.Document:
    try:
        return jsonio.decode(raw, what="the answer") if raw else {}
    except Corrupt:
        return {}
