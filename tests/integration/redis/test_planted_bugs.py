"""Bugs planted in the scripts and around them: each must be found by the test that stands for its promise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import redis

from sharedstate.errors import StoreBusy
from sharedstate.testing.contracts.steps import in_threads, increments, writes
from sharedstate_adapters.redis import store as store_module
from sharedstate_adapters.redis.clock import ServerClock
from sharedstate_adapters.redis.scripts import Script
from sharedstate_adapters.redis.store import RedisStore
from tests.integration.redis.conftest import Lane
from tests.integration.redis.stores import redis_store
from tests.integration.redis.test_lost_answers import (
    test_a_request_that_arrives_after_its_sender_gave_up_is_refused as gives_up,
)
from tests.integration.redis.test_lost_answers import (
    test_a_request_that_arrives_after_its_sender_was_told_of_another_has_no_effect as told_of_another,
)
from tests.integration.redis.test_lost_answers import (
    test_a_transition_that_is_cut_at_any_byte_happens_once_and_is_told as is_cut,
)
from tests.integration.redis.test_lost_answers import (
    test_an_append_that_is_cut_at_any_byte_happens_once_and_tells_its_sequence as append_is_cut,
)
from tests.integration.stores import comparing
from tests.integration.stores.places import new_place, redis_url
from tests.integration.stores.test_clocks import check_common_clock, pairs_on

Check = Callable[[Lane, Path], None]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def uncounted(count: int) -> None:
    """A planted bug's operations prove nothing."""


def no_update_is_lost(lane: Lane, folder: Path) -> None:
    """Four stores count on one record."""
    del folder
    stores = [redis_store(lane.url) for _ in range(4)]

    def counts(mine: RedisStore) -> None:
        for _ in range(40):
            mine.transact("counters", "c", increments)

    in_threads([partial(counts, mine) for mine in stores])
    held = lane.judge.get("counters", "c")
    assert held is not None
    assert (held.value, held.revision) == ({"count": 160}, 160)


def a_renewal_in_between_is_noticed(lane: Lane, folder: Path) -> None:
    """A beat."""
    del folder
    comparing.renewal_is_noticed(lane.store, lane.judge)


def a_deletion_in_between_is_noticed(lane: Lane, folder: Path) -> None:
    """Another record of the same revision."""
    del folder
    comparing.deletion_is_noticed(lane.store, lane.judge)


def another_record_that_changes_is_noticed(lane: Lane, folder: Path) -> None:
    """What a decision read beside its record."""
    del folder
    comparing.change_of_another_record_is_noticed(lane.store, lane.judge)


def only_marks_and_beats_expire(lane: Lane, folder: Path) -> None:
    """Records, index, journal and names stay until they are removed."""
    del folder
    lane.store.transact("tasks", "T-1", writes({"n": 1}, live=1, events=[{"n": 1}]))
    lane.store.append("log", {"n": 1})
    client = redis.Redis.from_url(redis_url())
    ttl_ms = {key.decode(): client.pttl(key) for key in client.scan_iter(match=f"{lane.store.keys.prefix}*")}
    kept = {key for key, ttl in ttl_ms.items() if ttl == -1}
    prefix = lane.store.keys.prefix
    assert kept == {
        f"{prefix}{name}" for name in ("records:tasks", "live:tasks", "journal:events", "journal:log", "names")
    }
    assert {key.removeprefix(prefix).partition(":")[0] for key in set(ttl_ms) - kept} == {"beat", "op"}


def nothing_happens_after_giving_up(lane: Lane, folder: Path) -> None:
    """A late request is refused."""
    del folder
    gives_up(lane, uncounted)


def cut_transitions_happen_once(lane: Lane, folder: Path) -> None:
    """Lost answers of transitions."""
    del folder
    is_cut(lane, "down", remembered=False, counted=uncounted)


def cut_appends_happen_once(lane: Lane, folder: Path) -> None:
    """Lost answers of appends."""
    del folder
    append_is_cut(lane, "down", uncounted)


def ages_are_the_servers(lane: Lane, folder: Path) -> None:
    """Clocks of hosts that are off."""
    del lane
    with pairs_on(new_place("redis", folder)) as pairs:
        check_common_clock(pairs)


HEAD = "head ~= ARGV[4] or "
BEAT = "(beat or '') ~= ARGV[5] or "
LATE = " or now > tonumber(ARGV[3])"
OTHERS = "head_of(other) ~= ARGV[at + 1] or (sign or '') ~= ARGV[at + 2]"
SIGNS = " or (sign or '') ~= ARGV[at + 2]"
WRITE_MARK = "redis.call('SET', KEYS[5], '1', 'PX', ARGV[2])"
APPEND_MARK = "redis.call('SET', KEYS[2], string.format('%.0f', seq), 'PX', ARGV[1])"
PUT = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[7])"
SCRIPTS: dict[str, tuple[str, str, str, Check]] = {
    "no comparison": ("WRITE", HEAD + BEAT, "false or ", no_update_is_lost),
    "beat not compared": ("WRITE", BEAT, "", a_renewal_in_between_is_noticed),
    "nonce of a transition ignored": ("WRITE", WRITE_MARK, "", cut_transitions_happen_once),
    "nonce of an append ignored": ("APPEND", APPEND_MARK, "", cut_appends_happen_once),
    "others not compared": ("WRITE", OTHERS, "false", another_record_that_changes_is_noticed),
    "beats of others not compared": ("WRITE", SIGNS, "", another_record_that_changes_is_noticed),
    "late requests are carried out": ("WRITE", LATE, "", nothing_happens_after_giving_up),
    "records expire": ("WRITE", PUT, f"{PUT} redis.call('PEXPIRE', KEYS[1], 99999999)", only_marks_and_beats_expire),
}


@pytest.mark.parametrize("bug", sorted(SCRIPTS))
def test_a_bug_planted_in_a_script_is_found(
    bug: str, lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, right, wrong, check = SCRIPTS[bug]
    sound: Script = getattr(store_module, name)
    assert sound.text.count(right) == 1
    monkeypatch.setattr(store_module, name, Script(sound.text.replace(right, wrong), writes=True))
    with pytest.raises(AssertionError):
        check(lane, tmp_path)


@pytest.mark.parametrize(
    "check",
    [
        no_update_is_lost,
        a_renewal_in_between_is_noticed,
        a_deletion_in_between_is_noticed,
        another_record_that_changes_is_noticed,
        only_marks_and_beats_expire,
    ],
)
def test_the_same_without_a_bug(check: Check, lane: Lane, tmp_path: Path) -> None:
    check(lane, tmp_path)


def test_a_nonce_left_out_of_the_head_is_found(lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisStore, "_nonce", lambda _: "0" * 32)
    with pytest.raises(AssertionError):
        a_deletion_in_between_is_noticed(lane, tmp_path)


def test_a_nonce_that_is_not_used_up_is_found(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisStore, "_used_up", lambda *_, **__: True)
    with pytest.raises(AssertionError):
        told_of_another(lane, monkeypatch)


def test_ages_told_by_the_clock_of_the_host_are_found(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(self: ServerClock, seconds: bytes, microseconds: bytes) -> int:
        del seconds, microseconds
        return self._host.now().at_ms

    monkeypatch.setattr(ServerClock, "heard", heard)
    with pytest.raises((AssertionError, StoreBusy)):  # the server refuses a time that is ahead of its own
        ages_are_the_servers(lane, tmp_path)


def test_nothing_is_told_from_memory(lane: Lane) -> None:
    comparing.nothing_is_told_from_memory(lane.store, lane.judge)


def test_nothing_is_told_from_a_guess_about_another_record(lane: Lane) -> None:
    comparing.nothing_is_told_from_a_guess_about_another_record(lane.store, lane.judge)
