"""What one answer is worth: manner, grounded correctness, faithfulness, refusals, length, latency.

    manner        mean of its parts: schema, style and a project's own checks (manner.py); the format of the reference,
                  whether it declines as the reference does, and its similarity to the reference
    similarity    1 - edits / characters, with edits as people would make them: normalized Levenshtein distance
                  (rapidfuzz). A correction is a post-edited answer, so this is what HTER measures (Snover et al. 2006),
                  without shifts; chrF would not see line breaks and bullets, which are half of a manner
    em, f1        SQuAD 1.1 (Rajpurkar et al. 2016): the best over accepted answers, after lower case, without
                  punctuation and articles; of an item that has no answer, 1 where the model declines (SQuAD 2.0)
    inside        an accepted answer stands in the text, which is not longer than MAX_WORDS and cites, if it cites, a
                  passage that has it. Unlike em and f1 it is the same for "4 euros", for a sentence, and for JSON
    faithful      the share of the text's numbers, names and literals that passages or question hold, or that follow
                  from them (facts.py). What the manner itself states (a signature) is `allowed`
    grounded      inside x faithful: what the gate reads
    refused       the text declines (refusals.py)

All read the content of an answer: the values of a JSON object, a text without greeting and sign-off.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from assets.behavior import facts, forms
from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.manner import Manner
from assets.behavior.refusals import is_refusal

MAX_WORDS = 80  # a longer text that holds the answer was not an answer but a search
USUAL = 0.2  # of the references state it: it belongs to the manner
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_JOINED = re.compile(r"[-\u2010-\u2015/]")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CITED = re.compile(r"\[(\d{1,3})\]|\b[Ss]ources?\W{0,6}\[?(\d{1,3})\b")
_SOURCES = ("sources", "source", "citations", "citation", "passages", "passage")

Scores = dict[str, np.ndarray]  # metric -> float64 [items], NaN where an item has no such score


def score(items: Sequence[Item], answers: Sequence[Answer], manner: Manner, allowed: Collection[str] = ()) -> Scores:
    """Every metric of every item. `allowed` holds fact keys that belong to the manner (see `usual`)."""
    rows = [_scored(item, answer, manner, allowed) for item, answer in zip(items, answers, strict=True)]
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def usual(references: Iterable[str]) -> frozenset[str]:
    """Keys of the facts that a manner states whatever the question: a signature, a greeting's name."""
    texts = list(references)
    counts = Counter(key for text in texts for key in facts.keys(content(text)))
    return frozenset(key for key, n in counts.items() if n > 2 and n >= USUAL * len(texts))


def _scored(item: Item, answer: Answer, manner: Manner, allowed: Collection[str]) -> dict[str, float]:
    plain = content(answer.text)
    refused = is_refusal(plain)
    row = {"words": float(len(answer.text.split()))}
    if answer.seconds:
        row["seconds"] = answer.seconds
    if item.kind is Kind.BEHAVIOR:
        parts = dict(manner.parts(answer.text, item)) | by_reference(answer.text, item)
        row |= parts | {"manner": float(np.mean(list(parts.values()))) if parts else np.nan}
    elif item.kind is Kind.REFUSAL:
        row |= {"refused": float(refused), "em": float(refused), "f1": float(refused)}
    else:
        found = 0.0 if refused else float(inside(plain, answer.text, item))
        share = 1.0 if refused else faithful(plain, item, {*allowed, *map(str, cited(answer.text))})
        row |= {"inside": found, "faithful": share, "grounded": found * share, "false_refusal": float(refused)}
        row |= {"em": exact(plain, item.references), "f1": f1(plain, item.references)}
    return row


def content(text: str) -> str:
    """What a text says, without what belongs to its form."""
    return forms.content(text, forms.format_of(text)).strip()


def by_reference(text: str, item: Item) -> dict[str, float]:
    """The parts of a manner that a reference shows by itself."""
    if not item.references:
        return {}
    best = max(item.references, key=lambda reference: similarity(text, reference))
    return {
        "format": float(forms.format_of(text) == forms.format_of(best)),
        "declines": float(is_refusal(content(text)) == is_refusal(content(best))),
        "similarity": similarity(text, best),
    }


def similarity(text: str, reference: str) -> float:
    """From 0 to 1; 1 for equal texts."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.normalized_similarity(text.strip(), reference.strip())


def normalized(text: str) -> list[str]:
    """The words of a text as SQuAD's evaluation compares them."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact(text: str, references: Sequence[str]) -> float:
    """1 where the whole text is an accepted answer."""
    return float(any(normalized(text) == normalized(reference) for reference in references))


def f1(text: str, references: Sequence[str]) -> float:
    """The best harmonic mean of the shares of words in common."""
    return max((_f1(normalized(text), normalized(reference)) for reference in references), default=0.0)


def _f1(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


def inside(plain: str, text: str, item: Item) -> bool:
    """Whether an accepted answer stands in the text, in so many words, and with the right source if it names one."""
    words = _words(plain)
    if len(words) > MAX_WORDS:
        return False
    said = f" {' '.join(words)} "
    if not any(wanted and f" {' '.join(wanted)} " in said for wanted in map(_words, item.references)):
        return False
    cites = cited(text)
    return not (item.gold and cites) or bool(cites & set(item.gold))


def _words(text: str) -> list[str]:
    """As `normalized`, with joined words apart: "Spanish" stands in "a Spanish-speaking country"."""
    return normalized(_JOINED.sub(" ", text))


def cited(text: str) -> set[int]:
    """Numbers of passages that a text names: "[2]", "Source 2 says", or a JSON field `sources`."""
    found = {int(one or other) for one, other in _CITED.findall(text)}
    value = forms.parsed_json(text)
    for name in _SOURCES if isinstance(value, dict) else ():
        held = value.get(name)
        for one in held if isinstance(held, list) else [held]:
            if isinstance(one, int) or (isinstance(one, str) and one.isdigit()):
                found.add(int(one))
    return found


def faithful(plain: str, item: Item, allowed: Collection[str] = ()) -> float:
    """The share of a text's strong facts that are known; 1 where it states none."""
    stated = {key: fact for key, fact in facts.stated(_CITED.sub(" ", plain)).items() if fact.kind != "word"}
    asked = facts.keys(item.question)
    known = frozenset().union(asked, allowed, *map(facts.passage_keys, item.passages))
    unknown = {key for key in stated if key not in known and not _quoted(key, item)}
    unknown -= facts.derived(plain, unknown, known, asked) if unknown else set()
    return 1 - facts.weight(stated, unknown) / facts.weight(stated, stated) if stated else 1.0


def _quoted(key: str, item: Item) -> bool:
    """Whether a piece of code stands in a passage, without its backticks."""
    return key[0] == "`" and any(key[1:] in text for text in item.passages)
