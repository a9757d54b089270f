"""The pointer: what it points to, where a rollback leads, and who is refused."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import CorruptState, GateRefused, ModelError
from assets.serving import candidates
from assets.serving.release import Moves, Release, UnknownRelease
from assets.serving.releases import NothingBefore
from orchestration.engines.lake import FolderLake, open_lake
from tests.serving.models import PROMPT, House, other_prompts, write


@pytest.fixture
def house(tmp_path):
    return House(tmp_path, FolderLake(tmp_path / "lake"))


def in_force(house: House) -> str:
    return house.releases.served("main").id


def test_before_any_release_the_base_answers(house):
    assert house.releases.moves.now("main") is None
    assert house.releases.moves.since("main") == ("base", None)
    assert in_force(house) == "base"
    assert list(house.releases.moves.back("main")) == []


def test_promoted_release_is_the_pointer(house):
    id = house.propose("a1")
    move = house.releases.promote("main", id, why="an adapter that cites", by="ann")
    assert house.releases.moves.now("main") == move
    assert move.pointer == {
        "index": "index-7",
        "base": "b1",
        "adapter": "a1",
        "prompt": PROMPT,
        "encoder": "encoder",
        "created": "2026-11-05T14:00:00.000+00:00",
        "why": "an adapter that cites",
    }
    assert (move.number, move.id, move.gate, move.forced, move.by) == (1, id, "Promote: better.", False, "ann")
    assert house.releases.moves.since("main") == (id, date(2026, 11, 6))  # the first whole day
    assert house.releases.moves.now("legal") is None


def test_promoting_what_is_in_force_moves_nothing(house):
    first = house.promote("a1")
    assert house.releases.promote("main", first, why="again", by="bob").number == 1
    assert len(list(house.releases.moves.back("main"))) == 1
    house.releases.rollback("main", why="w", by="ann")
    assert house.releases.promote("main", "base", why="again", by="bob").action == "rollback"  # it has no files


def test_rollback_restores_the_former_release_and_then_the_one_before(house):
    first, second = house.promote("a1"), house.promote("a2")
    assert house.releases.rollback("main", why="worse", by="ann").id == first
    assert in_force(house) == first
    third = house.promote("a3")
    assert house.releases.rollback("main", why="worse", by="ann").id == first  # and not a2, which was left
    assert house.releases.rollback("main", why="worse", by="ann").id == "base"
    assert house.releases.moves.since("main")[0] == "base"
    with pytest.raises(NothingBefore, match="the base alone answers"):
        house.releases.rollback("main", why="worse", by="ann")
    told = [(move.action, move.id) for move in house.releases.moves.back("main")][::-1]
    assert told == [
        ("promote", first), ("promote", second), ("rollback", first), ("promote", third), ("rollback", first),
        ("rollback", "base"),
    ]  # fmt: skip


def test_rollback_to_a_release_of_the_past(house):
    ids = [house.promote(f"a{n}") for n in range(4)]
    assert house.releases.rollback("main", why="w", by="ann", to=ids[1]).id == ids[1]
    assert house.releases.rollback("main", why="w", by="ann").id == ids[0]
    assert house.releases.promote("main", ids[3], why="w", by="ann").gate == "released before"
    assert house.releases.rollback("main", why="w", by="ann", to="base").id == "base"
    house.releases.promote("main", ids[0], why="w", by="ann")
    with pytest.raises(UnknownRelease, match="never served"):
        house.releases.rollback("main", why="w", by="ann", to="nobody")
    with pytest.raises(NothingBefore):
        house.releases.rollback("main", why="w", by="ann", to=ids[0])


def test_first_rollback_without_a_release_is_refused(house):
    with pytest.raises(NothingBefore, match="nothing was released yet"):
        house.releases.rollback("main", why="w", by="ann")


def test_since_is_when_the_same_release_began(house):
    first = house.promote("a1")
    house.hours += 48
    second = house.promote("a2")
    house.hours += 48
    house.releases.rollback("main", why="w", by="ann")
    assert house.releases.moves.since("main") == (first, date(2026, 11, 10))  # since the rollback, not the first time
    assert second != first


STEPS = st.lists(st.one_of(st.sampled_from("abc"), st.just("back")), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_rollback_is_a_stack_and_history_only_grows(tmp_path_factory, steps):
    home = tmp_path_factory.mktemp("house")
    lake = open_lake(f"memory://{uuid.uuid4().hex}", locks=home / "locks")
    house, stack, told = House(home, lake), ["base"], []
    ids = {name: house.propose(name) for name in "abc"}
    for step in steps:
        before = list(house.releases.moves.back("main"))
        if step != "back":
            house.releases.promote("main", ids[step], why="w", by="ann", force=True)
            if stack[-1] != ids[step]:
                stack.append(ids[step])
                told.append(stack[-1])
        elif len(stack) > 1:
            stack.pop()
            assert house.releases.rollback("main", why="w", by="ann").id == stack[-1]
            told.append(stack[-1])
        after = list(house.releases.moves.back("main"))
        assert after[len(after) - len(before) :] == before
        assert house.releases.moves.since("main")[0] == stack[-1]
    assert [move.id for move in house.releases.moves.back("main")][::-1] == told


# ------------------------------------------------------------------------------------------------ who is refused


def test_candidate_that_the_gate_refused_is_not_promoted_unless_forced(house):
    first = house.promote("a1")
    worse = house.propose("a2", promoted=False)
    with pytest.raises(GateRefused, match="less right"):
        house.releases.promote("main", worse, why="w", by="ann")
    assert in_force(house) == first
    move = house.releases.promote("main", worse, why="we know better", by="ann", force=True)
    assert (move.forced, move.gate, move.why) == (True, "Refuse: less right.", "we know better")


def test_candidate_that_was_compared_with_another_release_is_not_promoted(house):
    """Two fine-tunes at once: both passed the gate against the base, and only one may go on without the other."""
    one, two = house.propose("a1"), house.propose("a2")
    house.releases.promote("main", one, why="w", by="ann")
    with pytest.raises(GateRefused, match=f"compared with base, and {one} is served now"):
        house.releases.promote("main", two, why="w", by="bob")
    assert in_force(house) == one


def test_unknown_candidate_is_named_with_those_that_there_are(house):
    with pytest.raises(UnknownRelease, match="there is none yet"):
        house.releases.promote("main", "nobody", why="w", by="ann")
    known = house.propose("a1")
    with pytest.raises(UnknownRelease, match=known):
        house.releases.promote("main", "nobody", why="w", by="ann")


def test_follow_promotes_a_candidate_once(house):
    assert house.releases.follow("main", why="", by="graph") is None
    house.propose("a0", promoted=False)
    assert house.releases.follow("main", why="", by="graph") is None
    first = house.propose("a1")
    assert house.releases.follow("main", why="", by="graph").id == first
    house.releases.rollback("main", why="people complain", by="ann")
    assert house.releases.follow("main", why="", by="graph").id == "base"  # a person went back: it stays so
    second = house.propose("a2")
    assert house.releases.follow("main", why="", by="graph").id == second
    house.propose("a3", against="another")
    assert house.releases.follow("main", why="", by="graph").id == second


# ------------------------------------------------------------------------------------------------ tampering

TAMPERED = {
    "another weight": (
        lambda folder: (folder / "model.safetensors").write_text("evil"),
        "model.safetensors is another",
    ),
    "a file more": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json was added"),
    "a file less": (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    "a pickle": (lambda folder: (folder / "adapter.bin").write_text("x"), "adapter.bin, which can run code"),
    "code": (lambda folder: (folder / "modeling.py").write_text("x"), "modeling.py, which can run code"),
    "gone": (lambda folder: folder.rename(folder.parent / "elsewhere"), "is not there"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampered_adapter_is_refused_and_the_last_good_release_stays(house, how):
    first, second = house.promote("a1"), house.propose("a2")
    damage, said = TAMPERED[how]
    damage(house.folder / "adapters" / "a2")
    for force in (False, True):
        with pytest.raises(ModelError, match=said):
            house.releases.promote("main", second, why="w", by="ann", force=force)
    assert house.releases.moves.now("main").id == first
    assert in_force(house) == first


@pytest.mark.parametrize("how", TAMPERED)
def test_promoting_what_is_in_force_is_refused_where_it_was_tampered_with(house, how):
    first = house.promote("a1")
    damage, said = TAMPERED[how]
    damage(house.folder / "adapters" / "a1")
    for force in (False, True):
        with pytest.raises(ModelError, match=said):
            house.releases.promote("main", first, why="w", by="ann", force=force)
    assert len(list(house.releases.moves.back("main"))) == 1


@pytest.mark.parametrize("how", TAMPERED)
def test_release_that_is_tampered_with_later_gives_way_to_the_one_before(house, how):
    first, second = house.promote("a1"), house.promote("a2")
    damage, said = TAMPERED[how]
    damage(house.folder / "adapters" / "a2")
    served = house.releases.served("main")
    assert served.id == first
    [problem] = served.problems
    assert problem.startswith(second)
    assert said in problem


def test_rollback_to_a_tampered_release_is_refused(house):
    house.promote("a1")
    second = house.promote("a2")
    (house.folder / "adapters" / "a1" / "model.safetensors").write_text("evil")
    with pytest.raises(ModelError, match=r"The adapter in \S+ is not what was released"):
        house.releases.rollback("main", why="w", by="ann")
    assert in_force(house) == second
    assert house.releases.rollback("main", why="w", by="ann", to="base").id == "base"


def test_another_base_retires_every_adapter(house):
    first = house.promote("a1")
    (house.base / "model.safetensors").write_text("another base")
    served = house.releases.served("main")
    assert (served.id, len(served.problems)) == ("base", 1)
    assert first in served.problems[0]
    assert "base" in served.problems[0]


def test_other_prompts_retire_every_release_and_a_new_one_takes_its_place(house, monkeypatch):
    first = house.promote("a1")
    prompts = other_prompts(monkeypatch)
    served = house.releases.served("main")
    assert (served.id, len(served.problems)) == ("base", 1)
    assert house.releases.moves.now("main").id == first
    second = house.propose("a2", against=served.id, prompt=prompts)  # compared with what answers meanwhile
    assert house.releases.follow("main", why="", by="graph").id == second
    assert house.releases.served("main").problems == ()
    third = house.propose("a3", against="base", prompt=prompts)
    with pytest.raises(GateRefused, match=f"compared with base, and {second} is served now"):
        house.releases.promote("main", third, why="w", by="ann")
    with pytest.raises(ModelError, match="made for the prompts"):
        house.releases.rollback("main", why="w", by="ann")
    assert in_force(house) == second


def test_adapter_made_again_to_the_same_bits_is_what_was_released(house):
    """Its manifest tells other times and costs, and of a release of before holds a hash."""
    manifest = house.folder / "adapters" / "a1" / "twohands.json"
    write(manifest.parent, "weights of a1")
    manifest.write_text('{"created": "monday"}')
    first = house.promote("a1")
    manifest.write_text('{"created": "tuesday"}')
    assert house.releases.served("main").problems == ()
    assert house.releases.sealed(Release("b1", "a1", PROMPT)).id == first
    release = house.releases.moves.now("main").release
    hashes = {**release.adapter_files, "twohands.json": hashlib.sha256(b"then").hexdigest()}
    house.releases.verify(replace(release, adapter_files=hashes))
    manifest.unlink()
    assert "twohands.json is missing" in house.releases.served("main").problems[0]


def test_card_beside_the_weights_may_be_corrected(house):
    first = house.promote("a1")
    (house.folder / "adapters" / "a1" / "README.md").write_text("a better card")
    assert house.releases.served("main").problems == ()
    assert in_force(house) == first


def test_id_names_what_answers_and_not_what_is_retrieved(house):
    release = house.releases.sealed(candidates.load(house.lake, "main", house.propose("a1")).release)
    assert replace(release, index="index-8", encoder="other").id == release.id
    for other in ({"base": "b2"}, {"adapter": "a2"}, {"prompt": "p"}, {"adapter_files": {"model.safetensors": "0"}}):
        assert replace(release, **other).id != release.id


# ------------------------------------------------------------------------------------------------ damaged records


def moves(house: House) -> list[str]:
    return house.lake.names("serving/releases/main/moves")


DAMAGED = {
    "the pointer is gone": lambda house: house.lake.remove(["serving/releases/main/pointer"]),
    "the pointer is another text": lambda house: house.lake.write_text("serving/releases/main/pointer", "a1"),
    "it points nowhere": lambda house: house.lake.write_text("serving/releases/main/pointer", f"000009-{'0' * 32}"),
    "the move was edited": lambda house: house.lake.write_text(
        moves(house)[1], house.lake.read_text(moves(house)[1]).replace("better", "best")
    ),
    "the move is cut": lambda house: house.lake.write_text(moves(house)[1], "{"),
    "the move is gone": lambda house: house.lake.remove([moves(house)[1]]),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_damaged_pointer_is_named_and_not_taken_for_none(house, how):
    house.promote("a1")
    third = house.propose("a3")
    house.promote("a2")
    DAMAGED[how](house)
    for act in (
        lambda: house.releases.moves.now("main"),
        lambda: house.releases.served("main"),
        lambda: house.releases.promote("main", third, why="w", by="ann"),
        lambda: house.releases.rollback("main", why="w", by="ann"),
    ):
        with pytest.raises(CorruptState, match="restore the folder serving/"):
            act()


def test_history_cannot_be_changed_unseen(house):
    house.promote("a1")
    second = house.promote("a2")
    text = house.lake.read_text(moves(house)[0]).replace("ann", "bob")
    house.lake.remove([moves(house)[0]])
    house.lake.write_text(
        f"serving/releases/main/moves/000001-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json", text
    )
    assert house.releases.moves.now("main").id == second  # which still serves
    with pytest.raises(CorruptState, match="no such move"):
        list(house.releases.moves.back("main"))


def test_pointer_mended_by_hand_is_read(house):
    second = (house.promote("a1"), house.promote("a2"))[1]
    house.lake.write_text(
        "serving/releases/main/pointer", moves(house)[1].rsplit("/", 1)[1].removesuffix(".json") + "\n"
    )
    assert Moves(house.lake).now("main").id == second


@pytest.mark.parametrize("text", ["{", "[]", '{"release": {}}'])
def test_damaged_candidate_is_named(house, text):
    id = house.propose("a1")
    house.lake.write_text(f"serving/candidates/main/{id}.json", text)
    with pytest.raises(CorruptState, match=f"candidates/main/{id}.json"):
        house.releases.promote("main", id, why="w", by="ann")


def test_verdict_that_was_edited_promotes_nothing(house):
    id = house.propose("a1", promoted=False)
    name = f"serving/candidates/main/{id}.json"
    house.lake.write_text(name, house.lake.read_text(name).replace('"promoted": false', '"promoted": true'))
    with pytest.raises(CorruptState, match="its checksum is another"):
        house.releases.promote("main", id, why="w", by="ann")


def test_candidate_whose_hashes_were_edited_is_another_one(house):
    id = house.propose("a1")
    name = f"serving/candidates/main/{id}.json"
    old = hashlib.sha256(b"weights of a1").hexdigest()
    (house.folder / "adapters" / "a1" / "model.safetensors").write_text("evil")
    house.lake.write_text(name, house.lake.read_text(name).replace(old, hashlib.sha256(b"evil").hexdigest()))
    with pytest.raises(CorruptState, match="describes the release"):
        house.releases.promote("main", id, why="w", by="ann")


def test_folder_of_code_is_never_hashed_into_a_candidate(house):
    write(house.folder / "adapters" / "bad", "x")
    (house.folder / "adapters" / "bad" / "training.pt").write_text("x")
    with pytest.raises(ModelError, match=r"training\.pt"):
        house.propose("bad")
