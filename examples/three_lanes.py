"""Three lanes in three working copies talk through two gateways, which die; every message arrives, once and in order.

    python examples/three_lanes.py

Three clones of a repository, each with an outbox of its own; a store that keeps the inboxes, and two gateways before
it, as real processes on free ports of this machine. The primary is killed while everybody sends, then the fallback,
too. It takes about 20 s, needs git and the extras `http` and `serve`, and leaves nothing behind. The exit code is 0
only if every line of the proof holds.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.lanes_parts.gateways import Hub
from examples.lanes_parts.ground import (
    DEADLINE_S,
    FALLBACK,
    KEEPER,
    LANES,
    PRIMARY,
    clone,
    expect,
    free_ports,
    tell,
)
from examples.lanes_parts.lane import Lane
from sharedstate import SharedState
from sharedstate.messages.model import Queued, Sent
from sharedstate_adapters.http.reading import HttpInbox

# One lane at work


def send(name: str, count: int) -> None:
    """Send to the other two in turn, now and then to everybody; tell each accepted message on a line."""
    others = [f"desk/{other}" for other in LANES if other != name]
    with SharedState.open() as state:
        for number in range(count):
            to = "*" if number % 5 == 4 else others[number % 2]
            answer = state.outbox.send(sender=f"desk/{name}", to=to, kind="progress", body=f"{name}: step {number}")
            assert isinstance(answer, Sent | Queued), answer
            via = answer.via if isinstance(answer, Sent) else ""
            told = {"id": answer.envelope.id, "to": to, "via": via.rpartition(":")[2]}
            print(json.dumps(told), flush=True)


# The story


def story(folder: Path) -> bool:
    """Everything, from the clones to the proof."""
    token = secrets.token_hex(16)
    ports: dict[str, int] = dict(zip((PRIMARY, FALLBACK), free_ports(2), strict=True))
    lanes = {name: Lane(name, folder / name, token=token) for name in LANES}
    hub = Hub(folder / "hub", lanes[KEEPER], ports, token=token)
    clone(folder / "origin", [lane.folder for lane in lanes.values()], ports)
    tell(f"three working copies: {', '.join(LANES)}; gateways on {ports[PRIMARY]} and {ports[FALLBACK]}")
    try:
        for name in (PRIMARY, FALLBACK):
            hub.start(name)
        work_together(lanes, hub)
        lose_both(lanes, hub)
        recover(lanes, hub)
        held = {
            "what came between the look and the acknowledgement stayed unread": read_and_acknowledge(lanes),
            "the denied stop stands in the audit trail, and the primary runs on": stop_what_is_not_ours(lanes, hub),
        }
        return proof(lanes, hub, held)
    finally:
        for lane in lanes.values():
            lane.close()
        left = hub.stop_all()
        tell(f"still running: {', '.join(left)}" if left else "both gateways are stopped by their owner")


def work_together(lanes: Mapping[str, Lane], hub: Hub) -> None:
    """Everybody sends at once; in the middle of it the primary is killed."""
    sent = everybody(lanes, 10)
    tell(f"{len(sent)} messages at once from three lanes, {vias(sent, hub)}")
    code, seen = lanes["app"].unread()
    expect(code == 0, f"app cannot look: {seen}")
    tell(f"app has {seen['count']} unread messages")
    running = {name: lane.start(15) for name, lane in lanes.items()}
    told: list[dict[str, Any]] = []
    for name, started in running.items():
        assert started.stdout is not None
        told += lanes[name].heard(started.stdout.readline() for _ in range(2))
    hub.kill(PRIMARY)
    tell("the primary is killed while they send")
    for name, started in running.items():
        told += lanes[name].finish(started)
    expect(len(told) == 45 and all(one["via"] for one in told), "not all delivered although the fallback was there")
    tell(f"they go on without noticing: {len(told)} messages, {vias(told, hub)}")


def lose_both(lanes: Mapping[str, Lane], hub: Hub) -> None:
    """Without any gateway messages are accepted all the same, and nobody claims that nothing is unread."""
    hub.kill(FALLBACK)
    told = everybody(lanes, 6)
    code, _ = lanes["docs"].send(lanes["app"].agent, "is anybody there?")
    expect(code == 9, f"claims send: exit code {code}")
    waiting = {name: count_waiting(lane) for name, lane in lanes.items()}
    expect(not any(one["via"] for one in told) and sum(waiting.values()) == 19, f"{len(told)} told, waiting {waiting}")
    tell(f"the fallback is killed, too: 19 messages are accepted (exit code 9) and wait in the outboxes {waiting}")
    code, seen = lanes["app"].unread()
    expect(code == 75 and seen["count"] is None, f"an inbox that cannot be asked is not unknown: {code}, {seen}")
    tell("app asks what is unread: unknown (exit code 75), which is not the same as nothing")


def recover(lanes: Mapping[str, Lane], hub: Hub) -> None:
    """Anybody may start what is down, for its owner; then the outboxes are flushed."""
    for name in (PRIMARY, FALLBACK):
        done = lanes["docs"].claims("service", "start", name, "--dir", str(hub.folder))
        expect(done.returncode == 0, f"no recovery: {done.stderr}")
        hub.await_answer(name)
    tell("docs starts both gateways again, in the name of their owner")
    began_s = time.monotonic()
    left = set(lanes)
    while left:
        expect(time.monotonic() - began_s < DEADLINE_S, f"still waiting: {left}")
        left = {name for name in left if lanes[name].claims("outbox", "flush").returncode != 0}
        time.sleep(0.2)
    took_s = time.monotonic() - began_s
    tell(f"all outboxes are flushed {took_s:.0f} s later: who was refused waits a while before asking again")


def read_and_acknowledge(lanes: Mapping[str, Lane]) -> bool:
    """Whether what arrives between the look and the acknowledgement stays unread."""
    app, api = lanes["app"], lanes["api"]
    code, seen = app.unread()
    expect(code == 0 and seen["count"] == len(seen["letters"]) > 0, f"app cannot look: {code}, {seen}")
    code, late = api.send(app.agent, "one more thing")
    expect(code == 0, f"claims send: exit code {code}")
    done = app.claims("ack", app.agent, "--up-to", str(seen["up_to"]))
    expect(done.returncode == 0, f"claims ack: {done.stderr}")
    _, left = app.unread()
    tell(f"app acknowledges the {seen['count']} messages it saw; unread: {left['count']}, which came meanwhile")
    return [one["id"] for one in left["letters"]] == [late]


def stop_what_is_not_ours(lanes: Mapping[str, Lane], hub: Hub) -> bool:
    """Whether a stop by another lane is refused, told in the audit trail, and without effect."""
    lane, pid = lanes["docs"], hub.pid(PRIMARY)
    done = lane.claims("service", "stop", PRIMARY, "--dir", str(hub.folder))
    expect(done.returncode == 3, f"stop by another lane: exit code {done.returncode}")
    tell(f"{lane.name} tries to stop the primary and is refused: exit code 3")
    trail = lane.claims("audit", "--service", PRIMARY, "--dir", str(hub.folder)).stdout
    entry = [line.strip() for line in trail.splitlines() if "service_denied" in line and lane.agent in line]
    tell(f"  audit: {entry[-1] if entry else 'nothing'}")
    hub.await_answer(PRIMARY)
    return len(entry) == 1 and hub.pid(PRIMARY) == pid


def proof(lanes: Mapping[str, Lane], hub: Hub, held: Mapping[str, bool]) -> bool:
    """Compare what was accepted with what stands in the inboxes, and print it with what has held on the way."""
    accepted = [one["id"] for lane in lanes.values() for one in lane.accepted]
    once = ordered = True
    letters = 0
    inbox = HttpInbox(f"http://127.0.0.1:{hub.ports[PRIMARY]}", token=hub.token)
    for reader in lanes.values():
        found = list(inbox.list(reader.agent))
        letters += len(found)
        for sender in lanes.values():
            meant = [one["id"] for one in sender.accepted if is_for(one["to"], reader, sender)]
            arrived = [letter.id for letter in found if letter.sender == sender.agent]
            once = once and sorted(arrived) == sorted(meant)
            ordered = ordered and arrived == meant
    inbox.close()
    claims = {
        f"{len(accepted)} messages accepted, all ids different": len(set(accepted)) == len(accepted),
        f"each stands once in each inbox it is for, and nothing else does ({letters} letters)": once,
        "for each sender and recipient they stand in the order of sending": ordered,
        "no outbox holds anything": not any(count_waiting(lane) for lane in lanes.values()),
        **held,
    }
    tell("proof")
    for claim, holds in claims.items():
        tell(f"  {'yes' if holds else 'NO '}  {claim}")
    return all(claims.values())


# Small things


def everybody(lanes: Mapping[str, Lane], count: int) -> list[dict[str, Any]]:
    """Each lane sends so many messages, all at the same time; what was accepted."""
    running = {name: lane.start(count) for name, lane in lanes.items()}
    return [one for name, started in running.items() for one in lanes[name].finish(started)]


def count_waiting(lane: Lane) -> int:
    """How many messages stand in the outbox of a lane."""
    with lane.open() as state:
        counts = state.outbox.counts()
    return counts.pending + counts.in_flight + counts.dead + counts.damaged


def vias(told: Sequence[Mapping[str, Any]], hub: Hub) -> str:
    """How many went through which gateway."""
    through = {name: sum(one["via"] == str(port) for one in told) for name, port in hub.ports.items()}
    return f"{through[PRIMARY]} through the primary, {through[FALLBACK]} through the fallback"


def is_for(to: str, reader: Lane, sender: Lane) -> bool:
    """Whether a message to these goes into this inbox; what is for everybody is not for its sender."""
    return to == reader.agent or (to == "*" and reader is not sender)


def main() -> int:
    """Run the story, or, with `--lane`, be one of the lanes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lane", choices=LANES, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.lane:
        send(given.lane, given.count)
        return 0
    signal.signal(signal.SIGTERM, interrupted)
    folder = Path(tempfile.mkdtemp(prefix="three-lanes-")).resolve()
    try:
        return 0 if story(folder) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def interrupted(number: int, frame: FrameType | None) -> None:
    """End in order, so that the gateways are stopped."""
    del frame
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
