"""Which assets show a person no number: Dagster plots numbers over materializations, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

SET = ("limit", "threshold")  # numbers of the settings: a plot of one is a straight line, and says nothing


def of_group(defs: dg.Definitions, name: str) -> set[dg.AssetKey]:
    """The assets of a group that runs make."""
    graph = defs.resolve_asset_graph()
    return {key for key in graph.executable_asset_keys if graph.get(key).group_name == name}


def unplotted(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> list[str]:
    """Of these, those that were never materialized, or whose newest materialization holds no number."""
    found = []
    for key in keys:
        records = instance.fetch_materializations(key, limit=1).records
        made = records[0].asset_materialization if records else None
        values = [one.value for name, one in (made.metadata if made else {}).items() if name not in SET]
        if not any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            found.append(key.to_user_string())
    return found
