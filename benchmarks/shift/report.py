"""The numbers as Markdown tables, and delay against false rate as a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reindex.report import table
from benchmarks.shift.prose import INTRODUCTION, LIMITS
from benchmarks.shift.real_streams import FACTS, PREFIX
from benchmarks.shift.results import CURVES, POOL, Numbers, best_peer, labels, order
from benchmarks.shift.runs import Outcome
from benchmarks.shift.systems import ORACLE, OURS

COLORS = {
    OURS: "#1b7f5c",
    "ADWIN, residual": "#d98c2b",
    "ADWIN, thumbs": "#e3b77d",
    "DDM, thumbs": "#b65f8a",
    "Page-Hinkley up, residual": "#5b6fa8",
    "chi2 daily, Bonferroni": "#a3aed0",
    "KS daily, Bonferroni": "#8d8d8d",
    "Modyn-like average": "#c4b14a",
    "Evidently weekly, behavior columns": "#7fa650",
    "Evidently daily, behavior columns": "#c46b5a",
}
NAMES = {POOL: "**pooled**", "new_topic": "new topic", "stale_documents": "stale documents", "topic_mix": "topic mix"}
TITLES = {"fail_0.6": "fail +.6 logit", "fail_0.3": "fail +.3 logit", "one_topic": "one topic of 8, +1.2"}


def document(out: Numbers) -> str:
    """All that was found, as one page of Markdown. Goals are those of the run."""
    picture = ["![Delay against false rate](images/shift-delay.png)", _CURVES] if out["curves"] else []
    return "\n\n".join([INTRODUCTION, "## Reach", goals(out["goals"]), *picture, *_tables(out), LIMITS]) + "\n"


def _tables(out: Numbers) -> list[str]:
    blocks = []
    for volume, kinds in out["quiet"].items():
        synthetic = {kind: row for kind, row in kinds.items() if not kind.startswith(PREFIX)}
        if synthetic:
            blocks += [f"## No change of behavior, {_volume(volume)} a day", _QUIET, quiet(synthetic)]
    for volume, kinds in out["shifts"].items():
        synthetic = {kind: row for kind, row in kinds.items() if not kind.startswith(PREFIX)}
        if synthetic:
            blocks += [f"## Changes on day 60, {_volume(volume)} a day", _SHIFT, shifts(synthetic)]
    if out["regret"]:
        blocks += ["## Regret", _REGRET.format(**out["prices"]), regrets(out["regret"]), _other_prices(out)]
    blocks += real(out)
    return [*blocks, "## Settings and speed", settings(out)]


_QUIET = (
    "% of streams with any fine-tune in 365 days / fine-tunes per stream-year (n). Pooled: none, topic mix, new "
    "topic, stale documents, index outage, seasonality, where they are shown, with the exact one-sided upper 95% bound."
)
_SHIFT = "Median days of changed data until the fine-tune / % within 90 days. `-`: not within the year."
_REGRET = (
    "Mean cost of a stream-year at 100 interactions a day beyond one fine-tune on the very day of the change, "
    "{currency}: for needless fine-tunes + for answers that the unattended shift spoiled. A fine-tune costs "
    "{fine_tune:g} ({gpu_hours:g} GPU hours at {gpu_hour:g}), a spoiled answer {failure:g}. Mean: every kind counts "
    "the same."
)
_CURVES = (
    "Each curve is a system over its settings, the ring its default. False rate: share of the pooled quiet streams "
    "with any trigger in a year. Delay: median of streams that were quiet until the change."
)


def goals(rows: Sequence[Sequence[Any]]) -> str:
    """The targets and what was seen."""
    return table(["figure", "seen", "met"], [[goal, seen, "yes" if met else "**no**"] for goal, seen, met in rows])


def quiet(kinds: Numbers) -> str:
    """Systems by kinds."""
    chosen = order(kinds)
    names = list(dict.fromkeys(name for kind in chosen for name in kinds[kind] if name != ORACLE))
    rows = [[name, *(_quiet(kinds[kind].get(name), kind == POOL) for kind in chosen)] for name in names]
    return table(["", *(NAMES.get(kind, kind) for kind in chosen)], rows)


def _quiet(cell: Numbers | None, bounds: bool) -> str:
    if not cell or not cell["streams"]:
        return ""
    if bounds:
        return (
            f"{cell['share']:.1%} (<= {cell['share_upper']:.1%}) / {cell['rate']:.3f} (<= {cell['rate_upper']:.3f}) "
            f"({cell['streams']})"
        )
    return f"{cell['share']:.0%} / {cell['rate']:.2f} ({cell['streams']})"


def shifts(kinds: Numbers) -> str:
    """Systems by kinds."""
    chosen = order(kinds)
    names = list(dict.fromkeys(name for kind in chosen for name in kinds[kind]))
    rows = [[name, *(_shift(kinds[kind].get(name)) for kind in chosen)] for name in names]
    return table(["", *(f"{kind} ({kinds[kind][OURS]['streams']})" for kind in chosen)], rows)


def _shift(cell: Numbers | None) -> str:
    return f"{days(cell['median'])} / {cell['within']:.0%}" if cell and cell["streams"] else ""


def days(value: float | None) -> str:
    """Days, or a dash where it takes longer than the year."""
    return f"{value:g}" if value is not None and math.isfinite(value) else "-"


def streams(outcomes: Sequence[Outcome]) -> str:
    """Trigger days of every system on every stream, the first six of each."""
    names = labels(outcomes)
    rows = [
        [row.kind, "-" if row.change is None else str(row.change), *(_first(row.triggers.get(name)) for name in names)]
        for row in outcomes
    ]
    return table(["stream", "change", *names], rows)


def _first(found: Sequence[int] | None) -> str:
    return "" if found is None else " ".join(map(str, found[:6])) + (" ..." if len(found) > 6 else "")


def regrets(found: Numbers) -> str:
    """Systems by kinds, the cheapest first."""
    kinds = order(key for key in found[OURS] if key != "mean")
    best = best_peer(found)
    rows = []
    for name in sorted(found, key=lambda label: found[label]["mean"]["total"]):
        mean = found[name]["mean"]
        shown = f"{name} (best peer)" if name == best else name
        parts = [f"{found[name][kind]['total']:.0f}" for kind in kinds]
        rows.append([shown, f"{mean['fine_tunes']:.0f} + {mean['spoiled']:.0f} = {mean['total']:.0f}", *parts])
    return table(["", "mean", *kinds], rows)


def _other_prices(out: Numbers) -> str:
    seen = [
        f"{row['worth']:g} spoiled answers: {row['oracle']:.2f}x the oracle's, {row['peer']:.2f}x that of {row['best']}"
        for row in out["sensitivity"]
    ]
    return f"Our regret where a fine-tune costs as much as {'; '.join(seen)}." if seen else ""


def real(out: Numbers) -> list[str]:
    """Streams of real texts."""
    still = {kind: row for kind, row in out["quiet"].get("100", {}).items() if kind.startswith(PREFIX)}
    moved = {kind: row for kind, row in out["shifts"].get("100", {}).items() if kind.startswith(PREFIX)}
    if not still and not moved:
        return []
    twins = {kind: row for kind, row in still.items() if not kind.endswith(FACTS)}
    facts = {kind: row for kind, row in still.items() if kind.endswith(FACTS)}
    leaks = ", ".join(f"{name} {share:.0%}" for name, share in out.get("leaks", {}).items())
    return [
        "## Real texts, 100 a day",
        "People come to want another form (delays as above):",
        shifts(moved),
        "The same streams without that change:",
        quiet(twins),
        f"Knowledge failures rise from .08 to .25 instead. Attribution takes some of them for behavior ({leaks}); our "
        "test is built for at most 15%:",
        quiet(facts),
    ]


def settings(out: Numbers) -> str:
    """Tuned settings, timing, versions."""
    lines = [
        f"* {_volume(volume)} a day: at most {out['targets'][volume]:.1%} of quiet streams, "
        + ", ".join(f"{name} {setting:g}" for name, setting in found.items())
        for volume, found in out["tuned"].items()
    ]
    timing = out.get("timing")
    if timing:
        lines.append(
            f"* {timing['days']} days x {timing['topics']} topics x {timing['events']} events: one tick "
            f"{timing['tick']:.3f} s, the whole trajectory {timing['trajectory']:.2f} s"
        )
    lines += [f"* skipped: {reason}" for reason in out["skipped"]]
    about = ", ".join(f"{name} {version}" for name, version in out["versions"].items())
    return "\n".join([*lines, f"* {about}; test settings {out['config'][:12]}; {out['command']}"])


def _volume(volume: str) -> str:
    return f"{float(volume):,.0f}"


def figure(path: Path, out: Numbers) -> None:
    """Median delay against the share of quiet streams that fire: a curve for each system, a ring at its default."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    chart, panels = plt.subplots(1, len(CURVES), figsize=(13, 4.4), layout="constrained", sharey=True)
    for panel, kind in zip(panels, CURVES, strict=True):
        for name, curve in out["curves"].items():
            points = [
                (max(false, 2e-3), delay)
                for false, delay in zip(curve["false"], curve["delay"].get(kind, []), strict=False)
                if delay is not None and math.isfinite(delay)
            ]
            if points:
                ours = name == OURS
                style = {"lw": 2.6 if ours else 1.2, "ms": 4 if ours else 3, "zorder": 3 if ours else 2}
                panel.plot(*zip(*points, strict=True), "o-", color=COLORS.get(name, "gray"), label=name, **style)
        for name, default in out["defaults"].items():
            curve = out["curves"].get(name)
            if curve and default in curve["settings"] and curve["delay"].get(kind):
                place = curve["settings"].index(default)
                delay = curve["delay"][kind][place]
                if delay is not None and math.isfinite(delay):
                    at = max(curve["false"][place], 2e-3)
                    panel.plot(at, delay, "o", ms=11, mfc="none", color=COLORS.get(name, "gray"), zorder=4)
        oracle = out["shifts"].get("100", {}).get(kind, {}).get(ORACLE)
        if oracle:
            panel.axhline(oracle["median"], color="black", lw=0.8, ls="--", label=f"{ORACLE} (5% a year)")
        panel.axvline(0.05, color="#bbbbbb", lw=0.8)
        panel.set(xscale="log", yscale="log", title=TITLES[kind], xlabel="quiet streams that fire within a year")
        panel.set_xticks([0.002, 0.01, 0.05, 0.2, 1], ["0", "1%", "5%", "20%", "100%"])
        panel.set_yticks([1, 3, 10, 30, 100, 300], ["1", "3", "10", "30", "100", "300"])
        panel.minorticks_off()
    panels[0].set_ylabel("median delay, days")
    handles = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    chart.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, dpi=140)
    plt.close(chart)
