"""Evidently's DataDriftPreset, on one row an interaction: windows of a day or a week against the reference.

`report` runs the preset itself. Its plots cost twenty times what its tests do, so that streams are run through the
library's own choice of test, its own tests and thresholds without them; `agrees` checks that both say the same.
The preset says "drift" when half of the columns drift. To be tuned, it may look at the columns of behavior alone, with
one distance (Jensen-Shannon), and fire when any drifts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

os.environ.setdefault("DO_NOT_TRACK", "1")  # Evidently reports its use to its makers otherwise

from benchmarks.shift.peers.base import LIMIT, NotInstalled, Watcher
from benchmarks.shift.streams import Stream

if TYPE_CHECKING:
    import pandas as pd

BEHAVIOR = ("fail", "schema_bad", "style")
COLUMNS = ("topic", "know", "edit", *BEHAVIOR)
SHARE = 0.5  # of drifted columns, the preset's default


def series(counts: Sequence[float], limit: int = LIMIT) -> pd.Series:
    """A column with so many rows of each value; of more than `limit` rows a proportional part."""
    import pandas as pd

    sizes = np.asarray(counts, float)
    if sizes.sum() > limit:
        sizes = np.round(sizes * limit / sizes.sum())
    return pd.Series(np.repeat([f"v{value}" for value in range(len(sizes))], sizes.astype(int)), dtype=object)


class Columns:
    """The columns of a stream by window."""

    def __init__(self, stream: Stream, days: int) -> None:
        self.stream, self.days = stream, days
        self.names = [name for name in COLUMNS if name == "topic" or name in stream.counts]
        self.reference = {name: self._column(name, 0, stream.reference, days=28) for name in self.names}

    def windows(self) -> Iterator[tuple[int, dict[str, pd.Series]]]:
        """(last monitored day, columns with any row)."""
        for last in range(self.days - 1, self.stream.days, self.days):
            end = self.stream.reference + last + 1
            found = {name: self._column(name, end - self.days, end, days=self.days) for name in self.names}
            yield last, {name: col for name, col in found.items() if len(col) and len(self.reference[name])}

    def _column(self, name: str, start: int, end: int, days: int) -> pd.Series:
        if name == "topic":
            return series(self.stream.counts["labelled"].n[start:end].sum(0), LIMIT * days)
        n, s = (table[start:end].sum() for table in self.stream.counts[name])
        return series([n - s, s], LIMIT * days)


def drift(reference: pd.Series, current: pd.Series, method: str | None = None) -> tuple[float, bool]:
    """(score, drifted) of one column by the library's test, its own choice where none is named."""
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    test = get_stattest(reference, current, ColumnType.Categorical, method)
    found = test(reference, current, ColumnType.Categorical, None)
    return float(found.drift_score), bool(found.drifted)


def report(reference: dict[str, pd.Series], current: dict[str, pd.Series]) -> float:
    """Share of drifted columns by DataDriftPreset itself."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = list(current)
    about = DataDefinition(categorical_columns=names)
    frames = [pd.DataFrame({name: part[name] for name in names}) for part in (current, reference)]
    now, before = (Dataset.from_pandas(frame, data_definition=about) for frame in frames)
    metrics: list[dict[str, Any]] = Report([DataDriftPreset()]).run(now, before).dict()["metrics"]
    return float(next(m["value"]["share"] for m in metrics if m["metric_name"].startswith("DriftedColumnsCount")))


def agrees(stream: Stream, days: int, windows: int = 5) -> int:
    """Compares the preset with its tests run apart; returns the number of windows. AssertionError where they differ."""
    columns = Columns(stream, days)
    for number, (last, current) in enumerate(columns.windows()):
        if number == windows:
            break
        share = np.mean([drift(columns.reference[name], column)[1] for name, column in current.items()])
        said = report(columns.reference, current)
        if abs(said - share) > 1e-9:
            raise AssertionError(f"day {last}: the preset says {said}, its tests say {share}")
    return windows


class EvidentlyPreset(Watcher):
    """As it comes: half of the columns."""

    default = SHARE

    def __init__(self, days: int) -> None:
        try:
            import evidently  # noqa: F401
        except ImportError as error:
            raise NotInstalled(f"{error}; pip install -e '.[bench]'") from error
        self.days = days
        self.name = f"Evidently {'daily' if days == 1 else 'weekly'}"

    def firsts(self, stream: Stream, settings: Sequence[float]) -> list[int | None]:
        columns = Columns(stream, self.days)
        found: list[int | None] = [None] * len(settings)
        for last, current in columns.windows():
            score = self.score(columns.reference, current)
            for place, setting in enumerate(settings):
                if found[place] is None and score >= setting:
                    found[place] = last
            if all(day is not None for day in found):
                break
        return found

    def score(self, reference: dict[str, pd.Series], current: dict[str, pd.Series]) -> float:
        return float(np.mean([drift(reference[name], column)[1] for name, column in current.items()]))


class EvidentlyBehavior(EvidentlyPreset):
    """Tuned: any column of behavior, by its Jensen-Shannon distance; the setting is the distance."""

    default = None
    grid = (0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25, 0.3, 0.4, 0.6)

    def __init__(self, days: int) -> None:
        super().__init__(days)
        self.name += ", behavior columns"

    def score(self, reference: dict[str, pd.Series], current: dict[str, pd.Series]) -> float:
        scores = [drift(reference[name], current[name], "jensenshannon")[0] for name in BEHAVIOR if name in current]
        return max(scores, default=0.0)
