"""Data making: real and made-up corpora -> items with ranked evidence, sentences to copy, evaluation items."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from assets.prompting import Embed, VectorCache, statements
from models.recipe import items as making
from models.recipe import sources, wording
from models.recipe.handbook import Handbook
from models.recipe.items import Asked, Item

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much data is made. `handbooks` of `pages` passages; `prose` paragraphs in corpora of `shelf`."""

    squad_repeats: int = 6
    prose: int = 3000
    shelf: int = 300
    handbooks: int = 40
    pages: int = 45
    copies: int = 40_000
    held_out_handbooks: int = 4
    rows: int = 100_000  # SQuAD-style rows at most

    def scaled(self, share: float) -> Sizes:
        """The same mix, `share` of it: for a trial of the whole recipe."""
        return Sizes(
            squad_repeats=self.squad_repeats if share == 1 else 2,
            prose=max(40, int(self.prose * share)),
            shelf=max(40, int(self.shelf * min(1, share * 4))),
            handbooks=max(2, int(self.handbooks * share)),
            pages=self.pages,
            copies=max(400, int(self.copies * share)),
            held_out_handbooks=max(1, int(self.held_out_handbooks * share)),
            rows=self.rows if share == 1 else int(4000 * share),
        )


def make(data: Path, out: Path, embed: Embed, sizes: Sizes, seed: int, log: Log) -> None:
    """Writes items.jsonl, heldout.jsonl, copy.json into `out`. The same seed and data give the same files."""
    cache = VectorCache(embed, capacity=1_000_000)
    rng = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    out.mkdir(parents=True, exist_ok=True)
    rows = sources.questions(data)[: sizes.rows]
    kept = [row for row in rows if not sources.is_held_out(row.context)]
    held = [row for row in rows if sources.is_held_out(row.context)]
    log(f"squad-style rows: {len(kept)} for training, {len(held)} held out")
    held_items = list(making.build("squad", *sources.squad(held, rng, 2), cache, rng, held_out=True))
    for _ in range(sizes.held_out_handbooks):
        held_items += _handbook_items(Handbook(rng, True, sizes.pages), cache, rng, 1)
    making.write(held_items, out / "heldout.jsonl")
    log(f"held-out items: {len(held_items)}")
    found = list(making.build("squad", *sources.squad(kept, rng, sizes.squad_repeats), cache, rng))
    log(f"squad items: {len(found)}")
    for _ in range(sizes.handbooks):
        found += _handbook_items(Handbook(rng, False, sizes.pages), cache, rng, 2)
    log(f"with handbook items: {len(found)}")
    pages = list(islice(sources.paragraphs(data, rng), sizes.prose * 8))
    rng.shuffle(pages)
    for start in range(0, sizes.prose, sizes.shelf):
        found += _prose_items(pages[start : start + sizes.shelf], cache, rng)
    log(f"with prose items: {len(found)}")
    making.write(found, out / "items.jsonl")
    spare = [s for _, cut in pages[sizes.prose :] for s in cut][: sizes.copies]
    held_out = min(2000, len(spare) // 4)
    copies = {"train": spare[held_out:], "held_out": spare[:held_out]}
    (out / "copy.json").write_text(json.dumps(copies, ensure_ascii=False), encoding="utf-8")
    log(f"sentences to copy: {len(spare)}")


def _handbook_items(book: Handbook, embed: Embed, rng: random.Random, repeats: int) -> Iterator[Item]:
    titled = rng.random() < 0.5
    passages = [(f"{book.title} > {p.heading}" if titled else p.heading, p.body) for p in book.passages]
    asked: list[Asked] = []
    for at, page in enumerate(book.passages):
        asked += [Asked(f.ask(), at, f.sentence, f.value) for f in page.facts for _ in range(repeats)]
        asked += [Asked(question) for question in page.near]
    asked += [Asked(question) for question in rng.sample(book.unanswered(), min(len(book.unanswered()), 8))]
    asked += _removed(book, asked, rng)
    return making.build("handbook", passages, asked, embed, rng, held_out=book.values.held_out)


def _removed(book: Handbook, asked: list[Asked], rng: random.Random) -> list[Asked]:
    """Questions whose own passage is taken away: the rest of the handbook stays as near as it is."""
    scoped = [a for a in asked if a.at is not None and not book.passages[a.at].facts[0].scope]
    return [Asked(a.question, banned=(a.at,)) for a in rng.sample(scoped, len(scoped) // 8) if a.at is not None]


def _prose_items(pages: list[tuple[str, list[str]]], embed: Embed, rng: random.Random) -> Iterator[Item]:
    bodies = [(heading, "\n\n".join(cut)) for heading, cut in pages]
    asked: list[Asked] = []
    for at, (heading, cut) in enumerate(pages):
        own = statements(bodies[at][1])
        for sentence in rng.sample(cut, min(2, len(cut))):
            made = wording.question(sentence, heading, rng) if sentence in own else None
            if made is None:
                continue
            if rng.random() < 0.15 and re.match(r"(What|How|Why|When|Who|Which|Where)\b", made[0]):
                asked.append(Asked(made[0], banned=(at,)))
            else:
                asked.append(Asked(made[0], at, sentence, made[1]))
    return making.build("prose", bodies, asked, embed, rng)
