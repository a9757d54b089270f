"""PPTX as Markdown through python-pptx: a slide is a section under its title, with its notes at the end."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from assets.knowledge.formats import base, ooxml
from assets.knowledge.formats.base import Parsed


def read_pptx(data: bytes) -> Parsed:
    """A PowerPoint presentation."""
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - lxml has no stubs
    from pptx import Presentation
    from pptx.exc import PythonPptxError

    ooxml.check_size(data)
    try:
        slides = list(Presentation(io.BytesIO(data)).slides)
        titles, date, metadata = ooxml.properties(data)
        walk = _Walk()
        text = base.joined(block for number, slide in enumerate(slides, start=1) for block in walk.slide(slide, number))
    except (PythonPptxError, KeyError, ValueError, AttributeError, zipfile.BadZipFile, etree.LxmlError) as error:
        raise ooxml.corrupt("PowerPoint", error) from error
    if not walk.said:
        text = ""
    titles = [title for title in titles if title.lower() not in ("powerpoint presentation", "slide 1", "presentation")]
    return Parsed(text, titles, date, walk.links, {"type": "pptx", "slides": str(len(slides))} | metadata)


class _Walk:
    """Slides to Markdown blocks."""

    def __init__(self) -> None:
        self.links: list[str] = []
        self.said = False  # whether any slide has text of its own

    def slide(self, slide: Any, number: int) -> list[str]:
        """One slide: its title as a heading, its shapes in reading order, its notes."""
        title = slide.shapes.title
        name = base.one_line(title.text_frame.text) if title is not None else ""
        skip = title.shape_id if title is not None else None
        blocks = [block for shape in _ordered(slide.shapes, skip) for block in self._shape(shape)]
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            blocks += [base.escaped(f"Notes: {notes}")] if notes else []
        self.said = self.said or bool(name) or any(block.strip() for block in blocks)
        return [base.heading(2, name or f"Slide {number}"), *blocks]

    def _shape(self, shape: Any) -> list[str]:
        if getattr(shape, "has_table", False) and shape.has_table:
            return [base.table([[cell.text for cell in row.cells] for row in shape.table.rows])]
        if getattr(shape, "has_chart", False) and shape.has_chart:
            return [_chart(shape.chart)]
        if shape.has_text_frame:
            return [self._frame(shape.text_frame)]
        return []

    def _frame(self, frame: Any) -> str:
        """Several paragraphs in one frame are bullets, as most layouts show them; one is a paragraph."""
        lines = [(p.level, self._paragraph(p)) for p in frame.paragraphs]
        lines = [(level, text) for level, text in lines if text]
        if len(lines) < 2:
            return base.escaped(lines[0][1]) if lines else ""
        return "\n".join(f"{'    ' * min(level, 5)}- {text}" for level, text in lines)

    def _paragraph(self, paragraph: Any) -> str:
        for run in paragraph.runs:
            target = run.hyperlink.address
            if target:
                self.links.append(target)
        return base.one_line(paragraph.text.replace("\v", " "), 20_000)


def _ordered(shapes: Iterable[Any], skip: int | None) -> Iterator[Any]:
    """Shapes from top to bottom and left to right, groups opened, without the title and slide numbers."""
    leaves = [shape for shape in _leaves(shapes) if shape.shape_id != skip and not _is_furniture(shape)]
    yield from sorted(leaves, key=lambda shape: (shape.top or 0, shape.left or 0))


def _leaves(shapes: Iterable[Any]) -> Iterator[Any]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _leaves(shape.shapes)
        else:
            yield shape


def _is_furniture(shape: Any) -> bool:
    """Date, footer and slide number (13, 15, 16 of PP_PLACEHOLDER): the same on every slide."""
    return shape.is_placeholder and shape.placeholder_format.type in (13, 15, 16)


def _chart(chart: Any) -> str:
    """A chart as the table behind it."""
    title = (
        base.one_line(chart.chart_title.text_frame.text) if chart.has_title and chart.chart_title.has_text_frame else ""
    )
    plot = next(iter(chart.plots), None)
    if plot is None:
        return title
    names = [str(category) for category in plot.categories]
    rows = [
        [title, *names],
        *([str(s.name), *(f"{v:g}" if v is not None else "" for v in s.values)] for s in plot.series),
    ]
    return base.table(rows)
