"""Evaluations in the lake: what a candidate was worth, for whoever asks later.

behavior/evaluation/reports/<variant>/<candidate>.json   the verdict, every gate's number, every metric's change,
                                                         what a judge said
behavior/evaluation/reports/<variant>/<candidate>.html   the report, to be opened in a browser
behavior/evaluation/reports/<variant>/<candidate>.md     the same, short

The JSON has a checksum: a verdict that was edited by hand is found damaged, and found again by no trial.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from assets.behavior.evaluation import judging
from assets.behavior.evaluation import report as reporting
from assets.behavior.evaluation.report import Report
from assets.errors import CorruptState
from assets.fingerprints import sha256_text
from assets.ports import Lake

FOLDER = "behavior/evaluation/reports"


def save(lake: Lake, report: Report, sets: Mapping[str, str]) -> str:
    """Stores a report (the JSON last, which makes it whole); returns its lake name without ending. `sets` gives the
    digest of each held-out set."""
    name = name_of(report.variant, report.candidate)
    page = reporting.page(report)
    lake.write_text(f"{name}.html", page)
    lake.write_text(f"{name}.md", reporting.markdown(report))
    row = json.loads(json.dumps(_row(report, sets, sha256_text(page))))  # as it is read again
    lake.write_text(f"{name}.json", _text({**row, "check": _check(row)}))
    return name


def load(lake: Lake, variant: str, candidate: str) -> dict[str, Any] | None:
    """What was stored of an evaluation; None where there is none."""
    name = f"{name_of(variant, candidate)}.json"
    text = lake.read_text(name)
    if text is None:
        return None
    try:
        row: dict[str, Any] = json.loads(text)
        check = row.pop("check")
        if row["candidate"] == candidate and check == _check(row):
            return row
        problem = "it is of another candidate" if row["candidate"] != candidate else "its checksum is another"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise CorruptState(
        f"{name} in the lake is damaged ({problem})",
        expected="the evaluation that was written there",
        next_step="delete that file, and evaluate the adapter again",
    )


def all_of(lake: Lake, variant: str) -> Sequence[str]:
    """The candidates of a variant that were evaluated, sorted."""
    names = (name.rsplit("/", 1)[1] for name in lake.names(f"{FOLDER}/{variant}"))
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def forget(lake: Lake, variant: str, sets: Collection[str]) -> int:
    """Deletes the pages of evaluations on these held-out sets, which quote their items; the numbers stay. Returns how
    many."""
    gone = []
    for candidate in all_of(lake, variant):
        row, name = load(lake, variant, candidate), name_of(variant, candidate)
        if row and set(sets) & row["sets"].keys():
            gone += [f"{name}{ending}" for ending in (".html", ".md") if lake.read_text(f"{name}{ending}") is not None]
    lake.remove(gone)
    return len(gone)


def variants(lake: Lake) -> list[str]:
    """Variants that have held-out sets or evaluations."""
    return sorted({name.split("/")[3] for name in lake.names("behavior/evaluation")})


def name_of(variant: str, candidate: str) -> str:
    """Where an evaluation lies, without ending."""
    return f"{FOLDER}/{variant}/{candidate}"


def _check(row: Mapping[str, Any]) -> str:
    return sha256_text(_text(row))


def _text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def _row(report: Report, sets: Mapping[str, str], page: str) -> dict[str, Any]:
    verdict, comparison = report.verdict, report.comparison
    return {
        "variant": report.variant,
        "candidate": report.candidate,
        "released": report.released,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "action": str(verdict.action),
        "sentence": verdict.sentence,
        "gates": [asdict(gate) for gate in verdict.reasons],
        "changes": {name: _finite(asdict(one)) for name, one in comparison.changes.items()},
        "earlier": {name: _finite(asdict(one)) for name, one in comparison.earlier.items()},
        "sets": dict(sets),
        "items": len(comparison.items),
        "facts": report.facts,
        "judge": judging.record(report.opinion) if report.opinion else None,
        "page_sha256": page,
    }


def _finite(row: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}
