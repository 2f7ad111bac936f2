"""Secrets in foreign text (errors, output of programs) are masked before it is shown to others.

Recognised is what says of itself that it is secret: keys of well-known services by their prefix, `Authorization` and
`Bearer`, `password=…` and its like, addresses with credentials, PEM blocks, JSON web tokens. A secret without any such
mark cannot be told from text. When in doubt it is masked.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "…"
_NAMES: Final = (
    r"[a-z0-9]{0,20}(?:password|passwd|token|secret|apikey)|pass(?:phrase|code)?|pwd|credentials?|signature|sig"
    r"|api[_-]?key|(?:access|account|private|secret|signing|encryption|auth)[_-]?key(?:[_-]?id)?"
)
# In quotes that are themselves escaped (JSON within JSON), in quotes (perhaps cut off), or up to what ends a word.
_VALUE: Final = r"""(?:\\"(?:[^"\\]|\\[^"])*(?:\\")?|"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&"'<>)\]}]+)"""
# What a header says: in quotes, or the rest of the line, quotes included.
_REST: Final = r"""(?:\\"(?:[^"\\\r\n]|\\[^"\r\n])*(?:\\")?|"(?:[^"\\\r\n]|\\.)*"?|'[^'\r\n]*'?|(?!\s{0,3}…)[^\r\n]+)"""
# In this order: what spans lines first, then what stands in a pair, then what is known by its own shape.
_RULES: Final = (
    # A block that was cut off has no end.
    (re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)", re.DOTALL), MASK),
    # Up to the last @ of the word: passwords may hold one, and a slash.
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)(?:[^\s/?#]+|[^\s/?#:@]{0,200}:[^\s\"'<>]{1,300})@"), rf"\1{MASK}@"),
    # An address inside of another one, percent-encoded.
    (re.compile(r"(?i)(%3A%2F%2F)[^\s&\"'<>]{1,400}(?:%40|@)"), rf"\1{MASK}%40"),
    (
        re.compile(
            rf"""(?i)\b((?:proxy-)?authorization|x-api-key|(?:set-)?cookie)(\\?["']?\s{{0,3}}[:=]\s{{0,3}}){_REST}"""
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"(?<![^\s])(-u|--user)([= ]\s{0,3})[^\s:]{1,200}:\S+"), rf"\1\2{MASK}"),
    (re.compile(r"(?i)(hooks\.slack\.com/services/)\S+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer)\s{1,3}[^\s,;\"']{4,}"), rf"\1 {MASK}"),
    (
        re.compile(
            rf"""(?i)(?<![A-Za-z0-9])((?:[a-z0-9]{{1,30}}[_.-]){{0,5}}(?:{_NAMES}))(\\?["']?\s{{0,3}}(?:=>|[:=])\s{{0,3}}){_VALUE}"""
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(rf"(?i)(--(?:[a-z0-9]{{1,30}}-){{0,5}}(?:{_NAMES}))(\s{{1,3}})(?!-){_VALUE}"), rf"\1\2{MASK}"),
    (re.compile(r"gh[pousr]_[A-Za-z0-9]{4,}|github_pat_[A-Za-z0-9_]{4,}"), MASK),
    (re.compile(r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{16,}|[rs]k_(?:live|test)_[A-Za-z0-9]{8,})"), MASK),
    (re.compile(r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_-]{30,}"), MASK),
    (
        re.compile(
            r"glpat-[A-Za-z0-9_-]{8,}|xox[a-z]-[A-Za-z0-9-]{8,}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_-]{20,}"
            r"|(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{20,}|ya29\.[A-Za-z0-9_-]{20,})"
        ),
        MASK,
    ),
    (re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"), MASK),
)


def masked(text: str, *, characters_max: int | None = None) -> str:
    """The text with every recognisable secret replaced by `…`; then cut to `characters_max`, where given.

    Pure, and linear in the length of the text.
    """
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    if characters_max is None or len(text) <= characters_max:
        return text
    return text[: max(0, characters_max - 1)] + "…"


def masked_url(url: str) -> str:
    """A URL as it may be shown: `masked`, also where a blank within a password would end what looks like one."""
    return masked("".join("%20" if character.isspace() else character for character in url))


ENCODED: Final = "in a user or password write @ / ? # % and blanks as %40 %2F %3F %23 %25 %20"


def check_credentials(url: str) -> None:
    """`ValueError` for a URL with a blank before its query, or an @ in its path: there a password was cut."""
    place = url.partition("://")[2].partition("?")[0]
    if "@" in place.partition("/")[2] or any(character.isspace() for character in place):
        raise ValueError(ENCODED)
