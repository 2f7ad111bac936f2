"""A record of work done: tasks, proposals, lessons, usage. Results are JSON, kept as they are, never evaluated."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sharedstate import jsonio
from sharedstate.errors import InvalidInput
from sharedstate.hub.events import checked_event
from sharedstate.hub.model import AgentContext
from sharedstate.ids import check_id
from sharedstate.store import Decision, Snapshot, Store, Unreadable
from sharedstate.values import Value

if TYPE_CHECKING:
    from sharedstate.hub.service import Hub

LESSONS: Final = "hub-lessons"
USAGE: Final = "hub_usage"
RESULT_BYTES_MAX: Final = 32 * 1024
WORD_CHARACTERS_MAX: Final = 60
LESSONS_MAX: Final = 10_000
AMOUNT_MAX: Final = 10**15
_NAMES_MAX: Final = 20


class Usage(Value):
    """What an agent has used in all: amounts by name (`input_tokens`, `cost_micros` …), and how often it was told."""

    agent: str
    amounts: Mapping[str, int]
    count: int


class Lesson(Value):
    """One entry of the learning ledger: its place, when it was learned, what it says."""

    sequence: int
    at_ms: int
    body: Mapping[str, Any]


class Recording:
    """Ready-made records over a hub; `store` is where lessons and usage stand. Safe for threads and processes."""

    def __init__(self, hub: Hub, store: Store) -> None:
        self._hub = hub
        self._store = store

    def task(self, agent: str, task_id: str, status: str, result: Any = None) -> AgentContext:
        """Tell that an agent has brought a task to a status, with a JSON result; its context shows it as `last_task`.

        The agent's own status stays what it is. Raises `InvalidInput` for a result that is not JSON.
        """
        body = {"task": check_id(task_id), "status": _word(status, "status"), "result": check_result(result)}
        return self._told(agent, "task_recorded", "last_task", body)

    def proposal(self, agent: str, proposal_id: str, outcome: str, result: Any = None) -> AgentContext:
        """Tell what became of a proposal (accepted, rejected …); the agent's context shows it as `last_proposal`."""
        what = check_id(proposal_id, what="proposal id")
        body = {"proposal": what, "outcome": _word(outcome, "outcome"), "result": check_result(result)}
        return self._told(agent, "proposal_recorded", "last_proposal", body)

    def learn(self, agent: str, lesson: Mapping[str, Any]) -> int:
        """Append an object to the learning ledger; returns the entry's place."""
        agent = check_id(agent, what="agent")
        if not isinstance(lesson, Mapping):
            raise InvalidInput(f"a lesson is an object, not {type(lesson).__name__}")
        checked = check_result(dict(lesson))
        return self._store.append(LESSONS, {"agent": agent, "lesson": checked})

    def lessons(self, last: int = 20) -> list[Lesson]:
        """The last entries of the learning ledger, the oldest of them first; at most 10,000."""
        if not 1 <= last <= LESSONS_MAX:
            raise InvalidInput(f"last is 1 to {LESSONS_MAX}, not {last}")
        kept = deque(self._store.read(LESSONS), maxlen=last)
        return [Lesson(sequence=entry.sequence, at_ms=entry.at_ms, body=entry.value) for entry in kept]

    def use(self, agent: str, /, **amounts: int) -> Usage:
        """Add to what an agent has used: whole numbers by name, each from 0 to 10^15; a sum stays at 2^53 - 1."""
        agent = check_id(agent, what="agent")
        if not 1 <= len(amounts) <= _NAMES_MAX:
            raise InvalidInput(f"usage names 1 to {_NAMES_MAX} amounts")
        for name, amount in amounts.items():
            _word(name, "the name of an amount")
            if type(amount) is not int or not 0 <= amount <= AMOUNT_MAX:
                raise InvalidInput(f"{name}: a whole number from 0 to {AMOUNT_MAX}")

        def add(snapshot: Snapshot) -> Decision[Usage]:
            known = Usage(agent=agent, amounts={}, count=0) if snapshot.value is None else _usage(agent, snapshot.value)
            sums = {**known.amounts}
            for name, amount in amounts.items():
                sums[name] = min(sums.get(name, 0) + amount, jsonio.COUNT_MAX)
            if len(sums) > _NAMES_MAX:
                raise InvalidInput(f"usage of {agent!r} would have more than {_NAMES_MAX} names")
            used = Usage(agent=agent, amounts=sums, count=known.count + 1)
            return Decision(result=used, write={"amounts": sums, "count": used.count})

        return self._store.transact(USAGE, agent, add)

    def usage(self) -> list[Usage]:
        """What every agent has used, sorted by agent."""
        found = (one for one in self._store.scan(USAGE) if not isinstance(one, Unreadable))
        return sorted((_usage(one.key, one.value) for one in found), key=lambda one: one.agent)

    def _told(self, agent: str, kind: str, name: str, body: Mapping[str, Any]) -> AgentContext:
        shown = {key: value for key, value in body.items() if key != "result"}
        event = checked_event({"type": kind, "agent": check_id(agent, what="agent"), **body})  # before anything is told
        context = self._hub.update(agent, {name: shown})
        self._hub.publish(event)
        return context


def check_result(result: Any) -> Any:
    """A result as it will come back: any JSON value of at most 32 KiB. Raises `InvalidInput` with the reason."""
    try:
        raw = jsonio.encode({"result": result})
        whole = jsonio.decode(raw, what="the result")
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a result is JSON: {error}") from None
    if len(raw) > RESULT_BYTES_MAX:
        raise InvalidInput(f"a result of {len(raw)} bytes; at most {RESULT_BYTES_MAX} are allowed")
    return whole["result"]


def _word(text: object, what: str) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= WORD_CHARACTERS_MAX or not text.isprintable():
        raise InvalidInput(f"{what}: 1 to {WORD_CHARACTERS_MAX} printable characters")
    return text


def _usage(agent: str, document: Mapping[str, Any]) -> Usage:
    amounts = document.get("amounts")
    sums = {name: value for name, value in amounts.items() if type(value) is int} if isinstance(amounts, dict) else {}
    count = document.get("count")
    return Usage(agent=agent, amounts=sums, count=count if type(count) is int else 0)
