"""The doctor sees what is wrong, writes nothing while looking, repairs without losing a byte or lowering a fence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sharedstate.connect import SharedState
from sharedstate.files.doctor import Repairs, examine, mend
from sharedstate.files.inspection import inspect
from sharedstate.files.premises import inspect_premises
from sharedstate.findings import Finding
from sharedstate.ids import record_name
from sharedstate.tasks.outcomes import Claimed, Lost, Released
from sharedstate.tasks.service import TaskView
from sharedstate.testing.clock import FakeHost, FakeMachine


class Clinic:
    """A state root on disk with fake time, and what the doctor says of it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "state"
        self.machine = FakeMachine()
        self.host = FakeHost(machine=self.machine)
        self.state = SharedState.open(self.root, host=self.host, owner="ws/me")
        self.roots = (str(self.root), str(self.root / "local" / "ledger"))

    def findings(self) -> list[Finding]:
        return examine(self.state.claims, roots=self.roots)

    def complaints(self) -> list[Finding]:
        return [finding for finding in self.findings() if finding.severity != "ok"]

    def codes(self) -> set[str]:
        return {finding.code for finding in self.complaints()}

    def mend(self) -> Repairs:
        return mend(self.state.claims, roots=self.roots, stores=(self.state.store, self.state.local_store))

    def record(self, task: str, collection: str = "tasks") -> Path:
        return self.root / collection / f"{record_name(task)}.json"

    def claim(self, task: str, **options: object) -> Claimed:
        answer = self.state.claims.claim(task, **options)  # type: ignore[arg-type]  # options as `claim` takes them
        assert isinstance(answer, Claimed)
        return answer

    def fence(self, task: str) -> int:
        view = self.state.tasks.get(task)
        assert view is not None
        return view.state.fence

    def status(self, task: str) -> str:
        view = self.state.tasks.get(task)
        assert view is not None
        return view.state.status


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    return Clinic(tmp_path)


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_a_missing_root_is_fine_and_is_not_made(clinic: Clinic) -> None:
    assert clinic.complaints() == []
    assert not clinic.root.exists()


def test_a_healthy_root_has_no_complaints(clinic: Clinic) -> None:
    clinic.claim("T-1", scope=["src"])
    clinic.claim("T-2")
    clinic.state.claims.release("T-2")
    assert clinic.complaints() == []


def test_looking_writes_nothing(clinic: Clinic) -> None:
    clinic.claim("T-1")
    clinic.record("T-1").write_bytes(b"{torn")
    before = tree(clinic.root)
    assert clinic.complaints()
    assert tree(clinic.root) == before


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{torn",
        b"\0" * 300,
        b"\xff\xfe",
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b"7",
        b'{"schema": 1}',
        b" " * 2_000_000,
    ],
    ids=["empty", "torn", "nul", "not UTF-8", "duplicate", "deep", "number", "no id", "large"],
)
def test_an_unreadable_record_is_named_and_restored_from_the_journal(clinic: Clinic, raw: bytes) -> None:
    fence = clinic.claim("T-1").fence
    clinic.claim("T-2")
    clinic.record("T-1").write_bytes(raw)
    bad = [finding for finding in clinic.complaints() if finding.corrupt]
    assert [finding.where for finding in bad] == [str(clinic.record("T-1"))]
    repairs = clinic.mend()
    assert [record.outcome for record in repairs.records] == ["restored"]
    assert clinic.status("T-1") == "abandoned"
    assert clinic.fence("T-1") > fence
    assert any(path.read_bytes() == raw for path in (clinic.root / "local" / "quarantine").glob("*.bin"))
    assert not any(finding.corrupt for finding in clinic.complaints())
    assert clinic.status("T-2") == "claimed"


def test_what_the_owner_of_a_restored_attempt_holds_is_dead(clinic: Clinic) -> None:
    first = clinic.claim("T-1")
    clinic.record("T-1").write_bytes(b"{torn")
    clinic.mend()
    assert isinstance(clinic.state.claims.renew("T-1", token=first.token), Lost)
    again = clinic.claim("T-1")
    assert again.fence > first.fence + 1
    assert (again.attempts, again.retries) == (2, 1)


def test_an_ended_task_is_restored_as_it_ended(clinic: Clinic) -> None:
    clinic.claim("T-1")
    clinic.state.claims.release("T-1", status="failed", error="disk full")
    clinic.state.tasks.ignore("T-1", reason="broken tool", by="a person")
    before = clinic.state.tasks.get("T-1")
    clinic.record("T-1").write_bytes(b"")
    clinic.mend()
    after = clinic.state.tasks.get("T-1")
    assert before is not None
    assert after is not None
    assert (after.state.status, after.state.last_error) == ("failed", "disk full")
    assert after.state.ignored == before.state.ignored
    assert [entry["event"] for entry in after.state.history] == ["claimed", "released", "ignored", "restored"]
    released = [item for item in clinic.state.events() if item.value["type"] == "restored"]
    assert [item.record for item in released] == [f"tasks/T-1@{after.revision}"]
    assert after.revision > before.revision


def test_a_record_that_parses_but_means_nothing_is_restored_too(clinic: Clinic) -> None:
    clinic.claim("T-1")
    raw = clinic.record("T-1").read_bytes().replace(b'"status": "claimed"', b'"status": "simmering"')
    clinic.record("T-1").write_bytes(raw)
    assert "record_unreadable" in clinic.codes()
    assert [record.outcome for record in clinic.mend().records] == ["restored"]
    assert clinic.status("T-1") == "abandoned"


def test_without_a_journal_the_fence_is_above_every_fence_counted_by_ones(clinic: Clinic) -> None:
    for _ in range(3):
        clinic.claim("T-1")
        clinic.state.claims.release("T-1", status="complete")
        clinic.state.tasks.reopen("T-1", by="a person")
    for segment in (clinic.root / "journal" / "events").iterdir():
        segment.unlink()
    raw = clinic.record("T-1").read_bytes()
    clinic.record("T-1").write_bytes(raw[: len(raw) * 2 // 3])
    clinic.state.close()
    repairs = clinic.mend()
    assert [record.outcome for record in repairs.records] == ["restored"]
    assert clinic.fence("T-1") > clinic.host.now().at_ms // 1000
    assert clinic.status("T-1") == "new"


def test_a_damaged_journal_is_not_trusted_for_the_highest_fence(clinic: Clinic) -> None:
    clinic.claim("T-1")
    clinic.state.claims.release("T-1", status="failed")
    clinic.claim("T-1")
    (segment,) = (clinic.root / "journal" / "events").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0] + b"\xff" * (len(lines[1]) - 1) + b"\n" + lines[2])
    assert "journal_damage" in clinic.codes()
    clinic.record("T-1").write_bytes(b"")
    clinic.mend()
    assert clinic.fence("T-1") > clinic.host.now().at_ms // 1000


def test_the_local_ledger_knows_a_fence_that_the_journal_lost(clinic: Clinic) -> None:
    clinic.claim("T-0")
    for _ in range(4):
        clinic.claim("T-1", token=f"token-{os.urandom(8).hex()}")
        clinic.state.claims.release("T-1", status="complete")
        clinic.state.tasks.reopen("T-1", by="a person")
    fence = clinic.claim("T-1").fence
    (segment,) = (clinic.root / "journal" / "events").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:2]))  # as after a power cut without durability
    clinic.record("T-1").write_bytes(b"")
    clinic.state.close()
    clinic.mend()
    assert clinic.fence("T-1") > fence


def test_a_record_of_which_nothing_is_known_stays_and_is_told(clinic: Clinic) -> None:
    clinic.claim("T-1")
    stranger = clinic.record("nobody ever named this")
    stranger.write_bytes(b"{torn")
    repairs = clinic.mend()
    assert [record.outcome for record in repairs.records] == ["left"]
    assert stranger.read_bytes() == b"{torn"
    assert any(finding.corrupt for finding in clinic.complaints())


def test_a_newer_format_is_never_touched(clinic: Clinic) -> None:
    clinic.claim("T-1")
    path = clinic.record("T-1")
    path.write_bytes(path.read_bytes().replace(b'"schema": 1', b'"schema": 2'))
    before = path.read_bytes()
    assert "newer_format" in clinic.codes()
    clinic.mend()
    assert path.read_bytes() == before


def test_planted_links_are_named_and_not_followed(clinic: Clinic, tmp_path: Path) -> None:
    clinic.claim("T-1")
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    path = clinic.record("T-1")
    path.unlink()
    path.symlink_to(secret)
    os.mkfifo(clinic.record("T-2"))
    assert clinic.codes() >= {"unsafe_file"}
    clinic.mend()
    assert path.is_symlink()
    assert secret.read_bytes() == b"mine"


def test_an_unreadable_local_claim_is_set_aside_and_its_owner_claims_again(clinic: Clinic) -> None:
    first = clinic.claim("T-1")
    path = clinic.root / "local" / "ledger" / "claims" / f"{record_name('T-1')}.json"
    path.write_bytes(b"{torn")
    assert [record.outcome for record in clinic.mend().records] == ["set aside"]
    again = clinic.claim("T-1")
    assert (again.outcome, again.fence) == ("reclaimed", first.fence + 1)


def test_a_local_claim_that_means_nothing_hides_no_other_one(clinic: Clinic) -> None:
    for task in ("T-1", "T-2", "T-3"):
        clinic.claim(task)
    folder = clinic.root / "local" / "ledger" / "claims"
    bad = folder / f"{record_name('T-2')}.json"
    bad.write_bytes(bad.read_bytes().replace(b'"owner"', b'"renwo"'))
    assert [finding.where for finding in clinic.complaints()] == [str(bad)]
    for task in ("T-1", "T-3"):
        clinic.record(task).write_bytes(b"")
    for segment in (clinic.root / "journal" / "events").iterdir():
        segment.unlink()
    clinic.state.close()
    repairs = clinic.mend()
    assert sorted(record.outcome for record in repairs.records) == ["restored", "restored", "set aside"]


def test_the_scopes_of_live_claims_are_rebuilt(clinic: Clinic) -> None:
    clinic.claim("T-1", scope=["src/a"])
    clinic.record("live", "scopes").write_bytes(b"\0")
    clinic.mend()
    refused = clinic.state.claims.claim("T-2", owner="ws/other", scope=["src"])
    assert not isinstance(refused, Claimed)
    assert refused.reason == "scope_conflict"


def test_mending_twice_changes_nothing_more(clinic: Clinic) -> None:
    clinic.claim("T-1")
    clinic.record("T-1").write_bytes(b"{torn")
    clinic.mend()
    before = tree(clinic.root)
    again = clinic.mend()
    assert (again.done, again.records, again.failed) == ((), (), ())
    assert {path: raw for path, (_, raw) in tree(clinic.root).items()} == {
        path: raw for path, (_, raw) in before.items()
    }


def test_a_live_record_missing_in_the_index_is_put_back(clinic: Clinic) -> None:
    clinic.claim("T-1")
    (clinic.root / "local" / "beats" / "tasks" / record_name("T-1")).unlink()
    assert "live_index" in clinic.codes()
    clinic.mend()
    assert clinic.codes() == set()
    assert [view.state.task for view in clinic.state.tasks.list(status="claimed") if isinstance(view, TaskView)] == [
        "T-1"
    ]


def test_a_stale_claim_and_a_claim_ended_elsewhere_are_told(clinic: Clinic) -> None:
    clinic.claim("T-1")
    clinic.claim("T-2")
    elsewhere = SharedState.open(clinic.root, host=FakeHost(machine=clinic.machine), owner="ws/me")
    assert elsewhere.tasks.sweep("T-2") is None
    clinic.host.advance(3600)
    assert clinic.codes() == {"stale_claim"}
    elsewhere.tasks.sweep("T-2")
    assert clinic.codes() == {"stale_claim", "local_claim_ended"}


def test_a_heartbeat_from_the_future_is_told(clinic: Clinic) -> None:
    other = FakeMachine(wall_ms=clinic.host.now().at_ms + 3_600_000)
    other.reboot()  # another boot: only wall clocks can be compared
    with SharedState.open(clinic.root, host=FakeHost(machine=other), owner="ws/other") as elsewhere:
        assert isinstance(elsewhere.claims.claim("T-1"), Claimed)
    assert clinic.codes() >= {"heartbeat_in_future", "clock"}


def test_a_degraded_claim_that_waits_is_told(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    off = SharedState.open(clinic.root, host=clinic.host, owner="ws/me", enabled=False)
    assert isinstance(off.claims.claim("T-1"), Claimed)
    assert "degraded_claim" in clinic.codes()


def test_a_root_that_others_may_write_to_is_told_not_raised(clinic: Clinic) -> None:
    clinic.claim("T-1")
    clinic.state.close()
    clinic.root.chmod(0o777)
    assert "unsafe_store" in clinic.codes()


def test_litter_is_told_and_removed(clinic: Clinic) -> None:
    clinic.claim("T-1")
    litter = clinic.root / "tasks" / ".tmp-1-00"
    litter.write_bytes(b"half")
    os.utime(litter, (0, 0))
    assert "litter" in clinic.codes()
    clinic.mend()
    assert not litter.exists()


def test_a_lock_held_for_long_is_told_with_the_process(tmp_path: Path) -> None:
    state = SharedState.open(tmp_path / "state", owner="ws/me")
    assert isinstance(state.claims.claim("T-1"), Claimed)
    assert isinstance(state.claims.release("T-1"), Released)
    lock = next((tmp_path / "state" / "local" / "locks").iterdir())
    host = FakeHost()  # its second of patience takes no time, the lock is real
    fd = host.open(str(lock), os.O_RDWR)
    try:
        assert host.try_lock(fd)
        found = inspect(str(tmp_path / "state"), host=host, skew_ms=10**15)
    finally:
        host.close(fd)
    held = [finding for finding in found if finding.code == "lock_held"]
    assert [finding.where for finding in held] == [str(lock)]
    assert str(os.getpid()) in held[0].what


def test_the_premises_name_space_clock_and_versions(tmp_path: Path) -> None:
    found = inspect_premises(str(tmp_path / "not" / "yet"), host=FakeHost(), allow_network=False)
    assert {finding.code for finding in found} == {"file_system", "space", "clock", "versions"}
