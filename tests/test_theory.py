"""docs/theory.md says what enforces each claim and what holds it: all that it names is there, and none is left out."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "theory.md"
THEORY = ROOT.parent / "shared" / "theory" / "fine-tuning-vs-rag.md"


def rows() -> list[tuple[list[str], str, list[str]]]:
    """(quotes of the claim, what enforces it, tests), of every table of the page."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| “"):
            claim, enforced, held = (cell.strip() for cell in line.strip("|").split(" | "))
            found.append((re.findall(r"“([^”]+)”", claim), enforced, re.findall(r"`([^`]+)`", held)))
    return found


def sentences(text: str) -> list[str]:
    """Without their last stop; a line is one or more. A list's beginning and each of its points are sentences too."""
    return [one.rstrip(".:") for line in text.splitlines() for one in re.split(r"(?<=[.!?])\s+", line.strip()) if one]


def claiming_nothing() -> dict[str, str]:
    """Sentences of the theory that the page's last section leaves out of its tables, with the reason."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## What claims nothing\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\* “([^”]+)”: (.+)$", section, re.MULTILINE))


@functools.cache
def defined_in(file: Path) -> set[str]:
    """The tests of a file that pytest collects and nobody skips or expects to fail."""
    return {
        node.name
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not any(word in ast.unparse(one) for one in node.decorator_list for word in ("skip", "xfail"))
    }


def test_page_has_the_claims_once():
    assert len(rows()) >= 40
    quoted = [one for quotes, _, _ in rows() for quote in quotes for one in sentences(quote)]
    assert [one for one in quoted if quoted.count(one) > 1] == []


def test_few_sentences_claim_nothing_and_each_has_its_reason():
    left_out = claiming_nothing()
    assert 0 < len(left_out) <= 5
    assert [one for one, reason in left_out.items() if len(reason) < 40] == []
    assert [one for quotes, _, _ in rows() for quote in quotes for one in sentences(quote) if one in left_out] == []


@pytest.mark.parametrize(("quotes", "enforced", "held"), rows(), ids=[quotes[0][:40] for quotes, _, _ in rows()])
def test_claim_is_held_by_tests_that_exist(quotes, enforced, held):
    assert held, "no test"
    assert len(enforced) > 40
    for name in held:
        file, _, test = name.partition("::")
        assert (ROOT / file).is_file(), file
        assert test in defined_in(ROOT / file), name


def test_files_and_assets_of_the_page_exist():
    said = PAGE.read_text(encoding="utf-8")
    for file in re.findall(r"`((?:assets|orchestration)/[^`]+\.py)`", said):
        assert (ROOT / file).is_file(), file
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "assets").rglob("*assets.py"))
    named = re.findall(r"`(knowledge|behavior|decision|serving|deployment)/([a-z_]+)`", said)
    assert named
    for group, name in named:
        assert f'"{name}"]' in sources or f"def {name}(" in sources, f"{group}/{name}"


@pytest.mark.skipif(not THEORY.is_file(), reason="the theory does not lie beside the project")
def test_every_sentence_of_the_theory_is_quoted_whole():
    lines = [line.strip() for line in THEORY.read_text(encoding="utf-8").splitlines()]
    told = sentences("\n".join(line for line in lines if not line.startswith("#")))
    assert len(told) >= 60
    quoted = [one for quotes, _, _ in rows() for quote in quotes for one in sentences(quote)]
    said = {*quoted, *claiming_nothing()}
    assert [one for one in told if one not in said] == []  # the page leaves it out
    assert [one for one in said if one not in told] == []  # the theory does not say so
