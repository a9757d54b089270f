from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.fingerprints import sha256_text
from assets.knowledge import markdown
from assets.knowledge.chunking import WHOLE, chunk, fingerprint
from assets.knowledge.markdown import Block, outline, sections
from tests.fakes import WordTokenizer

count = WordTokenizer().count


def cut(text: str, *, title: str = "Guide", max_tokens: int = 40) -> list[str]:
    return [piece.text for piece in chunk("h/guide.md", title, text, count=count, max_tokens=max_tokens)]


def words(number: int, seed: int = 0) -> str:
    choose = random.Random(seed)  # noqa: S311
    return " ".join(choose.choice(["alpha", "bravo", "charlie", "delta", "echo"]) + str(i) for i in range(number))


def test_chunk_carries_its_heading_path():
    text = "# Guide\n\nIntro.\n\n## Tools\n\nA wrench.\n\n### Small\n\nA pin.\n\n## Parts\n\nA wheel."
    assert cut(text) == [
        "Guide\n\nIntro.",
        "Guide > Tools\n\nA wrench.",
        "Guide > Tools > Small\n\nA pin.",
        "Guide > Parts\n\nA wheel.",
    ]


@pytest.mark.parametrize(
    ("title", "text", "paths"),
    [
        ("Title", "text before any heading", [("Title",)]),
        ("Title", "## Two\n\nx", [("Title", "Two")]),
        ("Same", "# Same\n\nx", [("Same",)]),
        ("Front", "# Body\n\nx", [("Front", "Body")]),
        ("", "x", [()]),
        ("T", "# A\n\n# B\n\nx", [("T", "A"), ("T", "B")]),
        ("T", "## [Link](http://x.example) `code` **bold** {#anchor}\n\nx", [("T", "Link code bold")]),
        ("T", "Setext\n======\n\nx", [("T", "Setext")]),
        ("T", "```\n# not a heading\n```", [("T",)]),
    ],
)
def test_sections_have_these_paths(title, text, paths):
    assert [path for path, _ in sections(title, text)] == paths


def test_long_section_is_cut_below_the_budget():
    paragraphs = "\n\n".join(words(12, seed) for seed in range(30))
    pieces = cut(paragraphs)
    assert len(pieces) > 5
    assert all(count([piece])[0] <= 40 for piece in pieces)


def test_chunks_hold_every_word_in_order():
    text = "\n\n".join(words(15, seed) for seed in range(20))
    bodies = " ".join(piece.split("\n\n", 1)[1] for piece in cut(text))
    assert bodies.split() == text.split()


@pytest.mark.parametrize("lines", [3, 30])
def test_code_block_stays_whole_up_to_its_limit(lines):
    code = "```python\n" + "\n".join(f"line {i} of code" for i in range(lines)) + "\n```"
    assert lines * 4 <= WHOLE * 40
    assert any(code in piece for piece in cut(f"Before.\n\n{code}\n\nAfter."))


def test_very_long_code_block_is_cut_between_lines_with_fences():
    code = "```python\n" + "\n".join(f"call_{i}(a, b, c, d)" for i in range(300)) + "\n```"
    pieces = cut(code)
    assert len(pieces) > 3
    for piece in pieces:
        body = piece.split("\n\n", 1)[1]
        assert body.startswith("```python\n")
        assert body.endswith("\n```")
    assert sum(piece.count("call_") for piece in pieces) == 300


def test_very_long_table_repeats_its_head():
    table = "| name | value |\n| --- | --- |\n" + "\n".join(f"| row {i} | {i} units of it |" for i in range(120))
    pieces = cut(table)
    assert len(pieces) > 3
    assert all("| name | value |\n| --- | --- |\n| row" in piece for piece in pieces)
    assert sum(piece.count("| row") for piece in pieces) == 120


def test_list_is_cut_between_its_items():
    items = "\n".join(f"- item {i}: " + words(10, i) for i in range(20))
    pieces = cut(items)
    assert len(pieces) > 3
    assert all(line.startswith("- item") for piece in pieces for line in piece.split("\n\n", 1)[1].splitlines())


@pytest.mark.parametrize("text", ["x" * 5_000, "schön" * 2_000, "。".join(["中文句子"] * 500), "a " * 5_000])
def test_text_without_places_to_cut_still_ends(text):
    pieces = list(chunk("d", "", text, count=lambda ts: [len(t.replace(" ", "")) for t in ts], max_tokens=100))
    assert all(len(piece.text) <= 210 for piece in pieces)
    assert "".join(piece.text for piece in pieces).replace(" ", "") == text.replace(" ", "")


def test_occurrences_of_the_same_text_have_ids_of_their_own():
    pieces = chunk("d", "T", "## A\n\nsame\n\n## A\n\nsame", count=count, max_tokens=40)
    assert len({piece.text for piece in pieces}) == 1
    assert len({piece.chunk_id for piece in pieces}) == 2


def test_ids_depend_on_the_document_and_not_on_the_place():
    first, second = (
        chunk(doc, "T", text, count=count, max_tokens=40)
        for doc, text in (("d", "## A\n\none\n\n## B\n\ntwo"), ("d", "## B\n\ntwo\n\n## A\n\none"))
    )
    assert {piece.chunk_id for piece in first} == {piece.chunk_id for piece in second}
    other = chunk("e", "T", "## A\n\none", count=count, max_tokens=40)
    assert other[0].text_sha == first[0].text_sha
    assert other[0].chunk_id != first[0].chunk_id


def test_text_sha_is_of_the_text():
    piece = chunk("d", "T", "body", count=count, max_tokens=40)[0]
    assert piece.text == "T\n\nbody"
    assert piece.text_sha == sha256_text(piece.text)


def test_white_space_at_line_ends_changes_nothing():
    assert cut("One line.   \n\n\n\nAnother.") == cut("One line.\n\nAnother.")


def test_one_word_changes_one_chunk_nearly_always():
    parts = [f"## Part {part}\n\n" + "\n\n".join(words(20, 100 * part + i) for i in range(40)) for part in range(3)]
    document = "\n\n".join(parts)
    before = set(cut(document, max_tokens=200))
    choose = random.Random(5)  # noqa: S311
    places = [match.start() for match in re.finditer(r" (?=[a-e])", document)]
    changed = []
    for place in choose.sample(places, 200):
        after = cut(document[:place] + " zebra" + document[place:], max_tokens=200)
        changed.append(len(set(after) - before))
    assert min(changed) == 1
    assert sum(number == 1 for number in changed) >= 180
    assert max(changed) <= 4


def test_text_inserted_at_the_top_renumbers_nothing():
    document = "\n\n".join(words(14, i) for i in range(40))
    before = {p.chunk_id for p in chunk("d", "T", document, count=count, max_tokens=40)}
    after = {p.chunk_id for p in chunk("d", "T", "A new beginning.\n\n" + document, count=count, max_tokens=40)}
    assert len(after - before) <= 2


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab#`|-*>\n 1.~_=[]()"), max_size=400))
def test_any_text_is_cut_the_same_way_twice(text):
    once = chunk("d", "T", text, count=count, max_tokens=20)
    assert once == chunk("d", "T", text, count=count, max_tokens=20)
    assert len({piece.chunk_id for piece in once}) == len(once)
    assert [piece.ordinal for piece in once] == list(range(len(once)))


def test_fingerprint_depends_on_tokenizer_and_budget():
    assert len({fingerprint("a", 100), fingerprint("b", 100), fingerprint("a", 101)}) == 3
    assert fingerprint("a", 100) == fingerprint("a", 100)


PIECES = st.sampled_from(
    ["- a\n- b\n", "1. one\n\n   more\n2. two\n", "* x\n\n    y\n\n      - z\n", "> quoted\n> - list\n", "para graph\n",
     "## Head\n", "Setext\n---\n", "```py\n# no heading\n```\n", "    code\n", "| a | b |\n|---|---|\n| 1 | 2 |\n",
     "<div>\n\ntext\n\n</div>\n", "---\n", "\n", "\n\n", "lazy\n", "  indented\n", "- a\n\n\n- b\n  - c\n\n    d\n"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join))
@settings(max_examples=300, deadline=None)
def test_block_by_itself_has_the_parts_that_it_has_in_its_document(text):
    """What is inside a block is found by parsing the block alone; that must not depend on what stands around it."""
    lines, tokens, index = text.split("\n"), markdown._markdown().parse(text), 0
    while index < len(tokens):
        end, token = markdown.subtree(tokens, index), tokens[index]
        if token.type in ("bullet_list_open", "ordered_list_open", "blockquote_open"):
            own = Block(token.type, tuple(lines[token.map[0] : token.map[1]]))
            there = replace(own, tokens=tuple(tokens[index:end]), start=token.map[0])
            assert _shape(own) == _shape(there)
        index = end


def _shape(block):
    return block.kind, block.lines, [_shape(child) for child in block.children()]


def test_outline_of_the_parser_gives_the_chunks_that_the_text_gives():
    text = f"# A\n\n{words(60)}\n\n- {words(30, 1)}\n- {words(30, 2)}\n\n## B\n\n```\ncode\n```\n"
    given_outline = chunk("h/a.md", "A", text, count=count, max_tokens=40, outline=outline(text))
    assert given_outline == chunk("h/a.md", "A", text, count=count, max_tokens=40)
    assert len(given_outline) > 4
