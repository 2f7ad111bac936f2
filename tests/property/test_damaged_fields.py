"""Any field of a record may hold anything: every command says so in one clear answer, and no other task notices."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.cli.shell import Shell

VERBS = (
    "show bad",
    "log bad",
    "retry-check bad",
    "list --status all",
    "status",
    "timeline --svg /dev/null",
    "sweep --dry-run",
    "renew bad",
    "claim bad",
    "claim bad --owner other --force --reason damaged",
    "release bad",
    "ignore bad --reason damaged",
    "sweep",
    "doctor",
)
PLAIN_CODES = frozenset((0, 3, 4, 5, 6, 7))
HARMFUL: tuple[Any, ...] = (
    *(None, True, -1, 0, 7, 2**31, 2**53, 2**63 - 1, -(2**63) + 1, 1.5),
    *("", "x", "../x", "\x1b[31m", "\u202e", "x" * 3000, [], ["x"], {}, {"x": [1]}),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999-14:00", "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"),
)
_Path = tuple[str | int, ...]


def leaves(value: Any, path: _Path = ()) -> Iterator[_Path]:
    """The place of everything in a document, branches included."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from leaves(item, (*path, name))


def changed(document: Any, path: _Path, value: object) -> Any:
    """The document with another value in one place."""
    first, *rest = path
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[first] = changed(copy[first], tuple(rest), value) if rest else value
    return copy


def claimed(shell: Shell) -> tuple[Path, dict[str, Any]]:
    """The file and the content of a record with a live claim, one heartbeat and a history."""
    for line in (
        "claim bad --meta k=v --scope src",
        "release bad --status failed --error boom",
        "claim bad",
        "renew bad",
    ):
        assert shell(line).code == 0
    [record] = (shell.root / "tasks").iterdir()
    return record, json.loads(record.read_bytes())


with tempfile.TemporaryDirectory() as folder:
    PLACES = sorted(leaves(claimed(Shell(Path(folder)))[1]), key=str)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(path=st.sampled_from(PLACES), value=st.sampled_from(HARMFUL))
@example(path=("live",), value=None)
@example(path=("updated_at",), value="0001-01-01T00:00:00+14:00")
@example(path=("lease", "claimed_at"), value="9999-12-31T23:59:59.999-14:00")
@example(path=("lease", "ttl_ms"), value=2**63 - 1)
@example(path=("fence",), value=2**63 - 1)
@example(path=("revision",), value=2**63 - 1)
@example(path=("attempts",), value=2**63 - 1)
def test_a_field_with_any_value_is_answered_plainly_and_harms_no_other_task(path: _Path, value: object) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        shell = Shell(Path(temporary))
        record, document = claimed(shell)
        assert shell("claim good").code == 0
        raw = json.dumps(changed(document, path, value)).encode()
        for verb in VERBS:
            record.write_bytes(raw)
            answer = shell(verb)
            assert answer.code in PLAIN_CODES, (verb, answer.out, answer.err)
            assert "Traceback" not in answer.out + answer.err
        assert shell("renew good").code == 0
