"""What is served at each moment: the pointer moves, files are tampered with, history is damaged; nobody restarts."""

from __future__ import annotations

import os
import threading

import pytest

from assets.errors import CorruptState, ModelError
from assets.prompting import TEMPLATES
from assets.serving.release import Move, Release
from assets.serving.watching import Watch
from orchestration.engines.lake import FolderLake
from tests.serving.models import PROMPT, START, House, write


class Counting:
    """The house's releases, and how often files were hashed."""

    def __init__(self, house: House) -> None:
        self.house, self.verified = house, 0
        self.moves, self.served, self.folders = house.releases.moves, house.releases.served, house.releases.folders

    def verify(self, release: Release) -> None:
        self.verified += 1
        self.house.releases.verify(release)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path, FolderLake(tmp_path / "lake"))


@pytest.fixture
def counting(house):
    return Counting(house)


@pytest.fixture
def watch(counting):
    return watched(counting)


def watched(counting, **options) -> Watch:
    usual = lambda variant, adapter: frozenset({f"{variant} {adapter}"})  # noqa: E731
    return Watch(counting, base=lambda: "b0", template=TEMPLATES["evidence"], usual=usual, **options)


def release(house: House, adapter: str, variant: str = "main") -> str:
    made = Release("b1", adapter, PROMPT, "encoder", "index-7")
    if not house.adapter(made).exists():
        write(house.adapter(made), f"weights of {adapter}")
    now = house.releases.moves.now(variant)
    id = house.releases.propose(variant, made, promoted=True, sentence="better", against=now.id if now else "base").id
    return house.releases.promote(variant, id, why="better", by="ann").id


def tamper(house: House, adapter: str) -> None:
    """Other bytes of the same size and time of change."""
    file = house.folder / "adapters" / adapter / "model.safetensors"
    before = file.stat()
    file.write_text(file.read_text().replace("weights", "WEIGHTS"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_nothing_released_is_the_base_alone(watch):
    current = watch.current("main")
    assert (current.release_id, current.base, current.adapter, current.folder) == ("base", "b0", "", None)
    assert (current.prompt, current.problems) == (PROMPT, ())


def test_pointer_is_followed_and_files_are_hashed_once_a_move(house, counting, watch):
    assert watch.current("main").release_id == "base"
    first = release(house, "a1")
    for _ in range(5):
        assert watch.current("main").release_id == first
    assert counting.verified == 1
    second = release(house, "a2")
    now = watch.current("main")
    assert (now.release_id, now.adapter, now.folder) == (second, "a2", house.folder / "adapters" / "a2")
    assert now.usual == {"main a2"}
    house.releases.rollback("main", why="worse", by="ann")
    assert watch.current("main").release_id == first
    assert counting.verified == 3


def test_variants_are_watched_apart(house, watch):
    main, api = release(house, "a1"), release(house, "j1", variant="api")
    assert (watch.current("main").release_id, watch.current("api").release_id) == (main, api)
    assert watch.current("legal").release_id == "base"


def test_tampered_adapter_is_not_served_and_the_last_good_one_is(house, watch):
    first, second = release(house, "a1"), release(house, "a2")
    assert watch.current("main").release_id == second
    tamper(house, "a2")
    now = watch.current("main")
    assert (now.release_id, now.adapter) == (first, "a1")
    assert second in now.problems[0]
    assert "is not what was released" in now.problems[0]
    tamper_back = house.folder / "adapters" / "a2" / "model.safetensors"
    tamper_back.write_text("weights of a2")
    assert (watch.current("main").release_id, watch.current("main").problems) == (second, ())


def test_folder_that_has_gone_or_can_run_code_is_not_served(house, watch):
    first, second = release(house, "a1"), release(house, "a2")
    (house.folder / "adapters" / "a2" / "model.safetensors").unlink()
    assert watch.current("main").release_id == first
    (house.folder / "adapters" / "a1" / "evil.py").write_text("import os")
    now = watch.current("main")
    assert (now.release_id, now.base, len(now.problems)) == ("base", "b0", 2)
    assert second in now.problems[0]


def test_base_that_is_another_is_answered_by_alone(house, watch):
    release(house, "a1")
    watch.current("main")
    (house.base / "model.safetensors").write_text("another base")
    assert watch.current("main").release_id == "base"


@pytest.mark.parametrize("prompt", ["evidence@000000000000", "poems@1", "evidence", ""])
def test_release_of_other_prompts_is_not_served(house, watch, prompt):
    first = release(house, "a1")
    made = house.releases.sealed(Release("b1", "a1", prompt))
    former = house.releases.moves.now("main")
    house.releases.moves.append("main", Move(2, "promote", made, START.isoformat(), "w", "b", former.name, former.name))
    now = watch.current("main")
    assert now.release_id == first
    assert "this version of Twohands writes" in now.problems[0]


def test_damaged_pointer_serves_what_was_served_before(house, watch, counting):
    first = release(house, "a1")
    assert watch.current("main").release_id == first
    house.lake.write_text("serving/releases/main/pointer", "rubbish")
    now = watch.current("main")
    assert now.release_id == first
    assert "damaged" in now.problems[0]
    with pytest.raises(CorruptState):
        watched(counting).current("main")


def test_files_decide_nothing_where_another_machine_has_the_models(house, counting):
    second = release(house, "a2")
    tamper(house, "a2")
    elsewhere = watched(counting, files=False)
    assert elsewhere.current("main").release_id == second
    assert counting.verified == 0


def test_base_that_cannot_be_named_is_an_error(counting):
    def missing() -> str:
        raise ModelError("The base is not there")

    with pytest.raises(ModelError, match="not there"):
        Watch(counting, base=missing, template=TEMPLATES["evidence"]).current("main")


def test_many_threads_see_a_release_or_the_one_before(house, watch, counting):
    ids = ["base", *(release(house, f"a{n}") for n in range(3))]
    before, seen, done = counting.verified, set(), threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(watch.current("main").release_id)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        house.releases.rollback("main", why="w", by="b", to=ids[1])
        house.releases.promote("main", ids[3], why="w", by="b")
    done.set()
    for thread in threads:
        thread.join()
    assert seen <= set(ids[1:])
    assert counting.verified - before <= 42  # hashed by one thread for each move, and not by each thread
