"""Files of questions that the settings name: those of the gate, and those that an adapter must go on declining."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assets.behavior.evaluation import reading
from assets.behavior.evaluation.items import Item
from assets.errors import ConfigError
from orchestration.settings import Settings

JUDGED, KEPT = "evaluation.facts", "adapter.declining"


def judged(settings: Settings) -> list[Item]:
    """The questions of the gate. Those without passages are still to be given some."""
    found = _lines(settings, settings.evaluation.facts, JUDGED)
    _apart(found, _lines(settings, settings.adapter.declining, KEPT))
    return found


def kept(settings: Settings) -> list[Item]:
    """The questions that keep an adapter declining; each has passages, and none is one of the gate."""
    found = _lines(settings, settings.adapter.declining, KEPT)
    if bare := [item for item in found if not item.passages]:
        raise ConfigError(
            f"{KEPT}: {len(bare)} of {len(found)} questions have no passages, {bare[0].question!r} for one",
            expected="questions with the passages that they are shown with, with an answer and without",
            next_step="add the passages, or take the questions out",
        )
    if found:
        _apart(_lines(settings, settings.evaluation.facts, JUDGED), found)
    return found


def _apart(judged: Sequence[Item], kept: Sequence[Item]) -> None:
    asked, groups = {(item.question, item.passages) for item in kept}, {item.group for item in kept} - {""}
    alone = {item.question for item in kept}  # beside a question whose passages are not known yet
    both = [
        item
        for item in judged
        if item.group in groups
        or (item.question, item.passages) in asked
        or (not item.passages and item.question in alone)
    ]
    if both:
        raise ConfigError(
            f"{len(both)} of {len(judged)} questions of {JUDGED} are in {KEPT} too, or of the same group: "
            f"{both[0].question!r} for one",
            expected="other questions, of other groups: a gate that asks what was trained for lets anything pass",
            next_step=f"take them out of {KEPT}",
        )


def _lines(settings: Settings, names: Sequence[str], where: str) -> list[Item]:
    texts = ((name, read(settings.path(name), where)) for name in names)
    found = {item.id: item for name, text in texts for item in reading.of_lines(text, f"{where}, {name}")}
    return list(found.values())


def read(file: Path, where: str) -> str:
    """The text of a file that a key names; ConfigError where there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{where}: {file} cannot be read ({error})",
            expected="a file in UTF-8, relative to twohands.toml",
            next_step="correct the path, or take it out",
        ) from error
