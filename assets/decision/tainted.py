"""What the adapter that answers was trained on and does not stand any more, as the policy sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from assets.behavior.taint.looking import Taints
from assets.behavior.taint.rules import Touch
from assets.decision.ledger import Approval, Entry, Kind


@dataclass(frozen=True, slots=True)
class Tainted:
    """The adapter that answers (empty: none), the rows that it was trained on, how many of them were touched since and
    how many of these erased; the reasons in words; the first day of its candidates.

    `answer` is a person's last word on a retrain for it: approved, denied, or nothing.
    """

    adapter: str = ""
    rows: int = 0
    touched: int = 0
    erased: int = 0
    reasons: str = ""
    first_day: str = ""
    answer: str = ""

    @property
    def share(self) -> float:
        """Of the rows that it was trained on."""
        return self.touched / self.rows if self.rows else 0.0

    def asks(self, limit: float) -> bool:
        """Whether it asks for a retrain: too large a share, and nobody said no."""
        return self.share > limit and self.answer != "denied"

    def sentence(self) -> str:
        """What happened to the rows."""
        of = f"of the {self.rows:,} rows that the released adapter was trained on"
        if self.touched == self.erased:
            said = f"{self.share:.1%} {of} were erased since"
        else:
            said = f"{self.share:.1%} {of} were corrected or deleted since ({self.reasons})"
        return f"{said}; {self.known()}" if self.erased else said

    def known(self) -> str:
        """That the weights may know what was erased."""
        return f"its weights learned from {self.erased} rows of people who asked to be forgotten"

    def facts(self) -> dict[str, Any]:
        """For the record of a verdict."""
        return {**asdict(self), "share": round(self.share, 6)}


class Tainting(Protocol):
    """Who knows what is tainted."""

    def of(self, variant: str) -> Tainted:
        """The adapter that answers now; nothing where none does."""
        ...

    def stamp(self, variant: str) -> str:
        """Changes when something but a built day may have changed it; cheap."""
        ...


class Untainted:
    """Nothing was released."""

    def of(self, variant: str) -> Tainted:  # noqa: ARG002 - as the Protocol has it
        """None."""
        return Tainted()

    def stamp(self, variant: str) -> str:  # noqa: ARG002
        """Never changes."""
        return ""


class FromTaints:
    """Tainting over the lake's datasets."""

    def __init__(self, taints: Taints) -> None:
        self._taints = taints

    def of(self, variant: str) -> Tainted:
        """Looks at the dataset of the adapter that answers: as much as changed since the last look."""
        one = self._taints.released(variant)
        if one is None:
            return Tainted()
        trained = one.trained
        erased = trained.by.get(Touch.ERASED, 0)
        return Tainted(one.id, trained.rows, trained.touched, erased, trained.words(), one.first_day)

    def stamp(self, variant: str) -> str:
        """What was noted of the last look."""
        return self._taints.stamp(variant)


def answered(tainted: Tainted, entries: Sequence[Entry], limit: float) -> Tainted:
    """With a person's last word on it. A yes holds until a fine-tune was claimed, a no until another `limit` of the
    rows was touched; both are about this adapter. `entries` are the variant's, in order of time."""
    verdicts = {entry.id: entry.data.get("evidence", {}) for entry in entries if entry.kind is Kind.VERDICT}
    answer = ""
    for entry in entries:
        if entry.kind is Kind.REQUEST and answer == "approved":
            answer = ""
        if entry.kind is not Kind.APPROVAL:
            continue
        fact = Approval.of(entry)
        evidence = verdicts.get(fact.verdict, {})
        about = evidence.get("tainted") or {}
        if evidence.get("fired") or about.get("adapter") != tainted.adapter or not tainted.adapter:
            continue
        if fact.granted:
            answer = "approved"
        else:
            answer = "denied" if tainted.share <= float(about.get("share", 0.0)) + limit else ""
    return replace(tainted, answer=answer)
