"""The state of a deployment in facts, as the UI shows it: the same facts that `twohands status` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from assets.rendering import Markdown, Metadata, code

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Overview:
    """`words` say what is configured (Markdown); `look` how it is now; `text` says that in lines, for a terminal."""

    words: str
    look: Callable[[], Facts]
    text: Callable[[Facts], str]


def metadata(facts: Facts, text: str) -> Metadata:
    """The lines, and the numbers that the UI plots over time. What could not be read is missing, and said in a line."""
    index, slices, logs, spend = facts["index"], facts["slices"], facts["behavior"], facts["spend"]
    shown: Metadata = {"status": Markdown("\n".join(f"- {code(line)}" for line in text.splitlines()))}
    if "error" not in index:
        shown |= {"passages": int(index["passages"]), "refused_files": sum(int(row["rejected"]) for row in slices)}
        shown["slices_not_published"] = sum(not row["published"] for row in slices)
        if ages := [_hours(row["synced"]) for row in slices if row.get("synced")]:
            shown["hours_since_oldest_sync"] = max(ages)
        shown |= _numbers(index, recall_at_5="recall_at_5", mrr="mrr")
    if "error" not in logs:
        shown |= {"quarantined_lines": int(logs["quarantined"]), "days_to_rebuild": len(logs["dirty_days"])}
    if "error" not in spend:
        shown |= _numbers(spend, spent="spent_this_month")
    for row in facts["variants"]:
        shown |= _numbers(row.get("evidence") or {}, M_of_threshold=f"{row['variant']}_M_of_threshold")
        shown |= _numbers(row.get("adapters") or {}, age_days=f"{row['variant']}_adapter_age_days")
    return shown


def _hours(moment: str) -> float:
    return round((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds() / 3_600, 3)


def _numbers(found: Facts, **names: str) -> Metadata:
    return {as_: float(found[name]) for name, as_ in names.items() if found.get(name) is not None}
