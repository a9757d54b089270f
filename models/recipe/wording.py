"""Questions on real sentences, made by rules: crude, but over words that no generator has."""

from __future__ import annotations

import random
import re

from models.recipe.words import words

_STOP = frozenset(words("stop"))
_NUMBER = "two|three|four|five|six|seven|eight|nine|ten|twenty|hundred"
_MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
_ABOUT = words("about")

Made = tuple[str, str]  # question, span or ""


def question(sentence: str, heading: str, rng: random.Random) -> Made | None:
    """A question that the sentence answers and its short answer ("" where none stands out); None for poor sentences."""
    words = re.findall(r"[A-Za-z][A-Za-z'-]+|\d[\d.,:]*", sentence)
    content = [w for w in words if w.lower() not in _STOP and len(w) > 2]
    if len(content) < 3 or len(words) < 6:
        return None
    body = sentence.rstrip(" .!?:;")
    made = [*_conditions(body), *_copula(body), *_modals(body), *_reasons(body)]
    made += [*_counts(body, content, rng), *_dates(body, content), *_gaps(body, rng), _keywords(content, body, rng)]
    asked, span = rng.choice(made)
    asked = " ".join(asked.split())
    if len(asked.split()) > 18:
        return None
    if span and (span not in sentence or len(span.split()) > 12):
        span = ""
    if heading and rng.random() < 0.12:
        asked = f"{heading}: {_lower(asked)}"
    if rng.random() < 0.1:
        asked = asked.lower()
    return (asked[0].upper() + asked[1:] if rng.random() < 0.85 else asked), span


def _lower(text: str) -> str:
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def _conditions(body: str) -> list[Made]:
    made: list[Made] = []
    if m := re.match(r"To (\w+ [^,]{6,60}), (.{10,})", body):
        made += [(f"How do I {m[1]}?", m[2]), (f"How can I {m[1]}?", m[2]), (f"how to {m[1]}", m[2])] * 3
    subject = r"(you|your [^,]{3,30}|the [^,]{3,40}|a [^,]{3,40}|an [^,]{3,40})"
    if m := re.match(rf"(?:If|When) {subject} ([^,]{{6,70}}), (.{{10,}})", body):
        made += [(f"What happens if {m[1]} {m[2]}?", m[3]), (f"What if {m[1]} {m[2]}?", m[3])] * 2
    return made


def _copula(body: str) -> list[Made]:
    m = re.match(r"(.{4,60}?) (is|are|was|were) (.{6,})", body)
    if not m or re.search(r"\b(that|which|when|if|where|because)\b", m[1]):
        return []
    made = [(f"What {m[2]} {_lower(m[1])}?", m[3])] * 2
    parts = m[3].split(" by ")
    if len(parts) == 2 and len(parts[1].split()) < 8:
        asked = "Who" if parts[1][:1].isupper() else "What"
        made += [(f"{asked} {m[2]} {_lower(m[1])} {parts[0]} by?", parts[1])] * 2
    return made


def _modals(body: str) -> list[Made]:
    m = re.match(r"You (can|must|should|may) (\w+ .{6,80})", body)
    if not m or len(m[2].split()) >= 14:
        return []
    verb, start = m[2].split(" ")[0], " ".join(m[2].split(" ")[:7])
    return [(f"What {m[1]} I {verb}?", ""), (f"{m[1].capitalize()} I {start}?", "")] * 2


def _reasons(body: str) -> list[Made]:
    m = re.search(r"(.{12,}?)\b(because|so that|in order to)\b (.{6,})", body)
    return [(f"Why {_lower(m[1]).strip()}?", m[3])] if m and len(m[1].split()) < 16 else []


def _counts(body: str, content: list[str], rng: random.Random) -> list[Made]:
    m = re.search(rf"\b(\d[\d.,]*|{_NUMBER}) ([a-z]{{3,}}s)\b", body)
    if not m:
        return []
    others = [w for w in content if w not in m[0]]
    rng.shuffle(others)
    about = " ".join(sorted(others[:3], key=body.find))
    return [(f"How many {m[2]} {about}?", m[0]), (f"How many {m[2]} are there?", m[0])] * 2


def _dates(body: str, content: list[str]) -> list[Made]:
    m = re.search(rf"\b(in|on|by|until|since|before|after) ((?:{_MONTH})[\w ,]{{0,9}}|\d{{4}})\b", body)
    return [(f"When {' '.join([w for w in content if w not in m[0]][:4])}?", m[2])] * 2 if m else []


def _gaps(body: str, rng: random.Random) -> list[Made]:
    words = body.split(" ")
    if len(words) <= 7:
        return []
    n = rng.choice((1, 1, 2, 3))
    return [(f"{' '.join(words[max(0, len(words) - n - rng.randint(4, 8)) : -n])} what?", " ".join(words[-n:]))]


def _keywords(content: list[str], body: str, rng: random.Random) -> Made:
    chosen = sorted(rng.sample(content, min(len(content), rng.choice((2, 2, 3, 4)))), key=body.find)
    chosen = [w.rstrip("s") if len(w) > 5 and rng.random() < 0.2 else w for w in chosen]
    return rng.choice(_ABOUT).format(" ".join(chosen)), ""
