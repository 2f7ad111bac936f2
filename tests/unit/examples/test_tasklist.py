"""Task lists as people write them: check lists, JSON, JSON Lines, plain lines; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.fleet_parts.tasklist import Task, TaskListError, read_tasks


def listed(folder: Path, name: str, text: str, *, run: str = "") -> list[Task]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_tasks(path, run=run)


def test_a_markdown_check_list_gives_its_open_items(tmp_path: Path) -> None:
    text = """# Plan

Some words, and a list that is no check list:
- not a task

- [ ] docs: build the pages — `make -C docs html`
- [x] done: long ago `false`
- [ ] **api**: rename `Foo` and test `pytest -k "foo bar"`
      $ ruff check src
      scope: src/api, ./docs//api.md
  * [X] nested: done as well `false`
"""
    docs, api = listed(tmp_path, "plan.md", text)
    assert (docs.id, docs.text, docs.commands) == ("docs", "build the pages", (("make", "-C", "docs", "html"),))
    assert (api.id, api.text) == ("api", "rename `Foo` and test")
    assert api.commands == (("pytest", "-k", "foo bar"), ("ruff", "check", "src"))
    assert api.scope == ("docs/api.md", "src/api")


def test_a_text_is_optional(tmp_path: Path) -> None:
    found = listed(tmp_path, "plan.md", "- [ ] a: `x`\n- [ ] b `y`\n- [ ] c:d: e `z`\n")
    assert [(task.id, task.text) for task in found] == [("a", ""), ("b", ""), ("c:d", "e")]


def test_details_below_a_finished_item_belong_to_nobody(tmp_path: Path) -> None:
    text = "- [ ] a: x `true`\n- [x] b: y\n      $ false\n"
    assert [task.commands for task in listed(tmp_path, "plan.md", text)] == [(("true",),)]


def test_json_and_json_lines_say_the_same(tmp_path: Path) -> None:
    entries = [
        {"id": "a", "commands": ["echo 'x y'", ["ls", "-l"]], "expect": "failed"},
        {"id": "b", "commands": ["b"]},
    ]
    lines = "\n".join(json.dumps(entry) for entry in entries) + "\n\n"
    found = listed(tmp_path, "t.jsonl", lines)
    assert found == listed(tmp_path, "t.json", json.dumps(entries))
    assert found == listed(tmp_path, "u.json", "\ufeff" + json.dumps({"tasks": entries}))
    assert found[0].commands == (("echo", "x y"), ("ls", "-l"))
    assert found[0].expect == "failed"


def test_plain_lines_take_the_command_given_for_all(tmp_path: Path) -> None:
    first, second = listed(tmp_path, "ids.txt", "# comment\nT-1: fix it\n\n  T-2  \n", run="make {id} WHY='{text}'")
    assert first.commands == (("make", "T-1", "WHY=fix it"),)
    assert second.commands == (("make", "T-2", "WHY="),)


@pytest.mark.parametrize(
    "name,text,complaint",
    [
        ("t.md", "nothing here\n", "no open task"),
        ("t.md", "- [ ] a: b\n", "has no command"),
        ("t.md", "- [ ] a: `x`\n- [ ] a: `y`\n", "stands there twice"),
        ("t.md", "- [ ] a: `x 'open`\n", "No closing quotation"),
        ("t.md", "- [ ] a\x1b: `x`\n", "not allowed"),
        ("t.md", f"- [ ] {'x' * 201}: `x`\n", "201 characters"),
        ("t.md", "- [ ] a: `x`\n  scope: ../up\n", "stays inside"),
        ("t.json", "{", "Expecting"),
        ("t.json", '{"tasks": 3}', "expected a list"),
        ("t.json", "[3]", "a task is text or an object"),
        ("t.json", '[{"id": "a", "comands": []}]', "unknown field 'comands'"),
        ("t.json", '[{"id": "a", "commands": [3]}]', "a command is text"),
        ("t.json", '[{"id": "a", "commands": 3}]', "commands"),
        ("t.json", '[{"id": "a", "commands": ["x"], "expect": "luck"}]', "expect must be one of"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    with pytest.raises(TaskListError, match=complaint):
        listed(tmp_path, name, text)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.md"
    path.write_bytes(b"- [ ] a: \xff `x`\n")
    with pytest.raises(TaskListError, match="utf-8"):
        read_tasks(path)
