"""What a person sees of a trial in the UI: the verdict in a sentence, numbers to plot over time, the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assets.behavior.evaluation.trials import Trial
from assets.rendering import Markdown, Metadata, code, table

PLOTTED = ("before", "after", "mean", "low", "high")  # of a change


def metadata(trial: Trial, report: str, page: str) -> Metadata:
    """Of a trial; `report` is its Markdown, `page` where its HTML file lies. What is read comes first, what is plotted
    last."""
    row = trial.row
    shown: Metadata = {"sentence": row["sentence"], "action": row["action"]}
    if gates := row["gates"]:
        held = [(one["name"], one["measured"], one["required"], "yes" if one["passed"] else "no") for one in gates]
        shown["gates"] = table(("gate", "measured", "required", "holds"), held, len(held))
    judge = row.get("judge") or {}
    if judge:
        shown["judge"] = f"{judge['outcome']}: {judge['sentence']}"
    if report:
        shown["report"] = Markdown(report)
    shown |= {
        "adapter": trial.adapter.id,
        "release": trial.candidate.id,
        "against": row["released"],
        "items": row["items"],
        "found": "yes, and nothing was generated" if trial.found else "no",
        "page": page,
        "sets": table(("held-out set", "digest"), [(name, sha[:16]) for name, sha in sorted(row["sets"].items())]),
        "made_of": table(("", ""), sorted(row["facts"].items()), len(row["facts"])),
    }
    for name, change in {**row["changes"], **{f"earlier {name}": one for name, one in row["earlier"].items()}}.items():
        shown |= _numbers(name, change)
    preference = judge.get("preference") or {}
    return shown | _numbers("judge", {part: preference.get(part) for part in ("mean", "low", "high")})


def _numbers(name: str, change: Mapping[str, Any]) -> Metadata:
    key = "".join(letter if letter.isalnum() else "_" for letter in name).strip("_")
    return {f"{key}_{part}": round(float(change[part]), 4) for part in PLOTTED if change.get(part) is not None}


def refusal(trial: Trial) -> str:
    """Why it is not released, for a log."""
    failed = [one for one in trial.row["gates"] if not one["passed"]]
    return f"{trial.row['sentence']} " + " ".join(code(f"{one['name']}: {one['measured']}") for one in failed)
