"""Which assets the Dagster UI marks as stale when there is new behavior data.

Dagster's marks go one step: an asset is stale when one right above it has another data version than it was made from,
and an asset below a stale one is not stale yet. It also skips dependencies on all days of an asset ("all partitions" of
a time window), so counts and candidates of days mark nothing. All that a fine-tune makes therefore names the evidence
itself, whose data version is the hash of what was read: the mark says that there are days which it has not seen.

    what happened                              marked, after the next `decide` (which the sensor asks for)
    -----------------------------------------  ---------------------------------------------------------------
    a day closed, or a closed day's counts     candidates, dataset, adapter, evaluation, release
    were corrected
    a text was corrected and no count moved    nothing: the check made_of_what_still_stands counts such rows
    somebody was erased                        by the counts, as above; and the check
    documents, index or encoder changed        nothing
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg

from assets.decision.assets import EVIDENCE


def dated(assets: Iterable[Any]) -> list[Any]:
    """The assets, each with the evidence right above it."""
    return [dg.map_asset_specs(_below_evidence, [asset])[0] for asset in assets]


def _below_evidence(spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.replace_attributes(deps=[*spec.deps, dg.AssetDep(EVIDENCE)])
