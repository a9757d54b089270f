"""Was a process killed because memory ran out? The kernel counts such kills."""

from __future__ import annotations

from pathlib import Path

_PLACES = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))


def kills() -> int | None:
    """Kills of the kernel's out-of-memory killer so far, as far as this machine tells; None where it does not."""
    found = [number for place in _PLACES if (number := _count(place)) is not None]
    return sum(found) if found else None


def _count(place: Path) -> int | None:
    try:
        for line in place.read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    except (OSError, ValueError):
        pass  # no Linux, or a container that hides it: not known
    return None
