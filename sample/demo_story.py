"""The story of the demo, step by step. Each step changes the world as people do, lets the sensors work, and says what
happened; what did not turn out as told is said too, and ends the demo with exit code 1.

    told                                                   must be so, or the story is not
    ---------------------------------------------------   ------------------------------------------------------------
    an edited document is re-indexed, and no more          no fine-tune asked for; few passages embedded; a new answer
    ordinary days                                          verdict `wait`
    a shift of manner                                      verdict `finetune`, one request, a gate passed, a release
    the same question                                      the new manner, the same fact
    a corrected day                                        that day rebuilt, rows tainted, assets stale, no fine-tune
    rollback                                               the former answer, letter for letter
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from demo_world import VARIANT, Run, World, edit
from interactions_words import BUTTONS

from assets.behavior.dataset import store
from assets.decision.ledger import Kind, Request
from assets.serving.answering import Answer

QUESTION = "How many unused days may I take into the next year?"
DOCUMENT = "people/leave-and-holidays.md"
BEFORE, AFTER = "up to 5 unused days", "up to 8 unused days"
FEW = 10  # passages that an edit of one document may embed
WIDGET = "\n" + "\n".join(BUTTONS)
INDEX, EMBEDDINGS, LANDING, EVALUATION, DATASET, ADAPTER = (
    "knowledge/index", "knowledge/embeddings", "behavior/landing", "behavior/evaluation", "behavior/dataset",
    "behavior/adapter",
)  # fmt: skip
SPLITS = ("train_rows", "validation_rows", "test_rows", "unanswerable_rows", "rehearsal_rows")


class Over(Exception):
    """The story cannot go on: what comes next stands on what did not happen."""


@dataclass(frozen=True)
class Event:
    """A point of the figure's upper panel."""

    name: str
    version: int
    embedded: int


@dataclass
class Story:
    """What was told so far. `say` prints a line."""

    world: World
    say: Callable[[str], None]
    days: int = 60
    shift_day: int = 40
    events: list[Event] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)  # of the summary
    marks: dict[str, date] = field(default_factory=dict)  # of the figure's lower panel
    verdicts: list[tuple[date, str]] = field(default_factory=list)
    _embedded: int = 0

    def tell(self) -> None:
        """All of it, as far as it goes."""
        steps = (self.index, self.edit, self.wait, self.shift, self.manner, self.correct, self.back)
        for number, step in enumerate(steps, start=1):
            self.say(f"\n{number}. {(step.__doc__ or '').splitlines()[0]}")
            began, spent = time.monotonic(), self.world.spent()
            self._embedded = 0
            try:
                step()
            except Over as over:
                self.untrue.append(str(over))
                self.say(f"   THE STORY ENDS HERE: {over}")
                return
            seconds, money = (now - then for now, then in zip(self.world.spent(), spent, strict=True))
            currency = self.world.settings.decision.budget.currency
            took = time.monotonic() - began
            self.say(f"   {took:.1f} s; ledger: {seconds:.1f} s of devices, {money:.2f} {currency}")
            self.events.append(Event(step.__name__, self._version(), self._embedded))
            self.lines.append((step.__name__, f"{took:6.1f} s  {self._embedded:4d} embedded  {money:5.2f} {currency}"))

    # ------------------------------------------------------------------------------------------------- the steps

    def index(self) -> None:
        """The index is built, and a question is asked."""
        self._work()
        said = self._ask()
        self._must(BEFORE in said.text, f"the answer says {BEFORE!r}")

    def edit(self) -> None:
        """Somebody edits a document: the index follows, and the slow hand does not move."""
        for one in edit(self.world.folder, DOCUMENT):
            old, new = one.changes[-1]
            self.say(f"   {one.path}:\n     - {old.decode()}\n     + {new.decode()}")
        self._work()
        self.say(f"   behavior_shifted asks for nothing: {self.world.skipped['behavior_shifted']}")
        self._must(0 < self._embedded <= FEW, f"1 to {FEW} passages are embedded: {self._embedded}")
        self._must(not self.world.requests(), "the ledger has no request of a fine-tune")
        self.edited = self._ask()
        self._must(AFTER in self.edited.text, f"the answer says {AFTER!r}")

    def wait(self) -> None:
        """Ordinary days come in: questions, answers, thumbs and corrections."""
        self.say(f"   logs of {self.world.land(self.shift_day - 1)} days land")
        self._work()
        said = self.verdicts[-1][1] if self.verdicts else "none"
        self._must(said == "wait", f"the verdict is `wait`: {said}")
        self._must(not self.world.requests(), "the ledger has no request of a fine-tune")

    def shift(self) -> None:
        """From one day on, people want another manner: two lines below, which a new chat window shows as buttons."""
        self.say(f"   logs of {self.world.land(self.days)} days land")
        self._work()
        asked = self.world.requests()
        self._must(asked == 1, f"one fine-tune is asked for: {asked}")
        now = self.world.releases.moves.now(VARIANT)
        if now is None or now.release is None:
            raise Over("nothing was released")
        request = self.world.decision.ledger.entries([Kind.REQUEST])[-1]
        self.marks["release"] = date.fromisoformat(Request.of(request).day)  # the last day of the evidence it consumed
        self.say(f"   {now.id} answers: {now.gate}")

    def manner(self) -> None:
        """The same question once more."""
        said = self._ask()
        self._must(said.text.endswith(WIDGET), "the answer is of the new manner")
        self._must(AFTER in said.text, f"the answer still says {AFTER!r}")
        self._must(said.release_id != self.edited.release_id, "another release answers")

    def correct(self) -> None:
        """A day is corrected: the reviewer of that day takes corrections back, a rating is turned, an event goes."""
        day = self._busiest()
        self.say(f"   {self.world.correct(day)}; {withdraw(self.world, day)} corrections taken back")
        before = self.world.requests()
        rebuilt = [run.about for run in self._work() if run.job == "rebuild_days"]
        self._must(rebuilt == [f"{day}..{day}"], f"that day alone is rebuilt: {', '.join(rebuilt)}")
        report = self.world.taints.look(VARIANT)
        whole = [one.whole for one in report.datasets]
        touched = sum(one.touched for one in whole)
        self.say(f"   taint: {touched} of {sum(one.rows for one in whole)} rows of the dataset do not stand any more")
        self._must(touched > 0, "rows of the dataset are tainted")
        stale = self.world.stale()
        self.say(f"   stale in the UI: {', '.join(stale) or 'nothing'}")
        self._must(bool(stale), "what the fine-tune made is marked as stale")
        self._must(self.world.requests() == before, "no other fine-tune is asked for")

    def back(self) -> None:
        """Rollback: the base answers again."""
        began = time.monotonic()
        move = self.world.releases.rollback(VARIANT, why="the demo takes it back", by="make demo")
        self.say(f"   {move.id} answers again, in {time.monotonic() - began:.2f} s")
        self.marks["rollback"] = datetime.now(UTC).date()
        said = self._ask()
        self._must(said.text == self.edited.text, "the answer is the former one, letter for letter")

    # ------------------------------------------------------------------------------------------------- what they share

    def _work(self) -> list[Run]:
        """Lets the sensors work, and says what each run did."""
        runs = []
        for run in self.world.work():
            runs.append(run)
            self._embedded += run.made.get(EMBEDDINGS, {}).get("embedded", 0)
            self.say(f"   {run.sensor} -> {run.job} {run.about} ({run.seconds:.1f} s){_told(run)}")
            if run.job == "rebuild_days":
                rows = sum(1 for _ in self.world.data.daily())
                self.say(f"     {rows:,} rows of daily counts are there")
            for failure in run.failed:
                self.say(f"     FAILED: {failure}")
            if run.job == "decide" and run.about == VARIANT:
                self._verdict()
            if run.failed:
                raise Over(f"the run of {run.job} failed")
        return runs

    def _verdict(self) -> None:
        """What the decision says now: the same that the run of `decide` has put into the ledger."""
        with self.world.quiet():
            made = self.world.decision.judge(VARIANT)
        record, cost = made.record, made.verdict.cost
        if record is not None:
            self.verdicts.append((record.day, str(made.verdict.action)))
            highest, needed = f"highest M {record.highest:.3g}", f"threshold {record.threshold:,.0f}"
            said = f"evidence up to {record.day}: {highest}, {needed}"
            self.say(f"   {said if record.total else f'no day after {record.day} is closed: no evidence yet'}")
        currency = self.world.settings.decision.budget.currency
        told = f"a fine-tune {cost.get('finetune', 0):.2f} {currency}, spent this month {cost.get('spent', 0):.2f}"
        self.say(f"   verdict {made.verdict.action}: {made.verdict.sentence} [{told}]")

    def _ask(self) -> Answer:
        began = time.monotonic()
        said = self.world.ask(QUESTION)
        self.say(f"   ? {QUESTION}")
        for line in said.text.splitlines():
            self.say(f"   > {line}")
        sources = ", ".join(f"[{one.n}] {one.doc_id}" for one in said.citations)
        more = f"; the generator's own answer is not shown: {said.fallback}" if said.fallback else ""
        stamp = f"release {said.release_id}, index {said.stamp['index']}"
        self.say(f"     {sources or 'no source'} ({stamp}, {time.monotonic() - began:.1f} s{more})")
        return said

    def _must(self, holds: bool, what: str) -> None:
        if not holds:
            self.untrue.append(what)
            self.say(f"   NOT AS TOLD: {what}")

    def _version(self) -> int:
        published = self.world.hand.vector_index.published()
        return int(published.version.split("-")[0]) if published else 0

    def _busiest(self) -> str:
        """The closed day that most rows of the dataset were made of."""
        manifest = store.manifests(self.world.data.lake, VARIANT)[-1]
        lines = store.lineage(self.world.data.lake, manifest)
        return Counter(str(line.day) for line in lines).most_common(1)[0][0]


def withdraw(world: World, day: str) -> int:
    """Takes every correction of a day's file back, as its reviewer would; returns how many."""
    file = world.folder / "sample" / "interactions" / f"{day}.jsonl"
    events: list[dict[str, Any]] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    corrected = [one for one in events if one.get("corrected_response") not in (None, one.get("response"))]
    own = [one for one in corrected if one["occurred_at"].startswith(day)]  # late events of other days stay as they are
    mine = [one for one in own if str(one["corrected_response"]).endswith(WIDGET)]
    for one in mine:
        del one["corrected_response"]
        one["feedback"] = "up"
    lines = (json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n" for one in events)
    file.write_text("".join(lines), encoding="utf-8")
    return len(mine)


def _told(run: Run) -> str:
    """What a run made, in its own numbers."""
    said = []
    if index := run.made.get(INDEX):
        embedded = run.made.get(EMBEDDINGS, {})
        said.append(
            f"{embedded.get('embedded', 0)} embedded; {index['added']} added, {index['moved']} moved, "
            f"{index['deleted']} deleted, {index['kept']} kept; {index['dagster/row_count']} published as "
            f"{index['published_version']}"
        )
    if run.job == "ingest_interactions" and (landed := run.made.get(LANDING)):
        names = ("files_read", "accepted", "corrected", "deleted", "quarantined")
        said.append(", ".join(f"{landed[name]:,} {name.replace('_', ' ')}" for name in names))
    if dataset := run.made.get(DATASET):
        rows = ", ".join(f"{dataset[name]} {name.removesuffix('_rows')}" for name in SPLITS if name in dataset)
        said.append(f"dataset: {dataset['dagster/row_count']} rows ({rows})")
    if adapter := run.made.get(ADAPTER):
        said.append(
            f"adapter {adapter['adapter']}: {adapter['steps']} updates in {adapter['seconds']:.1f} s on "
            f"{adapter['device']}, {adapter['cost']:.2f} {adapter['currency']}"
        )
    if evaluation := run.made.get(EVALUATION):
        said.append(f"gate: {evaluation['sentence']}")
    return "".join(f"\n     {one}" for one in said)
