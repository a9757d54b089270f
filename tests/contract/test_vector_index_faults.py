"""What every index engine must survive: kills, two writers, readers during updates, a folder that disappears."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from assets.errors import EngineBusy, TwohandsError
from assets.ports import Query
from tests.contract.engines import (
    OTHER_SCHEMA,
    SCHEMA,
    Engine,
    generation,
    passage,
    publish,
    vector,
    vectors,
)

ROOT = Path(__file__).parents[2]


def start(engine: Engine, place: Path, task: str, *rest: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contract.index_worker", engine.name, str(place), task, *rest]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(engine: Engine, place: Path, task: str, *rest: str):
    """A worker process that has said that it is ready; killed at the end."""
    worker = start(engine, place, task, *rest)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        yield worker
    finally:
        worker.kill()
        worker.communicate()


def texts(index) -> list[str]:
    published = index.published()
    assert published is not None
    return sorted(each.text for each in published.passages())


def assert_works(index, before: list[str]) -> None:
    """Exactly `before` is published, and the next candidate starts there and can be published."""
    assert texts(index) == before
    published = index.published()
    assert sorted(hit.passage.text for hit in published.search(Query("generation", vector("x"), k=50))) == before
    fresh = passage(f"after the fault {len(before)}")
    with index.candidate(SCHEMA) as candidate:
        assert not candidate.rebuilt
        assert sorted(each.text for each in candidate.passages()) == before
        candidate.add([fresh], vectors([fresh]))
        candidate.publish()
    assert texts(index) == sorted([*before, fresh.text])


@pytest.mark.parametrize("moment", ["entered", "added", "deleted", "searched", "rebuilt"])
def test_a_writer_killed_inside_a_candidate_leaves_what_was_published(engine: Engine, place, index, moment):
    publish(index, generation(1))
    worker = start(engine, place, moment)
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == -9, errors
    assert_works(engine.open(place, 5), [each.text for each in generation(1)])
    assert_works(index, texts(index))


def test_a_writer_killed_before_the_first_publish_leaves_nothing(engine: Engine, place):
    worker = start(engine, place, "added")
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == -9, errors
    index = engine.open(place, 5)
    assert index.published() is None
    publish(index, generation(1))
    assert texts(index) == [each.text for each in generation(1)]


@pytest.mark.parametrize("seconds", [0.05, 0.23, 0.5])
def test_a_writer_killed_at_any_time_leaves_one_whole_generation(engine: Engine, place, index, seconds):
    publish(index, generation(1))
    with running(engine, place, "publish_forever") as worker:
        time.sleep(seconds)
        worker.kill()
        worker.communicate()
    seen = texts(index)
    number = int(seen[0].split()[1])
    assert seen == [each.text for each in generation(number)]
    assert_works(index, seen)


def test_readers_of_this_process_never_see_a_torn_document(index):
    publish(index, generation(0))
    stop, seen, failures = threading.Event(), set(), []

    def read() -> None:
        while not stop.is_set():
            try:
                published = index.published()
                found = sorted(each.text for each in published.passages())
                hits = published.search(Query("generation", vector("x"), k=50))
            except TwohandsError as error:
                failures.append(str(error))
                continue
            numbers = {text.split()[1] for text in found}
            if len(numbers) != 1 or len(found) != 6 or sorted(hit.passage.text for hit in hits) != found:
                failures.append(f"{found} and {[hit.passage.text for hit in hits]}")
            seen.update(numbers)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 11):
        publish(index, generation(number))
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(seen) > 1, "the readers saw the updates happen"


def test_readers_of_another_process_keep_answering_through_updates_and_a_rebuild(
    engine: Engine, place, index, tmp_path
):
    name = publish(index, generation(0))
    expected = {name: (generation(0), SCHEMA)}
    stop = tmp_path / "stop"
    with running(engine, place, "watch", str(stop)) as worker:
        for number in range(1, 9):
            schema = OTHER_SCHEMA if number in (3, 4) else SCHEMA
            expected[publish(index, generation(number), schema)] = (generation(number), schema)
            time.sleep(0.1)
        index.maintain()
        time.sleep(0.2)
        stop.touch()
        output, _ = worker.communicate(timeout=30)
    report = json.loads(output)
    assert report["errors"] == []
    assert report["reads"] >= 5
    assert len(report["seen"]) >= 3
    for name, seen in report["seen"].items():
        passages, schema = expected[name]
        assert seen["texts"] == seen["found"] == [each.text for each in passages]
        assert seen["encoder"] == schema.encoder


def test_a_second_writer_is_told_who_holds_the_index(engine: Engine, place, index):
    with index.candidate(SCHEMA) as candidate:
        candidate.add([passage("a")], vectors([passage("a")]))
        began = time.monotonic()
        with pytest.raises(EngineBusy, match="written by"), engine.open(place, 0.2).candidate(SCHEMA) as other:
            other.count()
        assert time.monotonic() - began < 5
        candidate.publish()
    assert texts(index) == [passage("a").text]


def test_a_second_writer_waits_for_the_first(engine: Engine, place, index):
    entered, ready = threading.Event(), threading.Event()

    def first() -> None:
        with index.candidate(SCHEMA) as candidate:
            entered.set()
            ready.wait(10)
            time.sleep(0.3)
            candidate.add([passage("a")], vectors([passage("a")]))
            candidate.publish()

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(20)
    ready.set()
    with engine.open(place, 20).candidate(SCHEMA) as candidate:
        assert list(candidate.keys()) == [passage("a").chunk_id], "it starts from what the first one published"
    thread.join()


def test_a_writer_in_another_process_is_waited_for_until_it_is_killed(engine: Engine, place, index):
    publish(index, generation(1))
    with running(engine, place, "hold") as worker:
        with pytest.raises(EngineBusy), engine.open(place, 0.2).candidate(SCHEMA):
            pass
        worker.kill()
        worker.communicate()
        assert_works(index, [each.text for each in generation(1)])


def test_an_index_that_was_deleted_underneath_is_published_anew(engine: Engine, place, index):
    publish(index, generation(1))
    held = index.published()
    engine.destroy(place)
    assert index.published() is None
    try:
        list(held.passages())
        held.search(Query("generation", vector("x")))
    except TwohandsError:
        pass  # or an answer from memory: both are honest
    with index.candidate(SCHEMA) as candidate:
        assert candidate.rebuilt
        assert candidate.count() == 0
    assert index.published() is None
    publish(index, generation(2))
    assert texts(index) == [each.text for each in generation(2)]
    hits = index.published().search(Query("generation", vector("x"), k=10))
    assert sorted(hit.passage.text for hit in hits) == texts(index)


def test_an_index_that_is_deleted_inside_a_candidate_is_published_anew(engine: Engine, place, index):
    publish(index, generation(1))

    def change() -> None:
        with index.candidate(SCHEMA) as candidate:
            engine.destroy(place)
            candidate.add(generation(2), vectors(generation(2)))
            candidate.publish()

    with pytest.raises(TwohandsError):
        change()
    publish(index, generation(3))
    assert texts(index) == [each.text for each in generation(3)]
