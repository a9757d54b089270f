"""What an evaluation says to a person: the verdict, every metric before and after, a judge's opinion, and answers
side by side.

The same as Markdown (in the UI) and as one HTML file that loads nothing and runs nothing. Questions, passages and
answers are other people's texts: everything is quoted or escaped, whatever it holds.
"""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from assets.behavior.evaluation import judging
from assets.behavior.evaluation.comparing import LOWER_IS_BETTER, Comparison
from assets.behavior.evaluation.gate import Verdict
from assets.behavior.evaluation.items import Item
from assets.behavior.evaluation.judging import Opinion
from assets.behavior.evaluation.paired import Interval
from assets.rendering import Markdown, code, table

EXAMPLES = 24  # side by side in the HTML file
SHOWN = 6  # of them in the UI
CHARACTERS = 4_000  # of a text in the HTML file
_SHARES = ("seconds", "words")  # metrics that are no shares
_DECIDING = ("manner", "grounded", "refused")  # an item's own score, by its kind
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NEW_LINE = " \N{DOWNWARDS ARROW WITH CORNER LEFTWARDS} "
_WORD = re.compile(r"\S+|\s+")


@dataclass(frozen=True)
class Report:
    """An evaluation of `candidate` against `released` on `sets`; `facts` are shown as they are (base, dataset, ...).
    `opinion` is a judge's, None where there is no judge."""

    variant: str
    candidate: str
    released: str
    comparison: Comparison
    verdict: Verdict
    sets: Sequence[str] = ()
    facts: dict[str, str] = field(default_factory=dict)
    opinion: Opinion | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One item with both answers; `change` is that of its own score, `why` says how it was chosen."""

    item: Item
    before: str
    after: str
    change: float
    why: str


def examples(comparison: Comparison, most: int = EXAMPLES) -> list[Example]:
    """Items to look at, in turn: what got worse most, what got better most, and every n-th of all, by id.

    What got worse comes first: it is what a reader of an average does not see.
    """
    changes = _own_changes(comparison)
    order = sorted(range(len(changes)), key=lambda row: (changes[row], comparison.items[row].id))
    worse = [row for row in order if changes[row] < 0]
    better = [row for row in reversed(order) if changes[row] > 0]
    step = max(len(order) // max(most, 1), 1)
    whole = sorted(range(len(changes)), key=lambda row: comparison.items[row].id)[::step]
    chosen: dict[int, str] = {}
    third = max(most // 3, 1)
    for rows, why in ((worse[:third], "worse"), (better[:third], "better"), (whole, "drawn"), (better, "better")):
        for row in rows:
            if len(chosen) < most:
                chosen.setdefault(row, why)
    return [
        Example(
            comparison.items[row],
            comparison.before.answers[row].text,
            comparison.after.answers[row].text,
            float(changes[row]),
            why,
        )
        for row, why in chosen.items()
    ]


def _own_changes(comparison: Comparison) -> np.ndarray:
    """The change of each item's own score; 0 where it has none (of an earlier set)."""
    found = np.zeros(len(comparison.items))
    for name in _DECIDING:
        old, new = (side.scores.get(name) for side in (comparison.before, comparison.after))
        if old is not None and new is not None:
            found += np.nan_to_num(new - old)
    return found


# ---------------------------------------------------------------------------------------------------- numbers


def rows(report: Report) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Metric, items, before, after, change, its two-sided 95% interval."""
    for name, one in report.comparison.changes.items():
        yield _row(name, one)
    for name, one in sorted(report.comparison.earlier.items()):
        yield _row(f"earlier: {name}", one)


def _row(name: str, one: Interval) -> tuple[str, str, str, str, str, str]:
    unit = _plain if name in _SHARES else _percent
    shown = f"{name} (lower is better)" if name in LOWER_IS_BETTER else name
    interval = f"{unit(one.low, signed=True)} to {unit(one.high, signed=True)}"
    return shown, str(one.items), unit(one.before), unit(one.after), unit(one.mean, signed=True), interval


def _percent(value: float, signed: bool = False) -> str:
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}%"


def _plain(value: float, signed: bool = False) -> str:
    return f"{value:+.2f}" if signed else f"{value:.2f}"


def _gate_rows(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    return [(gate.name, gate.measured, gate.required, "yes" if gate.passed else "no") for gate in verdict.reasons]


_METRICS = ("metric", "items", "before", "after", "change", "95% interval")
_GATES = ("gate", "measured", "required", "holds")
_OPINION = "The gate does not read it."


# ---------------------------------------------------------------------------------------------------- Markdown


def markdown(report: Report) -> Markdown:
    """For the UI: short, with a few answers side by side."""
    measured = list(rows(report))
    gates = _gate_rows(report.verdict)
    parts = [
        f"**{report.verdict.action}** {code(report.verdict.sentence)}",
        f"{code(report.candidate)} against {code(report.released)}, variant {code(report.variant)}",
        "**Gate**",
        table(_GATES, gates, len(gates)),
        "**Metrics**",
        table(_METRICS, measured, len(measured)),
    ]
    if report.opinion:
        said = judging.rows(report.opinion)
        parts += [f"**Judge** {code(report.opinion.sentence)} {_OPINION}", table(("", ""), said, len(said))]
    shown = [_side_by_side(example) for example in examples(report.comparison, SHOWN)]
    if shown:
        head = ("question", f"before: {code(report.released)}", f"after: {code(report.candidate)}", "wanted", "change")
        parts += ["**Side by side**", table(head, shown)]
    return Markdown("\n\n".join(parts))


def _side_by_side(example: Example) -> tuple[str, ...]:
    """A row of the table: each text on one line, the ends of its lines marked."""
    wanted = example.item.references[0] if example.item.references else ""
    texts = (example.item.question, example.before, example.after, wanted)
    change = f"{example.change:+.2f} ({example.item.kind}, {example.why})"
    return (*(_NEW_LINE.join(text.splitlines()) for text in texts), change)


# ---------------------------------------------------------------------------------------------------- HTML


def page(report: Report) -> str:
    """One self-contained HTML file: no script, no image, no address."""
    title = f"Evaluation of {report.candidate} ({report.variant})"
    facts = {"variant": report.variant, "candidate": report.candidate, "released": report.released}
    facts |= {"held-out sets": ", ".join(report.sets)} | report.facts
    body = [
        f"<h1>{_safe(title)}</h1>",
        f'<p class="{_safe(report.verdict.action)}"><b>{_safe(report.verdict.action)}</b> '
        f"{_safe(report.verdict.sentence)}</p>",
        _table(("", ""), [(name, value) for name, value in facts.items() if value]),
        "<h2>Gate</h2>",
        _table(_GATES, _gate_rows(report.verdict)),
        "<h2>Metrics</h2>",
        _table(_METRICS, list(rows(report))),
        *_opinion(report.opinion),
        "<h2>Side by side</h2>",
        "<p>First what got worse, then what got better, then some of all, drawn evenly. "
        "Words that only one of the answers has are marked.</p>",
        *(_example(example, report) for example in examples(report.comparison)),
    ]
    return _PAGE.format(title=_safe(title), body="\n".join(body))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1b1f24; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ border: 1px solid #d0d7de; padding: .3rem .6rem; text-align: left; vertical-align: top; }}
th {{ background: #f6f8fa; }}
.promote b {{ color: #116329; }} .refuse b {{ color: #a40e26; }}
.pair {{ display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f8fa; padding: .6rem; margin: 0; }}
del {{ background: #ffd7d5; text-decoration: none; }} ins {{ background: #ccffd8; text-decoration: none; }}
section {{ border-top: 1px solid #d0d7de; padding: 1rem 0; }} small {{ color: #57606a; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def _opinion(opinion: Opinion | None) -> list[str]:
    if opinion is None:
        return []
    said = f"<p>{_safe(opinion.sentence)} <small>{_OPINION}</small></p>"
    return ["<h2>Judge</h2>", said, _table(("", ""), judging.rows(opinion))]


def _example(example: Example, report: Report) -> str:
    old, new = _marked(example.before, example.after)
    wanted = "".join(f"<p><small>wanted</small></p><pre>{_cut(text)}</pre>" for text in example.item.references[:3])
    shown = "".join(
        f"<p><small>[{n}]</small></p><pre>{_cut(text)}</pre>" for n, text in enumerate(example.item.passages, 1)
    )
    return (
        f"<section><p><b>{_safe(example.item.question[:CHARACTERS])}</b> "
        f"<small>{_safe(example.item.kind)}, {_safe(example.why)}, {example.change:+.2f}, {_safe(example.item.id)}"
        f"</small></p>"
        f'<div class="pair"><div><small>before: {_safe(report.released)}</small><pre>{old}</pre></div>'
        f"<div><small>after: {_safe(report.candidate)}</small><pre>{new}</pre></div></div>"
        f"<details><summary>wanted, and what was shown</summary>{wanted}{shown}</details></section>"
    )


def _marked(before: str, after: str) -> tuple[str, str]:
    """Both texts, escaped; words of one that the other lacks are marked."""
    old, new = (_WORD.findall(text[:CHARACTERS]) for text in (before, after))
    left, right = [], []
    for what, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = _safe("".join(old[a:b])), _safe("".join(new[c:d]))
        left.append(gone if what == "equal" else f"<del>{gone}</del>" if gone else "")
        right.append(come if what == "equal" else f"<ins>{come}</ins>" if come else "")
    return "".join(left) + _rest(before), "".join(right) + _rest(after)


def _cut(text: str) -> str:
    return _safe(text[:CHARACTERS]) + _rest(text)


def _rest(text: str) -> str:
    return f" <small>... {len(text) - CHARACTERS} characters more</small>" if len(text) > CHARACTERS else ""


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{_safe(cell)}</th>" for cell in head)
    rest = "".join("<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><tr>{top}</tr>{rest}</table>"


def _safe(text: object) -> str:
    """Escaped for text and attributes. Control signs, lone surrogates and marks that turn the writing around are shown
    as a sign of their own."""
    return html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)), quote=True)
