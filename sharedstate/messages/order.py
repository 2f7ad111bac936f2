"""Whose turn it is, as data: one record per sender, so that a later message never overtakes a spooled one.

Each message is entered (`Turn`) before it is spooled, with the next sequence. Whoever sends the next one looks whether
an earlier one to the same recipient stands in the spool. Turns of messages that left are dropped; when many wait, their
recipients are marked as `covered` instead, until a flush has seen that nothing waits for them any more. That look is
sound because a turn is covered only after its message was seen in the spool, and each covering has a new `generation`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, InvalidInput
from sharedstate.ids import Process
from sharedstate.jsonio import COUNT_MAX
from sharedstate.messages.model import EVERYBODY
from sharedstate.messages.records import instant_of, process_of
from sharedstate.messages.wire import check_message_id, check_recipients
from sharedstate.store import Document
from sharedstate.values import Value

TURNS_MAX: Final = 16
COVERED_MAX: Final = 100
# After a power cut a relaxed write may be lost; no boot writes that many messages within the minute that can be lost.
BOOT_JUMP: Final = 1_000_000


class Turn(Value):
    """A message that was begun: its id and recipients, and who began it when (`holder` names the object in it)."""

    id: str
    recipients: tuple[str, ...]
    holder: str
    process: Process | None
    since: Instant


class Queue(Value):
    """What a sender has under way: its last `sequence`, the boot that counted it, turns, covered recipients."""

    sequence: int = 0
    boot_id: str = ""
    turns: tuple[Turn, ...] = ()
    covered: Mapping[str, int] = {}
    generation: int = 0


def enter(
    queue: Queue | None,
    turn: Turn,
    *,
    count: int,
    gone: Collection[str],
    spooled: Collection[str],
    boot_id: str,
    backlog: Iterable[str] = (),
    floor: int = 0,
) -> Queue:
    """The queue with one more turn and `count` (0 or 1) more messages.

    `gone`: ids that left or never came, `spooled`: ids seen in the spool; both stand for turns to forget. On the first
    entry of a boot the turns of the last one are over: what they left is the `backlog`, recipients for whom messages
    were seen in the spool. `floor`: the sequence is above it.
    """
    known = queue or Queue()
    if queue is None or known.boot_id != boot_id:
        generation = known.generation + 1
        known = Queue(
            sequence=known.sequence + (0 if queue is None else BOOT_JUMP),
            boot_id=boot_id,
            covered=_narrow(dict.fromkeys(backlog, generation), generation),
            generation=generation,
        )
    kept = tuple(one for one in known.turns if one.id not in gone)
    surplus = [one for one in kept if one.id in spooled][: max(0, len(kept) - TURNS_MAX + 1)]
    if surplus:
        generation = known.generation + 1
        marks = {name: generation for one in surplus for name in one.recipients}
        covered = _narrow({**known.covered, **marks}, generation)
        known = known.replace(covered=covered, generation=generation)
        kept = tuple(one for one in kept if one not in surplus)
    return known.replace(sequence=max(known.sequence, floor) + count, turns=(*kept, turn))


def uncover(queue: Queue, *, seen_generation: int, waiting: Collection[str]) -> Queue:
    """The queue after a look at the whole spool that began when it was of `seen_generation`.

    `waiting`: recipients for whom messages of this sender stand there yet. What was covered since stays.
    """
    if EVERYBODY in waiting:
        return queue
    covered = {
        name: generation
        for name, generation in queue.covered.items()
        if generation > seen_generation or name in waiting or (name == EVERYBODY and waiting)
    }
    if EVERYBODY in covered and waiting and covered[EVERYBODY] <= seen_generation:
        covered = {**covered, **dict.fromkeys(waiting, covered.pop(EVERYBODY))}
        covered = _narrow(covered, queue.generation)
    return queue if covered == dict(queue.covered) else queue.replace(covered=covered)


def _narrow(covered: dict[str, int], generation: int) -> dict[str, int]:
    return covered if len(covered) <= COVERED_MAX else {EVERYBODY: generation}


# Documents


def dump_queue(queue: Queue) -> Document:
    """The JSON document of a sender's queue."""
    return {
        "sequence": queue.sequence,
        "boot_id": queue.boot_id,
        "generation": queue.generation,
        "covered": dict(queue.covered),
        "turns": [_dump_turn(turn) for turn in queue.turns],
    }


def load_queue(sender: str, document: Document) -> Queue:
    """The queue of a sender. Raises `Corrupt` with the reason."""
    try:
        covered, turns = document.get("covered", {}), document.get("turns", [])
        if not isinstance(covered, dict) or not isinstance(turns, list):
            raise ValueError("covered or turns")
        return Queue(
            sequence=_count(document.get("sequence")),
            boot_id=str(document.get("boot_id", "")),
            generation=_count(document.get("generation", 0)),
            covered={str(name): _count(generation) for name, generation in covered.items()},
            turns=tuple(_turn(turn) for turn in turns),
        )
    except (InvalidInput, TypeError, ValueError) as error:
        raise Corrupt(f"senders/{sender}: {error}") from None


def _dump_turn(turn: Turn) -> Document:
    return {
        "id": turn.id,
        "to": list(turn.recipients),
        "holder": turn.holder,
        "process": None if turn.process is None else turn.process.fields(),
        "since": turn.since.fields(),
    }


def _turn(document: Any) -> Turn:
    if not isinstance(document, dict):
        raise ValueError("a turn is not an object")
    return Turn(
        id=check_message_id(document.get("id")),
        recipients=check_recipients(document.get("to")),
        holder=str(document.get("holder", "")),
        process=process_of(document.get("process")),
        since=instant_of(document.get("since")),
    )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_MAX:
        raise ValueError("not a count")
    return value
