"""The pacemaker's decisions on a fake machine: when it renews, for whom it does not, and what it says."""

from __future__ import annotations

import os

import pytest

from sharedstate.claims.hold import Hold
from sharedstate.claims.orders import NAP_MS_MAX, Word, line_of_word, word_of_line
from sharedstate.claims.pacemaker import Pacemaker, Wire
from sharedstate.clock import Instant
from sharedstate.errors import Corrupt
from sharedstate.tasks.outcomes import Holder, Kept, Lost, Unverifiable
from sharedstate.testing.clock import FakeHost
from tests.unit.claims.world import World, believed, take_over

NOW = Instant(at_ms=5, boot_ms=7, boot_id="boot")


class Pair:
    """A holder that renews nothing itself, and its pacemaker in another process of the same machine."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.parent = FakeHost(machine=world.machine)
        self.hold: Hold = world.state(host=self.parent).claims.hold("T", renewal="manual")
        self.hold.__enter__()
        self.pacemaker = Pacemaker(world.state().claims, parent=self.parent.own)
        self.pacemaker.obey({"keep": 1, "order": self.hold.order().fields()})

    def beat(self) -> list[str]:
        words = self.pacemaker.beat()
        for word in words:
            self.hold.hear(asked=word.asked, answer=word.answer)
        return [type(word.answer).__name__ for word in words]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def pair(world: World) -> Pair:
    return Pair(world)


def test_it_renews_when_due_and_not_before(pair: Pair) -> None:
    assert pair.beat() == []
    assert pair.pacemaker.wait_ms() == NAP_MS_MAX
    for _ in range(5):
        pair.world.host.advance(9)
        assert (pair.beat(), pair.pacemaker.wait_ms()) == ([], 1000)
        pair.world.host.advance(1)
        assert pair.beat() == ["Kept"]
        assert believed(pair.hold) == "kept"


def test_a_stopped_parent_is_not_kept_alive_and_learns_the_truth_when_it_goes_on(pair: Pair) -> None:
    pair.world.machine.stop(pair.parent.own)
    for _ in range(40):
        pair.world.host.advance(1)
        assert pair.beat() == []
    take_over(pair.world)
    pair.world.machine.go_on(pair.parent.own)
    assert believed(pair.hold) == "unverifiable"
    pair.world.host.advance(1)
    assert pair.beat() == ["Lost"]
    assert pair.hold.lost


def test_a_stopped_parent_that_nobody_replaced_is_confirmed_when_it_goes_on(pair: Pair) -> None:
    pair.world.machine.stop(pair.parent.own)
    pair.world.host.advance(40)
    assert pair.beat() == []
    assert believed(pair.hold) == "unverifiable"
    pair.world.machine.go_on(pair.parent.own)
    pair.world.host.advance(1)
    assert pair.beat() == ["Kept"]
    assert believed(pair.hold) == "kept"


def test_a_dead_parent_is_not_kept_alive(pair: Pair) -> None:
    pair.world.machine.kill(pair.parent.own)
    pair.world.host.advance(20)
    assert pair.beat() == []
    assert take_over(pair.world).reason == "owner_dead"


def test_what_is_lost_or_dropped_is_renewed_no_more(pair: Pair) -> None:
    pair.world.host.suspend(31)
    take_over(pair.world)
    assert pair.beat() == ["Lost"]
    pair.world.host.advance(60)
    assert pair.beat() == []
    pair.pacemaker.obey({"keep": 2, "order": pair.hold.order().fields()})
    pair.pacemaker.obey({"drop": 2})
    assert pair.beat() == []


def test_a_store_that_fails_makes_the_claim_unverifiable(pair: Pair) -> None:
    pair.world.shared.outage = Corrupt("torn")
    pair.world.host.advance(10)
    assert pair.beat() == ["Unverifiable"]
    assert believed(pair.hold) == "unverifiable"


@pytest.mark.parametrize(
    "answer",
    [
        Kept(task="T", owner="o", fence=3, ttl_ms=5, expires_ms=6),
        Lost(task="T", reason="owner_mismatch", detail="d", holder=Holder(owner="p", fence=4, age_ms=1, ttl_ms=2)),
        Lost(task="T", reason="task_not_found", detail="d"),
        Unverifiable(task="T", detail="away"),
    ],
    ids=["kept", "lost to somebody", "lost", "unverifiable"],
)
def test_words_cross_the_wire_unchanged(answer: Kept | Lost | Unverifiable) -> None:
    word = Word(number=4, asked=NOW, answer=answer)
    line = line_of_word(word)
    assert line.count(b"\n") == 1
    assert word_of_line(line) == word


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'{"hold":1,"asked":{}}', b"\xff"])
def test_a_line_that_is_no_word_is_none(line: bytes) -> None:
    assert word_of_line(line) is None


def test_the_longest_word_enters_a_pipe_whole() -> None:
    holder = Holder(owner="𝄞" * 200, fence=2**63 - 1, age_ms=1, ttl_ms=2, host="h" * 64)
    text = "/path/\udcff" + "𝄞" * 10_000
    word = Word(
        number=10**9, asked=NOW, answer=Lost(task="𝄞" * 200, reason="owner_mismatch", detail=text, holder=holder)
    )
    assert len(line_of_word(word)) <= 4096


def test_while_nobody_reads_only_the_latest_word_of_each_hold_waits() -> None:
    source, sink = os.pipe()
    wire = Wire(source, sink)
    for fence in range(1, 2000):
        wire.send([Word(number=1, asked=NOW, answer=Kept(task="T", owner="o", fence=fence, ttl_ms=5, expires_ms=6))])
    seen = os.read(source, 1 << 20).splitlines()
    wire.send([])
    seen += os.read(source, 1 << 20).splitlines()
    os.close(source)
    os.close(sink)
    last = word_of_line(seen[-1])
    assert last is not None
    assert isinstance(last.answer, Kept)
    assert last.answer.fence == 1999
    assert len(seen) < 1500
