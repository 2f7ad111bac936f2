"""The storm: producers and flushers that are killed, gateways that are killed, connections that break in every way.

Whatever was accepted arrives, exactly once in effect, in the order of its sender; checked from what producers told.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sharedstate import SharedState
from sharedstate.testing.proxy import FAULTS, Fault, FaultProxy
from tests.integration.http.gateways import TOKEN, RealGateway
from tests.integration.messages.storm_worker import RECIPIENTS

PRODUCERS, FLUSHERS = 8, 4
LONG = range(25)  # 8 producers, 1,000 messages each: 200,000 in all
CALM_S = 240.0
STARTS_MAX = 10
CALMER: tuple[Fault, ...] = ("pass",) * 3
ROOT = Path(__file__).resolve().parents[3]


class Storm:
    """All processes of one run, and what producers have told."""

    def __init__(self, folder: Path, *, seed: int, count: int) -> None:
        self.sending, self.receiving = folder / "sending", folder / "receiving"
        self.chance = random.Random(seed)
        self.count = count
        self.accepted: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.kills = 0
        self.gateways = [self._gateway("one"), self._gateway("two")]
        self.proxies = [
            FaultProxy(("127.0.0.1", gateway.port), mix=FAULTS + CALMER, seed=seed + at, pause_s=0.02)
            for at, gateway in enumerate(self.gateways)
        ]
        self.urls = [f"http://127.0.0.1:{proxy.port}" for proxy in self.proxies]

    def _gateway(self, name: str, *, port: int = 0) -> RealGateway:
        for _ in range(STARTS_MAX):
            made = RealGateway(self.receiving, "--allow-write", "--service", name, port=port)
            if made.url:
                return made
            made.end(signal.SIGKILL)
        raise AssertionError(f"the gateway {name} does not start again on port {port}")

    def worker(self, *words: str) -> subprocess.Popen[str]:
        """A process of one role."""
        argv = [sys.executable, "-m", "tests.integration.messages.storm_worker", *words, *self.urls]
        out = subprocess.PIPE if words[0] == "produce" else subprocess.DEVNULL
        return subprocess.Popen(argv, stdout=out, text=True, cwd=ROOT)

    def producer(self, name: str, life: int, count: int) -> subprocess.Popen[str]:
        """A producer; each of its lives is a sender of its own, since only a living one knows what it has told."""
        return self.worker("produce", str(self.sending), f"{name}.{life}", str(count))

    def heard(self, name: str, process: subprocess.Popen[str]) -> int:
        """Keep what a producer has told until its end; how many messages that were."""
        assert process.stdout is not None
        told = [line.split() for line in process.stdout.read().splitlines() if line.count(" ") == 1]
        process.wait()
        process.stdout.close()
        for identity, to in told:
            self.accepted[name, to].append(identity)
        return len(told)

    def rage(self) -> None:
        """Let everybody work while processes and gateways die, until all messages are accepted."""
        flushers = [self.worker("flush", str(self.sending)) for _ in range(FLUSHERS)]
        left = {f"desk/p{number}": self.count for number in range(PRODUCERS)}
        life = 0
        try:
            while any(left.values()):
                life += 1
                running = {name: self.producer(name, life, count) for name, count in left.items() if count}
                self._disturb(running, flushers)
                for name, process in running.items():
                    left[name] -= self.heard(f"{name}.{life}", process)
        finally:
            for flusher in flushers:
                flusher.kill()
                flusher.wait()

    def _disturb(self, running: dict[str, subprocess.Popen[str]], flushers: list[subprocess.Popen[str]]) -> None:
        while any(process.poll() is None for process in running.values()):
            time.sleep(self.chance.uniform(0.3, 1.0))
            self.proxies[self.chance.randrange(2)].drop_connections()  # or the first faults would be the last
            die = self.chance.random()
            if die < 0.35:
                victim = self.chance.choice(sorted(running))
                self.kills += running[victim].poll() is None
                running[victim].kill()
            elif die < 0.7:
                at = self.chance.randrange(FLUSHERS)
                flushers[at].kill()
                flushers[at].wait()
                flushers[at] = self.worker("flush", str(self.sending))
                self.kills += 1
            elif die < 0.8:
                at = self.chance.randrange(len(self.gateways))
                port = self.gateways[at].port
                self.gateways[at].end(signal.SIGKILL)
                self.gateways[at] = self._gateway(("one", "two")[at], port=port)
                self.kills += 1

    def calm(self) -> None:
        """No more faults: flush until nothing waits."""
        for proxy in self.proxies:
            proxy.calm()
        deadline_s = time.monotonic() + CALM_S
        with SharedState.open(self.sending, endpoints=self.urls, http_token=TOKEN) as state:
            while (counts := state.outbox.counts()).pending + counts.in_flight + counts.dead:
                assert time.monotonic() < deadline_s, counts
                state.outbox.retry(all=True)
                state.outbox.flush(count_max=5_000, time_max_s=30)
                time.sleep(0.5)  # circuits that the storm has opened cool down within a minute
            assert counts.damaged == 0

    def close(self) -> None:
        """End everything."""
        for gateway in self.gateways:
            gateway.end(signal.SIGKILL)
        for proxy in self.proxies:
            proxy.close()


@pytest.fixture
def end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    "seed, count",
    [
        pytest.param(1, 60, id="short"),
        *(pytest.param(s, 1_000, id=f"long{s}", marks=pytest.mark.soak) for s in LONG),
    ],
)
def test_nothing_accepted_is_lost_or_doubled_or_overtaken(
    tmp_path: Path, end: ExitStack, seed: int, count: int
) -> None:
    storm = Storm(tmp_path, seed=seed, count=count)
    end.callback(storm.close)
    storm.rage()
    storm.calm()
    total = extra = 0
    with SharedState.open(storm.receiving) as state:
        for to in RECIPIENTS:
            arrived: dict[str, list[str]] = defaultdict(list)
            letters = state.inbox.list(to)
            assert len({letter.id for letter in letters}) == len(letters), "a message stands twice in an inbox"
            for letter in letters:
                arrived[letter.sender].append(letter.id)
            for (sender, meant), told in storm.accepted.items():
                if meant != to:
                    continue
                here = arrived[sender]
                assert set(told) <= set(here), "an accepted message is lost"
                assert [one for one in here if one in set(told)] == told, f"the order of {sender} to {to} is broken"
                extra += len(here) - len(told)
                total += len(told)
    assert total >= PRODUCERS * count
    assert extra <= storm.kills, "more than one message of a killed producer arrived that it has not told"
    connections = sum(len(proxy.log) for proxy in storm.proxies)
    sys.stdout.write(f"{total} messages, {storm.kills} kills, {connections} connections\n")
