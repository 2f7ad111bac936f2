"""The little of SVG that our pictures need: safe text, shapes, colours legible on light and on dark. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

FONT: Final = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'DejaVu Sans',sans-serif"
# Hues told apart by most eyes, without red, green and orange, which mean an ending.
OWNER_FILLS: Final = (
    "#4477c9",
    "#8460b8",
    "#1f8486",
    "#9a6b12",
    "#b84d86",
    "#54812f",
    "#2f80bd",
    "#94674a",
    "#6d7a8c",
    "#a556a8",
)
_LIGHT: Final = {
    "page": "#ffffff",
    "band": "#f5f7f9",
    "grid": "#dde2e8",
    "wait": "#b9c1cb",
    "ink": "#1d2733",
    "soft": "#5b6775",
    "good": "#1a7f37",
    "bad": "#cf222e",
    "warn": "#bc5a00",
    "calm": "#6e7884",
}
_DARK: Final = {
    "page": "#0f141b",
    "band": "#161d26",
    "grid": "#2a3440",
    "wait": "#55616f",
    "ink": "#e8edf3",
    "soft": "#9aa7b6",
    "good": "#3fb950",
    "bad": "#ff6b6b",
    "warn": "#f0a03c",
    "calm": "#8b97a5",
}
_REFUSED: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def safe(text: str, *, limit: int = 500) -> str:
    """Text from outside as XML text or attribute: escaped, cut at `limit` characters, without controls."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    clean = "".join("�" if unicodedata.category(c) in _REFUSED else c for c in shown)
    return (
        clean.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&#39;")
    )


def width_of(text: str, *, size: float) -> float:
    """About how wide a text is in a proportional font of `size`; wide scripts count double."""
    return sum(_advance(character) for character in text) * size


def fitted(text: str, *, size: float, width: float) -> str:
    """The text, cut with an ellipsis to about `width`; empty when not even three characters fit."""
    if width_of(text, size=size) <= width:
        return text
    kept = text
    while len(kept) > 2 and width_of(kept + "…", size=size) > width:
        kept = kept[:-1]
    return "" if len(kept) <= 2 else kept.rstrip() + "…"


def _advance(character: str) -> float:
    if character.isascii():
        return 0.3 if character in "ijl.,:;|!'/ ftr()[]I-" else 0.86 if character in "mwMW@%" else 0.6
    return 1.05 if unicodedata.east_asian_width(character) in ("W", "F") else 0.64


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def text(
    x: float, y: float, words: str, *, size: float, look: str = "ink", anchor: str = "start", bold: bool = False
) -> str:
    """One line of text from outside or inside, escaped here."""
    weight = ' font-weight="600"' if bold else ""
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}"'
    return f'<text class="{look}" {place}{side}{weight}>{safe(words)}</text>'


def box(x: float, y: float, width: float, height: float, *, look: str, title: str = "", round_: float = 0) -> str:
    """A rectangle of a class `look`; `title` is what a browser shows under the pointer."""
    corner = f' rx="{number(round_)}"' if round_ else ""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    head = f'<rect class="{look}" {place}{corner}'
    return f"{head}><title>{safe(title, limit=1000)}</title></rect>" if title else f"{head}/>"


def line(x1: float, y1: float, x2: float, y2: float, *, look: str) -> str:
    """A straight line of a class `look`."""
    return f'<path class="{look}" d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}"/>'


def icon(kind: str, x: float, y: float, *, radius: float) -> str:
    """The sign of an ending, centred: colour *and* shape tell it."""
    shape, colour, stroke = _ICONS[kind]
    r = radius
    if shape == "circle":
        body = f'<circle class="{colour} rim" cx="{number(x)}" cy="{number(y)}" r="{number(r)}"/>'
    else:
        d = r * 1.25
        path = (
            f"M{number(x)} {number(y - d)}l{number(d)} {number(d)}l{number(-d)} {number(d)}l{number(-d)} {number(-d)}z"
        )
        body = f'<path class="{colour} rim" d="{path}"/>'
    path = " ".join(
        f"{'M' if index == 0 or pen else 'L'}{number(x + dx * r)} {number(y + dy * r)}"
        for index, (dx, dy, pen) in enumerate(stroke)
    )
    return f'{body}<path class="cut" stroke-width="{number(max(1.1, r * 0.3))}" d="{path}"/>'


Stroke = Sequence[tuple[float, float, bool]]
_CHECK: Final[Stroke] = ((-0.45, 0.02, True), (-0.12, 0.36, False), (0.46, -0.34, False))
_CROSS: Final[Stroke] = ((-0.38, -0.38, True), (0.38, 0.38, False), (-0.38, 0.38, True), (0.38, -0.38, False))
_DASH: Final[Stroke] = ((-0.45, 0, True), (0.45, 0, False))
_CHEVRON: Final[Stroke] = ((-0.2, -0.45, True), (0.28, 0, False), (-0.2, 0.45, False))
_BROOM: Final[Stroke] = ((-0.4, -0.18, True), (0.4, -0.18, False), (-0.4, 0.22, True), (0.4, 0.22, False))
_SLASH: Final[Stroke] = ((-0.42, 0.42, True), (0.42, -0.42, False))
_BANG: Final[Stroke] = ((0, -0.55, True), (0, 0.12, False), (0, 0.45, True), (0, 0.5, False))
_ICONS: Final[dict[str, tuple[str, str, Stroke]]] = {
    "complete": ("circle", "good", _CHECK),
    "failed": ("circle", "bad", _CROSS),
    "abandoned": ("circle", "calm", _DASH),
    "withdrawn": ("circle", "calm", _BANG),
    "ignored": ("circle", "calm", _SLASH),
    "taken_over": ("diamond", "warn", _CHEVRON),
    "swept": ("diamond", "warn", _BROOM),
    "double": ("diamond", "bad", _BANG),
}


def style() -> str:
    """The style sheet: plain class rules for light, overruled where the reader prefers dark."""
    owners = "".join(f".o{index}{{fill:{fill}}}" for index, fill in enumerate(OWNER_FILLS))
    fixed = (
        f"text{{font-family:{FONT}}}{owners}.on{{fill:#fff}}.banner{{fill:#c5222c}}.cut{{fill:none;stroke-linecap:round;stroke-linejoin:round}}"
        ".gridline,.waiting,.alarm{fill:none}.waiting{stroke-width:1.5;stroke-dasharray:1.5 3;stroke-linecap:round}"
        ".alarm{stroke-width:2}.rim{stroke-width:1}.silent{fill:url(#silent)}.tick{stroke-width:2.2}"
    )
    return f"<style>{fixed}{_rules(_LIGHT)}@media(prefers-color-scheme:dark){{{_rules(_DARK)}}}</style>"


def _rules(colours: dict[str, str]) -> str:
    fills = "".join(f".{name}{{fill:{colours[name]}}}" for name in colours if name not in ("grid", "wait"))
    return (
        f"{fills}.gridline{{stroke:{colours['grid']}}}.waiting{{stroke:{colours['wait']}}}.alarm{{stroke:{colours['bad']}}}"
        f".rim,.cut{{stroke:{colours['page']}}}"
        + "".join(f".tick.{name}{{stroke:{colours[name]}}}" for name in ("good", "bad", "warn", "calm"))
    )


def pattern() -> str:
    """The hatching laid over the time in which an owner had stopped giving signs of life."""
    return (
        '<defs><pattern id="silent" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="2.4" height="6" fill="#fff" fill-opacity="0.65"/></pattern></defs>'
    )


def tick(kind: str, x: float, y: float, *, height: float) -> str:
    """The small form of an icon, where there is no room for one: a stroke in its colour."""
    colour = _ICONS[kind][1]
    return f'<path class="tick {colour}" d="M{number(x)} {number(y)}v{number(height)}"/>'


def document(body: Sequence[str], *, width: float, height: float, title: str, about: str) -> str:
    """The whole picture, with a title and a description for those who cannot see it."""
    w, h = number(width), number(height)
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img">',
            f"<title>{safe(title)}</title><desc>{safe(about, limit=2000)}</desc>",
            style(),
            pattern(),
            *body,
            "</svg>\n",
        )
    )
