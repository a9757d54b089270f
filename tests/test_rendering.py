"""What is shown to people in the UI: others' texts are quoted, and a table's empty cells stay empty."""

from __future__ import annotations

from assets.rendering import table


def test_table_quotes_its_cells_and_leaves_empty_ones_empty():
    rows = table(("filter", "left out"), [("a|b `c`", "5"), ("candidates", " ")]).splitlines()[2:4]
    assert rows == ["| `a¦b 'c'` | `5` |", "| `candidates` |  |"]
