"""How values are shown to people in the UI. Text of documents and of users is quoted as code, so that nothing in it can
format, link or load anything there. `Markdown` marks strings that hold Markdown.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

ROWS = 12  # of a table in the UI
CHARACTERS = 240  # of a quoted text


class Markdown(str):
    """A string that holds Markdown."""

    __slots__ = ()


Metadata = dict[str, int | float | str | Markdown]


def counted(number: int, one: str, many: str = "") -> str:
    """1 line, 2 lines, 5,000 lines; `many` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def picture(title: str, draw: Callable[[Any], None]) -> Markdown:
    """A small PNG inside Markdown; `draw` gets the axes."""
    return Markdown(f"![{title}](data:image/png;base64,{base64.b64encode(png(title, draw)).decode()})")


def png(title: str, draw: Callable[[Any], None], size: tuple[float, float] = (5, 2.4)) -> bytes:
    """A PNG; `draw` gets the axes, `size` is in inches at 110 dots each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, parse_math=False)  # names may hold a $
    draw(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def legend(axes: Any, **options: Any) -> None:
    """Each label once, however often it was drawn; right of the axes if `options` do not say where."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels[::-1], handles[::-1], strict=True))
    names = list(dict.fromkeys(labels))
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "fontsize": 6}
    axes.legend([once[name] for name in names], names, **(options or beside))


def bullets(items: Sequence[str]) -> Markdown:
    """A list of quoted texts, the first ROWS of them."""
    shown = [f"- {code(item)}" for item in items[:ROWS]]
    return Markdown("\n".join([*shown, *_more(len(items))]))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int = ROWS) -> Markdown:
    """A table of quoted texts, the first `most` of them."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(code(cell) if cell.strip() else "" for cell in row) + " |" for row in rows[:most]]
    return Markdown("\n".join([*lines, "", *_more(len(rows), most)]))


def code(text: str) -> str:
    """A short text on one line, quoted."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "¦")[:CHARACTERS] + "`"


def block(text: str) -> str:
    """A longer text, quoted as it stands."""
    cut = text if len(text) <= CHARACTERS else text[:CHARACTERS] + " ..."
    return "\n".join("    " + line for line in cut.splitlines())


def _more(count: int, most: int = ROWS) -> list[str]:
    return [f"\n... and {count - most} more"] if count > most else []
