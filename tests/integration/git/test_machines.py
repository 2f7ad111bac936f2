"""Several machines and one bare remote: squashing, damage, recovery, what is touched, what is sent."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

from sharedstate import SharedState
from sharedstate.errors import BadSettings, Corrupt, ForkedStore, StoreUnavailable
from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import Decision, Snapshot
from sharedstate.testing.contracts.steps import beats, got, in_threads, writes
from sharedstate_adapters.git.store import GitStore
from tests.integration.git.ground import REF, a_machine, bare_remote, git
from tests.integration.git.shim import Shim, shim
from tests.integration.git.test_faults import check, count

__all__ = ["shim"]  # the fixture


def commits(remote: Path) -> int:
    return int(git(remote, "rev-list", "--count", REF))


# Squashing


def test_writers_race_while_histories_are_squashed(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    stores = [a_machine(str(remote), str(tmp_path / f"m{number}"), history="3") for number in range(3)]
    told: list[int] = []

    def works(store: GitStore) -> None:
        told.extend(count(store) for _ in range(8))

    in_threads([lambda store=store: works(store) for store in stores])  # type: ignore[misc]  # reason: a default binds
    check(stores[0], acknowledged=told)
    assert len(told) == 24
    assert commits(remote) <= 3
    git(remote, "fsck", "--strict")
    for store in stores:
        store.close()


def test_a_remote_that_takes_no_squash_keeps_its_history(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    script = remote / "hooks" / "update"
    script.parent.mkdir(exist_ok=True)
    script.write_text(
        '#!/bin/sh\n[ "$2" = 0000000000000000000000000000000000000000 ] || git merge-base --is-ancestor "$2" "$3"\n'
    )
    script.chmod(0o755)
    store = a_machine(str(remote), str(tmp_path / "one"), history="2")
    told = [count(store) for _ in range(5)]
    assert told == [1, 2, 3, 4, 5]
    assert commits(remote) == 5
    check(store, acknowledged=told)
    store.close()


# Damage and recovery


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_damaged_objects_of_this_machine_are_fetched_anew(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    told = [count(store), count(store)]
    objects = list((tmp_path / "one" / "repository.git" / "objects").glob("??/*"))
    assert len(objects) > 5
    good = objects[0].read_bytes()
    for path in objects:
        path.chmod(0o644)
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(b"" if damage == "cut" else good)
    store.close()
    with caplog.at_level(logging.WARNING, logger="sharedstate"):
        assert got(store, "counters", "c").value == {"count": 2}
    assert damage == "gone" or "damaged" in caplog.text
    told.append(count(store))
    check(store, acknowledged=told)
    assert store.upkeep() == []
    store.close()


def test_a_push_from_a_damaged_copy_goes_through_after_a_new_fetch(tmp_path: Path) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    told = [count(store)]
    known = store._home.memo.load().known  # what we hold is in memory, what git holds is broken
    path = tmp_path / "one" / "repository.git" / "objects" / known[:2] / known[2:]
    path.chmod(0o644)
    path.write_bytes(b"broken")
    told.append(count(store))
    assert told == [1, 2]
    check(store, acknowledged=told)
    store.close()


def test_the_own_side_may_be_removed_at_any_time(tmp_path: Path) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    told = [count(store)]
    store.close()
    shutil.rmtree(tmp_path / "one")
    told.append(count(store))
    assert told == [1, 2]
    check(store, acknowledged=told)
    store.close()


def test_a_state_that_vanished_or_went_back_stops_everybody(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    store = a_machine(str(remote), str(tmp_path / "one"))
    told = [count(store)]
    old = git(remote, "rev-parse", REF)
    told.append(count(store))
    new = git(remote, "rev-parse", REF)
    for words in (("update-ref", REF, old), ("update-ref", "-d", REF)):
        git(remote, *words)
        with pytest.raises(StoreUnavailable, match=r"went back|is gone"):
            count(store)
        with pytest.raises(StoreUnavailable, match=r"went back|is gone"):
            store.get("counters", "c")
    git(remote, "update-ref", REF, new)
    told.append(count(store))
    check(store, acknowledged=told)
    store.close()


def test_a_ref_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    tree = git(remote, "mktree")
    words = ("-c", "user.name=a", "-c", "user.email=a@example.invalid", "commit-tree", tree, "-m", "x")
    git(remote, "update-ref", REF, git(remote, *words))
    store = a_machine(str(remote), str(tmp_path / "one"))
    with pytest.raises(Corrupt, match="holds no shared state"):
        count(store)
    store.close()


# What is touched, and what is not


def fingerprints(folder: Path, *, but: str) -> dict[str, str]:
    """Every file below a folder with mode, size, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith(but) or not path.is_file():
            continue
        status = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[name] = f"{status.st_mode} {status.st_size} {status.st_mtime_ns} {digest}"
    return found


def test_the_repository_of_the_user_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = bare_remote(tmp_path)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(remote), str(clone))
    git(clone, "config", "user.name", "a")
    git(clone, "config", "user.email", "a@example.invalid")
    (clone / "file").write_text("work")
    git(clone, "add", "file")
    hook = tmp_path / "hook-ran"
    for name in ("pre-push", "reference-transaction", "post-checkout"):
        script = clone / ".git" / "hooks" / name
        script.write_text(f"#!/bin/sh\ntouch '{hook}'\n")
        script.chmod(0o755)
    (clone / ".cache" / "sharedstate").mkdir(parents=True)
    before = fingerprints(clone, but=".cache/sharedstate")
    # As in a hook of git, and worse: what these name must not be used.
    monkeypatch.setenv("GIT_DIR", str(clone / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(clone / ".git" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(clone / ".git" / "objects"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(clone / ".git" / "hooks"))
    with SharedState.open(owner="ws/a", folder=clone, url="git+ref://origin/state", dir=None) as state:
        assert state.root == str(clone / ".cache" / "sharedstate")
        assert getattr(state.claims.claim("T-1"), "fence", None) == 1
        state.claims.renew("T-1")
        state.claims.release("T-1")
    assert fingerprints(clone, but=".cache/sharedstate") == before
    assert not hook.exists()
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_COUNT"):
        monkeypatch.delenv(name)
    assert git(remote, "for-each-ref", "--format=%(refname)") == "refs/sharedstate/state", "no other ref at the remote"
    git(remote, "fsck", "--strict")


def test_addresses_that_run_programs_or_pose_as_options_are_refused(tmp_path: Path) -> None:
    settings = resolve({"dir": str(tmp_path)}, env={}, folder=str(tmp_path))
    bad = [
        *("git+ref://", "git+ref://origin", "git+ref://origin/", "git+ref://origin/../x", "git+ref://origin/x.lock"),
        *("git+ref://origin/-x", "git+ref://origin/a b", "git+ref://-c/x", "git+ref://origin/x?depth=1"),
        f"git+ref:///x?remote={quote('--upload-pack=touch')}",
        f"git+ref:///x?remote={quote('ext::sh -c true')}",
        "git+ref://origin/x?remote=elsewhere",
        "git+ref://nowhere/x",
    ]
    for url in bad:
        with pytest.raises(BadSettings):
            GitStore.from_url(url, settings=settings, host=Host())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "git+ref://user:hunter2secret@host/x/y",
        "git+ref:///st..ate?remote=ADDRESS",
        "git+ref://origin/state?remote=ADDRESS",
        "git+ref:///state?remote=https://user:pa&hunter2secret@host/x.git",
    ],
)
def test_an_address_that_is_refused_shows_no_secret(url: str, tmp_path: Path) -> None:
    settings = resolve({"dir": str(tmp_path)}, env={}, folder=str(tmp_path))
    address = quote("https://user:hunter2secret@host/x.git", safe="")
    with pytest.raises(BadSettings) as told:
        GitStore.from_url(url.replace("ADDRESS", address), settings=settings, host=Host())
    assert "hunter2secret" not in f"{told.value!r} {told.value.hint}"


def test_secrets_of_the_address_are_not_said(tmp_path: Path) -> None:
    address = quote("http://user:hunter2secret@127.0.0.1:9/x.git", safe="")
    settings = resolve({"dir": str(tmp_path), "git_deadline_ms": 5000}, env={}, folder=str(tmp_path))
    store = GitStore.from_url(f"git+ref:///state?remote={address}", settings=settings, host=Host())
    with pytest.raises(StoreUnavailable) as told:
        store.get("tasks", "T-1")
    assert "hunter2secret" not in f"{told.value} {told.value.hint} {store.address!r}"
    store.close()


def test_a_store_is_not_used_in_a_forked_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    count(store)
    monkeypatch.setattr(store._host, "pid", lambda: os.getpid() + 1)
    for attempt in (lambda: count(store), lambda: store.get("counters", "c"), store.upkeep):
        with pytest.raises(ForkedStore):
            attempt()
    store.close()


# Offline claims


def test_without_the_remote_claims_are_degraded_or_fail_as_the_settings_say(tmp_path: Path) -> None:
    url = f"git+ref:///state?remote={quote(str(tmp_path / 'nowhere.git'), safe='')}"
    for number, required in enumerate((False, True)):
        with SharedState.open(tmp_path / f"root{number}", url=url, owner="ws/a", required=required) as state:
            if required:
                with pytest.raises(StoreUnavailable):
                    state.claims.claim("T-1")
            else:
                assert getattr(state.claims.claim("T-1"), "degraded", None) is True


# Beats and cost


def test_beats_in_between_stay_on_this_machine_and_count_there(tmp_path: Path, shim: Shim) -> None:
    remote = str(bare_remote(tmp_path))
    store, neighbour = a_machine(remote, str(tmp_path / "one")), a_machine(remote, str(tmp_path / "one"))
    far = a_machine(remote, str(tmp_path / "two"))
    store.transact("tasks", "T-1", writes({"n": 1}, live=1))
    first = got(store, "tasks", "T-1").beat
    shim.plan("none", 0)
    Host().sleep(0.01)
    store.transact("tasks", "T-1", beats(1))
    assert shim.calls("push") == 0, "a beat soon after another is not pushed"
    later = got(store, "tasks", "T-1").beat
    assert first is not None
    assert later is not None
    assert later.seen.at_ms > first.seen.at_ms
    assert got(neighbour, "tasks", "T-1").beat == later
    assert got(far, "tasks", "T-1").beat == first
    store.transact("tasks", "T-1", writes({"n": 2}, live=1))
    assert got(far, "tasks", "T-1").beat == later, "a write takes it along"
    for one in (store, neighbour, far):
        one.close()


def test_beats_are_published_in_time_for_a_short_ttl(tmp_path: Path) -> None:
    remote = str(bare_remote(tmp_path))
    store, far = a_machine(remote, str(tmp_path / "one")), a_machine(remote, str(tmp_path / "two"))
    store.transact("tasks", "T-1", writes({"lease": {"ttl_ms": 60}}, live=1))
    first = got(far, "tasks", "T-1").beat
    Host().sleep(0.02)
    store.transact("tasks", "T-1", beats(1))
    assert got(far, "tasks", "T-1").beat != first
    store.close()
    far.close()


def test_writers_of_one_machine_share_pushes(tmp_path: Path, shim: Shim) -> None:
    remote = str(bare_remote(tmp_path))
    stores = [a_machine(remote, str(tmp_path / "one")) for _ in range(6)]
    told = [count(stores[0])]
    shim.plan("none", 0)

    def works(store: GitStore) -> None:
        told.extend(count(store) for _ in range(5))

    in_threads([lambda store=store: works(store) for store in stores])  # type: ignore[misc]  # reason: a default binds
    assert shim.calls("push") <= 20, "30 transitions in no more than 20 pushes"
    check(stores[0], acknowledged=told)
    for store in stores:
        store.close()


def test_a_transition_is_one_push_and_a_look_one_fetch(tmp_path: Path, shim: Shim) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    count(store)
    shim.plan("none", 0)
    count(store)
    assert (shim.calls("push"), shim.calls("fetch"), shim.calls("--bare")) == (1, 0, 0)
    shim.plan("none", 0)
    got(store, "counters", "c")
    assert (shim.calls("push"), shim.calls("fetch")) == (0, 1)
    shim.plan("none", 0)

    def refuses(snapshot: Snapshot) -> Decision[int]:
        return Decision(result=snapshot.revision)

    assert store.transact("counters", "c", refuses) == 2
    assert (shim.calls("push"), shim.calls("fetch")) == (0, 1), "what changes nothing is confirmed by a look"
    store.close()


def test_upkeep_packs_objects_and_removes_what_crashes_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    told = [count(store) for _ in range(4)]
    monkeypatch.setattr("sharedstate_adapters.git.upkeep.PACK_AFTER", 3)
    left = tmp_path / "one" / "damaged-0123"
    left.mkdir()
    os.utime(left, (1, 1))
    assert store.upkeep() == ["git store: removed damaged-0123", "git store: packed the objects of 4 transitions"]
    assert store.upkeep() == []
    assert list((tmp_path / "one" / "repository.git" / "objects" / "pack").glob("*.pack"))
    told.append(count(store))
    check(store, acknowledged=told)
    store.close()


# Doctor


def test_the_doctor_says_whether_the_remote_answers_and_keeps_what_it_gets(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    store = a_machine(str(remote), str(tmp_path / "one"))
    count(store)
    fine = [("ok", f"git_{what}") for what in ("version", "reached", "push", "copy")]
    assert [(found.severity, found.code) for found in store.checkup()] == [*fine, ("warn", "git_not_durable")]
    git(remote, "config", "core.fsync", "all")
    assert [(found.severity, found.code) for found in store.checkup()] == [*fine, ("ok", "git_durable")]
    remote.rename(tmp_path / "away")
    assert [(found.severity, found.code) for found in store.checkup()] == [("error", "git_unreachable")]
    store.close()


def test_a_git_that_is_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))
    monkeypatch.setattr("sharedstate_adapters.git.home.VERSION_MIN", (99, 0))
    with pytest.raises(StoreUnavailable, match="too old"):
        count(store)
    store.close()
