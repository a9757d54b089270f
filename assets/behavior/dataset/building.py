"""From candidates to a dataset: every rule in its turn, and what each left out.

    each row by itself      eligibility, texts, lint, redaction                      screening.py
    against other rows      duplicates; the corrected and the newest come first      duplicates.py
    against what is held    split by group; frozen evaluation sets                   split.py, contamination.py
    as a whole              balance over topics and events, at most max_rows         balance.py
    the rows that are left  passages, messages, pairs, length; leaks into our test   writing.py
    beside them             declining rows; rehearsal rows                           unanswerable.py, rehearsal.py

Equal candidates, sources and settings give equal datasets, whatever the order of the rows.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import pyarrow as pa
import pyarrow.ipc

from assets.behavior.dataset import writing
from assets.behavior.dataset.balance import Part, drawn, quotas
from assets.behavior.dataset.config import DatasetConfig
from assets.behavior.dataset.contamination import Held, HeldOut
from assets.behavior.dataset.duplicates import Seen
from assets.behavior.dataset.eligibility import CORRECTION, event_of
from assets.behavior.dataset.pii import Redactor
from assets.behavior.dataset.rows import ADDED, SAID, SPLITS, TEST, TRAIN, VALIDATION, Example, Pair, Reason
from assets.behavior.dataset.screening import COLUMNS, Screened, Screener, shas
from assets.behavior.dataset.split import group_of, side
from assets.behavior.dataset.writing import Chosen, Length, Render
from assets.errors import GateRefused
from assets.ports import Progress

BATCH = 8_192  # candidates that are Python objects at once
REFUSED_EXAMPLES = 5  # of each reason, kept for the card
ENOUGH = 5  # times dataset.min_rows: a topic or event of fewer rows is never lowered to the median
Spread = Callable[[Screener, Iterable[pa.RecordBatch]], Iterable[Screened]]


class NotEnough(GateRefused):
    """Too few clean rows to learn from: no training, and the released adapter stays. `report` says where they went."""

    def __init__(self, problem: str, report: Report, *, expected: str, next_step: str) -> None:
        super().__init__(problem, expected=expected, next_step=next_step)
        self.report = report


class Refused(NamedTuple):
    """A candidate that is no row: for the card, so that a person can judge the rules."""

    id: str
    reason: Reason
    detail: str
    prompt: str


@dataclass(slots=True)
class Report:
    """What happened to the candidates."""

    candidates: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    clean: Counter[Part] = field(default_factory=Counter)  # before balance
    chosen: Counter[Part] = field(default_factory=Counter)  # by balance
    redacted: int = 0  # rows with personal data, among those that are left
    hide: Callable[[str], str] = str  # personal data of what is kept here

    def leave_out(self, reason: Reason, id_: str, prompt: str, detail: str = "") -> None:
        """Counts a row, and keeps the first ones of each reason."""
        self.reasons[reason] += 1
        if self.reasons[reason] <= REFUSED_EXAMPLES:
            self.refused.append(Refused(id_, reason, self.hide(detail), self.hide(prompt[:500])))

    def funnel(self) -> list[tuple[str, int]]:
        """How many candidates were left after each rule that was asked, from all to the rows of the dataset."""
        left = self.candidates
        steps = [("candidates", left)]
        for reason in Reason:
            left -= self.reasons[reason]
            steps.append((str(reason), left))
        return steps


@dataclass(frozen=True, slots=True)
class Sources:
    """What a dataset is made of beside its candidates.

    `texts` has passages by sha; `produced` what the model answered, for some (day, id); `held_out` the items of
    frozen evaluation sets; `earlier` the rows of earlier datasets; `gone` which interactions are deleted; `framed` says
    that answers came in the frame of a JSON variant (frames.py), which is taken off.
    """

    texts: Callable[[str], str | None]
    produced: Callable[[Sequence[tuple[date, str]]], Mapping[str, str]]
    held_out: Sequence[Held] = ()
    earlier: Sequence[Example] = ()
    gone: Callable[[Mapping[str, date]], set[str]] = lambda _: set()
    framed: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows by split, then in the order of days and ids; rows that were added (ADDED) are of the training split and come
    last."""

    examples: tuple[Example, ...]
    pairs: tuple[Pair, ...]
    report: Report

    def count(self, split: str, *, added: bool = True) -> int:
        """Rows of a split."""
        return sum(row.split == split and (added or row.kind not in ADDED) for row in self.examples)


_CHOSEN = (
    "id", "interaction_ids", "day", "topic", "source", "kind", "user_id", "prompt", "completion", "passages",
)  # fmt: skip


def build(
    candidates: pa.Table,
    sources: Sources,
    config: DatasetConfig,
    render: Render,
    length: Length,
    *,
    spread: Spread = map,
    progress: Progress | None = None,
) -> Dataset:
    """The dataset of some candidates (columns of outcomes.joined). NotEnough where too few are clean.

    `render` writes prompts, `length` counts the tokens of whole chats, `spread` applies the screener to batches (`map`
    does so here; it must keep their order).
    """
    rows = _Rows(candidates, sources.texts, config, progress)
    rows.screen(spread)
    left = rows.compared(HeldOut(sources.held_out, config.ngram))
    chosen = rows.balanced(left)
    written = writing.write([rows.chosen(place) for place in chosen], sources, config, render, length, rows.report)
    _check(written.examples, config, rows.report)
    declining = writing.declining(written.examples, config, render, length)
    again = writing.rehearse(written.examples, sources, config, render, length, set(rows.ids))
    return Dataset((*written.examples, *declining, *again), written.pairs, rows.report)


def _check(examples: Sequence[Example], config: DatasetConfig, report: Report) -> None:
    """Enough rows to learn from, and some to stop by and to be judged by; else NotEnough."""
    counts = Counter(row.split for row in examples)
    shares = {TRAIN: 1.0, VALIDATION: config.validation_share, TEST: config.test_share}
    empty = [split for split in SPLITS if shares[split] and not counts[split]]
    if counts[TRAIN] >= config.min_rows and not empty:
        return
    most = "; ".join(f"{n:,} {reason} ({SAID[reason]})" for reason, n in report.reasons.most_common(3))
    found = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)
    raise NotEnough(
        f"not enough: of {report.candidates:,} candidates, {found} rows are clean; left out: {most or 'none'}",
        report,
        expected=f"{config.min_rows:,} rows to learn from (dataset.min_rows), and at least one in every split",
        next_step="set dataset.group_by: too few groups for every split to have one"
        if empty and counts.total() >= config.min_rows
        else "wait for more corrections; or look at what was left out, and change [dataset] where a rule is wrong",
    )


class _Rows:
    """The candidates by their place in the table; only texts that are needed are Python objects."""

    def __init__(
        self,
        table: pa.Table,
        texts: Callable[[str], str | None],
        config: DatasetConfig,
        progress: Progress | None,
    ) -> None:
        self.table, self.texts, self.config, self.progress = table, texts, config, progress
        redactor = Redactor(config.pii)
        self.report = Report(table.num_rows, hide=lambda text: redactor.redact([text]).texts[0])
        self.ids: list[str] = table["id"].to_pylist()
        self.prompts: list[str] = table["prompt"].to_pylist()
        self.completions: list[str] = table["completion"].to_pylist()
        self.users: list[str | None] = table["user_id"].to_pylist()
        self.groups: dict[int, str] = {}
        self.documents: list[str | None] = [None] * table.num_rows
        self.alive = bytearray(b"\1") * table.num_rows

    def screen(self, spread: Spread) -> None:
        """Rules of each row by itself."""
        named = ((sha, self.texts(sha)) for sha in sorted(shas(self.table["passages"])))
        screener = Screener(self.config, {sha: text for sha, text in named if text})
        start = 0
        for found in spread(screener, _batches(self.table.select(COLUMNS))):
            for offset, reason in enumerate(found.reasons):
                if reason is not None:
                    self._leave(start + offset, reason, found.unsupported.get(offset, ""))
            for offset, (prompt, completion) in found.redacted.items():
                self.prompts[start + offset], self.completions[start + offset] = prompt, completion
            self.documents[start : start + len(found.documents)] = found.documents
            start += len(found.reasons)
            self._tell("screening", start)

    def compared(self, held_out: HeldOut) -> list[int]:
        """Rules between rows, and against what is held out; the places that are left."""
        seen, left = Seen(self.config.near_duplicate, self.config.max_per_prompt), []
        for done, place in enumerate(self._by_worth(), start=1):
            prompt, completion = self.prompts[place], self.completions[place]
            reason = seen.refused(str(place), prompt, completion)
            detail = ""
            if reason is Reason.NEAR_DUPLICATE:
                detail = self._like(seen, place)
            if reason is None:
                group = self._group(place)
                if self._side(group) != TEST and held_out.holds(
                    prompt, completion, self.config.max_overlap, group=group, interactions=(self.ids[place],)
                ):
                    reason = Reason.CONTAMINATED
                else:
                    self.groups[place] = group
                    left.append(place)
            if reason is not None:
                self._leave(place, reason, detail)
            if done % BATCH == 0:
                self._tell("comparing", done)
        return sorted(left)

    def balanced(self, left: Sequence[int]) -> list[int]:
        """Balance over topics and events; the places that are chosen."""
        topics, sources, kinds = (self.table[name].to_pylist() for name in ("topic", "source", "kind"))
        parts: dict[Part, list[int]] = defaultdict(list)
        for place in left:
            parts[Part(topics[place] or "unassigned", event_of(sources[place], kinds[place]))].append(place)
        self.report.clean = Counter({part: len(places) for part, places in parts.items()})
        most = quotas(
            self.report.clean,
            max_rows=self.config.max_rows,
            accepted_per_correction=self.config.accepted_per_correction,
            max_times_median=self.config.max_times_median,
            enough=ENOUGH * self.config.min_rows,
        )
        chosen = [
            places[one]
            for part, places in parts.items()
            for one in drawn([self.ids[place] for place in places], most[part], self.config.seed)
        ]
        self.report.chosen = Counter({part: n for part, n in most.items() if n})
        for place in sorted(set(left) - set(chosen)):
            self._leave(place, Reason.NOT_CHOSEN)
        return sorted(chosen)

    def chosen(self, place: int) -> Chosen:
        """A row as it is written from, with its raw texts: they are redacted together with its passages."""
        row = {name: self.table[name][place].as_py() for name in _CHOSEN}
        group = self.groups[place]
        return Chosen(
            id=row["id"],
            interaction_ids=tuple(json.loads(row["interaction_ids"])),
            day=row["day"],
            topic=row["topic"] or "unassigned",
            event=event_of(row["source"], row["kind"]),
            user=row["user_id"],
            prompt=row["prompt"],
            completion=row["completion"],
            passages=row["passages"],
            group=group,
            split=self._side(group),
        )

    def _by_worth(self) -> Iterator[int]:
        """Places that are left: corrections first, the newest first."""
        sources = self.table["source"].to_pylist()
        times = self.table["occurred_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
        alive = [place for place in range(len(self.ids)) if self.alive[place]]
        yield from sorted(alive, key=lambda place: (sources[place] != CORRECTION, -times[place], self.ids[place]))

    def _like(self, seen: Seen, place: int) -> str:
        if self.report.reasons[Reason.NEAR_DUPLICATE] >= REFUSED_EXAMPLES:
            return ""
        return ", ".join(self.ids[int(one)] for one in seen.like(self.prompts[place], self.completions[place])[:3])

    def _group(self, place: int) -> str:
        user, document = self.users[place], self.documents[place]
        return group_of(self.config.group_by, user, document, self.prompts[place], self.config.split_key)

    def _side(self, group: str) -> str:
        return side(group, self.config.split_key, self.config.validation_share, self.config.test_share)

    def _leave(self, place: int, reason: Reason, detail: str = "") -> None:
        self.alive[place] = 0
        self.report.leave_out(reason, self.ids[place], self.prompts[place] or "", detail)
        self.prompts[place] = self.completions[place] = ""  # a million texts that nobody reads again are a gigabyte

    def _tell(self, what: str, done: int) -> None:
        if self.progress:
            self.progress(what, done, len(self.ids))


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Batches that own their rows: a slice that is sent to another process would take its whole table along."""
    for batch in table.to_batches(max_chunksize=BATCH):
        yield pa.ipc.read_record_batch(batch.serialize(), batch.schema)
