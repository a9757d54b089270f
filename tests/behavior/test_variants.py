"""Who counts interactions of variants that twohands.toml lacks, and from what."""

from __future__ import annotations

import pyarrow as pa
import pytest

from assets.behavior import variants
from assets.behavior.landing.folder import Landing
from assets.behavior.pipeline import BehaviorData, Options
from assets.behavior.schemas import DAILY, partition
from tests.behavior.landing_tools import Desk, Folder, MemoryLake, august, event, line
from tests.behavior.test_report import History, Warehouse
from tests.fakes import HashEncoder


class Counting(Warehouse):
    """A build writes the counts that the test names: {day: {variant: interactions}}."""

    def __init__(self, lake) -> None:
        super().__init__()
        self.lake, self.found = lake, {}

    def export_daily(self, days, inputs):
        for day in days:
            rows = [
                {"day": day, "variant": name, "topic": topic, "event": seen, "n": n, "S": 0}
                for name, n in self.found.get(day, {}).items()
                for topic in ("a", "b")
                for seen in ("labelled", "style")
            ]
            self.lake.remove([partition("daily", day)])
            if rows:
                self.lake.write(partition("daily", day), pa.Table.from_pylist(rows, DAILY))
        return super().export_daily(days, inputs)


@pytest.fixture
def data():
    lake = MemoryLake()
    return BehaviorData(
        lake=lake, landing=Landing(lake, Folder()), warehouse=Counting(lake), history=History, encoder=HashEncoder(),
        options=Options(variants=("main", "legal")),
    )  # fmt: skip


def built(data, **days) -> BehaviorData:
    """Builds august2={"main": 3}, ...: so many interactions of each of two topics."""
    data.warehouse.found = {august(int(name.removeprefix("august"))): found for name, found in days.items()}
    data.marts(list(data.warehouse.found))
    return data


def test_unknown_variants_are_counted_over_all_built_days_largest_first(data):
    built(data, august2={"main": 9, "odd": 1}, august3={"legal": 4, "odd": 1, "nosuch": 3})
    assert list(data.unknown_variants().items()) == [("nosuch", 6), ("odd", 4)]


def test_unknown_variants_of_a_rebuilt_day_are_counted_anew(data):
    built(data, august2={"odd": 3}, august3={"odd": 5})
    assert built(data, august2={"main": 3}).unknown_variants() == {"odd": 10}
    assert built(data, august3={}).unknown_variants() == {}


def test_unknown_variants_are_looked_up_in_two_notes_alone(data):
    built(data, **{f"august{day}": {"odd": 1} for day in range(2, 20)})
    data.lake.reads.clear()
    assert data.unknown_variants() == {"odd": 36}
    assert data.lake.reads == []  # no table


def test_unknown_variants_of_days_that_were_built_before_there_was_a_note_are_counted(data):
    built(data, august2={"odd": 2}, august3={"main": 2})
    data.lake.remove([variants.NOTE])
    assert data.unknown_variants() == {"odd": 4}
    assert variants.NOTE not in data.lake.stored  # a look writes nothing
    assert built(data, august3={"main": 2}).unknown_variants() == {"odd": 4}
    data.lake.reads.clear()
    assert (data.unknown_variants(), data.lake.reads) == ({"odd": 4}, [])


def test_unknown_variants_of_days_that_are_being_built_take_the_place_of_former_ones(data):
    built(data, august2={"odd": 2}, august3={"odd": 1})
    assert data.unknown_variants({august(2): {"main": 5}, august(4): {"new": 7}}) == {"new": 7, "odd": 2}


def test_a_kill_before_the_build_is_noted_leaves_counts_that_the_next_build_corrects(data, monkeypatch):
    built(data, august2={"odd": 2})
    write = MemoryLake.write_text

    def dies(lake, name, text):
        if name == "behavior/built.json":
            raise KeyboardInterrupt
        write(lake, name, text)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryLake, "write_text", dies)
        with pytest.raises(KeyboardInterrupt):
            built(data, august2={"odd": 3}, august3={"odd": 1})
    assert built(data, august2={"odd": 1}, august3={"odd": 1}).unknown_variants() == {"odd": 4}


def test_a_day_says_how_many_interactions_each_variant_has():
    desk = Desk({"a.jsonl": line(event("a"), event("b", variant="odd"), event("c", variant="odd"), event("d", 3))})
    desk.tick()
    assert {day: report.variants for day, report in desk.build().items()} == {
        august(2): {"main": 1, "odd": 2},
        august(3): {"main": 1},
    }


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        ({}, ""),
        ({"nosuch": 1}, "1 interaction of variants that twohands.toml lacks: nosuch"),
        ({"nosuch": 1_200, "odd": 2}, "1,202 interactions of variants that twohands.toml lacks: nosuch, odd"),
        ({"a\x1b[2J\n": 2}, "2 interactions of variants that twohands.toml lacks: a?[2J?"),
        (dict.fromkeys("abcdefg", 1), "7 interactions of variants that twohands.toml lacks: a, b, c, d, e, ..."),
    ],
)
def test_told_names_the_largest_in_one_line(unknown, said):
    assert variants.told(unknown) == said
