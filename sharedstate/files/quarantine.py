"""Unreadable records keep their bytes: a copy goes to `local/quarantine`, once per content; the original stays."""

from __future__ import annotations

import os

from sharedstate import jsonio
from sharedstate.errors import StoreError
from sharedstate.files.faults import warn
from sharedstate.files.plain import read_fully, replace_plain
from sharedstate.files.roots import QUARANTINE, Root
from sharedstate.ids import fingerprint
from sharedstate.values import Value

COPY_BYTES_MAX = 64 * 1024 * 1024
NOTE_BYTES_MAX = 64 * 1024
BYTES_SUFFIX = ".bin"
NOTE_SUFFIX = ".json"


class Quarantined(Value):
    """One kept copy: its file `name` in `local/quarantine`, where it came from, why, and when (RFC 3339)."""

    name: str
    source: str
    reason: str
    at: str


def quarantine(root: Root, *, collection: str, name: str, reason: str) -> None:
    """Keep the bytes of the file `name` of a collection. Best effort: what fails is told as a warning."""
    source = f"{collection}/{name}"
    try:
        _keep(root, collection=collection, name=name, source=source, reason=reason)
    except (OSError, StoreError) as error:
        warn(f"{source}: could not be copied to quarantine: {error}")


def _keep(root: Root, *, collection: str, name: str, source: str, reason: str) -> None:
    records = root.directory(collection)
    if records is None:
        return
    fd = root.host.open(name, os.O_RDONLY, dir_fd=records.fd)
    try:
        raw = read_fully(root.host, fd, min(root.host.fstat(fd).size, COPY_BYTES_MAX))
    finally:
        root.host.close(fd)
    stem = f"{name.removesuffix('.json')}-{fingerprint(raw, size=8)}"
    place = root.make_directory(QUARANTINE)
    if stem + NOTE_SUFFIX in root.host.listdir(place.fd):
        return
    note = jsonio.encode({"source": source, "reason": reason[:1000], "at": root.host.now().iso()})
    for suffix, content in ((BYTES_SUFFIX, raw), (NOTE_SUFFIX, note)):
        replace_plain(root.host, stem + suffix, content, dir_fd=place.fd, durable=True, what=f"quarantine of {source}")
