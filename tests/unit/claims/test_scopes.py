"""Stories about path scopes: two live claims never overlap, and no late owner brings an overlap to life."""

from __future__ import annotations

import pytest

from sharedstate import jsonio
from sharedstate.claims.scopes import check_scope, overlap
from sharedstate.errors import Corrupt, StoreUnavailable
from sharedstate.tasks.outcomes import Kept, Lost
from sharedstate.testing.faults import Crashed
from tests.unit.claims.site import TTL_S, Site, granted, refused, view

# Paths


@pytest.mark.parametrize(
    "path, canonical",
    [
        ("src", "src"),
        ("src/", "src"),
        ("./src", "src"),
        ("src//api/./x", "src/api/x"),
        ("src\\api", "src/api"),
        (".", "."),
        ("./", "."),
        ("a b", "a b"),
        ("cafe\u0301", "caf\u00e9"),
        ("...", "..."),
        (".hidden", ".hidden"),
    ],
)
def test_paths_are_written_in_one_spelling(path: str, canonical: str) -> None:
    assert check_scope([path]) == (canonical,)


def test_a_scope_is_a_sorted_set() -> None:
    assert check_scope(["src", "docs", "./src/"]) == ("docs", "src")


@pytest.mark.parametrize(
    "one, other, meet",
    [
        ("src", "src", True),
        ("src", "src/api", True),
        ("src/api/x.py", "src", True),
        ("src", "src2", False),
        ("src/a", "src/b", False),
        ("src", "SRC", False),
        (".", "anything/at/all", True),
        (".", ".", True),
        ("a", "b", False),
        ("a/b", "a/b/c/d", True),
    ],
)
def test_overlap_means_the_same_or_one_inside_the_other(one: str, other: str, meet: bool) -> None:
    assert overlap(one, other) is meet
    assert overlap(other, one) is meet


# Claims


def test_an_overlapping_claim_is_refused_with_the_conflict_named() -> None:
    site = Site()
    granted(site.machine().claims().claim("T-1", scope=["src/api"]))
    writes = site.shared.writes
    answer = refused(site.machine("ws2").claims().claim("T-2", scope=["docs", "src"]))
    assert (answer.reason, answer.conflict) == ("scope_conflict", "T-1")
    assert answer.detail == "src overlaps src/api, claimed with task T-1 by ws1/a"
    assert site.shared.writes == writes, "an ordinary refusal writes nothing"


def test_disjoint_scopes_and_claims_without_scope_live_side_by_side() -> None:
    site = Site()
    claims = site.machine().claims()
    for task, scope in (("T-1", ["src/a"]), ("T-2", ["src/b"]), ("T-3", []), ("T-4", ["src/ab"])):
        granted(claims.claim(task, owner=f"o{task}", scope=scope))


def test_a_scope_is_free_again_when_its_claim_has_ended() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1", scope=["src"]))
    claims.release("T-1", status="failed")
    granted(claims.claim("T-2", scope=["src/api"]))
    assert refused(claims.claim("T-1", scope=["src"])).conflict == "T-2"


def test_a_stale_claim_in_the_way_is_ended_first_and_cannot_be_revived() -> None:
    site = Site()
    here, there = site.machine().claims(), site.machine("ws2").claims()
    granted(here.claim("T-1", scope=["src"]))
    site.pass_s(TTL_S + 1)
    granted(there.claim("T-2", scope=["src"]))
    lost = here.renew("T-1")
    assert isinstance(lost, Lost), "else two owners would touch the same files"
    assert lost.reason == "task_abandoned"
    assert refused(here.claim("T-1", scope=["src"])).conflict == "T-2"


def test_the_same_owner_may_widen_its_scope_when_nobody_is_in_the_way() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1", scope=["src/a"]))
    wider = granted(claims.claim("T-1", scope=["src"]))
    assert (wider.outcome, wider.scope) == ("reclaimed", ("src",))
    assert refused(claims.claim("T-2", owner="b", scope=["src/z"])).conflict == "T-1"


def test_two_tasks_of_one_owner_do_not_overlap_either() -> None:
    claims = Site().machine().claims()
    granted(claims.claim("T-1", scope=["src"]))
    assert refused(claims.claim("T-2", scope=["src"])).conflict == "T-1"


def test_a_restarted_owner_keeps_its_scope() -> None:
    site = Site()
    granted(site.machine().claims().claim("T-1", scope=["src"]))
    again = granted(site.machine().claims().claim("T-1"))
    assert (again.outcome, again.scope) == ("reclaimed", ("src",))
    assert refused(site.machine("ws2").claims().claim("T-2", scope=["src"])).conflict == "T-1"


def test_of_two_claims_that_race_the_second_to_enter_takes_its_own_back() -> None:
    site = Site()
    here, there = site.machine().claims(), site.machine("ws2").claims()
    site.shared.before["tasks"] = lambda: granted(there.claim("T-2", scope=["src/api"]))
    answer = refused(here.claim("T-1", scope=["src"]))
    assert (answer.reason, answer.conflict) == ("scope_conflict", "T-2")
    state = view(here.tasks, "T-1").state
    assert (state.status, state.attempts, state.fence) == ("new", 0, 1)
    assert here.local("T-1") is None
    assert site.events() == ["claimed", "claimed", "conflict"]
    there.release("T-2")
    assert granted(here.claim("T-1", scope=["src"])).fence == 2


def test_who_stood_still_before_entering_does_not_replace_the_scope_of_who_took_over() -> None:
    site = Site()
    here, there, third = (site.machine(f"ws{number}").claims() for number in (1, 2, 3))

    def meanwhile() -> None:
        site.pass_s(TTL_S + 1)
        assert granted(there.claim("T-1", scope=["docs"])).reason == "owner_stale"

    site.shared.before["scopes"] = meanwhile
    granted(here.claim("T-1", scope=["src"]))
    assert isinstance(here.renew("T-1"), Lost)
    assert refused(third.claim("T-2", scope=["docs"])).conflict == "T-1"
    granted(third.claim("T-3", scope=["src"]))


def test_a_claim_whose_scope_was_never_entered_is_entered_when_it_is_asked_for_again() -> None:
    """The process died between the two: with a token of its own choice it then already owns the task."""
    site = Site()
    claims = site.machine().claims()

    def dies() -> None:
        raise Crashed

    site.shared.before["scopes"] = dies
    with pytest.raises(Crashed):
        claims.claim("T-1", scope=["src"], token="my-own-token")
    assert granted(claims.claim("T-1", scope=["src"], token="my-own-token")).outcome == "already_owned"
    assert refused(site.machine("ws2").claims().claim("T-2", scope=["src"])).conflict == "T-1"


def fails() -> None:
    raise StoreUnavailable("planted: no space")


def test_a_claim_whose_scope_cannot_be_entered_is_taken_back_with_the_error() -> None:
    site = Site()
    claims = site.machine().claims()
    site.shared.before["scopes"] = fails
    with pytest.raises(StoreUnavailable):
        claims.claim("T-1", scope=["src"])
    assert view(claims.tasks).state.status == "new"
    assert granted(site.machine("ws2").claims().claim("T-1")).attempts == 1


def test_a_claim_that_is_carried_over_enters_its_scope_at_the_next_try() -> None:
    site = Site()
    claims = site.machine().claims()
    site.cut()
    granted(claims.claim("T-1", scope=["src"]))
    site.mend()
    site.shared.before["scopes"] = fails
    claims.renew("T-1")
    assert isinstance(claims.renew("T-1"), Kept)
    assert refused(site.machine("ws2").claims().claim("T-2", scope=["src"])).conflict == "T-1"
    assert isinstance(claims.renew("T-1"), Kept)


def test_asking_again_for_what_one_has_writes_nothing() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1", scope=["src"]))
    writes = site.shared.writes
    assert granted(claims.claim("T-1", scope=["src"])).outcome == "already_owned"
    assert site.shared.writes == writes


def test_a_blocked_task_keeps_its_scope() -> None:
    site = Site()
    claims = site.machine().claims()
    granted(claims.claim("T-1", scope=["src"]))
    site.shared.plant("tasks", "T-1", b"{")
    assert refused(claims.claim("T-2", scope=["src"])).conflict == "T-1"


@pytest.mark.parametrize(
    "entries",
    [
        {"T-9": 5},
        {"T-9": {"fence": "1", "owner": "a", "paths": ["src"]}},
        {"T-9": {"fence": 1, "owner": "a"}},
        {"T-9": {"fence": 1, "owner": "a", "paths": [5]}},
        [],
        "src",
    ],
    ids=ascii,
)
def test_a_damaged_record_of_scopes_is_corrupt_and_no_traceback(entries: object) -> None:
    site = Site()
    site.shared.plant("scopes", "live", jsonio.encode({"entries": entries}))
    claims = site.machine().claims()
    with pytest.raises(Corrupt, match="scopes"):
        claims.claim("T-1", scope=["src"])
    granted(claims.claim("T-2"))


# Degraded


def test_degraded_claims_of_one_machine_do_not_overlap() -> None:
    site = Site()
    site.cut()
    machine = site.machine()
    granted(machine.claims().claim("T-1", scope=["src"]))
    assert refused(machine.claims("b").claim("T-2", scope=["src/api"])).conflict == "T-1"


def test_a_degraded_claim_brings_its_scope_along() -> None:
    site = Site()
    here, there = site.machine().claims(), site.machine("ws2").claims()
    site.cut()
    granted(here.claim("T-1", scope=["src"]))
    site.mend()
    assert isinstance(here.renew("T-1"), Kept)
    assert refused(there.claim("T-2", scope=["src/api"])).conflict == "T-1"


def test_a_degraded_claim_whose_scope_is_taken_meanwhile_is_refused_for_good() -> None:
    site = Site()
    here, there = site.machine().claims(), site.machine("ws2").claims()
    site.cut()
    granted(here.claim("T-1", scope=["src"]))
    site.mend()
    granted(there.claim("T-2", scope=["src/api"]))
    lost = here.renew("T-1")
    assert isinstance(lost, Lost)
    assert here.local("T-1") is None
    assert isinstance(there.renew("T-2"), Kept)
    assert view(here.tasks, "T-1").state.live is None


def test_while_the_store_is_away_scopes_held_in_it_by_this_machine_still_count() -> None:
    site = Site()
    machine = site.machine()
    granted(machine.claims().claim("T-1", scope=["src"]))
    site.cut()
    assert refused(machine.claims("b").claim("T-2", scope=["src/api"])).conflict == "T-1"
