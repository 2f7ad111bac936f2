"""The real host, where it promises more than the system call behind it."""

from __future__ import annotations

from pathlib import Path

from sharedstate.host import Host
from sharedstate.testing.contracts.steps import in_threads


def test_threads_that_list_one_directory_at_once_all_see_every_name(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).touch()
    host = Host()
    folder = host.open_dir(str(tmp_path))
    seen: set[int] = set()
    in_threads([lambda: seen.update(len(host.listdir(folder)) for _ in range(300)) for _ in range(4)])
    host.close(folder)
    assert seen == {300}
