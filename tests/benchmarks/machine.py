"""Facts about the machine that a reader of the figures needs; nothing that names it."""

from __future__ import annotations

import os
import platform
import sys


def facts(folders: dict[str, str]) -> list[str]:
    """One line each: processor, kernel, Python, load, and the file system of each named folder."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    lines = [
        f"processor    {_processor()}, {os.cpu_count()} cores, load {load:.1f} before the run",
        f"kernel       {platform.system()} {platform.release()}",
        f"python       {platform.python_implementation()} {sys.version.split()[0]}",
    ]
    return lines + [f"{name:12s} {file_system(folder)}" for name, folder in folders.items()]


def file_system(folder: str) -> str:
    """Kind and options of the file system that a folder lies on, `unknown` where it cannot be told."""
    best, told = "", "unknown"
    for line in _lines("/proc/self/mounts"):
        _, point, kind, options, *_ = line.split(" ")
        inside = point == "/" or folder == point or folder.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, told = point, f"{kind} ({options})"
    return told


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        name, _, text = line.partition(":")
        if name.strip() == "model name":
            return text.strip()
    return platform.machine()


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
