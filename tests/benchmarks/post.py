"""Messages on their way out: what it costs to accept one, to send one, and how fast a flush goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import perf_counter, perf_counter_ns
from typing import Any

from sharedstate import SharedState
from sharedstate.ids import fingerprint
from sharedstate.messages.model import Answer, Delivered, Envelope, Queued, Sent
from sharedstate.messages.spool import shelf_of
from sharedstate.store import DELETE, Decision, Document
from tests.benchmarks.bench import Bench, opened
from tests.benchmarks.raw import Floor
from tests.benchmarks.rounds import Rounds
from tests.benchmarks.table import Broken, Row, at_most

ACCEPT_RATIO_MAX = 1.3
BODY = "hello " * 100
CALLS = 10
GATEWAY_TOKEN = "a-token-for-benchmarks-only"


class Clocked:
    """Takes everything at once, and notes when: until then a message was being accepted."""

    name = "clocked"

    def __init__(self) -> None:
        self.at_ns = 0
        self.count = 0

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """Take it."""
        del envelope, timeout_s
        self.at_ns = perf_counter_ns()
        self.count += 1
        return Delivered(via=self.name)

    def close(self) -> None:
        """Nothing to give back."""


def send(bench: Bench) -> Iterator[Row]:
    """Accept and send, durably on the disk, beside a raw durable write of the same bytes."""
    folder = bench.folder("send")
    with opened(os.path.join(folder, "state")) as state:
        content, document = _record(state)
        floor = Floor(os.path.join(folder, "floor"), content, durable=True)
        measured = _measured(state, floor, document, rounds=bench.choose(full=40, quick=8))
    floor.close()
    yield Row(
        case="accept a message (durable, disk)",
        figure=measured.ratio("accept", to="raw"),
        median_us=measured.median_us("accept"),
        aim=at_most(ACCEPT_RATIO_MAX),
        note="to one raw durable write of the same bytes; until the transport is called",
    )
    yield Row(
        case="send, a transport that takes it at once",
        figure=measured.ratio("send", to="raw"),
        median_us=measured.median_us("send"),
        note="the same; and out of the spool, with an entry in the journal",
    )
    yield Row(
        case="send into an inbox of the same store",
        figure=measured.ratio("store", to="raw"),
        median_us=measured.median_us("store"),
        note="the same; the inbox takes durable steps of its own",
    )
    yield Row(
        case="control: the same document through the store alone",
        figure=measured.ratio("record", to="raw"),
        median_us=measured.median_us("record"),
    )
    yield Row(case="control: raw durable write", median_us=measured.median_us("raw"))
    yield Row(
        case="control: raw durable write, and removing the file again",
        figure=measured.ratio("both", to="raw"),
        median_us=measured.median_us("both"),
        note="what no spool can do without",
    )
    yield from _cpu(bench)


def flush(bench: Bench) -> Iterator[Row]:
    """A spool full of messages of ten senders, emptied by one process."""
    count = bench.choose(full=2_000, quick=200)
    for memory, place in ((True, "tmpfs"), (False, "disk")):
        folder = bench.folder(f"flush-{place}", memory=memory)
        far = Clocked()
        yield _flushed(folder, count, "a transport that takes it at once", place, transport=far)
        if far.count != count:
            raise Broken(f"not each once: {far.count} deliveries of {count}")
        yield _flushed(folder, count, "inboxes of the same store", place)
        with gateway(os.path.join(folder, "far")) as url:
            yield _flushed(folder, count, "a gateway, over HTTP", place, endpoints=(url,), http_token=GATEWAY_TOKEN)
        floor = Floor(os.path.join(folder, "floor"), b"x" * 1_200, durable=not memory)
        began_s = perf_counter()
        for number in range(count // 4):
            floor.replace(number)
        yield Row(
            case=f"control: raw {'' if memory else 'durable '}writes ({place})",
            figure=count // 4 / (perf_counter() - began_s),
            unit="/s",
        )
        floor.close()


def _flushed(
    folder: str, count: int, way: str, place: str, *, transport: Clocked | None = None, **settings: Any
) -> Row:
    with opened(os.path.join(folder, fingerprint(way.encode(), size=4)), **settings) as state:
        _fill(state, count)
        began_s = perf_counter()
        report = state.outbox.flush(transport=transport, count_max=count)
        seconds = perf_counter() - began_s
    if report.sent != count or report.waiting:
        raise Broken(f"not each once: {report}")
    return Row(
        case=f"flush {count:,} messages, {way} ({place})",
        figure=count / seconds,
        unit="/s",
        median_us=seconds / count * 1e6,
        note="median: the time of each",
    )


@contextmanager
def gateway(root: str) -> Generator[str]:
    """The URL of a real gateway process over this root."""
    argv = [sys.executable, "-m", "sharedstate_cli", "serve", "--json", "--dir", root, "--port", "0", "--allow-write"]
    env = {**os.environ, "SHARED_STATE_HTTP_TOKEN": GATEWAY_TOKEN}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            told = "" if process.stdout is None else process.stdout.readline()
            if not told:
                raise Broken("the gateway does not start")
            yield str(json.loads(told)["url"])
        finally:
            process.terminate()


def _measured(state: SharedState, floor: Floor, document: Document, *, rounds: int) -> Rounds:
    far, measured, number = Clocked(), Rounds(), 0
    for turn in range(rounds + 1):
        samples: dict[str, list[int]] = {"raw": [], "both": [], "record": [], "accept": [], "send": [], "store": []}
        for _ in range(CALLS):
            number += 1
            began_ns = perf_counter_ns()
            floor.replace(number)
            samples["raw"].append(perf_counter_ns() - began_ns)
            os.unlink(floor.path(number))
            samples["both"].append(perf_counter_ns() - began_ns)
        for count in range(CALLS):
            began_ns = perf_counter_ns()
            _write(state, f"bench-{turn}-{count}", Decision(result=None, write=document))
            samples["record"].append(perf_counter_ns() - began_ns)
            _write(state, f"bench-{turn}-{count}", Decision(result=None, write=DELETE))
        for _ in range(CALLS):
            began_ns = perf_counter_ns()
            answer = state.outbox.send(sender="ada", to="bob", body=BODY, transport=far)
            samples["send"].append(perf_counter_ns() - began_ns)
            samples["accept"].append(far.at_ns - began_ns)
            _check(answer)
        for _ in range(CALLS):
            began_ns = perf_counter_ns()
            answer = state.outbox.send(sender="ada", to="bob", body=BODY)
            samples["store"].append(perf_counter_ns() - began_ns)
            _check(answer)
        for case, taken in samples.items():
            if turn:  # the first round only warms up
                measured.add(case, taken)
    return measured


def _cpu(bench: Bench) -> Iterator[Row]:
    folder = bench.folder("send-cpu", memory=True)
    far, samples = Clocked(), list[int]()
    with opened(os.path.join(folder, "state")) as state:
        for _ in range(bench.choose(full=1_000, quick=100)):
            began_ns = perf_counter_ns()
            _check(state.outbox.send(sender="ada", to="bob", body=BODY, transport=far))
            samples.append(far.at_ns - began_ns)
    samples.sort()
    yield Row(case="accept a message, CPU only (tmpfs)", median_us=samples[len(samples) // 2] / 1000)


def _write(state: SharedState, key: str, decision: Decision[None]) -> None:
    state.local_store.transact("bench", key, lambda _: decision)


def _record(state: SharedState) -> tuple[bytes, Document]:
    """The bytes of a message in the spool, and its document."""
    answer = state.outbox.send(sender="ada", to="bob", body=BODY, deliver=False)
    if not isinstance(answer, Queued):
        raise Broken(f"not accepted: {answer}")
    found = state.local_store.get(shelf_of("ada"), answer.envelope.id)
    folder = os.path.join(state.root, "local", "ledger", shelf_of("ada"))
    [name] = os.listdir(folder)
    with open(os.path.join(folder, name), "rb") as file:
        content = file.read()
    state.outbox.flush()
    return content, {} if found is None else found.value


def _fill(state: SharedState, count: int) -> None:
    for number in range(count):
        answer = state.outbox.send(sender=f"sender-{number % 10}", to=f"agent-{number % 7}", body=BODY, deliver=False)
        if not isinstance(answer, Queued):
            raise Broken(f"not accepted: {answer}")


def _check(answer: object) -> None:
    if not isinstance(answer, Sent):
        raise Broken(f"not sent: {answer}")
