"""Markdown to chunks: anchored at headings, sized in the encoder's tokens, stable under edits.

A chunk belongs to one section. A section that fits the budget is one chunk; a longer one is cut between its blocks:

    where to cut      the boundary with the smallest hash of the text that follows it, among the boundaries in the
                      middle half of the section; then again in both halves until each piece fits
    why a hash        the choice depends on the text around the boundary and not on its position, so an edit moves
                      the cuts next to it and no others (content-defined chunking, as in LBFS: Muthitacharoen,
                      Chen, Mazières 2001; a treap's priorities: Seidel, Aragon 1996)
    never torn        code blocks and tables up to `WHOLE` budgets; longer ones are cut between lines, with the fence
                      or the table's head repeated, so that every piece is well-formed by itself
    oversized text    paragraphs are cut between sentences, then words, then characters

`text` of a chunk is what is embedded, indexed and shown: the heading path, a blank line, the body.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from assets.fingerprints import chunk_id, digest, sha256_text
from assets.knowledge.markdown import Block, sections
from assets.ports import Mark

VERSION = "1"  # part of the chunker's fingerprint: raise it when the same document would be cut differently
WHOLE = 4  # code and tables up to this many budgets stay whole; the encoder sees their beginning, full text sees all
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=\S)|(?<=[。！？])")

Count = Callable[[Sequence[str]], list[int]]  # tokens of each text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document. `ordinal` is its place in the document and no part of its identity."""

    chunk_id: str
    ordinal: int
    headings: tuple[str, ...]
    text: str
    text_sha: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What may not be cut further: a text, its tokens, and the separator to the unit before it."""

    text: str
    tokens: int
    glue: str = "\n\n"


def fingerprint(tokenizer: str, max_tokens: int) -> str:
    """Identity of the chunker: the same fingerprint cuts the same document into the same chunks."""
    return digest(["chunker", VERSION, tokenizer, str(max_tokens)])


def chunk(
    doc_id: str, title: str, text: str, *, count: Count, max_tokens: int, outline: Sequence[Mark] | None = None
) -> list[Chunk]:
    """Cuts one document (Markdown, front matter removed) into chunks of at most about `max_tokens` tokens.

    `outline` is the text's, where the parser has found it already.
    """
    found = list(sections(title, text, outline))
    sizes = _Sizes(count)
    sizes([" > ".join(headings) for headings, _ in found] + [block.text for _, blocks in found for block in blocks])
    pieces: list[tuple[tuple[str, ...], str, int]] = []
    for headings, blocks in found:
        context = " > ".join(headings)
        head = sizes([context])[0]
        budget = max(max_tokens - head, max_tokens // 4)
        if not blocks:
            pieces.append((headings, context, head))
        for group in _groups(_all_units(blocks, budget, sizes), budget):
            body = _joined(group)
            size = head + sum(unit.tokens for unit in group)
            pieces.append((headings, f"{context}\n\n{body}" if context else body, size))
    return _identified(doc_id, pieces)


def _identified(doc_id: str, pieces: list[tuple[tuple[str, ...], str, int]]) -> list[Chunk]:
    seen: dict[str, int] = {}
    chunks = []
    for ordinal, (headings, text, size) in enumerate(pieces):
        sha = sha256_text(text)
        occurrence = seen[sha] = seen.get(sha, -1) + 1
        chunks.append(Chunk(chunk_id(doc_id, sha, occurrence), ordinal, headings, text, sha, size))
    return chunks


class _Sizes:
    """Token counts, each text counted once: tokenizing is most of what chunking costs, and small calls are dear."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._known: dict[str, int] = {"": 0}

    def __call__(self, texts: Sequence[str]) -> list[int]:
        missing = list(dict.fromkeys(text for text in texts if text not in self._known))
        if missing:
            self._known.update(zip(missing, self._count(missing), strict=True))
        return [self._known[text] for text in texts]


def _all_units(blocks: list[Block], budget: int, count: Count) -> list[Unit]:
    sizes = count([block.text for block in blocks])
    return [unit for block, size in zip(blocks, sizes, strict=True) for unit in _units(block, size, budget, count)]


def _joined(units: Sequence[Unit]) -> str:
    return "".join([units[0].text] + [unit.glue + unit.text for unit in units[1:]]).strip("\n") if units else ""


def _groups(units: Sequence[Unit], budget: int) -> Iterator[Sequence[Unit]]:
    """Cuts a run of units into groups that fit the budget (a unit that is larger by itself is a group)."""
    pending = [units]
    while pending:
        run = pending.pop()
        total = sum(unit.tokens for unit in run)
        if len(run) < 2 or total <= budget:
            if run:
                yield run
            continue
        cut = _cut(run, total)
        pending += [run[cut:], run[:cut]]


def _cut(run: Sequence[Unit], total: int) -> int:
    """Where to cut: smallest (inside a block?, hash) among the boundaries in the middle half, else among all."""
    before = 0
    middle: list[int] = []
    for index in range(1, len(run)):
        before += run[index - 1].tokens
        if total <= 4 * before <= 3 * total:
            middle.append(index)
    return min(middle or range(1, len(run)), key=lambda i: (run[i].glue != "\n\n", _priority(run[i].text)))


@lru_cache(maxsize=65_536)
def _priority(text: str) -> tuple[bytes, bytes]:
    """A hash of the first two words, so that an edit further on moves no cut; of more words where those are alike."""
    words = text[:200].split()[:8]
    return _hash(words[:2]), _hash(words)


def _hash(words: Sequence[str]) -> bytes:
    return hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _units(block: Block, size: int, budget: int, count: Count) -> list[Unit]:
    text = block.text
    if not text.strip():
        return []
    if size <= budget or (block.kind in ("fence", "code_block", "table") and size <= WHOLE * budget):
        return [Unit(text, size)]
    if block.kind in ("fence", "code_block", "html_block"):
        return _code_pieces(block, budget, count)
    if block.kind == "table":
        return _table_pieces(block, budget, count)
    children = block.children()
    if children:
        return _child_units(children, budget, count)
    return _text_units(text, budget, count)


def _child_units(children: list[Block], budget: int, count: Count) -> list[Unit]:
    units: list[Unit] = []
    for child, size in zip(children, count([child.text for child in children]), strict=True):
        pieces = _units(child, size, budget, count)
        glue = "\n" if child.kind == "list_item" and child.lines[-1:] != ("",) else "\n\n"
        if pieces and units:
            pieces[0] = replace(pieces[0], glue=glue)
        units += pieces
    return units


def _code_pieces(block: Block, budget: int, count: Count) -> list[Unit]:
    """A code block of more than WHOLE budgets, cut between lines; each piece has its own fence."""
    lines = list(block.lines)
    fence = ("", "")
    if block.kind == "fence":
        mark = re.match(r"\s*(`{3,}|~{3,})", lines[0])
        closed = len(lines) > 1 and lines[-1].strip().startswith(mark.group(1) if mark else "```")
        fence = (lines[0], mark.group(1) if mark else "```")
        lines = lines[1:-1] if closed else lines[1:]
    return [
        replace(unit, text="\n".join([part for part in (fence[0], unit.text, fence[1]) if part]))
        for unit in _line_groups(lines, budget, count)
    ]


def _table_pieces(block: Block, budget: int, count: Count) -> list[Unit]:
    """A table of more than WHOLE budgets, cut between rows; each piece repeats the head."""
    head, rows = block.lines[:2], [line for line in block.lines[2:] if line.strip()]
    room = max(budget - _count_one(count, "\n".join(head)), budget // 2)
    return [replace(unit, text="\n".join([*head, unit.text])) for unit in _line_groups(rows, room, count)]


def _line_groups(lines: list[str], budget: int, count: Count) -> list[Unit]:
    units: list[Unit] = []
    for line, size in zip(lines, count(lines), strict=True):
        pieces = [Unit(line, max(size, 1))] if size <= WHOLE * budget else _hard_cut(line, budget)
        units += [replace(piece, glue="\n") for piece in pieces]
    return [Unit(_joined(group), sum(unit.tokens for unit in group)) for group in _groups(units, budget)]


def _text_units(text: str, budget: int, count: Count) -> list[Unit]:
    """A long paragraph as sentences; a long sentence as words; a long word as characters."""
    sentences = [part for part in _SENTENCE.split(text) if part.strip()]
    units: list[Unit] = []
    glue = "\n\n"
    for sentence, size in zip(sentences, count(sentences), strict=True):
        pieces = [Unit(sentence.strip(), size)] if size <= budget else _words(sentence, budget, count)
        units += [replace(pieces[0], glue=glue), *pieces[1:]] if pieces else []
        glue = "" if sentence.endswith(("。", "！", "？")) else " "  # Chinese and Japanese put no space there
    return units


def _words(sentence: str, budget: int, count: Count) -> list[Unit]:
    words = sentence.split()
    units: list[Unit] = []
    for word, size in zip(words, count(words), strict=True):
        units += [Unit(word, size, " ")] if size <= budget else _hard_cut(word, budget)
    return [Unit(_joined(group), sum(u.tokens for u in group), " ") for group in _groups(units, budget)]


def _hard_cut(text: str, budget: int) -> list[Unit]:
    """Text without a place to cut, in pieces of `budget` characters: a token is one character at the least."""
    return [Unit(text[i : i + budget], min(budget, len(text) - i), "") for i in range(0, len(text), budget)]


def _count_one(count: Count, text: str) -> int:
    return count([text])[0]
