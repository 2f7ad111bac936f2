"""Messages between machines that share nothing but one store of each kind: files, git, PostgreSQL, Redis."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.messages.model import Delivered, Queued, Received, Sent
from sharedstate.messages.store_transport import StoreTransport
from sharedstate.testing.transports import RecordingTransport
from tests.integration.stores.damage import damage
from tests.integration.stores.places import Place
from tests.unit.cli.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ANN, BOB, CID = "one/ann", "two/bob", "three/cid"


@pytest.fixture
def one(place: Place) -> Iterator[SharedState]:
    with place.open("one") as state:
        yield state


@pytest.fixture
def two(place: Place) -> Iterator[SharedState]:
    with place.open("two") as state:
        yield state


def sent(state: SharedState, to: str | tuple[str, ...], body: str, *, sender: str = ANN, **more: object) -> str:
    """Send, and the id of what was delivered."""
    answer = state.outbox.send(sender=sender, to=to, body=body, **more)  # type: ignore[arg-type]  # reason: passed on as given
    assert isinstance(answer, Sent), answer
    return answer.envelope.id


def bodies(state: SharedState, agent: str) -> list[str]:
    """What an agent has not read, seen from a machine."""
    looked = state.inbox.unread(agent)
    assert looked.unknown == ""
    assert looked.count == len(looked.letters)
    return ["" if letter.envelope is None else letter.envelope.body for letter in looked.letters]


def test_a_message_is_sent_seen_and_acknowledged_on_another_machine(one: SharedState, two: SharedState) -> None:
    first = sent(one, BOB, "the build is red")
    assert bodies(two, BOB) == ["the build is red"], "sent means there"
    assert bodies(two, BOB) == ["the build is red"], "looking changes nothing"
    reply = sent(two, ANN, "mending it", sender=BOB, reply_to=first, correlation_id=first)
    assert [letter.id for letter in one.inbox.unread(ANN).letters] == [reply]
    assert [envelope.id for envelope in one.inbox.thread(first)] == [first, reply]
    looked = two.inbox.unread(BOB)
    sent(one, BOB, "and the tests")
    assert two.inbox.ack(BOB, up_to=looked.up_to).up_to == 1
    assert bodies(one, BOB) == ["and the tests"], "what came in between stays unread, on every machine"
    assert one.inbox.ack(BOB, up_to=2).up_to == 2
    assert two.inbox.ack(BOB, up_to=1).up_to == 2, "a watermark never goes back"
    assert bodies(two, BOB) == []
    assert [letter.sequence for letter in two.inbox.list(BOB)] == [1, 2]


def test_many_recipients_and_everybody_get_it_once_each(place: Place, one: SharedState, two: SharedState) -> None:
    names = tuple(f"team/agent-{number}" for number in range(5 if place.pace > 1 else 20))
    message = sent(one, names, "stand-up")
    assert all(bodies(two, name) == ["stand-up"] for name in names)
    assert bodies(two, "team/agent") == [], "no part of a name is a name"
    everybody = sent(two, "*", "pause", sender=BOB)
    assert bodies(one, BOB) == [], "the sender is not among them"
    assert [letter.id for letter in one.inbox.unread(names[0]).letters] == [message, everybody]
    assert bodies(one, "team/newcomer") == ["pause"], "who comes later sees it, too"
    assert one.inbox.ack("team/newcomer", ids=[everybody]).up_to == 1
    assert bodies(two, "team/newcomer") == []
    assert bodies(two, names[1]) == ["stand-up", "pause"]


def test_what_waits_is_flushed_in_order_and_a_second_delivery_has_no_effect(one: SharedState, two: SharedState) -> None:
    for body in ("first", "second", "third"):
        answer = one.outbox.send(sender=ANN, to=BOB, body=body, deliver=False)
        assert isinstance(answer, Queued)
    assert bodies(two, BOB) == []
    assert (one.outbox.flush().sent, one.outbox.counts().pending) == (3, 0)
    assert bodies(two, BOB) == ["first", "second", "third"]
    kept = [letter.envelope for letter in two.inbox.list(BOB)]
    for envelope in kept:  # as an outbox does whose answer was lost
        assert envelope is not None
        received = one.inbox.receive(envelope)
        assert isinstance(received, Received)
        assert received.duplicate
        again = StoreTransport(two.inbox.mailroom).deliver(envelope, timeout_s=5.0)
        assert isinstance(again, Delivered)
        assert again.duplicate
    assert bodies(two, BOB) == ["first", "second", "third"]
    other = kept[0]
    assert other is not None
    assert not isinstance(two.inbox.receive(other.replace(body="forged")), Received), "one id, one content"


def test_an_acknowledgement_that_is_owed_is_overdue_until_it_comes(one: SharedState, two: SharedState) -> None:
    transport = RecordingTransport()
    answer = one.outbox.send(sender=ANN, to=BOB, body="read this", requires_ack_ms=1, transport=transport)
    assert isinstance(answer, Sent)
    assert isinstance(one.inbox.receive(answer.envelope), Received)
    assert [(late.id, late.recipient) for late in two.inbox.overdue()] == [(answer.envelope.id, BOB)]
    two.inbox.ack(BOB, up_to=two.inbox.unread(BOB).up_to)
    assert one.inbox.overdue() == []


def test_what_was_sent_is_seen_at_once_under_load_and_nothing_is_lost_or_doubled(place: Place) -> None:
    """`Decision.prompt`: when `send` has said so, every other machine sees it, whatever else happens."""
    count, machines = (3 if place.pace > 1 else 12), 4
    wrong: list[str] = []
    ids: list[str] = []

    def work(number: int) -> None:
        with place.open(f"m{number}", lock_timeout_ms=30_000) as mine, place.open(f"r{number}") as other:
            for turn in range(count):
                to = "*" if turn % 3 == 2 else (BOB, CID)
                message = sent(mine, to, f"{number}-{turn}", sender=f"m{number}/ann")
                ids.append(message)
                if message not in {letter.id for letter in other.inbox.unread(BOB).letters}:
                    wrong.append(f"{message} was not there when it was told as sent")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(machines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(ids) == machines * count
    with place.open("judge") as judge:
        for agent in (BOB, CID):
            letters = judge.inbox.unread(agent).letters
            assert Counter(letter.id for letter in letters) == Counter(ids), "each once"
            assert [letter.sequence for letter in letters] == list(range(1, len(ids) + 1))
            told = [letter.envelope.body for letter in letters if letter.envelope is not None]
            for number in range(machines):
                own = [body for body in told if body.startswith(f"{number}-")]
                assert sorted(own, key=lambda body: int(body.partition("-")[2])) == sorted(own, key=own.index)


def test_two_readers_on_two_machines_acknowledge_what_each_has_seen(place: Place) -> None:
    with ExitStack() as stack:
        one, two = (stack.enter_context(place.open(name)) for name in ("one", "two"))
        numbers = range(4 if place.pace > 1 else 10)
        wanted = [sent(one, BOB, str(number)) for number in numbers]
        halves = (wanted[::2], wanted[1::2])
        threads = [
            threading.Thread(target=lambda state=state, half=half: [state.inbox.ack(BOB, ids=[one]) for one in half])
            for state, half in zip((one, two), halves, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bodies(one, BOB) == bodies(two, BOB) == []
        assert one.inbox.watermark(BOB).up_to == len(wanted)


def test_a_store_that_is_away_keeps_nothing_from_being_accepted(place: Place, tmp_path: Path) -> None:
    """The spool is the machine's own; the command's exit codes are tested beside it (`test_away`)."""
    away = f"git+ref:///state?remote={tmp_path}/nowhere.git" if place.name == "git" else "redis://127.0.0.1:1/0"
    root = f"{place.folder}/one"
    with SharedState.open(root, url=away, folder=place.folder, owner=ANN, lock_timeout_ms=500) as alone:
        for body in ("first", "second"):
            assert isinstance(alone.outbox.send(sender=ANN, to=BOB, body=body), Queued)
        assert alone.inbox.unread(BOB).unknown != "", "unknown is not nothing"
    with place.open("one") as back, place.open("two") as two:
        for spooled in back.outbox.list():
            back.outbox.retry(spooled.envelope.id)
        assert back.outbox.flush().sent == 2
        assert bodies(two, BOB) == ["first", "second"]


def test_the_command_sends_looks_acknowledges_and_flushes(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_URL", place.url)
    monkeypatch.chdir(tmp_path)
    one, two = (Shell(tmp_path / name, host=Host()) for name in ("one", "two"))
    message = one("send --from one/ann --to two/bob --to three/cid --body", "hello you")
    assert (message.code, message.document["outcome"]) == (0, "delivered"), message
    assert one("send --from one/ann --to * --no-deliver --body", "to all").code == 9
    assert two("unread two/bob").document["count"] == 1
    assert (one("outbox flush").code, two("unread two/bob").document["count"]) == (0, 2)
    letters = two("inbox two/bob").document["letters"]
    assert [letter["message"]["body"] for letter in letters] == ["hello you", "to all"]
    assert two("ack two/bob --up-to", str(letters[0]["sequence"])).code == 0
    assert one("unread two/bob").document["count"] == 1, "the watermark stands in the store"
    assert one("unread three/cid").document["count"] == 2
    assert one("unread one/ann").document["count"] == 0


def test_a_damaged_message_hides_no_other_and_is_told(place: Place, one: SharedState, two: SharedState) -> None:
    if place.name == "files":
        pytest.skip("files have tests of damage of their own: tests/unit/messages/test_inbox_damage.py")
    first, second = sent(one, BOB, "first"), sent(one, BOB, "second")
    damage(one.store, "mail", first)
    letters = two.inbox.unread(BOB).letters
    assert [letter.id for letter in letters] == [first, second]
    assert (letters[0].envelope, letters[0].problem != "", letters[0].summary) == (None, True, "first")
    assert letters[1].envelope is not None
    assert two.inbox.ack(BOB, up_to=2).up_to == 2
    third = sent(one, BOB, "third")
    assert [letter.id for letter in two.inbox.unread(BOB).letters] == [third]
    damage(one.store, "inboxes", BOB)
    looked = two.inbox.unread(BOB)
    assert (looked.unknown != "", looked.count) == (True, 0), "unknown is not nothing"
    assert isinstance(one.outbox.send(sender=ANN, to=BOB, body="fourth"), Queued), "it waits, and is not lost"
    assert isinstance(one.outbox.send(sender=ANN, to=CID, body="others go on"), Sent)
