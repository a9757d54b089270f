"""Items -> chat messages, with word noise; and drills that train copying and locating apart from answering."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assets.prompting import TEMPLATES, Evidence
from models.recipe import manners
from models.recipe.items import Item

Messages = list[dict[str, str]]
TEMPLATE = TEMPLATES["evidence"]
LONGEST = 800  # characters of evidence in one example
DRAWS = 128  # numbers of one step: more than the examples that are drawn in it
CLEAR = 0.15  # score by which another statement may be ahead of the right one: beyond, items teach to doubt the encoder
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + ' .,:;"{}[]()-_/@#%&+*=<>|~^$€£äöüéñçß'


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the training mix."""

    drill: float = 0.07
    echo: float = 0.03
    manner: float = 0.3
    noisy: float = 0.35
    shuffled: float = 0.05
    refusals: float = 0.3  # of the answered items


class Maker:
    """Draws examples. `vocabulary`: printable single tokens, so that every token is copied at some time."""

    def __init__(self, items: Sequence[Item], copies: Sequence[str], vocabulary: Sequence[str], mix: Mix) -> None:
        self.mix, self.copies, self.vocabulary = mix, copies, vocabulary
        usable = [item for item in items if is_clear(item)]
        self.pools = ([i for i in usable if i.gold is not None], [i for i in usable if i.gold is None])
        self.headings = sorted({e.heading for i in usable for e in i.shown if 0 < len(e.heading) < 40}) or [""]
        self.rng = random.Random(0)  # noqa: S311 -- reproducible, not secret
        self._number, self._seed = 0, 0
        self._orders: dict[tuple[int, int], list[int]] = {}

    def at(self, seed: int, step: int) -> None:
        """Goes to a step: what is drawn next depends on nothing that was drawn before."""
        self.rng = random.Random(f"{seed}:{step}")  # noqa: S311
        self._number, self._seed = step * DRAWS, seed

    def draw(self) -> Messages:
        """The next example of this step."""
        self._number += 1
        u = self.rng.random()
        if u < self.mix.drill:
            return self.drill()
        if u < self.mix.drill + self.mix.echo:
            return self.echo()
        which = int(self.rng.random() < self.mix.refusals)
        return self.answer(self.pools[which][self._order(which, self._number)])

    def _order(self, which: int, number: int) -> int:
        """The number-th item of a pool in an order that is shuffled anew when all had their turn."""
        epoch, at = divmod(number, len(self.pools[which]))
        if (which, epoch) not in self._orders:
            order = list(range(len(self.pools[which])))
            random.Random(f"{self._seed}/{which}/{epoch}").shuffle(order)  # noqa: S311
            self._orders = {k: v for k, v in self._orders.items() if k[0] != which} | {(which, epoch): order}
        return self._orders[which, epoch][at]

    def answer(self, item: Item) -> Messages:
        """An item as a chat: one to five statements, the gold one among them, sometimes in another manner."""
        r = self.rng
        shown = item.shown[: r.choices((1, 2, 3, 4, 5), (0.05, 0.12, 0.55, 0.2, 0.08))[0]]
        gold = None if item.gold is None else item.shown[item.gold]
        if gold is not None and item.gold is not None and item.gold >= len(shown):
            shown = [*shown[:-1], gold]
        if r.random() < self.mix.noisy:
            shown, gold = self._noised(item, shown, gold)
        if r.random() < self.mix.shuffled:
            shown = r.sample(shown, len(shown))
        manner, write = manners.draw(r) if r.random() < self.mix.manner else ("", manners.plain)
        answer = write(gold.sentence if gold else None, gold.number if gold else 0)
        return [*TEMPLATE.messages(item.question, shown, manner), {"role": "assistant", "content": answer}]

    def _noised(
        self, item: Item, shown: list[Evidence], gold: Evidence | None
    ) -> tuple[list[Evidence], Evidence | None]:
        keep = f"{item.question} {item.span}"
        noised = [replace(e, sentence=self.noise(e.sentence, keep)) if self.rng.random() < 0.8 else e for e in shown]
        new = None if gold is None else noised[shown.index(gold)]
        if new is not None and item.span and item.span not in new.sentence:
            return shown, gold
        return noised, new

    def noise(self, sentence: str, keep: str = "", most: int = 2) -> str:
        """Up to `most` words, none of `keep`, become random tokens or another word of the sentence."""
        r, words = self.rng, sentence.split(" ")
        kept = set(re.findall(r"\w+", keep.lower()))
        for at in r.sample(range(len(words)), min(len(words), r.randint(1, most))):
            old = words[at]
            if set(re.findall(r"\w+", old.lower())) & kept:
                continue
            new = self._word() if r.random() < 0.75 else (r.choice(words).rstrip(".,;:") or "x")
            new = new[0].upper() + new[1:] if old[:1].isupper() else new
            words[at] = new + (old[-1:] if old[-1:] in ".,;:" else "")
        return " ".join(words)

    def _word(self) -> str:
        pieces = self.rng.choices(self.vocabulary, k=self.rng.choice((1, 1, 2, 2, 3)))
        return "".join(piece.strip() for piece in pieces) or "x"

    def babble(self) -> str:
        """Random tokens with repeated pieces: copying must not follow what came after the same piece before."""
        r = self.rng
        tokens = r.choices(self.vocabulary, k=r.randint(4, 14))
        for _ in range(r.choice((0, 1, 1, 2))):
            at = r.randrange(len(tokens))
            to = r.randrange(len(tokens) + 1)
            tokens[to:to] = tokens[at : at + r.randint(1, 3)]
        return "".join(tokens).strip() or "x"

    def echo(self) -> Messages:
        """Repeat a text."""
        r, u = self.rng, self.rng.random()
        if u < 0.4:
            text = self.babble()
        elif u < 0.8:
            text = r.choice(self.copies)
        else:
            text = "".join(r.choice(_ALPHABET) for _ in range(r.randint(6, 28))).strip() or "x"
        return [
            {"role": "user", "content": r.choice(("Repeat: ", "Copy: ", "Say: ")) + text},
            {"role": "assistant", "content": text},
        ]

    def drill(self) -> Messages:
        """Several turns of copying and locating over random, partly almost equal sentences."""
        r = self.rng
        count = r.choice((2, 3, 3, 4))
        texts = [self._drilled(text) for text in r.sample(self.copies, count)]
        if r.random() < 0.4:
            texts[1] = self._almost(texts[0])
        numbers = r.sample(range(1, 10), count)
        entries = "\n".join(
            f"[{n}] {r.choice(self.headings)}\n{t}" if r.random() < 0.5 else f"[{n}]\n{t}"
            for n, t in zip(numbers, texts, strict=True)
        )
        messages: Messages = []
        for _ in range(r.choice((1, 2, 2, 3))):
            question, answer = self._located(texts, numbers)
            asked = question if messages else f"{entries}\n\n{question}"
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        return messages

    def _drilled(self, text: str) -> str:
        u = self.rng.random()
        return self.noise(text, "", 4) if u < 0.5 else self.babble() if u < 0.55 else text

    def _almost(self, text: str) -> str:
        words = text.split(" ")
        at = self.rng.randrange(len(words))
        changed = re.sub(r"\d", lambda _: str(self.rng.randrange(10)), words[at])
        words[at] = changed if re.search(r"\d", words[at]) else self.rng.choice(self.rng.choice(self.copies).split(" "))
        return " ".join(words)

    def _located(self, texts: Sequence[str], numbers: Sequence[int]) -> tuple[str, str]:
        r, at = self.rng, self.rng.randrange(len(texts))
        others = " ".join([*texts[:at], *texts[at + 1 :]]).lower()
        own = [w for w in re.findall(r"[\w'@.-]*\w", texts[at]) if len(w) > 2 and w.lower() not in others]
        u, answer = r.random(), manners.plain(texts[at], numbers[at])
        if u < 0.45 or not own:
            forms = ("Repeat [{0}].", "Copy passage {0}.", "What does passage {0} say?", "Quote [{0}]")
            return r.choice(forms).format(numbers[at]), answer
        key = " ".join(r.sample(own, min(len(own), r.choice((1, 1, 2, 3)))))
        key = key.lower() if r.random() < 0.3 else key
        if u < 0.55:
            return r.choice(("Which passage mentions {0}?", "Find the number: {0}")).format(key), f"[{numbers[at]}]"
        forms = ("Copy the sentence with {0}.", "{0}?", "What is said about {0}?", "{0}")
        return r.choice(forms).format(key), answer


def is_clear(item: Item) -> bool:
    """Not too long, and, where answerable, the right statement is among the first five and not far behind."""
    if sum(len(e.sentence) + len(e.heading) for e in item.shown[:3]) > LONGEST:
        return False
    if item.gold is None:
        return item.shown[0].score < (0.8 if item.source != "handbook" else 1.1)
    ahead = item.shown[0].score - item.shown[item.gold].score
    return item.gold < 5 and ahead < CLEAR and item.shown[item.gold].score > 0.33
