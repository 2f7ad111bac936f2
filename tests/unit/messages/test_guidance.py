"""Guidance files: news by content, never by time or size; nothing outside of the working copy is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.host import Host
from sharedstate.messages import guidance
from sharedstate.messages.inbox import Inbox
from sharedstate.messages.model import GUIDANCE, GuidanceChange, Unread
from sharedstate.testing.faults import FaultHost, fail_operation
from sharedstate.testing.memory import MemoryStore


class Copy:
    """A working copy and an agent who reads its guidance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host: Host = Host()
        self.store = MemoryStore()
        folder.mkdir(exist_ok=True)

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def look(self, phase: str | None = None, patterns: Sequence[str] = ()) -> Unread:
        inbox = Inbox(self.store, host=self.host)
        return inbox.unread("bob", phase=phase, guidance=patterns, folder=str(self.folder))

    def news(self, phase: str | None = None, patterns: Sequence[str] = ()) -> list[tuple[str, str]]:
        looked = self.look(phase, patterns)
        assert looked.unknown == ""
        return [(change.change, change.path) for change in looked.guidance]

    def ack(self, *seen: GuidanceChange | str) -> None:
        Inbox(self.store, host=self.host).ack("bob", guidance=seen)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


def test_a_file_is_new_until_it_was_acknowledged_and_changed_when_its_content_is(copy: Copy) -> None:
    file = copy.write("GUIDANCE.md", "one")
    assert copy.news() == [("new", "GUIDANCE.md")]
    copy.ack(*copy.look().guidance)
    assert copy.news() == []
    status = file.stat()
    file.write_text("two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert copy.news() == [("changed", "GUIDANCE.md")]


def test_a_file_that_is_touched_or_checked_out_again_is_no_news(copy: Copy) -> None:
    file = copy.write("GUIDANCE.md", "one")
    copy.ack(*copy.look().guidance)
    os.utime(file, (1, 1))
    assert copy.news() == []
    file.unlink()
    copy.write("GUIDANCE.md", "one")
    assert copy.news() == []


def test_what_is_acknowledged_is_what_was_seen(copy: Copy) -> None:
    copy.write("GUIDANCE.md", "one")
    (seen,) = copy.look().guidance
    copy.write("GUIDANCE.md", "two")
    copy.ack(f"{seen.path}@{seen.digest}")
    assert copy.news() == [("changed", "GUIDANCE.md")]


def test_a_removed_file_is_told_until_that_was_acknowledged(copy: Copy) -> None:
    file = copy.write("docs/GUIDANCE.md", "one")
    copy.ack(*copy.look().guidance)
    file.unlink()
    assert copy.news() == [("removed", "docs/GUIDANCE.md")]
    copy.ack("docs/GUIDANCE.md@")
    assert copy.news() == []


def test_a_phase_has_its_own_files_and_misses_none_of_another(copy: Copy) -> None:
    copy.write("GUIDANCE.plan.md", "plan")
    copy.write("docs/guidance/build.md", "build")
    copy.write("GUIDANCE.md", "all")
    assert copy.news() == [("new", "GUIDANCE.md")]
    assert copy.news("plan") == [("new", "GUIDANCE.md"), ("new", "GUIDANCE.plan.md")]
    copy.ack(*copy.look("plan").guidance)
    assert copy.news("build") == [("new", "docs/guidance/build.md")]


def test_a_wildcard_stays_within_one_name(copy: Copy) -> None:
    for path in ("rules/a.md", "rules/b.md", "rules/.hidden.md", "rules/deep/c.md", "rules/a.txt"):
        copy.write(path, path)
    assert copy.news(patterns=["rules/*.md"]) == [("new", "rules/a.md"), ("new", "rules/b.md")]
    copy.ack(*copy.look(patterns=["rules/*.md"]).guidance)
    (copy.folder / "rules/b.md").unlink()
    assert copy.news(patterns=["rules/*.md"]) == [("removed", "rules/b.md")]
    assert copy.news(patterns=["nowhere/*.md"]) == []


@pytest.mark.parametrize("pattern", ["../GUIDANCE.md", "/etc/passwd", "a/../../b", "a//b", "", "./a", "a\0b", "a\\b"])
def test_a_pattern_that_is_no_path_below_is_refused(copy: Copy, pattern: str) -> None:
    with pytest.raises(InvalidInput):
        copy.look(patterns=[pattern])


@pytest.mark.parametrize("phase", ["../../etc", "/x", "a/../b", "sp ace"])
def test_a_phase_cannot_lead_out(copy: Copy, phase: str) -> None:
    with pytest.raises(InvalidInput):
        copy.look(phase)


def test_a_link_is_followed_below_and_never_out(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "GUIDANCE.md").write_text("secret")
    copy.write("text/real.md", "text")
    (copy.folder / "GUIDANCE.md").symlink_to("text/real.md")
    (copy.folder / "GUIDANCE.plan.md").symlink_to("../secret.md")
    (copy.folder / "docs").symlink_to(tmp_path / "outside")
    (copy.folder / "loop").symlink_to("loop")
    assert copy.news("plan", [*GUIDANCE, "loop"]) == [("new", "GUIDANCE.md")]


def test_what_is_no_file_is_no_guidance(copy: Copy) -> None:
    (copy.folder / "GUIDANCE.md").mkdir()
    os.mkfifo(copy.folder / "GUIDANCE.plan.md")
    assert copy.news("plan") == []


def test_what_is_too_large_or_too_much_is_unknown(copy: Copy) -> None:
    copy.write("GUIDANCE.md", "x" * (guidance.FILE_BYTES_MAX + 1))
    assert "more than" in copy.look().unknown
    copy.write("GUIDANCE.md", "x" * guidance.FILE_BYTES_MAX)
    assert copy.news() == [("new", "GUIDANCE.md")]
    for number in range(guidance.FILES_MAX + 1):
        copy.write(f"many/{number}.md", "")
    assert "more than" in copy.look(patterns=["many/*.md"]).unknown
    with pytest.raises(InvalidInput):
        copy.look(patterns=["x"] * 51)


def test_a_file_that_cannot_be_read_is_unknown_and_not_removed(copy: Copy) -> None:
    copy.write("GUIDANCE.md", "one")
    copy.ack(*copy.look().guidance)
    copy.host = FaultHost(Host(), fail_operation("pread", error=5))
    looked = copy.look()
    assert looked.guidance == ()
    assert "GUIDANCE.md" in looked.unknown


def test_without_the_store_nobody_knows_what_is_news(copy: Copy) -> None:
    copy.write("GUIDANCE.md", "one")
    copy.store.outage = StoreUnavailable("no connection")
    assert "guidance" in copy.look().unknown


@pytest.mark.parametrize("seen", ["GUIDANCE.md", "@", "GUIDANCE.md@newest", "GUIDANCE.md@" + "g" * 32])
def test_an_acknowledgement_names_a_digest(copy: Copy, seen: str) -> None:
    with pytest.raises(InvalidInput):
        copy.ack(seen)


def test_looking_writes_nothing(copy: Copy) -> None:
    copy.write("GUIDANCE.md", "one")
    copy.look("plan")
    assert copy.store.writes == 0
