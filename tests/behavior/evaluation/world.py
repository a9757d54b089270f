"""A lake with a dataset, an adapter made of it, and models that answer by a rule: for tests of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from assets.behavior.adapter.store import Adapters
from assets.behavior.dataset import store
from assets.behavior.dataset.rendering import renderer
from assets.behavior.dataset.rows import Example, Message, Passage
from assets.behavior.evaluation.items import Item, Kind
from assets.behavior.evaluation.judge import Judge
from assets.behavior.evaluation.manner import Manner
from assets.behavior.evaluation.pipeline import Evaluations
from assets.behavior.evaluation.trials import Answering, Trials
from assets.ports.generation import Generated
from assets.prompting import TEMPLATES
from assets.serving.releases import Releases
from orchestration.engines.lake import FolderLake
from tests.behavior.adapter.made import BASE, adapter, saved
from tests.behavior.evaluation.test_comparing import as_json, items, plain
from tests.fakes import HashEncoder
from tests.serving.models import write

TEMPLATE = TEMPLATES["passages"]
Rule = Callable[[Item], Any]


class Rules:
    """A generator whose base answers plainly, and each adapter by a rule of its own. Counts what it generates."""

    context = 4_096

    def __init__(self, known: Sequence[Item]) -> None:
        self.by_question = {item.question: item for item in known}
        self.rules: dict[str, Rule] = {}
        self.asked: list[tuple[str, int]] = []

    def lengths(self, chats) -> list[int]:
        return [len(chat[-1]["content"].split()) for chat in chats]

    def generate(self, chats, adapter: Path | None = None, progress=None) -> list[Generated]:
        name = adapter.name if adapter else "base"
        self.asked.append((name, len(chats)))
        rule = self.rules.get(name, plain)
        asked = [chat[-1]["content"].rsplit("Question: ", 1)[1] for chat in chats]
        return [Generated(rule(self.by_question[one]).text, 0.1) for one in asked]


class World:
    """`tried(how)` publishes an adapter that answers so, and tries it."""

    def __init__(self, folder: Path, count: int = 200, facts: bool = True) -> None:
        self.lake, self.items = FolderLake(folder / "lake"), items(count)
        self.adapters = Adapters(folder / "adapters")
        self.generator, self.encoder, self.base = Rules(self.items), HashEncoder(), BASE
        self.facts = [item for item in self.items if item.kind is not Kind.BEHAVIOR] if facts else []
        self.retrieved: list[str] = []
        self.spent: list[tuple[str, float]] = []
        self.judge: Judge | None = None
        self.manner = Manner()
        write(folder / "base", "weights of the base")
        self.folder = folder
        self.releases = Releases(
            self.lake, base=lambda _: folder / "base", adapter=lambda one: self.adapters.folder_of(one.adapter)
        )
        manner = [item for item in self.items if item.kind is Kind.BEHAVIOR]
        rows = [self.example(item, "test") for item in manner]
        rows += [
            self.example(Item(f"t{n}", Kind.BEHAVIOR, f"Ask {n}?", ("P.",), ("{}",), f"o{n}"), "train")
            for n in range(3)
        ]
        self.manifest = self.dataset(rows)
        self.trials = Trials(
            Evaluations(self.lake, manner=lambda _: self.manner, judge=lambda: self.judge, resamples=400),
            self.adapters,
            self.releases,
            answering=self.answering,
            facts=lambda: self.facts,
            retrieve=self.retrieve,
            spent=lambda variant, seconds: self.spent.append((variant, seconds)),
        )

    def example(self, item: Item, split: str) -> Example:
        chat = (Message(role="user", content=item.question), Message(role="assistant", content=item.references[0]))
        shown = (Passage(1, "Rooms", item.passages[0]),)
        return Example(
            chat, (f"i-{item.id}",), item.topic, "correction", "format", date(2026, 11, 1), item.group, split,
            item.question, item.references[0], shown,
        )  # fmt: skip

    def dataset(self, rows: list[Example], request: str = "request:main:c") -> store.Manifest:
        return store.write(
            self.lake, "main", rows, [], request=request, frozen="f", made_of={"template": TEMPLATE.version}, card={}
        )

    def answering(self) -> Answering:
        return Answering(
            self.base, {}, TEMPLATE.version, f"passages@{TEMPLATE.version}", self.encoder.fingerprint, "index-1",
            renderer(TEMPLATE, self.encoder), self.generator,
        )  # fmt: skip

    def retrieve(self, questions: Sequence[str]) -> list[list[str]]:
        self.retrieved += questions
        return [list(self.generator.by_question[question].passages) for question in questions]

    def publish(self, id: str, how: Rule | None = None, **said: Any) -> str:
        scratch = saved(self.folder / "scratch" / id, float(len(id) + sum(map(ord, id))))
        told = {"dataset": self.manifest.digest, "template": TEMPLATE.version, "request": self.manifest.request}
        self.adapters.publish(scratch, adapter(id, **(told | said)))
        if how is not None:
            self.generator.rules[id] = how
        return id

    def tried(self, how: Rule, id: str = "a1", **options: Any):
        return self.trials.run("main", self.publish(id, how), **options)


__all__ = ["World", "as_json", "plain"]
