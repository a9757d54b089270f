from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from assets.behavior import reference
from assets.behavior.schemas import INTERACTIONS, partition
from assets.errors import CorruptState, EngineError
from orchestration.engines.lake import FolderLake
from tests.fakes import HashEncoder

START = date(2026, 9, 1)
NOW = datetime(2026, 10, 1, tzinfo=UTC)
PROMPTS = ["how many vacation days do I get", "which vpn port is used", "when is payday this month"]


@pytest.fixture
def lake(tmp_path):
    return FolderLake(tmp_path)


def days(count):
    return [START + timedelta(days=offset) for offset in range(count)]


def event(number, **more):
    known = dict.fromkeys(INTERACTIONS.names) | {
        "id": f"i-{number}",
        "occurred_at": NOW,
        "received_at": NOW,
        "variant": "main",
        "prompt": PROMPTS[number % 3],
        "response": "x" * 10,
        "passages": "[]",
        "feedback": "none",
        "topic": "leave",
        "tags": "[]",
    }
    return known | more


def put(lake, day, rows):
    lake.write(partition("interactions", day), pa.Table.from_pylist(rows, INTERACTIONS))


def fill(lake, count, **more):
    for offset, day in enumerate(days(count)):
        put(lake, day, [event(offset * 10 + number, **more) for number in range(6)])
    return days(count)


def freeze(lake, chosen, encoder=None, **more):
    known = {"reference_days": 3, "encoder": encoder or HashEncoder(), "now": NOW}
    return reference.freeze(lake, chosen, **(known | more))


def rows(lake):
    found = reference.load(lake)
    assert found is not None
    return {(row["variant"], row["topic"]): row for row in found.rows.to_pylist()}


def test_freeze_without_data_waits(lake):
    report = freeze(lake, [])
    assert (report.frozen, report.changed, report.waiting) == (False, False, {"": "0 of 3 days with data are built"})
    assert reference.load(lake) is None


def test_freeze_waits_for_enough_days(lake):
    report = freeze(lake, fill(lake, 2))
    assert not report.frozen
    assert lake.names("behavior/reference") == []
    assert freeze(lake, fill(lake, 3)).frozen


def test_freeze_uses_the_first_days_with_data_only(lake):
    for offset, day in enumerate(days(6)):
        put(lake, day, [event(number, response="x" * (offset * 10 + 1)) for number in range(6 if offset else 0)])
    report = freeze(lake, days(6))
    assert (report.first_day, report.last_day) == (START + timedelta(1), START + timedelta(3))
    assert rows(lake)[("main", "leave")]["style_median"] == 21.0


def test_freeze_waits_for_landed_days_that_are_not_built(lake):
    chosen = fill(lake, 6)
    lake.remove([partition("interactions", chosen[1])])
    report = freeze(lake, chosen)
    assert (report.frozen, report.waiting) == (False, {"": "1 of 3 days with data are built"})


def test_freeze_asks_no_encoder_where_every_prompt_has_a_topic(lake):
    encoder = HashEncoder()
    report = freeze(lake, fill(lake, 3), encoder)
    assert (report.frozen, report.topics, encoder.embedded) == (True, 0, [])
    found = reference.load(lake)
    assert found is not None
    assert found.assigner(encoder) is None


def test_freeze_measures_lengths_and_edits_by_topic(lake):
    corrected = ["one two three four five", "one two three four FIVE", "one two THREE FOUR FIVE", "ONE TWO", "x", None]
    for day in days(3):
        put(
            lake,
            day,
            [
                event(number, response="one two three four five", corrected_response=text)
                for number, text in enumerate(corrected)
            ]
            + [event(100 + number, topic="pay", response="é" * number) for number in range(2)],
        )
    freeze(lake, days(3))
    leave, pay = rows(lake)[("main", "leave")], rows(lake)[("main", "pay")]
    assert leave["style_median"] == 23.0
    assert leave["edit_p60"] == pytest.approx(0.76)  # of 0, 0.2, 0.6, 1, 1 three times each
    assert (pay["style_median"], pay["edit_p60"]) == (0.5, None)


def test_freeze_leaves_out_a_topic_with_too_few_answers(lake):
    chosen = fill(lake, 3)
    put(lake, chosen[0], [event(number) for number in range(6)] + [event(99, topic="rare")])
    freeze(lake, chosen)
    assert set(rows(lake)) == {("main", "leave")}


def test_freeze_assigns_topics_that_the_producer_left_out(lake):
    encoder = HashEncoder()
    chosen = fill(lake, 3, topic=None)
    report = freeze(lake, chosen, encoder)
    found = reference.load(lake)
    assert found is not None
    topics = found.assigner(encoder)
    assert topics is not None
    assert report.topics == len(topics.names) > 0
    assert {topic for _, topic in rows(lake)} <= set(topics.assign(PROMPTS))


def test_frozen_is_not_changed_by_later_days_late_events_or_corrections(lake):
    chosen = fill(lake, 3, topic=None)
    freeze(lake, chosen)
    before = {name: (lake.root / name).read_bytes() for name in lake.names("behavior/reference")}
    fill(lake, 5, topic=None, response="another length", prompt="something else altogether")
    report = freeze(lake, days(5))
    assert (report.frozen, report.changed) == (True, False)
    assert {name: (lake.root / name).read_bytes() for name in lake.names("behavior/reference")} == before


def test_frozen_stays_through_releases_until_forced_and_is_then_made_of_the_same_days(lake):
    chosen = fill(lake, 3)
    freeze(lake, chosen)
    for day in (START + timedelta(3), START + timedelta(4)):
        put(lake, day, [event(number, response="x" * 90, release_id="r2") for number in range(6)])
    fill(lake, 3, response="x" * 50)
    assert not freeze(lake, days(5)).changed
    assert rows(lake)[("main", "leave")]["style_median"] == 10.0
    report = freeze(lake, days(5), force=True)
    assert (report.changed, report.first_day, report.last_day) == (True, chosen[0], chosen[-1])
    assert rows(lake)[("main", "leave")]["style_median"] == 50.0


def test_a_new_variant_is_added_when_it_has_days_of_its_own(lake):
    chosen = fill(lake, 6)
    first = freeze(lake, chosen)
    for offset in (3, 4, 5):
        put(
            lake,
            chosen[offset],
            [event(n, response="y") for n in range(6)] + [event(50 + n, variant="legal") for n in range(6)],
        )
        report = freeze(lake, chosen)
        assert report.changed is (offset == 5)
        assert report.waiting == ({} if offset == 5 else {"legal": f"{offset - 2} of 3 days with data are built"})
    assert rows(lake)[("main", "leave")]["style_median"] == 10.0
    assert ("legal", "leave") in rows(lake)
    assert report.digest != first.digest
    assert set(reference.load(lake).days) == {"main", "legal"}


def test_topics_are_frozen_while_every_variant_still_lacks_days(lake):
    for offset, day in enumerate(days(3)):
        put(lake, day, [event(number, topic=None, variant="odd" if offset % 2 else "even") for number in range(6)])
    report = freeze(lake, days(3))
    assert (report.frozen, report.thresholds, sorted(report.waiting)) == (True, 0, ["even", "odd"])
    assert report.topics > 0
    assert not freeze(lake, days(3)).changed


def test_named_variants_that_are_frozen_cost_no_reading(lake):
    chosen = fill(lake, 3)
    freeze(lake, chosen)
    lake.remove([partition("interactions", day) for day in chosen])
    assert freeze(lake, chosen, variants=["main"]).frozen


def test_digest_is_that_of_the_content(lake, tmp_path):
    other = FolderLake(tmp_path / "other")
    first, second = freeze(lake, fill(lake, 3)), freeze(other, fill(other, 3), now=NOW + timedelta(days=9))
    assert first.digest == second.digest
    fill(lake, 3, response="longer than before")
    assert freeze(lake, days(3), force=True).digest != first.digest


def test_a_kill_between_the_two_files_leaves_nothing_frozen(lake):
    chosen = fill(lake, 3, topic=None)
    freeze(lake, chosen)
    stale = lake.read(reference.DATA)
    fill(lake, 3, topic=None, prompt="another prompt")
    freeze(lake, chosen, force=True)
    lake.write(reference.DATA, stale)
    assert reference.load(lake) is None
    assert freeze(lake, chosen).changed
    assert reference.load(lake) is not None


def test_another_encoder_is_refused_with_what_to_do(lake):
    freeze(lake, fill(lake, 3, topic=None))
    found = reference.load(lake)
    assert found is not None
    with pytest.raises(EngineError, match=r"freeze the topics again"):
        found.assigner(HashEncoder("another"))


def test_load_refuses_a_table_of_somebody_else(lake):
    freeze(lake, fill(lake, 3))
    table = lake.read(reference.DATA)
    assert table is not None
    lake.write(reference.DATA, table.replace_schema_metadata(None))
    with pytest.raises(CorruptState, match="of which days"):
        reference.load(lake)


def test_two_freezes_at_once_make_one(lake):
    chosen = fill(lake, 3, topic=None)
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(freeze(lake, chosen))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.changed for report in reports) == [False, False, True]
