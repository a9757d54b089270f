"""Cases from questions over encyclopedia paragraphs: the answer's paragraph shown or not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assets.behavior.attribution import Shown
from assets.fingerprints import sha256_text
from benchmarks.attribution.corpora import number, rows
from benchmarks.attribution.docs_cases import OPENING, REFUSAL

if TYPE_CHECKING:
    from benchmarks.attribution.cases import Maker

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"])")
_NUMBER = re.compile(r"\b\d[\d,]*\b")


def asked(make: Maker, name: str) -> None:
    """All cases of one question set; paragraphs of a part of the articles are in no corpus."""
    folder = make.data / "retrieval"
    paragraphs = {row["paragraph_id"]: row for row in rows(folder / f"{name}-paragraphs.jsonl.gz")}
    near: dict[str, list[str]] = {}
    for id_, row in paragraphs.items():
        near.setdefault(row["title"], []).append(id_)
        if number(id_ + " absent", 3):
            make.log.add(id_, [row["text"]])
    every = list(paragraphs)
    for row in rows(folder / f"{name}-questions.jsonl.gz"):
        texts = {
            id_: paragraphs[id_]["text"] for id_ in (*near[paragraphs[row["paragraph_id"]]["title"]], *_two(row, every))
        }
        _question(make, name, row, texts)


def _two(row: dict[str, Any], every: list[str]) -> list[str]:
    return [every[number(f"{row['question_id']} {i}", len(every))] for i in range(2)]


def _question(make: Maker, name: str, row: dict[str, Any], texts: dict[str, str]) -> None:
    key, gold, question = f"{name} {row['question_id']}", row["paragraph_id"], row["question"]
    answer = min((found["text"] for found in row["answers"]), key=len).strip()
    sentence = next((s for s in _SENTENCE.split(texts[gold].strip()) if answer in s), answer)
    right = sentence if number(key + " long", 2) else answer
    others = [id_ for id_ in texts if id_ != gold and answer.lower() not in texts[id_].lower()]
    others = sorted(others, key=lambda id_: number(key + id_, 2**31))[:3]
    if not others:
        return
    wrong = _SENTENCE.split(texts[others[0]].strip())
    wrong = wrong[number(key + " wrong", len(wrong))]
    declined = REFUSAL[number(key + " refusal", len(REFUSAL))]
    missed = [Shown(id_, sha256_text(texts[id_]), texts[id_]) for id_ in others]
    given = [Shown(gold, sha256_text(texts[gold]), texts[gold]), *missed[:1]]
    stored = number(gold + " absent", 3) != 0
    way = number(key + " way", 9)
    if way < 4:
        label = ("knowledge", "retrieval_miss" if stored else "missing_document")
        response = (declined, wrong)[way % 2]
        make.add(key, f"{name} not shown", label, (question, response, right), missed if way < 3 else [])
    elif way == 4:
        make.add(key, f"{name} shown", ("behavior", "refusal"), (question, declined, right), given)
    elif way == 5:
        make.add(key, f"{name} unanswerable", ("behavior", "refusal"), (question, wrong, declined), missed)
    elif way == 6:
        loose = sentence + " " + wrong
        make.add(key, f"{name} ungrounded", ("behavior", "ungrounded"), (question, loose, sentence), given[:1])
    elif way == 7:
        false = _NUMBER.sub(lambda match: str(int(match[0].replace(",", "") or 0) + 7), sentence)
        make.add(key, f"{name} ungrounded", ("behavior", "ungrounded"), (question, false, sentence), given)
    else:
        inside = [s for s in _SENTENCE.split(texts[gold].strip()) if answer not in s]
        label = ("behavior", "task")
        if inside:
            make.add(key, f"{name} shown", label, (question, inside[number(key, len(inside))], right), given)
        polite = OPENING[number(key, len(OPENING))] + sentence
        make.add(key + " polite", f"{name} shown", ("behavior", "style"), (question, sentence, polite), given)
