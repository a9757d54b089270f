"""Cases from documentation: sentences that an edit changed, and passages written in another form."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from assets.behavior.attribution import Shown
from assets.fingerprints import sha256_text
from benchmarks.attribution.corpora import Change, number

if TYPE_CHECKING:
    from benchmarks.attribution.cases import Maker

REFUSAL = (
    "The passages do not say.",
    "I'm sorry, but I could not find that in the documents.",
    "I don't know.",
    "The provided context does not contain this information.",
)
OPENING = ("Happy to help! ", "Good question. ", "Thanks for reaching out! ", "Dear reader, ", "Sure thing! ")
CLOSING = (" Have a nice day!", " Kind regards, the team", " Let us know if anything is unclear.", "")
_SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`*\[\"])")
_FACT = re.compile(r"\d|`[^`]+`|(?<=\w )[A-Z]\w+")  # a number, a literal, a name inside a sentence
_MARKUP = re.compile(r"^(?:[#<{|/!]|import |```)|^\s*$")


def sentences(text: str) -> list[str]:
    """Plain sentences of a passage, without headings, code and markup."""
    found, code = [], False
    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not _MARKUP.match(line.strip()):
            found += [part.strip() for part in _SENTENCE.split(line.strip().lstrip("*-0123456789. "))]
    return [sentence for sentence in found if 6 <= len(sentence.split()) <= 45]


def edits(change: Change) -> Iterator[tuple[str, str, str, str]]:
    """(old passage, old sentence, new passage, new one) where numbers, names, literals or half the words changed."""
    for before, after in zip(*_paired(change), strict=True):
        old, new = sentences(before), sentences(after)
        gone, come = [s for s in old if s not in new], [s for s in new if s not in old]
        for sentence in come:
            match = difflib.get_close_matches(sentence, gone, 1, 0.3)
            if not match:
                continue
            added = set(sentence.split()) - set(match[0].split())
            facts = set(_FACT.findall(sentence)) - set(_FACT.findall(match[0]))
            digits = set(re.findall(r"\d+", sentence)) - set(re.findall(r"\d+", before))
            similar = difflib.SequenceMatcher(None, match[0].split(), sentence.split()).ratio()
            told = any(f.strip("`") not in before for f in facts) or digits or (similar < 0.5 and len(added) > 5)
            if told and not any(sentence in text for text in change.before):
                yield before, match[0], after, sentence


def _paired(change: Change) -> tuple[list[str], list[str]]:
    """Passages that differ, by their likeness."""
    gone = [text for text in change.before if text not in change.after]
    come = [text for text in change.after if text not in change.before]
    found: tuple[list[str], list[str]] = [], []
    for text in gone[:20]:
        same = [other for other in come if other.split("\n", 1)[0] == text.split("\n", 1)[0]]
        if same:
            found[0].append(text)
            found[1].append(max(same, key=lambda other: difflib.SequenceMatcher(None, text, other).quick_ratio()))
    return found


def edited(make: Maker, changes: list[Change]) -> None:
    """The response quotes the old sentence or declines, the correction quotes the new one."""
    others = [
        (c.doc_id, text) for c in changes for text in c.after[:3] if text in c.before and len(sentences(text)) > 1
    ]
    for change in changes:
        for order, (before, old, after, new) in enumerate(edits(change)):
            key = f"docs-edit {change.doc_id} {change.at:%Y-%m-%d} {order}"
            prompt = f"What does the documentation say about {after.split(chr(10), 1)[0].strip('# ')[:80]}?"
            stale = Shown(change.doc_id, sha256_text(before))
            way = number(key, 4)
            if way == 0:
                label = ("knowledge", "stale_passage")
                make.add(key, "docs edits", label, (prompt, old, new), [stale], change.at + timedelta(hours=1))
            elif way == 1:  # the document changed between the answer and its correction
                label, at = ("knowledge", "stale_passage"), change.at - timedelta(hours=1)
                make.add(key, "docs edits", label, (prompt, old, new), [stale], at, timedelta(days=2))
            elif way == 2:
                label, at = ("knowledge", "missing_document"), change.at - timedelta(hours=1)
                make.add(key, "docs edits", label, (prompt, old, new), [stale], at)
            else:
                doc_id, other = others[number(key + " other", len(others))]
                if doc_id == change.doc_id or new in other:
                    continue
                response = old if number(key + " how", 2) else REFUSAL[number(key, len(REFUSAL))]
                shown = [Shown(doc_id, sha256_text(other), other)]
                label, at = ("knowledge", "retrieval_miss"), change.at + timedelta(hours=1)
                make.add(key, "docs edits", label, (prompt, response, new), shown, at)


def reformatted(make: Maker, changes: list[Change]) -> None:
    """The same sentences of a shown passage as prose, list or JSON, with and without courtesies."""
    for order, change in enumerate(changes):
        for text in change.after[::3]:
            found = sentences(text)[:4]
            key = f"docs-form {order} {sha256_text(text)[:12]}"
            if len(found) < 2 or change.at.year < 2025:
                continue
            prose, bullets = " ".join(found), "\n".join(f"- {sentence}" for sentence in found)
            encoded = json.dumps({"answer": found, "complete": True}, ensure_ascii=False, indent=number(key, 2) or None)
            opening, closing = OPENING[number(key, len(OPENING))], CLOSING[number(key + " c", len(CLOSING))]
            forms = [(prose, bullets), (prose, encoded), (bullets, prose), (encoded, prose), (bullets, encoded)]
            forms += [(prose, opening + prose + closing), (opening + prose + closing, prose), (prose, found[0])]
            way = number(key + " way", len(forms))
            heading = text.split("\n", 1)[0].strip("# ")
            prompt = f"Tell me about {heading}."
            shown = [Shown(change.doc_id, sha256_text(text))]
            label = ("behavior", "format" if way < 5 else "style")
            at = change.at + timedelta(hours=1)
            make.add(key, "docs re-formatted", label, (prompt, *forms[way]), shown, at)
            make.add(key + " down", "thumbs down", ("unclear", None), (prompt, prose, None), shown, at)
