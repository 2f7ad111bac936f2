"""The picture of a timeline: valid XML whatever the ids say, everything in its frame, both grounds legible."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from sharedstate.overview import svg
from sharedstate.overview.picture import TASKS_DRAWN_MAX, picture_of
from sharedstate.overview.timeline import timeline_of
from sharedstate.store import Entry
from tests.unit.overview.journals import journal

SVG = "{http://www.w3.org/2000/svg}"
NASTY = (
    "</svg><script>alert(1)</script>",
    "a & b < c > d \"e\" 'f'",
    "]]>",
    "日本語のとても長いタスク名" * 12,
    "é" * 200,
    "[/red] {x} %s $(rm) `id`",
    "x" * 200,
)


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text.encode())  # noqa: S314 - our own output, just made


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("tasks,agents", [(0, 1), (1, 1), (5, 2), (34, 4), (200, 30), (900, 8)])
def test_pictures_of_any_size_are_valid_and_stay_in_their_frame(tasks: int, agents: int) -> None:
    timeline = timeline_of(journal(tasks=tasks, agents=agents))
    root = parsed(picture_of(timeline))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        if "x" in element.attrib:
            assert -1 <= float(element.attrib["x"]) <= width
            assert -1 <= float(element.attrib["y"]) <= height
            assert float(element.attrib.get("width", 0)) >= 0
    assert len(timeline.tasks) <= TASKS_DRAWN_MAX or any("earlier tasks are not drawn" in text for text in texts(root))


def test_every_task_has_its_row_and_every_owner_its_lane() -> None:
    timeline = timeline_of(journal(tasks=20, agents=3))
    shown = texts(parsed(picture_of(timeline)))
    assert set(timeline.tasks) <= set(shown)
    assert {"agent-1", "agent-2", "agent-3"} <= set(shown)
    assert any(text.startswith("failed · 4 attempts") for text in shown)
    assert any("ignored by human/reviewer: waits & <b>" in text for text in shown)


def test_text_from_outside_stays_text() -> None:
    text = picture_of(timeline_of(journal(tasks=0, agents=2, names=NASTY)), title=NASTY[0])
    root = parsed(text)
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "defs", "pattern", "rect", "path", "circle", "text"}
    assert "<script" not in text


def test_controls_and_lone_surrogates_become_visible_replacements() -> None:
    event = {"type": "claimed", "task": "a\x00b\x1b[31m\u202e\ud800c", "owner": "w/a\x07", "fence": 1}
    root = parsed(picture_of(timeline_of([Entry(sequence=1, at_ms=0, value=event)])))
    assert "a�b�[31m��c" in "".join(texts(root))


def test_a_double_claim_is_written_over_the_picture() -> None:
    events = [
        {"type": "claimed", "task": "T-1", "owner": "w/a", "fence": 1},
        {"type": "claimed", "task": "T-1", "owner": "w/b", "fence": 2},
    ]
    entries = [Entry(sequence=n, at_ms=n * 1000, value=event) for n, event in enumerate(events, 1)]
    shown = texts(parsed(picture_of(timeline_of(entries))))
    assert "TWO OWNERS AT ONCE: T-1 held by w/a and w/b" in shown
    assert "two owners at once" in shown


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(dark: bool) -> None:
    rules, _, preferring_dark = svg.style().partition("@media")
    found = dict(re.findall(r"\.(\w+)\{fill:(#\w{6})\}", preferring_dark if dark else rules))
    for name in ("ink", "soft", "good", "bad", "warn", "calm"):
        for ground in ("page", "band"):
            assert contrast(found[name], found[ground]) >= 4.0, (name, ground)


def test_owner_colours_carry_white_text_and_stand_out_on_both_grounds() -> None:
    for fill in svg.OWNER_FILLS:
        assert contrast(fill, "#ffffff") >= 4.0, fill
        assert contrast(fill, "#0f141b") >= 3.0, fill
