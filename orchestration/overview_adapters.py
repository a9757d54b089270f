"""The adapters of a variant in facts, for `twohands status` and `twohands doctor`: what answers, which are retired,
what is tainted.

Imports no torch. The base is hashed only where there are adapters that it could retire, and once; a released adapter is
hashed whenever the files here decide what answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from assets.behavior.adapter.identity import base_id
from assets.behavior.adapter.pipeline import Base
from assets.behavior.adapter.retired import all_retired
from assets.behavior.adapter.store import Adapter
from assets.errors import ModelError
from assets.ports import Lake
from assets.rendering import counted
from assets.serving import files
from assets.serving.release import NONE, Release
from assets.serving.releases import Releases, Served, template_of
from orchestration.assembly_adapter import adapters, base
from orchestration.assembly_serving import releases
from orchestration.assembly_taint import taints
from orchestration.settings import Settings


def retired(settings: Settings, variant: str) -> dict[str, str]:
    """Adapters that are of no use to the configured base and prompts, with the reason. ModelError for a bad base."""
    return _retired(*_made(settings, variant))


def _made(settings: Settings, variant: str) -> tuple[Sequence[Adapter], Base | None]:
    """The adapters, and the configured base where there are some."""
    made = adapters(settings).all_of(variant)
    return made, base(settings) if made else None


def _retired(made: Sequence[Adapter], now: Base | None) -> dict[str, str]:
    return all_retired(made, base_id(now.files), now.template) if now else {}


def _served(settings: Settings, found: Releases, variant: str, now: Base | None) -> Served:
    """What is served, as `twohands releases` says; of the base, only what was hashed already is compared."""

    def check(release: Release) -> None:
        template_of(release)
        if settings.generator.engine == "openai":
            return  # another machine holds the models
        if now is not None:
            files.compare(now.folder, now.files, release.base_files, "base")
        found.verify_adapter(release)

    return found.served(variant, check)


def facts(settings: Settings, lake: Lake, variant: str) -> dict[str, Any]:
    """How many there are, which one is released, what is served and why nothing newer is, how much of what the released
    one was trained on was touched, which are retired."""
    (made, now), found = _made(settings, variant), releases(settings, lake)
    move, served = found.moves.now(variant), _served(settings, found, variant, now)
    id, release = (move.release.adapter if move and move.release else ""), move.id if move else NONE
    answers = bool(id) and served.id == release
    touched = taints(settings, lake).released(variant)
    known = touched.trained if touched and touched.known else None
    return {
        "count": len(made),
        "release": release,
        "served": served.id,
        "problems": list(served.problems),
        "since": move.since if move else None,
        "released": id or None,
        "age_days": _days(move.since) if move and answers else None,
        "tainted_share": round(known.share, 6) if known else None,
        "tainted_rows": known.touched if known else None,
        "retired": _retired(made, now),
    }


def _days(since: str) -> float:
    return round((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() / 86_400, 3)


def line(variant: str, found: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    if "error" in found:
        return f"{variant}: adapters: {found['error']}"
    if not found["count"] and found["release"] == NONE:
        return f"{variant}: no adapter yet; the base alone answers"
    parts = [f"{found['released'] or 'the base alone'} {'has been in force' if found['problems'] else 'answers'}"]
    if found["since"]:
        parts[0] += f" since {found['since'][:10]} ({found['release']})"
    if found["problems"]:
        said = " ".join(found["problems"]).rstrip(".")
        parts.append(f"served from {found['served']} meanwhile: {said}")
    if found["tainted_rows"]:
        parts.append(f"{found['tainted_share']:.1%} of its rows were corrected or deleted since (`twohands taint`)")
    parts += [f"{id} is retired: {why}" for id, why in found["retired"].items()]
    return f"{variant}: {counted(found['count'], 'adapter')}; {'; '.join(parts)}"


def check(settings: Settings, lake: Lake, variant: str) -> str:
    """ModelError where the release in force cannot answer: its adapter is retired, or prompts or files are others."""
    found = facts(settings, lake, variant)
    if found["released"] in found["retired"]:
        raise ModelError(
            f"the released adapter {found['released']} was {found['retired'][found['released']]}",
            expected="the base (weights, tokenizer, chat template) and the prompts that it was made for",
            next_step="set [base] back; or roll back to the base (`twohands rollback --to base`) and fine-tune anew",
        )
    if found["problems"]:
        raise ModelError(f"served from {found['served']} meanwhile: {' '.join(found['problems'])}")
    return line(variant, found)
