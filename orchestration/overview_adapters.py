"""The adapters of a variant in facts, for `twohands status` and `twohands doctor`: which are retired, what is tainted.

Imports no torch. The base is hashed only where there are adapters that it could retire.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from assets.behavior.adapter.identity import base_id
from assets.behavior.adapter.retired import all_retired
from assets.errors import ModelError
from assets.ports import Lake
from assets.serving.release import NONE, Moves
from orchestration.assembly_adapter import adapters, base
from orchestration.assembly_taint import taints
from orchestration.settings import Settings


def retired(settings: Settings, variant: str) -> dict[str, str]:
    """Adapters that are of no use to the configured base and prompts, with the reason. ModelError for a bad base."""
    made = adapters(settings).all_of(variant)
    if not made:
        return {}
    now = base(settings)
    return all_retired(made, base_id(now.files), now.template)


def facts(settings: Settings, lake: Lake, variant: str) -> dict[str, Any]:
    """How many there are, which one answers, how much of what it was trained on was touched, which are retired."""
    made, released = adapters(settings).all_of(variant), taints(settings, lake).released(variant)
    move = Moves(lake).now(variant)
    since = datetime.fromisoformat(move.created) if move else None
    return {
        "count": len(made),
        "release": move.id if move else NONE,
        "since": since.isoformat(timespec="seconds") if since else None,
        "released": released.id if released else None,
        "age_days": round((datetime.now(UTC) - since).total_seconds() / 86_400, 3) if since and released else None,
        "tainted_share": round(released.trained.share, 6) if released and released.known else None,
        "tainted_rows": released.trained.touched if released and released.known else None,
        "retired": retired(settings, variant),
    }


def line(variant: str, found: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    if "error" in found:
        return f"{variant}: adapters: {found['error']}"
    if not found["count"]:
        return f"{variant}: no adapter yet; the base alone answers"
    parts = [f"{found['released']} answers" if found["released"] else "the base alone answers"]
    if found["since"]:
        parts[0] += f" since {found['since'][:10]} ({found['release']})"
    if found["tainted_rows"]:
        parts.append(f"{found['tainted_share']:.1%} of its rows were corrected or deleted since (`twohands taint`)")
    parts += [f"{id} is retired: {why}" for id, why in found["retired"].items()]
    return f"{variant}: {found['count']} adapters; {'; '.join(parts)}"


def check(settings: Settings, lake: Lake, variant: str) -> str:
    """ModelError where the adapter that answers is retired: it cannot answer."""
    found = facts(settings, lake, variant)
    if found["released"] in found["retired"]:
        raise ModelError(
            f"the released adapter {found['released']} was {found['retired'][found['released']]}",
            expected="the base (weights, tokenizer, chat template) and the prompts that it was made for",
            next_step="set [base] back; or roll back to the base (`twohands rollback --to base`) and fine-tune anew",
        )
    return line(variant, found)
