"""Addresses as they may be shown: what could be a credential in them is masked."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "…"


def masked(text: str) -> str:
    """The text, with user names, passwords and the values of queries taken out of every URL in it.

    Masks rather too much than too little: whatever stands between `://` and the last `@` before a blank, quote or
    comma is gone, also where a stray slash in a password makes it look like a path.
    """
    if "://" not in text:
        return text
    return re.sub(r"(?<=://)([^\s'\",?#]*)[?#][^\s'\",]*", rf"\1?{MASK}", without_users(text))


def without_users(text: str) -> str:
    """The text with user names and passwords alone taken out of every URL in it; queries stay as they are."""
    return re.sub(r"(?<=://)[^\s'\",]*@", f"{MASK}@", text)
