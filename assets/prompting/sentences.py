"""Passages cut into sentences, and sentences into statements that can be quoted on their own.

A passage is Markdown or plain text. What a block becomes:

    | block                      | sentences                                                                       |
    |----------------------------|---------------------------------------------------------------------------------|
    | paragraph, quote           | split at sentence ends; lines are joined first (hard wraps)                     |
    | list after a "...:" line   | short items join it: "Bring: a towel; a lock"; a long list repeats it per item  |
    | list                       | every item by itself, split at sentence ends                                    |
    | table                      | every row with the names of its columns: "Thing: Chair; Amount: up to €250"     |
    | code                       | every line; the "...:" line before it comes along                               |
    | heading                    | none: it is the passage's heading, or says nothing by itself                    |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from assets.prompting.blocks import Block, blocks

JOINED = 240  # characters of a list that is joined to the line before it
SHORT_ITEM = 9  # words of an item that says little without that line
LEAD = 90  # characters of a line that is repeated before every item
QUOTED = 260  # characters of a statement that is made of two sentences
QUOTED_WORDS = 45
CUT = 4_096  # passages whose statements are remembered

_END = re.compile(r"""(?<=[.!?])["”’')\]]*\s+(?=["“‘'(\[`]*[A-Z0-9À-ÞĀ-Ž€$£])""")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"“])(?:Mr|Mrs|Ms|Mx|Dr|Prof|Sr|Jr|St|Mt|vs|approx|ca|cf|incl|excl|resp|tel|ext|dept|Inc|Ltd|Co|Corp"
    r"|Fig|Sec|Art|Ch|Vol|Eq|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|e\.g|i\.e|a\.k\.a|U\.S|U\.K)\.$"
)
_BEFORE_NUMBER = re.compile(r"(?:^|[\s(\[])(?:No|Nos|Nr|p|pp|par|para|sect|chap|min|max)\.$", re.IGNORECASE)
_INITIAL = re.compile(r"(?:^|[\s(.])[A-Z]\.$")
_NUMBERED = re.compile(r"(?:^|\s)\d{1,2}\.$")
_STARTS = re.compile(
    r"(?:The|A|An|It|They|You|We|If|When|In|On|At|For|To|This|These|There|Do|Please|No|All|Each|Every|Ask|Use|Then"
    r"|After|Before|From|Only|Your|Our|He|She|I|Not|And|But|So|As|By)\b"
)
_EXPLETIVE = re.compile(r"It(?:'s| is| was| may be| can be)(?: not)? \w+ (?:to|that|for)\b")
_LEANS = re.compile(
    r"(?:It|They|He|She|This|These|That|Those|Its|Their|His|Her|Both|Neither|Such|Otherwise|Then|Instead|Likewise"
    r"|(?:If|When|Once|Until|Unless|As soon as) (?:it|they|he|she|not|so|this|these|that)\b"
    r"|In (?:this|that|these|those|such)|(?:After|Before) (?:that|this)|Until then|From then"
    r"|With(?:out)? (?:it|them|this)|(?:The )?(?:latter|former|same)|One of them|None of them|Some of them|All of them"
    r"|(?:(?:Please|Never|Always|Then|Do not|Don't) )?[A-Z]?[a-z]+ (?:it|them)\b)(?=[\s,'’])"
)


def sentences(text: str) -> list[str]:
    """The sentences of a passage's body, in order. White space is single; Markdown marks of emphasis and links go."""
    found: list[str] = []
    lead = ""
    for block in blocks(text):
        before, lead = lead, ""
        if block.kind in ("prose", "list"):
            cut = list(split(block.lines[0])) if block.kind == "prose" else _items(before, block)
            if cut and cut[-1].endswith(":") and block.leads:
                lead = cut.pop()
            found += cut
        elif block.kind == "table":
            found += [*_kept(before), *_rows(block)]
        elif block.kind == "code":
            found += [_after(before, line) for line in block.lines] or _kept(before)
    return found


@lru_cache(CUT)
def statements(text: str) -> tuple[str, ...]:
    """The sentences of a passage, each with the one before it where it leans on that: fit to be quoted alone.

    A question takes the sentence after it along, which answers it. Two sentences at most, within QUOTED characters.
    Passages that were cut lately are not cut again: the same ones are shown to many questions.
    """
    cut = sentences(text)
    found: list[str] = []
    for position, sentence in enumerate(cut):
        before = cut[position - 1] if position else ""
        both = _joined(before, sentence) if before.endswith("?") or (before and leans(sentence)) else ""
        if both and before.endswith("?") and found[-1] == before:
            found[-1] = both
        else:
            found.append(both or sentence)
    return tuple(found)


def leans(sentence: str) -> bool:
    """Whether a sentence needs the one before it to be understood: "It is driven by ...", "Test both."."""
    if len(sentence.split()) < 3 and re.fullmatch(r"[^:\d]+[.!?]", sentence):  # not a cell, an item or a line of code
        return True
    return bool(_LEANS.match(sentence)) and not _EXPLETIVE.match(sentence)


def split(line: str) -> Iterator[str]:
    """One line of prose at its sentence ends; not at abbreviations, initials, numbering and "No. 5"."""
    start = 0
    for end in _END.finditer(line):
        so_far, rest = line[start : end.start()].rstrip(), line[end.end() :]
        if _runs_on(so_far, rest):
            continue
        closing = line[end.start() : end.end()].strip()
        yield so_far + closing
        start = end.end()
    if line[start:].strip():
        yield line[start:].strip()


def _runs_on(so_far: str, rest: str) -> bool:
    if _ABBREVIATION.search(so_far):
        return True
    if _BEFORE_NUMBER.search(so_far) and rest[:1].isdigit():
        return True
    if _INITIAL.search(so_far):
        return not _STARTS.match(rest)
    return bool(_NUMBERED.search(so_far)) and len(so_far) <= 3


def _joined(before: str, sentence: str) -> str:
    both = f"{before} {sentence}"
    return both if len(both) <= QUOTED and len(both.split()) <= QUOTED_WORDS else ""


def _kept(lead: str) -> list[str]:
    """A "...:" line that could not be joined to what follows, where it says something by itself."""
    return [lead] if len(lead.split()) > 5 else []


def _after(lead: str, line: str) -> str:
    return f"{lead} {line}" if lead and len(lead) <= LEAD else line


def _items(lead: str, block: Block) -> list[str]:
    if not lead:
        return [sentence for item in block.lines for sentence in split(item)]
    bare = [item.rstrip(" .;,") for item in block.lines]
    joined = f"{lead} {'; '.join(bare)}"
    all_short = all(len(item.split()) <= SHORT_ITEM and ": " not in item and not item.endswith("?") for item in bare)
    if all_short and len(joined) <= JOINED:
        return [joined]
    found = _kept(lead) if len(lead) > LEAD else []
    for item in block.lines:
        cut = list(split(item))
        short = len(item.split()) <= SHORT_ITEM and ": " not in item
        found += [_after(lead, item)] if short else cut
    return found


def _rows(block: Block) -> list[str]:
    head, *rows = block.cells
    return [row for row in (_row(head, cells) for cells in rows) if row]


def _row(head: Iterable[str], cells: Iterable[str]) -> str:
    named = [(name, cell) for name, cell in zip(head, cells, strict=False) if cell]
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in named)
