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


def rows() -> list[tuple[str, str, list[str]]]:
    """(claim, what enforces it, tests), of every table of the page."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| “"):
            claim, enforced, held = (cell.strip() for cell in line.strip("|").split(" | "))
            found.append((claim.strip("“” "), enforced, re.findall(r"`([^`]+)`", held)))
    return found


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


def test_page_has_the_claims():
    assert len(rows()) >= 30
    assert len({claim for claim, _, _ in rows()}) == len(rows())


@pytest.mark.parametrize(("claim", "enforced", "held"), rows(), ids=[claim[:40] for claim, _, _ in rows()])
def test_claim_is_held_by_tests_that_exist(claim, enforced, held):
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
def test_every_paragraph_of_the_theory_is_quoted_word_for_word():
    lines = [line.strip() for line in THEORY.read_text(encoding="utf-8").splitlines()]
    claims = [claim for claim, _, _ in rows()]
    text = "\n".join(lines)
    assert [claim for claim in claims if claim not in text] == []
    told = [line for line in lines if line.endswith(".") and not line.startswith("#")]
    assert [line for line in told if not any(claim in line for claim in claims)] == []
