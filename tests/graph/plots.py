"""Which assets show a person no number: Dagster plots numbers over materializations, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg


def unplotted(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> list[str]:
    """Of these, those that were never materialized, or whose newest materialization holds no number."""
    found = []
    for key in keys:
        records = instance.fetch_materializations(key, limit=1).records
        made = records[0].asset_materialization if records else None
        values = [one.value for one in (made.metadata if made else {}).values()]
        if not any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            found.append(key.to_user_string())
    return found
