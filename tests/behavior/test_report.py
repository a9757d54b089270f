"""When the corpus report is out of date: computed from what it was built from, whatever was killed in between."""

from __future__ import annotations

from contextlib import contextmanager, suppress

import pyarrow as pa
import pytest

from assets.behavior.landing.folder import Landing
from assets.behavior.pipeline import BehaviorData
from tests.behavior.landing_tools import Folder, MemoryLake, august
from tests.fakes import HashEncoder

GAPS = (
    "variant", "kind", "doc_id", "topic", "failures", "users", "first_day", "last_day", "example_ids", "example_prompt",
)  # fmt: skip


class Warehouse:
    """Days are built from what the test says; `killed` names a step that does not come back."""

    def __init__(self) -> None:
        self.made_of: dict = {}
        self.killed = ""
        self.done: list[str] = []
        self.held = 0

    @contextmanager
    def locked(self):
        self.held += 1
        yield
        self.held -= 1

    def inputs(self, days):
        return {day: self.made_of.get(day, "first") for day in days}

    def load(self, days):
        pass

    def build(self, days):
        self._step("build")

    def build_whole(self):
        self._step("build_whole")

    def export_daily(self, days, inputs):
        self._step("export")
        return len(days)

    def gaps(self):
        self._step("gaps")
        return pa.table({name: pa.array([], pa.string()) for name in GAPS})

    def _step(self, name):
        assert self.held, f"{name} without the lock"
        if name == self.killed:
            raise KeyboardInterrupt
        self.done.append(name)


class History:
    empty = False


@pytest.fixture
def data():
    lake = MemoryLake()
    return BehaviorData(
        lake=lake, landing=Landing(lake, Folder()), warehouse=Warehouse(), history=History, encoder=HashEncoder()
    )


def test_report_is_up_to_date_before_anything_was_built_and_after_a_build(data):
    assert data.report_inputs() == ""
    data.gaps(refresh=True)
    assert data.warehouse.done == ["gaps"]
    data.marts([august(2)])
    assert data.report_inputs() == ""
    assert data.report_note().at


def test_report_is_out_of_date_when_other_marts_are_there(data):
    data.marts([august(2)])
    with data.building([august(3)]):
        pass  # a run of the daily models that comes no further
    assert data.report_inputs() == data.marts_version()
    with data.building_whole():
        pass
    assert data.report_inputs()  # the models are new, the report was not made of them yet
    data.gaps()
    assert data.report_inputs() == ""


def test_report_of_the_same_day_built_from_something_else_is_out_of_date(data):
    data.marts([august(2)])
    data.warehouse.made_of[august(2)] = "corrected"
    with data.building([august(2)]):
        pass
    assert data.report_inputs()


def test_asking_for_the_gaps_builds_what_is_out_of_date_and_only_that(data):
    with data.building([august(2)]):
        pass
    data.gaps()  # as it stands
    assert "build_whole" not in data.warehouse.done
    assert data.report_inputs()
    data.gaps(refresh=True)
    data.gaps(refresh=True)
    assert data.warehouse.done.count("build_whole") == 1
    assert data.report_inputs() == ""


@pytest.mark.parametrize("killed", ["build", "export", "build_whole", "gaps"])
def test_killed_step_leaves_the_report_out_of_date_until_it_is_built(data, killed):
    data.marts([august(2)])
    data.warehouse.made_of[august(2)] = "corrected"
    data.warehouse.killed = killed
    if killed in ("build", "export"):
        with pytest.raises(KeyboardInterrupt):
            data.marts([august(2)])
        assert august(2) in data.dirty_inputs()
    else:
        with data.building([august(2)]):
            pass
        with pytest.raises(KeyboardInterrupt):
            data.gaps(refresh=True)
        assert data.report_inputs()
    data.warehouse.killed = ""
    data.marts([august(2)])
    assert (data.report_inputs(), data.dirty_inputs()) == ("", {})


def test_report_converges_wherever_the_notes_are_cut_off(data, monkeypatch):
    """The process dies before the n-th note of a rebuild: the next look at the gaps puts it right."""
    data.marts([august(2)])
    write = MemoryLake.write_text
    for cut in range(3):
        data.warehouse.made_of[august(2)] = f"correction {cut}"
        left = [cut]

        def dies(lake, name, text, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            write(lake, name, text)

        monkeypatch.setattr(MemoryLake, "write_text", dies)
        with suppress(KeyboardInterrupt):
            data.marts([august(2)])
        monkeypatch.setattr(MemoryLake, "write_text", write)
        if data.dirty_inputs():
            data.marts([august(2)])
        data.gaps(refresh=True)
        assert (data.report_inputs(), data.dirty_inputs()) == ("", {})
