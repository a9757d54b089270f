"""The retrieval gate: golden questions asked of the candidate index, against what the published one answered.

    recall@5    share of the questions whose document, or text, is among the first five passages
    MRR         mean of 1 / rank of the first right passage, 0 beyond the tenth (mean reciprocal rank: Voorhees 1999)

A question counts in the comparison when its document exists in both versions: a document that was deleted on purpose
is not a worse retrieval. But when many golden documents vanish at once, the corpus itself is in doubt (an unmounted
disk, a wrong ref), and the gate refuses as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from assets.errors import ConfigError
from assets.fingerprints import digest
from assets.ports import Hit

TOP = 5  # passages that count for recall
DEPTH = 10  # passages that are looked at


@dataclass(frozen=True, slots=True)
class Golden:
    """A question and where its answer is: a document (`doc_id`), or a piece of `text` that only it contains."""

    question: str
    doc_id: str = ""
    text: str = ""

    @property
    def key(self) -> str:
        """Identity, so that the same question can be compared between versions."""
        return digest([self.question, self.doc_id, self.text])[:16]

    def rank(self, hits: Sequence[Hit]) -> int | None:
        """Place of the first right passage among `hits`, from 1; None where none is right."""
        for place, hit in enumerate(hits[:DEPTH], start=1):
            if self.doc_id and hit.passage.doc_id == self.doc_id:
                return place
            if self.text and _folded(self.text) in _folded(hit.passage.text):
                return place
        return None


@dataclass(frozen=True, slots=True)
class Margins:
    """How much worse a candidate may be than the published version, and how many golden documents may vanish."""

    recall_drop: float = 0.02
    mrr_drop: float = 0.05
    vanished_share: float = 0.25


@dataclass(frozen=True, slots=True)
class Outcome:
    """Ranks by question key; None = not found. Questions whose document is not in the index are in `absent`."""

    ranks: Mapping[str, int | None] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """recall@5, from 0 to 1; 1 where nothing was asked."""
        return _recall(self.ranks.values())

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank, from 0 to 1; 1 where nothing was asked."""
        return _mrr(self.ranks.values())


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether the candidate may be published, why, and the numbers compared (over the questions in both versions)."""

    passed: bool
    reason: str
    compared: int
    recall: float
    mrr: float
    recall_before: float | None = None
    mrr_before: float | None = None
    worse: tuple[str, ...] = ()


def parse_golden(text: str, name: str) -> list[Golden]:
    """Golden questions from JSON lines; ConfigError names the file and the line of what is wrong."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            golden = Golden(row["question"], row.get("doc_id") or "", row.get("text") or "")
            if not isinstance(golden.question, str) or not (golden.doc_id or golden.text):
                raise ValueError("it names no doc_id and no text")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"index.golden: line {number} of {name} is not a golden question ({error}): {line[:120]!r}",
                expected='{"question": "...", "doc_id": "..."} or {"question": "...", "text": "..."}',
                next_step="correct that line",
            ) from error
        found.append(golden)
    return found


def ask(golden: Iterable[Golden], search: Callable[[str], list[Hit]], exists: Callable[[str], bool]) -> Outcome:
    """Asks each question whose document exists; `search` takes the question, `exists` a doc_id."""
    ranks: dict[str, int | None] = {}
    absent = []
    for item in golden:
        if item.doc_id and not exists(item.doc_id):
            absent.append(item.key)
        else:
            ranks[item.key] = item.rank(search(item.question))
    return Outcome(ranks, tuple(absent))


def judge(candidate: Outcome, published: Outcome | None, margins: Margins) -> GateResult:
    """Compares the candidate with the published version; without one, the candidate passes with its own numbers."""
    if published is None or not published.ranks:
        return GateResult(True, "nothing to compare with yet", len(candidate.ranks), candidate.recall, candidate.mrr)
    both = [key for key in candidate.ranks if key in published.ranks]
    vanished = [key for key in candidate.absent if key in published.ranks]
    now = {key: candidate.ranks[key] for key in both}
    before = {key: published.ranks[key] for key in both}
    recall, mrr, recall_before, mrr_before = (
        _recall(now.values()),
        _mrr(now.values()),
        _recall(before.values()),
        _mrr(before.values()),
    )
    worse = tuple(key for key in both if _reciprocal(now[key]) < _reciprocal(before[key]))
    reason = ""
    if len(vanished) > 2 and len(vanished) > margins.vanished_share * len(published.ranks):
        reason = f"the documents of {len(vanished)} of {len(published.ranks)} golden questions vanished at once"
    elif recall < recall_before - margins.recall_drop - 1e-12:
        reason = f"recall@{TOP} fell from {recall_before:.3f} to {recall:.3f}, more than {margins.recall_drop:g}"
    elif mrr < mrr_before - margins.mrr_drop - 1e-12:
        reason = f"MRR fell from {mrr_before:.3f} to {mrr:.3f}, more than {margins.mrr_drop:g}"
    return GateResult(not reason, reason or "not worse", len(both), recall, mrr, recall_before, mrr_before, worse)


def _recall(ranks: Iterable[int | None]) -> float:
    found = [rank is not None and rank <= TOP for rank in ranks]
    return sum(found) / len(found) if found else 1.0


def _mrr(ranks: Iterable[int | None]) -> float:
    values = [_reciprocal(rank) for rank in ranks]
    return sum(values) / len(values) if values else 1.0


def _reciprocal(rank: int | None) -> float:
    return 1.0 / rank if rank else 0.0


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
