"""The one trail: bounded texts, no secrets, and what was forced on a claim stands in it by itself."""

from __future__ import annotations

import pytest

from sharedstate.claims.audit import Audit
from sharedstate.claims.masking import masked, masked_command
from sharedstate.errors import InvalidInput
from tests.unit.claims.world import World


@pytest.mark.parametrize(
    "text,left",
    [
        ("fetch https://bob:pa55@example.org/x", "fetch https://…@example.org/x"),
        ("https://ghp_abcdefghijklmnop1234@example.org", "https://…@example.org"),
        ("API_KEY=abc123 serve", "API_KEY=… serve"),
        ("--db-password=hunter2", "--db-password=…"),
        ('{"token": "abc"}', '{"token": "…"}'),
        ("Authorization: Bearer abc.def", "Authorization: … …"),
        ("use ghp_0123456789abcdefghij now", "use … now"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", "…"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJ", "…"),
        ("tokenizer --author=bob", "tokenizer --author=bob"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, left: str) -> None:
    assert masked(text) == left


def test_the_value_behind_a_secret_option_is_masked_but_not_the_next_option() -> None:
    assert masked_command(("serve", "--token", "abc", "--api-key", "--port", "80")) == (
        *("serve", "--token", "…"),
        *("--api-key", "--port", "80"),
    )


def test_a_secret_is_not_cut_into_something_that_looks_like_none() -> None:
    text = "x" * 990 + " password=hunter2hunter2"
    assert "hunter" not in masked(text)
    assert len(masked("y" * 5000)) == 1000
    assert len(masked_command(["word"] * 500)) == 101


def test_the_trail_holds_what_it_is_told_and_what_was_forced_on_claims() -> None:
    world = World()
    world.state().claims.claim("T")
    world.host.advance(1)
    trail = Audit(world.shared)
    trail.record("flags_reset", about="inbox:here/one", by="here/two", reason="token=abc lost", up_to=3)
    world.host.advance(1)
    world.state(owner="here/two").claims.claim("T", force_reason="needed at once")
    found = trail.entries()
    assert [(one.journal, one.kind, one.about, one.by, one.reason) for one in found] == [
        ("audit", "flags_reset", "inbox:here/one", "here/two", "token=… lost"),
        ("events", "taken_over", "T", "here/two", "needed at once"),
    ]
    assert found[0].facts["up_to"] == 3


def test_the_trail_is_bounded_and_can_be_asked_about_one_thing() -> None:
    world = World()
    trail = Audit(world.shared)
    for number in range(5):
        trail.record("service_denied", about=f"service:{number % 2}", by="here/one", number=number)
    assert [one.facts["number"] for one in trail.entries(limit=2)] == [3, 4]
    assert [one.facts["number"] for one in trail.entries(about="service:1")] == [1, 3]
    with pytest.raises(InvalidInput, match="limit"):
        trail.entries(limit=0)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown event type"):
        Audit(World().shared).record("made_up", about="x", by="here/one")
