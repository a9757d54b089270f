"""The numbers as Markdown tables, and as one figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Entry = dict[str, Any]  # what `worker.run` returned for one system
COLORS = {
    "ours": "#1b7f5c",
    "cocoindex": "#d98c2b",
    "cocoindex-lancedb": "#e3b77d",
    "langchain": "#5b6fa8",
    "langchain-incremental": "#a3aed0",
}
TARGETS = (("full", 2.0), ("change", 1.5), ("no-op", 0.15))  # own seconds without the encoder


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: text to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def render(mode: str, entries: Sequence[Entry], labels: dict[str, str]) -> str:
    """All tables of one mode. Systems without results are listed with the reason."""
    done = [entry for entry in entries if "steps" in entry]
    names = [entry["system"] for entry in done]
    steps = {entry["system"]: {step["key"]: step for step in entry["steps"]} for entry in done}
    ours = steps.get("ours")

    def block(title: str, cell: Callable[[str, str], str]) -> str:
        rows = [[f"{key}: {label}", *(cell(name, key) for name in names)] for key, label in labels.items()]
        return f"\n{title}\n\n{table(['', *names], rows)}"

    def embeds(name: str, key: str) -> str:
        step = steps[name][key]
        count, floor = step["embeds"], step["floor"]
        return f"{count} / {floor} = {count / floor:.2f}" if floor else f"{count} / 0"

    def seconds(value: Callable[[dict[str, Any]], float]) -> Callable[[str, str], str]:
        def cell(name: str, key: str) -> str:
            own = value(steps[name][key])
            ratio = f" ({own / value(ours[key]):.1f}x)" if ours else ""
            return f"{own:.2f}{ratio}"

        return cell

    parts = [f"## {mode} encoder"]
    parts += [f"\n{e['system']}: {'skipped' if 'skipped' in e else 'FAILED'}: {e.get('skipped') or e['failed']}"
              for e in entries if "steps" not in e]  # fmt: skip
    if done:
        parts += [
            block("Texts embedded / chunk texts that the system's own chunker never made before", embeds),
            block("Wall seconds (ours = 1.0x)", seconds(lambda step: step["seconds"])),
            block("Seconds without the encoder (ours = 1.0x)", seconds(own_seconds)),
            block("Stale rows + missing rows", lambda n, k: f"{steps[n][k]['stale']} + {steps[n][k]['missing']}"),
            "",
            *(_about(entry) for entry in done),
        ]
    return "\n".join(parts)


def own_seconds(step: dict[str, Any]) -> float:
    """Wall seconds outside the encoder."""
    return step["seconds"] - step["encoder"]


def _about(entry: Entry) -> str:
    first = entry["steps"][0]
    size = f"{first['chunks']} chunks of {entry['tokens']} tokens on average; peak memory {entry['rss_mb']} MB"
    return f"* {entry['system']}: {entry['settings']}. {size}."


def histories(found: Sequence[dict[str, Any]]) -> str:
    """The replay of whole histories, ours alone."""
    rows = []
    for history in found:
        snapshots = history["snapshots"]
        embeds, fresh = (sum(s[key] for s in snapshots) for key in ("embeds", "fresh"))
        off = sum(s["embeds"] != s["fresh"] for s in snapshots)
        worst = [max(s[key] for s in snapshots) for key in ("stale", "missing")]
        rows.append([history["name"], len(snapshots), fresh, embeds, f"{embeds / fresh:.4f}", off, *worst])
        for event in history["events"]:
            counts = [event[key] for key in ("fresh", "embeds", "stale", "missing")]
            rows.append([f"  then: {event['label']}", "", *counts[:2], "", "", *counts[2:]])
    head = ["history", "snapshots", "never seen", "embedded", "ratio", "snapshots off", "stale", "missing"]
    return f"## Histories, snapshot by snapshot (ours)\n\n{table(head, [[str(cell) for cell in row] for row in rows])}"


def verdicts(entries: Sequence[Entry], found: Sequence[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    """(target, seen, met) for each target of the fast hand; times are those of the free encoder."""
    out = []
    ours = next((e for e in entries if e["system"] == "ours" and "steps" in e), None)
    if ours:
        steps = {step["key"]: step for step in ours["steps"]}
        off = sum(step["embeds"] != step["floor"] for step in ours["steps"])
        rows = sum(step["stale"] + step["missing"] for step in ours["steps"])
        out.append(("embeds = never-seen texts at every step", f"{off} steps off", off == 0))
        out.append(("no stale or missing row at any step", f"{rows} rows", rows == 0))
        word = steps["word"]["embeds"]
        out.append(("one word at the top embeds at most 2", str(word), word <= 2))
        for key, limit in TARGETS:
            seen = own_seconds(steps[key])
            out.append((f"{key}: own seconds <= {limit}", f"{seen:.2f}", seen <= limit))
    for history in found:
        every = history["snapshots"] + history["events"]
        off = sum(s["embeds"] != s["fresh"] for s in every)
        rows = sum(s["stale"] + s["missing"] for s in every)
        out.append((f"{history['name']}: ratio 1.00 exactly", f"{off} of {len(every)} off", off == 0))
        out.append((f"{history['name']}: no stale or missing row", f"{rows} rows", rows == 0))
    return out


def figure(path: Path, entries: Sequence[Entry], labels: dict[str, str], mode: str) -> None:
    """Two panels: texts embedded beyond the floor, and seconds without the encoder."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    done = [entry for entry in entries if "steps" in entry]
    chart, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), constrained_layout=True)
    width = 0.8 / max(len(done), 1)
    for place, entry in enumerate(done):
        at = [i + (place - (len(done) - 1) / 2) * width for i in range(len(labels))]
        steps = {step["key"]: step for step in entry["steps"]}
        extra = [steps[key]["embeds"] - steps[key]["floor"] for key in labels]
        color = COLORS.get(entry["system"], "gray")
        bars = left.bar(at, extra, width, label=entry["system"], color=color)
        left.bar_label(bars, [str(n) if n else "" for n in extra], fontsize=7)
        right.bar(at, [max(own_seconds(steps[key]), 1e-3) for key in labels], width, color=color)
    left.set_title("Texts embedded although seen before")
    left.set_yscale("symlog", linthresh=10)
    left.set_ylim(0, 4_000)
    right.set_title("Seconds without the encoder")
    right.set_yscale("log")
    for axis in (left, right):
        axis.set_xticks(range(len(labels)), list(labels))
        axis.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    chart.suptitle(f"Keeping an index equal to its documents ({mode} encoder)")
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, dpi=150)
