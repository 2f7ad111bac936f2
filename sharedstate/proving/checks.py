"""The checks of `claims selftest --url`, in the order in which they build on each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any, Final

from sharedstate.files.selftest import FAIL, PASS, UNKNOWN, Check, Verdict
from sharedstate.proving.steps import beat, claim, count, release, write
from sharedstate.proving.trial import Trial
from sharedstate.store import Entry, Versioned

_LOOKS: Final = 5
_KEYS: Final = 3
_HINTS: Final = 4
_BEAT_S: Final = 0.02
_HINT_S_MAX: Final = 5.0
_HINT_MS_GOOD: Final = 250
_CLOCK_ROUNDS: Final = 10
_CLOCK_DRIFT_MS_MAX: Final = 100
_AFTER_KILL_S_MAX: Final = 15.0
_LATE_S: Final = (0.1, 0.3, 1.0, 0.0)
_HARD: Final[dict[str, Any]] = {
    "one": 1, "as_float": 1.0, "minus": -0.0, "big": 2**53 - 1, "small": 5e-324, "text": "a\u0000\u2028é\U0001f600",
    "none": None, "yes": True, "list": [[], {}, ""], "deep": {"a": {"b": {"c": [1, 2.5]}}},
}  # fmt: skip


def answers(trial: Trial) -> Check:
    """The store answers; how fast decides how long the other checks take."""
    key, times = trial.key("answers"), []
    for _ in range(_LOOKS):
        began_s = trial.host.monotonic_s()
        trial.store.transact(trial.name, key, count("own"), journal=trial.name)
        times.append(trial.host.monotonic_s() - began_s)
    trial.op_s = median(times)
    measured = {"write_ms_median": round(trial.op_s * 1000, 2), "write_ms_max": round(max(times) * 1000, 2)}
    return _check(answers, PASS, f"a change takes {trial.op_s * 1000:.1f} ms", measured)


def values_stay_exact(trial: Trial) -> Check:
    """Numbers, texts and names come back as they were, types included."""
    key = trial.key("values")
    trial.store.transact(trial.name, key, write(_HARD), journal=trial.name)
    held = trial.store.get(trial.name, key)
    if held is None or repr(sorted(held.value.items())) != repr(sorted(_HARD.items())):
        return _check(values_stay_exact, FAIL, "a document came back changed")
    return _check(values_stay_exact, PASS, "documents come back as they were written")


def updates_are_not_lost(trial: Trial) -> Check:
    """Counting in one record, with all processes at it, loses nothing and does nothing twice."""
    key = trial.key("count")
    told = trial.together("count", name=trial.name, key=key, seconds=trial.work_s)
    counts = sorted(number for one in told for number in one["counts"])
    failed = sum(one["failed"] for one in told)
    measured = {"processes": len(told), "counted": len(counts), "failed": failed}
    problem = _count_problem(trial, key, counts, failed)
    if problem:
        return _check(updates_are_not_lost, FAIL, problem, measured)
    return _some(updates_are_not_lost, told, len(counts), f"{len(counts)} changes of one record, none lost", measured)


def claims_are_exclusive(trial: Trial) -> Check:
    """One holder at a time, each with a higher fence, and the journal tells the same story."""
    keys = [trial.key(f"claim-{number}") for number in range(_KEYS)]
    told = trial.together("claims", name=trial.name, keys=keys, seconds=trial.work_s)
    won = Counter((key, fence) for one in told for key, fence in one["won"])
    stolen = sum(one["stolen"] for one in told)
    measured = {"processes": len(told), "claims": won.total(), "tries": sum(one["tries"] for one in told)}
    twice = [key for key, times in won.items() if times > 1]
    if twice or stolen:
        text = f"{len(twice)} fences were given out twice, {stolen} claims were held by two"
        return _check(claims_are_exclusive, FAIL, text, measured)
    for key in keys:
        problem = _story_problem(_events(trial, key), {fence for won_key, fence in won if won_key == key})
        if problem:
            return _check(claims_are_exclusive, FAIL, problem, measured)
    text = f"{won.total()} claims of {_KEYS} tasks by {len(told)} processes, one holder at a time, fences only grew"
    return _some(claims_are_exclusive, told, won.total(), text, measured)


def journal_is_in_order(trial: Trial) -> Check:
    """Appended entries take each sequence once; a reader who looks meanwhile never sees a gap."""
    name, seconds = trial.name, trial.work_s
    last = first = _last(trial)
    for number, peer in enumerate(trial.peers):
        peer.answer_s = None
        peer.tell("append", number=number, name=name, seconds=seconds)
    until_s, looks, gap = trial.host.monotonic_s() + seconds, 0, ""
    while trial.host.monotonic_s() < until_s and not gap:
        for entry in trial.store.read(name, after=last):
            if entry.sequence != last + 1:
                gap = f"a reader saw entry {entry.sequence} after entry {last}"
                break
            last = entry.sequence
        looks += 1
    for peer in trial.peers:
        peer.answer_s = 2 * seconds + 20
    told = [peer.answer() for peer in trial.peers]
    found = {entry.sequence: entry.value for entry in trial.store.read(name, after=first)}
    measured = {"entries": len(found), "looks": looks, "failed": sum(one["failed"] for one in told)}
    problem = gap or _journal_problem(told, found, first)
    if problem:
        return _check(journal_is_in_order, FAIL, problem, measured)
    return _some(
        journal_is_in_order, told, len(found), f"{len(found)} entries, no gap, each writer's in order", measured
    )


def beats_are_seen(trial: Trial) -> Check:
    """A heartbeat is seen by another process, moves on, and leaves the record as it is."""
    key, name, store = trial.key("beat"), trial.name, trial.store
    fence = store.transact(name, key, claim("own"), journal=name)
    assert fence is not None, "nobody else knows this key"
    first = store.get(name, key)
    trial.host.sleep(_BEAT_S)
    store.transact(name, key, beat(fence), journal=name)
    before = store.get(name, key)
    seen, now_ms = trial.peers[0].ask("beat", number=0, name=name, key=key), store.now().at_ms
    listed = [one.key for one in store.scan(name, live_only=True) if isinstance(one, Versioned)]
    store.transact(name, key, release("own", fence), journal=name)
    after = [one.key for one in store.scan(name, live_only=True) if isinstance(one, Versioned)]
    if first is None or first.beat is None or before is None or before.revision != 1 or before.beat is None:
        return _check(beats_are_seen, FAIL, "a heartbeat changed the record, or was not kept")
    if before.beat.seen.at_ms <= first.beat.seen.at_ms:
        return _check(beats_are_seen, FAIL, "a heartbeat does not move on")
    if seen is None or seen[0] != fence:
        return _check(beats_are_seen, FAIL, "another process does not see the heartbeat")
    if key not in listed or key in after:
        return _check(beats_are_seen, FAIL, "the list of living claims does not follow claims and releases")
    measured = {"age_ms": now_ms - seen[1]}
    return _check(beats_are_seen, PASS, "heartbeats are seen by other processes, and change no record", measured)


def time_never_goes_back(trial: Trial) -> Check:
    """The store's clock, asked by two processes in turn, only goes on."""
    seen: list[int] = []
    began = (trial.host.monotonic_s(), trial.store.now().at_ms)
    for _ in range(_CLOCK_ROUNDS):
        seen += [trial.store.now().at_ms, trial.peers[0].ask("now", number=0)]
    instant = trial.store.now()
    elapsed_ms = (trial.host.monotonic_s() - began[0]) * 1000
    drift_ms = abs(instant.at_ms - began[1] - elapsed_ms)
    measured = {
        "looks": len(seen),
        "drift_ms": round(drift_ms, 1),
        "ahead_of_this_host_ms": instant.at_ms - trial.host.now().at_ms,
    }
    if any(later < earlier for earlier, later in pairwise(seen)):
        return _check(time_never_goes_back, FAIL, "the store's time went back", measured)
    if drift_ms > _CLOCK_DRIFT_MS_MAX + 2 * trial.op_s * 1000:
        return _check(time_never_goes_back, FAIL, f"the store's time is off by {drift_ms:.0f} ms in a moment", measured)
    if instant.boot_id:
        text = "this store has no clock of its own: moments are those of each host, kept alike by NTP"
        return _check(time_never_goes_back, UNKNOWN, text, measured)
    return _check(time_never_goes_back, PASS, "the server's time only goes on", measured)


def lost_answers_are_resolved(trial: Trial) -> Check:
    """Connections are cut at any moment: what was acknowledged is there once, and nothing is there twice."""
    key = trial.key("cut")
    told = trial.together("count_cut_off", name=trial.name, key=key, seconds=trial.work_s, op_s=trial.op_s)
    counts = sorted(number for one in told for number in one["counts"])
    cuts, failed = sum(one["cuts"] for one in told), sum(one["failed"] for one in told)
    measured = {"operations": len(counts) + failed, "cuts": cuts, "failed": failed}
    problem = _count_problem(trial, key, counts, failed)
    if problem:
        return _check(lost_answers_are_resolved, FAIL, problem, measured)
    if not cuts:
        return _check(lost_answers_are_resolved, UNKNOWN, "no connection could be cut here", measured)
    text = f"{cuts} connections cut: {len(counts)} changes done once, {failed} told as failed, nothing done twice"
    return _some(lost_answers_are_resolved, told, len(counts), text, measured)


def hints_arrive(trial: Trial) -> Check:
    """Who waits for a journal hears of a new entry at once, not only when he looks again."""
    waits: list[float] = []
    for _ in range(_HINTS):
        last, peer = _last(trial), trial.peers[0]
        peer.answer_s = _HINT_S_MAX + 20
        peer.tell("speak", number=0, name=trial.name, after_s=min(0.3, 0.05 + trial.op_s))
        heard = trial.store.watch(trial.name, after=last, timeout_s=_HINT_S_MAX + 2 * trial.op_s)
        heard_s = trial.host.monotonic_s()
        began_s = peer.answer()
        if not heard:
            return _check(hints_arrive, FAIL, f"an entry was not noticed within {_HINT_S_MAX:g} s")
        waits.append(max(0.0, heard_s - began_s) * 1000)
    measured = {"ms_median": round(median(waits), 1), "ms_max": round(max(waits), 1)}
    if median(waits) <= _HINT_MS_GOOD + 3000 * trial.op_s:
        return _check(hints_arrive, PASS, f"others hear of an entry after {median(waits):.0f} ms", measured)
    text = f"no hints come: an entry is noticed after {median(waits):.0f} ms, by looking again"
    return _check(hints_arrive, UNKNOWN, text, measured)


def the_killed_block_nobody(trial: Trial) -> Check:
    """SIGKILL in the middle leaves whole changes; what was acknowledged stays; the next one is not held up."""
    key, peer = trial.key("kill"), trial.peers[-1]
    peer.answer_s = 20.0
    peer.tell("count_aloud", number=len(trial.peers) - 1, name=trial.name, key=key)
    said = [peer.answer() for _ in range(3)]
    trial.kill(peer)
    began_s = trial.host.monotonic_s()
    mine = trial.store.transact(trial.name, key, count("own"), journal=trial.name)
    took_s = trial.host.monotonic_s() - began_s
    measured = {"next_ms": round(took_s * 1000, 1)}
    if mine <= max(said):
        return _check(the_killed_block_nobody, FAIL, "what a killed process had been told is gone", measured)
    problem = _count_problem(trial, key, [*said, mine], failed=mine)
    if problem:
        return _check(the_killed_block_nobody, FAIL, problem, measured)
    if took_s > _AFTER_KILL_S_MAX:
        return _check(
            the_killed_block_nobody, FAIL, f"a killed process blocked the next one for {took_s:.0f} s", measured
        )
    return _check(the_killed_block_nobody, PASS, "a killed process leaves whole changes, and blocks nobody", measured)


def cleans_up(trial: Trial) -> Check:
    """Nothing of the trial is left in the store. What a killed process had on its way may arrive late; it goes, too."""
    store, name = trial.source, trial.name
    trial.remove()
    if trial.leftovers is not None:
        return _check(cleans_up, FAIL, trial.leftovers)
    for pause_s in _LATE_S:
        if name not in store.trials() and not [*store.scan(name), *store.read(name, limit=1)]:
            return _check(cleans_up, PASS, "nothing of this run is left")
        trial.host.sleep(pause_s)
        store.forget_trial(name)
    return _check(cleans_up, FAIL, f"something of {name} is still there")


CHECKS: Final = (
    answers,
    values_stay_exact,
    updates_are_not_lost,
    claims_are_exclusive,
    journal_is_in_order,
    beats_are_seen,
    time_never_goes_back,
    lost_answers_are_resolved,
    hints_arrive,
    the_killed_block_nobody,
    cleans_up,
)


def _check(of: Callable[[Trial], Check], verdict: Verdict, what: str, measured: dict[str, Any] | None = None) -> Check:
    return Check(name=of.__name__, verdict=verdict, what=what, measured=measured or {})


def _some(of: Callable[[Trial], Check], told: list[Any], done: int, text: str, measured: dict[str, Any]) -> Check:
    """A pass, when anything was done at all; else nobody knows, and the first complaint says why."""
    if done:
        return _check(of, PASS, text, measured)
    complaints = [error for one in told for error in one["errors"]] or ["nothing was done in the time"]
    return _check(of, UNKNOWN, complaints[0], measured)


def _events(trial: Trial, key: str) -> list[Entry]:
    begins = f"{trial.name}/{key}@"
    return [entry for entry in trial.store.read(trial.name) if entry.record.startswith(begins)]


def _last(trial: Trial) -> int:
    return max((entry.sequence for entry in trial.store.read(trial.name)), default=0)


def _count_problem(trial: Trial, key: str, counts: list[int], failed: int) -> str:
    """What is wrong with a number that was counted up; empty when nothing is. What failed may have been done or not."""
    if len(set(counts)) != len(counts):
        return "two changes were told the same number: an update was lost"
    held = trial.store.get(trial.name, key)
    number = 0 if held is None else held.value["count"]
    if held is not None and held.revision != number:
        return f"{number} was counted in {held.revision} changes"
    told = [entry.value["count"] for entry in _events(trial, key)]
    if told != list(range(1, number + 1)):
        return f"the journal does not tell each of {number} changes once and in order"
    if not set(counts) <= set(told):
        return "a change that was acknowledged is gone"
    if number - len(counts) > failed:
        return f"{number} changes are there, {len(counts)} were acknowledged and {failed} failed: some were done twice"
    return ""


def _story_problem(events: list[Entry], won: set[int]) -> str:
    """What is wrong with the claims and releases of one task; empty when nothing is."""
    told = [(entry.value["type"], entry.value["fence"]) for entry in events]
    fences = [fence for type_, fence in told if type_ == "claimed"]
    if fences != list(range(1, len(fences) + 1)):
        return "the journal tells fences that do not grow by one"
    if not won <= set(fences):
        return "the journal does not tell of every claim"
    for earlier, later in pairwise(told):
        if earlier[0] == later[0] == "claimed":
            return "the journal tells of two holders at once"
    return ""


def _journal_problem(told: list[Any], found: dict[int, Any], first: int) -> str:
    if sorted(found) != list(range(first + 1, first + 1 + len(found))):
        return "the journal has a gap, or one sequence twice"
    for number, one in enumerate(told):
        mine = [found.get(sequence) for sequence in one["sequences"]]
        if mine != [{"by": f"p{number}", "n": n} for n in range(len(mine))]:
            return "an acknowledged entry is missing, or not in the order of its writer"
    done = sum(len(one["sequences"]) for one in told)
    if not done <= len(found) <= done + sum(one["failed"] for one in told):
        return f"{done} entries were acknowledged, {len(found)} are there"
    return ""
