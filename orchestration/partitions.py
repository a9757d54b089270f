"""Partitions: a slice is a source, or one shard of a large one."""

from __future__ import annotations

import dagster as dg

from orchestration.settings import Settings


def slices(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition for each slice of twohands.toml, in the file's order."""
    return dg.StaticPartitionsDefinition([spec.name for spec in settings.slices()])
