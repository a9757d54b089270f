"""Labelled cases for attribution, made from public data: facts edited, or form edited. Deterministic.

Labels come from how a case was made, never from the rules under test. A case's half (tuning or report) is a hash of its
id. See docs/attribution.md for the table of sources.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from assets.behavior.attribution import Case, Shown
from assets.fingerprints import sha256_text
from benchmarks.attribution import docs_cases, form_cases, question_cases
from benchmarks.attribution.corpora import Log, docs_history, number

NOW = datetime(2026, 10, 1, tzinfo=UTC)  # after the last change of every history


@dataclass(frozen=True)
class Labelled:
    """A case, when it happened, when it was corrected, and the verdict and kind that it was made to have."""

    id: str
    source: str
    verdict: str
    kind: str | None
    case: Case
    at: datetime = NOW
    corrected_at: datetime | None = None

    @property
    def reported(self) -> bool:
        """Whether the case is in the half that is reported; rules are tuned on the other one."""
        return number(f"half {self.id}", 2) == 1


class Maker:
    """Collects cases and the documents that they need."""

    def __init__(self, data: Path, per_source: int) -> None:
        self.data, self.per_source, self.log = data, per_source, Log()
        self.cases: list[Labelled] = []
        self.counts: dict[tuple[str, str | None], int] = defaultdict(int)

    def full(self, source: str, kind: str | None) -> bool:
        return self.counts[source, kind] >= self.per_source

    def shown(self, doc_id: str, text: str, *, stored: bool = True) -> Shown:
        """A passage as the interaction carries it: by its hash, its text in the log."""
        if stored:
            self.log.add(doc_id, [text])
        return Shown(doc_id, sha256_text(text), None if stored else text)

    def add(
        self,
        id_: str,
        source: str,
        label: tuple[str, str | None],
        texts: tuple[str, str, str | None],
        passages: Iterable[Shown] = (),
        at: datetime = NOW,
        corrected_after: timedelta | None = None,
    ) -> None:
        """`label` is (verdict, kind); `texts` are prompt, response and correction."""
        verdict, kind = label
        prompt, response, corrected = texts
        if corrected == response or self.full(source, kind):
            return
        self.counts[source, kind] += 1
        feedback = "down" if corrected is None else "none"
        case = Case(prompt, response, corrected, tuple(passages), feedback)
        later = None if corrected_after is None else at + corrected_after
        self.cases.append(Labelled(id_, source, verdict, kind, case, at, later))


def build(data: Path, per_source: int = 400) -> tuple[list[Labelled], Log]:
    """All cases, at most `per_source` of each source and kind, and the log of their documents."""
    make = Maker(data, per_source)
    changes = [c for name in ("fastapi-docs", "astro-docs") for c in docs_history(data, name, make.log)]
    docs_cases.edited(make, changes)
    docs_cases.reformatted(make, changes)
    for name in ("squad-new-wiki", "xquad-en"):
        question_cases.asked(make, name)
    form_cases.mathematics(make)
    form_cases.translations(make)
    form_cases.queries(make)
    form_cases.dialogues(make)
    form_cases.restaurants(make)
    form_cases.splits(make)
    form_cases.revisions(make)
    return make.cases, make.log
