"""What a person sees of an adapter in the UI."""

from __future__ import annotations

import json
from statistics import fmean
from typing import Any

from assets.behavior.adapter.store import Adapter
from assets.rendering import Metadata, legend, picture, table

SMOOTH = 15  # parts of a training: the running mean is over as many updates as one part has
STEEP = 10  # times: a loss that fell further is drawn over a logarithmic scale
LAST = 20  # updates: one alone says little
SHORT = 16  # signs of a hash: a longer word would widen the UI's table beyond its page


def metadata(adapter: Adapter, *, found: bool) -> Metadata:
    """How it learned, what it took, and what it was made of."""
    said = adapter.metrics
    shown: Metadata = {"adapter": adapter.id, "trained": "no: it was there already" if found else "yes"}
    if said.get("losses"):
        shown["curve"] = picture("loss of an answer's token", lambda axes: draw(adapter, axes))
        shown["losses"] = losses(adapter)
    if said.get("validation_loss") is not None:
        shown["validation_loss"] = round(float(said["validation_loss"]), 4)
    names = ("loss", "rows", "validation_rows", "pairs", "steps", "best_step", "tokens", "answer_tokens", "seconds")
    for name in (*names, "tokens_per_second", "energy_wh", "cost"):
        if said.get(name) is not None:
            shown[name] = round(said[name], 4)
    if apart := said.get("divergences"):
        shown["declining"] = round(fmean(float(one) for _, one in apart[-LAST:]), 4)
    return shown | {
        "currency": str(said.get("currency", "")),
        "device": str(said.get("device_kind", "")),
        "energy_from": "measured watts" if said.get("watts_measured") else f"assumed {said.get('watts', 0)} W",
        "stopped_early": str(bool(said.get("stopped_early"))),
        "resumed_at": int(said.get("resumed_at", 0)),
        "number": adapter.number,
        "dataset": adapter.dataset[:SHORT],
        "base": adapter.base,
        "prompts": adapter.template,
        "request": ":".join(part[:SHORT] for part in adapter.request.split(":")) or "-",
        "config": table(("setting", "value"), [(k, json.dumps(v)) for k, v in sorted(adapter.recipe.items())], 40),
        "versions": table(("library", "version"), sorted(adapter.versions.items())),
    }


def losses(adapter: Adapter) -> Any:
    """The loss where held-out rows were looked at, and of the rows before it."""
    curve = {int(step): loss for step, loss in adapter.metrics["losses"]}
    seen = adapter.metrics.get("validation") or [[step, None] for step in list(curve)[-1:]]
    rows = []
    for step, held in seen:
        before = [loss for at, loss in curve.items() if at <= step][-LAST:]
        mean = fmean(before) if before else float("nan")
        kept = "kept" if step == adapter.metrics.get("best_step") else ""
        rows.append((str(step), f"{mean:.4f}", "-" if held is None else f"{held:.4f}", kept))
    return table(("update", f"train (last {LAST})", "held-out rows", ""), rows)


def draw(adapter: Adapter, axes: Any) -> None:
    """Every update, their running mean, and held-out rows."""
    steps, values = zip(*adapter.metrics["losses"], strict=True)
    window = -(-len(values) // SMOOTH)
    mean = [sum(seen) / len(seen) for seen in (values[max(n - window, 0) : n] for n in range(1, len(values) + 1))]
    axes.plot(steps, values, color="0.8", linewidth=0.7, label="train")
    axes.plot(steps, mean, color="tab:blue", linewidth=1.2, label="train, running mean")
    held = adapter.metrics.get("validation")
    if held:
        axes.plot(*zip(*held, strict=True), color="tab:orange", marker="o", markersize=3, label="held out")
        axes.axvline(adapter.metrics["best_step"], color="tab:green", linewidth=0.8, linestyle=":", label="kept")
    if apart := adapter.metrics.get("divergences"):
        axes.plot(*zip(*apart, strict=True), color="tab:purple", linewidth=0.7, label="declining: from the base's")
    if min(values) > 0 and max(values) > STEEP * min(values):
        axes.set_yscale("log")  # or what is learned last, and where training and held-out rows part, is one flat line
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("update", fontsize=7)
    axes.tick_params(labelsize=6)
    legend(axes)
