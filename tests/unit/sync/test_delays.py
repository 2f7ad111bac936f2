"""How long a failed push waits: longer each time, bounded, and not all at once."""

from __future__ import annotations

from sharedstate.sync.ends import RETRY_MS_MAX, RETRY_MS_MIN, delay_ms

NOW_MS = 1_760_000_000_000


def test_a_delay_lies_between_half_and_all_of_a_doubling_wait_up_to_an_hour() -> None:
    for tries in range(40):
        whole_ms = min(RETRY_MS_MIN * 2**tries, RETRY_MS_MAX)
        for number in range(50):
            assert whole_ms // 2 <= delay_ms(tries, task=f"GH-{number}", now_ms=NOW_MS) <= whole_ms


def test_items_and_machines_that_failed_together_do_not_return_together() -> None:
    items = {delay_ms(3, task=f"GH-{number}", now_ms=NOW_MS) for number in range(100)}
    machines = {delay_ms(3, task="GH-1", now_ms=NOW_MS + number) for number in range(100)}
    assert len(items) > 90
    assert len(machines) > 90
