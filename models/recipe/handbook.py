"""Made-up handbooks: passages in Markdown, the facts in them, and questions that some or none of the facts answer.

Four kinds of passage: rules of topics.txt and pairs.txt, rules that differ by site, product or group, things that
are described over several sentences ("It is driven by ..."), and tables or lists of things.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.recipe.values import Values
from models.recipe.words import words

_FOLDER = Path(__file__).parent
_THINGS = words("things")
_ADJECTIVES = words("adjectives")
_GROUPS = words("groups")
_SITES = words("sites")
_DEVICES = words("devices")
_POWER = words("power")
_TITLES = words("titles")
_FILLERS = words("fillers")
_LOWERED = frozenset(words("lowered"))

_RULES = ("General", "Rules", "Good to know", "In short", "Overview")
_DESCRIPTIONS = ("What we have", "Around the house", "Equipment", "Things to know")
_LISTS = ("Overview", "Prices and times", "At a glance", "Equipment", "List")


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of rule: its label, the kind of its value, and how it is stated and asked for."""

    label: str
    kind: str
    said: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(slots=True)
class Fact:
    """`sentence` states it, `value` is the short answer, `ask()` a question for it; `scope` where it holds."""

    key: str
    value: str
    sentence: str
    ask: Callable[[], str]
    scope: str = ""


@dataclass(slots=True)
class MadePassage:
    """A passage: heading, Markdown body, its facts, and questions that it nearly answers (`near`)."""

    heading: str
    body: str
    facts: list[Fact]
    near: list[str] = field(default_factory=list)


def _read(name: str) -> list[list[str]]:
    lines = (_FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line.split("|") for line in lines if line and line[0] != "#"]


def _topics(name: str) -> list[Topic]:
    return [Topic(a, kind, tuple(s.split(";;")), tuple(q.split(";;"))) for a, kind, s, q in _read(name)]


def _pairs() -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    found = []
    for kind, said, asked in _read("pairs.txt"):
        first, second = asked.split("##")
        found.append((kind, said, tuple(first.split(";;")), tuple(second.split(";;"))))
    return found


TOPICS, TRAITS, PAIRS = _topics("topics.txt"), _topics("traits.txt"), _pairs()


class Handbook:
    """One made-up handbook of `size` passages and the questions about it."""

    def __init__(self, rng: random.Random, held_out: bool, size: int) -> None:
        self.rng = rng
        self.values = Values(rng, held_out)
        self.title = rng.choice(_TITLES) if rng.random() < 0.5 else f"{self.values.name()} guide"
        self.passages: list[MadePassage] = []
        self._used: set[str] = set()
        self._things: set[str] = set()
        makers = (self._rules, self._scoped, self._described, self._tabled, self._listed)
        while len(self.passages) < size:
            self.passages += rng.choices(makers, (0.3, 0.18, 0.3, 0.14, 0.08))[0]()

    def unanswered(self) -> list[str]:
        """Questions about topics that the handbook does not hold."""
        missing = [topic for topic in TOPICS if topic.label not in self._used]
        return [self._ask(topic) for topic in missing]

    # ---- rules

    def _rules(self) -> list[MadePassage]:
        r = self.rng
        facts: list[Fact] = []
        near: list[str] = []
        start = r.randrange(len(TOPICS))  # neighbors in the file are related
        fresh = [t for t in (TOPICS[(start + i) % len(TOPICS)] for i in range(12)) if t.label not in self._used][:5]
        r.shuffle(fresh)
        told = fresh[: r.choice((1, 2, 2, 3, 3))]
        for topic in told:
            self._used.add(topic.label)
            facts.append(self._topic_fact(topic))
        for topic in fresh[len(told) :]:
            self._used.add(topic.label)  # asked for, never told
            near += [self._polish(self.values.expand(q)) for q in r.sample(topic.asked, min(2, len(topic.asked)))]
        if r.random() < 0.2:
            facts += self._pair_facts(r.choice(PAIRS))
        if not facts:
            return []
        labeled = r.random() < 0.6
        heading = r.choice(facts).key.capitalize() if labeled else r.choice(_RULES)
        return [MadePassage(heading, self._prose([f.sentence for f in facts]), facts, near)]

    def _topic_fact(self, topic: Topic, scope: str = "") -> Fact:
        value = self.values.draw(topic.kind)
        sentence = self.values.expand(self.rng.choice(topic.said)).replace("{v}", value)
        return Fact(topic.label, value, sentence, lambda: self._ask(topic), scope)

    def _pair_facts(self, pair: tuple[str, str, tuple[str, ...], tuple[str, ...]]) -> list[Fact]:
        kind, said, first, second = pair
        a, b, m = self.values.draw(kind), self.values.draw(kind), self.values.draw("money")
        if a == b or said in self._used:
            return []
        self._used.add(said)
        sentence = self.values.expand(said).format(a=a, b=b, m=m)

        def asking(forms: tuple[str, ...]) -> Callable[[], str]:
            return lambda: self._polish(self.values.expand(self.rng.choice(forms)).format(m=m))

        return [Fact("pair", a, sentence, asking(first)), Fact("pair", b, sentence, asking(second))]

    # ---- the same rule for several sites, products or groups

    def _scoped(self) -> list[MadePassage]:
        r = self.rng
        free = [t for t in TOPICS if t.label not in self._used]
        if len(free) < 5:
            return []
        topics = r.sample(free, r.choice((2, 3)))
        self._used |= {t.label for t in topics}
        made = []
        for title, said, asked in [self._scope() for _ in range(r.choice((2, 3, 3)))]:
            told = [t for t in topics if r.random() < 0.75] or topics[:1]
            facts = [self._topic_fact(t, title) for t in told]
            titled = r.random() < 0.6
            for at, fact in enumerate(facts):
                if (not titled and at == 0) or r.random() < 0.3:
                    fact.sentence = self._attach(fact.sentence, r.choice(said))
                fact.ask = self._asking(fact.ask, asked)
            near = [self._asking(self._topic_fact(t).ask, asked)() for t in topics if t not in told]
            heading = title if titled else r.choice(facts).key.capitalize()
            made.append(MadePassage(heading, self._prose([f.sentence for f in facts]), facts, near))
        return made

    def _scope(self) -> tuple[str, list[str], list[str]]:
        r, p = self.rng, self.values.city()
        u = r.random()
        if u < 0.5:
            kind, where = r.choice(_SITES), r.choice(("at", "in"))
            said = [f"{where} the {p} {kind}", f"{where} {p}"]
            return f"{p} {kind}", said, [*said, f"for {p}"]
        if u < 0.75:
            model, kind = f"{p} {r.randint(2, 900)}", r.choice(_DEVICES)
            asked = [f"for the {model}", f"for the {model} {kind}"]
            return f"{model} {kind}", [f"for the {model}", f"with the {model}"], asked
        group = r.choice(_GROUPS)
        return group.capitalize(), [f"for {group}"], [f"for {group}"]

    def _attach(self, sentence: str, phrase: str) -> str:
        if self.rng.random() < 0.5 or not sentence.endswith(".") or ":" in sentence:
            first = sentence.split(" ")[0]
            rest = sentence[0].lower() + sentence[1:] if first in _LOWERED else sentence
            return f"{phrase[0].upper()}{phrase[1:]}, {rest}"
        return f"{sentence[:-1]} {phrase}."

    def _asking(self, ask: Callable[[], str], phrases: list[str]) -> Callable[[], str]:
        def scoped() -> str:
            question, phrase = ask(), self.rng.choice(phrases)
            if self.rng.random() < 0.6:
                mark = question[-1] if question[-1] in "?." else ""
                return f"{question.rstrip('?.')} {phrase}{mark}"
            rest = question if question.startswith("I ") else question[0].lower() + question[1:]
            return f"{phrase[0].upper()}{phrase[1:]}, {rest}"

        return scoped

    # ---- things

    def _thing(self) -> str:
        while True:
            noun = self.rng.choice(_THINGS)
            words = [self.rng.choice(_ADJECTIVES)] if self.rng.random() < 0.5 else []
            if self.rng.random() < 0.35:
                words.append(self.values.name())
            thing = " ".join([*words, noun])
            if thing not in self._things:
                self._things.add(thing)
                return thing

    def _trait(self, trait: Topic, thing: str, said_as: str) -> Fact:
        value = self._value(trait.kind)
        sentence = self.values.expand(self.rng.choice(trait.said)).replace("{v}", value).replace("{n}", said_as)
        sentence = sentence[0].upper() + sentence[1:]
        return Fact(trait.label, value, sentence, lambda: self._ask(trait, f"the {thing}"))

    def _value(self, kind: str) -> str:
        if kind == "power":
            return self.rng.choice(_POWER)
        return self.values.city() if kind == "place2" else self.values.draw(kind)

    def _described(self) -> list[MadePassage]:
        r = self.rng
        facts, lines, near = [], [], []
        things = [self._thing() for _ in range(r.choice((1, 1, 2)))]
        for thing in things:
            traits = r.sample(TRAITS, r.choice((3, 4, 5)))
            told, missing = traits[: r.choice((2, 3))], traits[3:]
            for at, trait in enumerate(told):
                fact = self._trait(trait, thing, f"the {thing}" if at == 0 or r.random() < 0.25 else "it")
                facts.append(fact)
                lines.append(fact.sentence)
            near += [self._trait(trait, thing, "it").ask() for trait in missing]
            if r.random() < 0.3:
                lines.append(r.choice(_FILLERS))
        named = r.random() < 0.5
        heading = f"The {things[0]}" if named else r.choice((self.values.name(), *_DESCRIPTIONS))
        return [MadePassage(heading, " ".join(lines), facts, near)]

    def _tabled(self) -> list[MadePassage]:
        r = self.rng
        things = [self._thing() for _ in range(r.randint(3, 5))]
        traits = r.sample(TRAITS, r.choice((1, 2, 2, 3)))
        absent = [self._thing() for _ in range(2)]
        first = r.choice(("Thing", "What", "Name", "Item", "Where", "Facility"))
        lines = [
            f"| {' | '.join([first, *(t.label.capitalize() for t in traits)])} |",
            "|" + " --- |" * (len(traits) + 1),
        ]
        facts = []
        for thing in things:
            row = [self._trait(trait, thing, "it") for trait in traits]
            lines.append(f"| {' | '.join([thing.capitalize(), *(f.value for f in row)])} |")
            for fact in row:
                fact.sentence = f"{first}: {thing.capitalize()};"
            facts += row
        near = [self._trait(r.choice(traits), thing, "it").ask() for thing in absent]
        others = [t for t in TRAITS if t not in traits]
        near += [self._trait(r.choice(others), thing, "it").ask() for thing in r.sample(things, 2)]
        intro = r.choice(("", "", r.choice(_FILLERS) + "\n\n"))
        return [MadePassage(r.choice(_LISTS), intro + "\n".join(lines), facts, near)]

    def _listed(self) -> list[MadePassage]:
        r = self.rng
        things = [self._thing() for _ in range(r.randint(3, 4))]
        trait = r.choice(TRAITS)
        facts, lines = [], []
        for thing in things:
            fact = self._trait(trait, thing, "it")
            fact.sentence = f"{thing.capitalize()}: {fact.value}"
            facts.append(fact)
            lines.append("- " + fact.sentence)
        near = [self._trait(trait, self._thing(), "it").ask()]
        return [MadePassage(trait.label.capitalize(), "\n".join(lines), facts, near)]

    # ---- words

    def _prose(self, lines: list[str]) -> str:
        r = self.rng
        lines = list(dict.fromkeys(lines))
        r.shuffle(lines)
        for _ in range(r.choice((0, 0, 1))):
            lines.insert(r.randrange(len(lines) + 1), r.choice(_FILLERS))
        if r.random() < 0.12:
            return "\n".join(f"- {line}" for line in lines)
        return " ".join(lines)

    def _ask(self, topic: Topic, thing: str = "") -> str:
        return self._polish(self.values.expand(self.rng.choice(topic.asked)).replace("{n}", thing))

    def _polish(self, question: str) -> str:
        r = self.rng
        if r.random() < 0.08:
            question = question.lower()
        if r.random() < 0.06:
            question = question.rstrip("?")
        return question[0].upper() + question[1:] if r.random() < 0.9 else question
