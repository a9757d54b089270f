"""Jupyter notebooks: Markdown cells as they are, code cells as fences, text outputs below them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from assets.knowledge.formats.base import Parsed, Refused, fence, joined, one_line
from assets.knowledge.formats.markdown import links_of, segments
from assets.ports import Reason

OUTPUT_LIMIT = 20_000  # characters of one cell's output; a longer one is data or a log
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def read_notebook(text: str) -> Parsed:
    """A notebook of nbformat 3 or 4. Cells are read leniently: a wrong schema loses nothing that is text."""
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(
            Reason.CORRUPT,
            f"The notebook is not JSON ({one_line(str(error), 120)}); expected nbformat 3 or 4; save it again.",
        ) from error
    cells = list(_cells(notebook))
    if not isinstance(notebook, dict) or not ("cells" in notebook or "worksheets" in notebook):
        raise Refused(
            Reason.CORRUPT,
            "The file is JSON but no notebook: it has no cells; expected nbformat 3 or 4; save it again.",
        )
    stated = notebook.get("metadata")
    facts: dict[str, Any] = stated if isinstance(stated, dict) else {}
    language = _language(facts)
    cut: list[int] = []
    body = joined(block for cell in cells for block in _cell(cell, language, cut))
    titles = [facts["title"]] if isinstance(facts.get("title"), str) else []
    metadata = {"type": "ipynb", "cells": str(len(cells))} | ({"code": language} if language else {})
    authors = facts.get("authors")
    if isinstance(authors, list):
        names = [a["name"] for a in authors if isinstance(a, dict) and isinstance(a.get("name"), str)]
        metadata["author"] = ", ".join(names)
    partial = f"{len(cut)} outputs are longer than {OUTPUT_LIMIT:,} characters and were cut" if cut else ""
    return Parsed(body, titles, links=links_of(list(segments(body))), metadata=metadata, partial=partial)


def _cells(notebook: Any) -> Iterator[dict[str, Any]]:
    sheets = [notebook] if isinstance(notebook, dict) else []
    if sheets and isinstance(notebook.get("worksheets"), list):
        sheets += notebook["worksheets"]
    for sheet in sheets:
        found = sheet.get("cells") if isinstance(sheet, dict) else None
        yield from (cell for cell in found if isinstance(cell, dict)) if isinstance(found, list) else ()


def _language(facts: dict[str, Any]) -> str:
    for name in ("language_info", "kernelspec"):
        found = facts.get(name)
        for key in ("name", "language"):
            value = found.get(key) if isinstance(found, dict) else None
            if isinstance(value, str) and (name == "language_info" or key == "language"):
                return one_line(value, 40)
    return ""


def _cell(cell: dict[str, Any], language: str, cut: list[int]) -> Iterator[str]:
    kind = cell.get("cell_type")
    source = _text(cell.get("source", cell.get("input")))
    if kind == "code":
        if source.strip():
            yield fence(source, language)
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else ():
            text = _ANSI.sub("", _output(output)) if isinstance(output, dict) else ""
            if len(text) > OUTPUT_LIMIT:
                cut.append(len(text))
                text = f"{text[:OUTPUT_LIMIT]}\n[{len(text) - OUTPUT_LIMIT:,} more characters]"
            if text.strip():
                yield fence(text, "text")
    elif kind == "heading":  # nbformat 3
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {source}"
    elif kind == "raw":
        yield fence(source)
    else:
        yield source


def _output(output: dict[str, Any]) -> str:
    """What a reader sees as text: printed lines, results, the error."""
    if output.get("output_type") in ("pyerr", "error"):
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
    data = output.get("data")
    plain = data.get("text/plain") if isinstance(data, dict) else None
    return _text(output.get("text")) or _text(plain)


def _text(value: Any) -> str:
    """A string, or the lines that nbformat stores instead of one."""
    if isinstance(value, str):
        return value
    lines: Iterable[Any] = value if isinstance(value, list) else ()
    return "".join(line for line in lines if isinstance(line, str))
