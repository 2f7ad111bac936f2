"""A world of agents that send to each other, look and acknowledge, through the real services on one simulated disk.

Senders keep what they have accepted until it is received, as an outbox does, whoever of them dies; any of them may
deliver it again. What must hold: a number in an inbox never names another message than it has named before, nothing is
there twice, nobody gets what is not for him, and what was received is unread until somebody who saw it says so.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from sharedstate.errors import Corrupt, StoreError
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.messages.inbox import Inbox
from sharedstate.messages.model import Envelope, Received, Unread
from sharedstate.messages.wire import new_message_id
from sharedstate.testing.faults import PLAUSIBLE
from sharedstate.testing.simulation import Client, Faults, Simulation

ROOT = "/srv/team/state"
AGENTS = ("anti", "anti2", "bob", "eve")
LOCK_TIMEOUT_S = 8.0
DAY_MS = 86_400_000
_RECIPIENTS: tuple[tuple[str, ...], ...] = (("*",), ("*",), ("anti",), ("anti2",), ("anti", "bob"), ("eve", "anti2"))
_SPOOL_MAX = 6


class MailWorld:
    """Senders, readers, what they were told. `wrap` plants a bug below the store, `spoil` above it.

    With `cuts` numbers that nobody has acknowledged may be given again: what was only seen may be gone.
    """

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults,
        wrap: Callable[[Host], Host] = lambda host: host,
        spoil: Callable[[Inbox], object] = lambda inbox: None,
    ) -> None:
        errors = {call: codes for call, codes in PLAUSIBLE.items() if call != "fdatasync" or not faults.power_cut}
        self.simulation = Simulation(seed, faults=faults, errors=errors)
        self.seen: Counter[str] = Counter()
        self.cuts = bool(faults.power_cut)
        self.spool: list[Envelope] = []
        self.received: dict[str, Envelope] = {}
        self.made: dict[str, Envelope] = {}
        self._numbers: dict[tuple[str, int], str] = {}
        self._marks: Counter[str] = Counter()
        self._acknowledged: set[tuple[str, str]] = set()  # agent, id: somebody who had seen it began to say so
        self._wrap = wrap
        self._spoil = spoil

    def run(self, *, steps_max: int) -> MailWorld:
        """Run the agents, deliver what is left, then look at everything once more."""
        for index in range(3):
            self.simulation.client(f"sender-{index}", self._send)
        for index in range(2):
            self.simulation.client(f"reader-{index}", self._read)
        self.simulation.run(steps_max=steps_max)
        self._check()
        return self

    def inbox(self, host: Host) -> Inbox:
        """What a process opens."""
        wrapped = self._wrap(host)
        inbox = Inbox(FileStore(ROOT, host=wrapped, lock_timeout_s=LOCK_TIMEOUT_S), host=wrapped)
        self._spoil(inbox)
        return inbox

    # Senders

    def _send(self, client: Client) -> None:
        inbox, rng = self.inbox(client.host), client.simulation.random
        while client.running:
            if len(self.spool) < _SPOOL_MAX and rng.random() < 0.6:
                self._accept(client.host, rng)
            if self.spool:
                self._deliver(inbox, rng.choice(self.spool))
            if rng.random() < 0.02:
                client.host.sleep(rng.uniform(0, 2))

    def _accept(self, host: Host, rng: random.Random) -> None:
        now_ms = host.now().at_ms
        identity = new_message_id(at_ms=now_ms, entropy=host.entropy(10))
        envelope = Envelope(
            id=identity,
            sender=rng.choice(("ada", *AGENTS)),
            recipients=rng.choice(_RECIPIENTS),
            kind="message",
            body=f"number {len(self.made)}",
            created_at_ms=now_ms,
            sequence=len(self.made) + 1,
            correlation_id=rng.choice([identity, *sorted(self.made)[-2:]]),
            ack_due_ms=now_ms + 1_000 if rng.random() < 0.2 else None,
        )
        self.made[identity] = envelope
        self.spool.append(envelope)

    def _deliver(self, inbox: Inbox, envelope: Envelope) -> None:
        try:
            answer = inbox.receive(envelope)
        except StoreError as error:
            self.seen[type(error).__name__] += 1
            return
        assert isinstance(answer, Received), answer
        self.seen["duplicate" if answer.duplicate else "received"] += 1
        if envelope in self.spool:
            self.spool.remove(envelope)
        self.received[envelope.id] = envelope

    # Readers

    def _read(self, client: Client) -> None:
        inbox, rng = self.inbox(client.host), client.simulation.random
        while client.running:
            agent = rng.choice(AGENTS)
            try:
                self._look_and_ack(inbox, agent, rng)
            except StoreError as error:
                self.seen[type(error).__name__] += 1
            if rng.random() < 0.1:
                client.host.sleep(rng.uniform(0, 1))

    def _look_and_ack(self, inbox: Inbox, agent: str, rng: random.Random) -> None:
        due = [one for one in self.received.values() if self._is_for(one, agent)]
        looked = inbox.unread(agent, bodies=rng.random() < 0.3)
        if looked.unknown:
            self.seen["unknown"] += 1
            return
        self._check_look(agent, looked, due)
        if rng.random() < 0.5 or not looked.letters:
            return
        if rng.random() < 0.7:
            chosen = looked.letters[: rng.randrange(len(looked.letters)) + 1]
            self._acknowledged.update((agent, letter.id) for letter in chosen)
            mark = inbox.ack(agent, up_to=chosen[-1].sequence)
        else:
            one = rng.choice(looked.letters)
            self._acknowledged.add((agent, one.id))
            mark = inbox.ack(agent, ids=[one.id])
        self.seen["ack"] += 1
        self._check_mark(agent, mark.up_to)

    # What must hold

    def _is_for(self, envelope: Envelope, agent: str) -> bool:
        everybody = envelope.recipients == ("*",) and envelope.sender != agent
        return everybody or agent in envelope.recipients

    def _check_look(self, agent: str, looked: Unread, due: list[Envelope]) -> None:
        self.seen["look"] += 1
        ids = [letter.id for letter in looked.letters]
        assert len(ids) == len(set(ids)), f"{agent} has a message twice: {ids}"
        for letter in looked.letters:
            assert self._is_for(self.made[letter.id], agent), f"{agent} got what is not for it"
            known = self._numbers.setdefault((agent, letter.sequence), letter.id)
            if self.cuts and (agent, known) not in self._acknowledged:
                self._numbers[agent, letter.sequence] = letter.id
                continue
            assert known == letter.id, f"number {letter.sequence} of {agent} was {known} and is {letter.id}"
        missing = [one.id for one in due if one.id not in ids and (agent, one.id) not in self._acknowledged]
        assert not missing, f"{missing} were received for {agent}, acknowledged by nobody, and are not unread"

    def _check_mark(self, agent: str, mark: int) -> None:
        self._marks[agent] = max(self._marks[agent], mark)

    def _check(self) -> None:
        host = self.simulation.disk.host()
        inbox = self.inbox(host)
        FileStore(ROOT, host=host).upkeep()
        for envelope in list(self.made.values()):
            assert isinstance(inbox.receive(envelope), Received)
        for agent in AGENTS:
            everything = [letter.id for letter in inbox.list(agent)]
            meant = sorted(one.id for one in self.made.values() if self._is_for(one, agent))
            assert sorted(everything) == meant, f"{agent} has {len(everything)} of {len(meant)}"
            mark = inbox.watermark(agent)
            assert mark.up_to >= self._marks[agent], f"the watermark of {agent} went back"
            unread = {letter.id for letter in inbox.unread(agent).letters}
            for one in meant:
                assert one in unread or (agent, one) in self._acknowledged, f"{one} was read by nobody, and is read"
        self._check_rest(inbox)

    def _check_rest(self, inbox: Inbox) -> None:
        for root in self.made:
            thread = [envelope.id for envelope in inbox.thread(root)]
            meant = sorted(one.id for one in self.made.values() if one.correlation_id == root)
            assert sorted(thread) == meant, f"thread {root}"
        self.simulation.disk.machine.advance(100_000)  # whatever steps the wall clock was made to do
        late = {(one.id, one.recipient) for one in inbox.overdue()}
        for agent in AGENTS:
            for letter in inbox.unread(agent).letters:
                asked = self.made[letter.id]
                begun = (agent, asked.id) in self._acknowledged  # who acknowledged it may have died before the mark
                if asked.ack_due_ms is not None and asked.recipients != ("*",) and not begun:
                    assert (letter.id, agent) in late, f"{letter.id} is not answered by {agent}, and not overdue"


def run(seed: int, faults: Faults, *, steps_max: int) -> MailWorld:
    """One run that must find nothing."""
    try:
        return MailWorld(seed, faults=faults).run(steps_max=steps_max)
    except Corrupt as error:  # nothing here damages a record
        raise AssertionError(str(error)) from error
