"""The README.md of an adapter: what it was made of, for people who find the folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def readme(said: Mapping[str, Any]) -> str:
    """A model card, of what the manifest says. It quotes no row."""
    facts = [
        ("variant", said["variant"]),
        ("number", said["number"]),
        ("dataset", said["dataset"]),
        ("base", said["base"]),
        ("prompts", said["template"]),
        ("made", said["created"]),
        ("request", said["request"] or "-"),
        *((name, _short(value)) for name, value in sorted(said["recipe"].items())),
        *((f"version of {name}", value) for name, value in sorted(said["versions"].items())),
        *((name.replace("_", " "), _short(value)) for name, value in sorted(said["metrics"].items()) if _plain(value)),
    ]
    rows = "".join(f"| {name} | `{value}` |\n" for name, value in facts)
    return (
        "---\nlibrary_name: peft\ntags:\n- lora\n---\n"
        f"# Adapter {said['id']}\n\n"
        "A LoRA adapter: it changes the manner of its base, and adds no facts. Load it with PEFT on the base whose "
        "files have the hashes in twohands.json, and on no other.\n\n"
        f"| | |\n|---|---|\n{rows}"
    )


def _short(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str)
