"""Values and names of made-up handbooks. A name whose crc32 is divisible by ten is for evaluation only."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable

from models.recipe.words import words

HELD_OUT = 10  # one name in ten is never seen in training

_ONSETS = words("onsets")
_VOWELS = words("vowels")
_CODAS = words("codas")
_FIRST = words("first")
_STEMS = words("stems")
_ENDS = words("ends")
_CITIES = words("cities")
_ROLES = words("roles")
_ITEMS = words("items")
_STEPS = words("steps")
_PLACES = words("places")
_COLORS = words("colors")
_DAYS = words("days")
_MONTHS = words("months")
_WORDS = words("words")
_DOMAINS = words("domains")
_ALTERNATIVES = re.compile(r"\[([^\[\]]*)\]")


def is_held_out(name: str) -> bool:
    """Whether a name belongs to evaluation."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


class Values:
    """Seeded draws of names and values; `held_out` chooses which names are used."""

    def __init__(self, rng: random.Random, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out
        self._kinds: dict[str, Callable[[], str]] = {
            "money": self._money, "days": self._days, "dur": self._duration, "time": self._time,
            "timespan": self._span, "date": self._date, "person": self.person, "email": self._email,
            "phone": self._phone, "place": self._place, "code": self._code, "tool": self._tool,
            "item2": lambda: rng.choice(_STEPS).format(n=rng.randint(2, 30)),
            "role": lambda: rng.choice(_ROLES) if rng.random() < 0.7 else self.person(),
            "hours": lambda: f"{rng.randint(3, 60)} hours",
            "mins": lambda: f"{rng.randint(2, 95)} minutes",
            "pct": lambda: f"{rng.randint(2, 90)}{rng.choice((' percent', '%'))}",
            "weekday": lambda: rng.choice(_DAYS),
            "item": lambda: rng.choice(_ITEMS),
            "color": lambda: rng.choice(_COLORS),
            "year": lambda: str(rng.randint(1870, 2026)),
            "count": lambda: rng.choice((str(rng.randint(2, 900)), rng.choice(_WORDS))),
            "count chars": lambda: f"{rng.randint(6, 40)} characters",
            "count users": lambda: f"{rng.randint(2, 99)} users",
            "weight": lambda: f"{rng.randint(2, 500)} {rng.choice(('kg', 'kilograms', 'tons'))}",
            "temp": lambda: f"{rng.randint(2, 95)} {rng.choice(('degrees', '°C'))}",
        }  # fmt: skip

    def draw(self, kind: str) -> str:
        """A value of a kind; KeyError for a kind that does not exist."""
        return self._kinds[kind]()

    def expand(self, text: str) -> str:
        """[a/b] becomes one of its alternatives."""
        while (new := _ALTERNATIVES.sub(lambda m: self.rng.choice(m[1].split("/")), text)) != text:
            text = new
        return " ".join(text.split())

    def name(self) -> str:
        """A made-up proper name of the right half."""
        while True:
            made = self._syllables() if self.rng.random() < 0.7 else self.rng.choice(_STEMS) + self.rng.choice(_ENDS)
            if len(made) > 3 and is_held_out(made) == self.held_out:
                return made

    def city(self) -> str:
        """A city or a made-up place."""
        known = [city for city in _CITIES if is_held_out(city) == self.held_out]
        return self.rng.choice(known) if self.rng.random() < 0.4 and known else self.name()

    def person(self) -> str:
        """First and last name, sometimes with a title."""
        if self.rng.random() > 0.93:
            return self.rng.choice(("Mr ", "Ms ", "Dr. ")) + self.name()
        return (self.rng.choice(_FIRST) if self.rng.random() < 0.6 else self.name()) + " " + self.name()

    def _syllables(self) -> str:
        r = self.rng
        count = r.choice((1, 2, 2, 2, 3))
        return "".join(r.choice(_ONSETS) + r.choice(_VOWELS) + r.choice(_CODAS) for _ in range(count)).capitalize()

    def _money(self) -> str:
        r = self.rng
        spans = ((2, 99, 1), (1, 20, 5), (100, 999, 1), (1, 60, 50), (1000, 9999, 1))
        n = r.choice([r.randint(low, high) * unit for low, high, unit in spans])
        number = f"{n}.{r.randint(10, 99)}" if n < 20 and r.random() < 0.5 else f"{n:,}" if r.random() < 0.7 else str(n)
        unit = r.choice(("dollars", "pounds", "francs", "kronor"))
        sign, code = r.choice("€€$£"), r.choice(("EUR", "CHF"))
        forms = (f"{number} euros", f"{sign}{number}", f"{number} {unit}", f"{code} {number}")
        return r.choices(forms, (0.4, 0.28, 0.22, 0.1))[0]

    def _days(self) -> str:
        r = self.rng
        if r.random() < 0.75:
            return f"{r.randint(2, 40)} {r.choice(('days', 'days', 'days', 'working days'))}"
        return f"{r.choice(_WORDS)} {r.choice(('days', 'working days', 'weeks'))}"

    def _duration(self) -> str:
        r = self.rng
        unit = r.choice(("days", "days", "weeks", "months", "years", "hours", "working days", "calendar days"))
        return f"{r.randint(2, 36)} {unit}" if r.random() < 0.65 else f"{r.choice(_WORDS)} {unit}"

    def _time(self) -> str:
        r = self.rng
        if r.random() < 0.65:
            return f"{r.randint(6, 22)}:{r.choice(('00', '15', '30', '45'))}"
        return f"{r.randint(1, 12)} {r.choice(('am', 'pm'))}"

    def _span(self) -> str:
        r = self.rng
        start, end, minutes = r.randint(5, 11), r.randint(12, 22), r.choice((":00", ":30", ""))
        dashed = f"{start}{minutes or ':15'}-{end}{minutes or ':45'}"
        return r.choice((f"{start}{minutes} to {end}{minutes}", dashed, f"{start} am to {end - 11} pm"))

    def _date(self) -> str:
        r = self.rng
        return r.choice(
            (
                f"the {r.randint(4, 20)}th of each month",
                f"{r.randint(1, 28)} {r.choice(_MONTHS)}",
                f"the last {r.choice(_DAYS)} of the month",
                f"the first {r.choice(_DAYS)} of {r.choice(_MONTHS)}",
            )
        )

    def _email(self) -> str:
        r = self.rng
        box = r.choice(("help", "support", "hr", "it", "service", "office", "billing", "info", "desk"))
        return f"{box if r.random() < 0.4 else self.name().lower()}@{self.name().lower()}.{r.choice(_DOMAINS)}"

    def _phone(self) -> str:
        r = self.rng
        if r.random() < 0.6:
            return "".join(r.choice("0123456789") for _ in range(r.choice((3, 4, 4))))
        return f"0{r.randint(10, 99)} {r.randint(100, 999)} {r.randint(10, 99)}"

    def _place(self) -> str:
        r = self.rng
        return r.choice(_PLACES).format(
            L=r.choice("ABCDEFGHK"), n=r.randint(1, 99), N=self.name(),
            c=r.choice(("blue", "grey", "green", "north", "south", "old", "main", "small")),
            p=r.choice(("building", "cabinet", "gate", "yard", "garage", "lobby", "desk", "shed", "window")),
            o=r.choice(("first", "second", "third", "fourth")),
        )  # fmt: skip

    def _code(self) -> str:
        r = self.rng
        letters = "".join(r.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(r.choice((1, 2, 2, 3))))
        return letters + r.choice("-- ") + "".join(r.choice("0123456789") for _ in range(r.choice((2, 3, 4))))

    def _tool(self) -> str:
        kind = self.rng.choice(("Portal", "Desk", "Go", "Hub", "One", "Cloud"))
        return self.name() if self.rng.random() < 0.7 else f"{self.name()} {kind}"
