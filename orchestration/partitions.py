"""Partitions: a slice is a source, or one shard of a large one; a day is the day on which an interaction happened."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from orchestration.settings import Settings


def slices(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition for each slice of twohands.toml, in the file's order."""
    return dg.StaticPartitionsDefinition([spec.name for spec in settings.slices()])


def variants(settings: Settings) -> dg.StaticPartitionsDefinition:
    """One partition for each variant of twohands.toml: a manner that is served over the one index."""
    return dg.StaticPartitionsDefinition(list(settings.variants))


def days(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition for each event day (UTC) from `behavior.first_day` to today, today included."""
    first = datetime.combine(settings.behavior.first_day, datetime.min.time(), UTC)
    return dg.DailyPartitionsDefinition(start_date=first, timezone="UTC", end_offset=1)
