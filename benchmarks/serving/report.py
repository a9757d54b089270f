"""The file of a benchmark that may be run in parts: a run replaces the parts that it measured, and keeps the others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def measured(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part with what it was measured on, and when: the others of the file may be of another day."""
    machine = {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    return {**machine, **part}


def merge(file: Path, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Writes the parts beside those that the file has; returns all. A file that is no report is written anew."""
    try:
        former = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        former = {}
    kept = {name: part for name, part in former.items() if isinstance(part, dict)} if isinstance(former, dict) else {}
    whole = {**kept, **parts}
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    new.replace(file)
    return whole
