from __future__ import annotations

import random

import numpy as np
import pytest

from assets.behavior import topics
from assets.behavior.topics import OTHER, fit, from_table, number_of_clusters
from assets.errors import CorruptState, EngineError
from tests.fakes import HashEncoder

SUBJECTS = {
    "vacation": "vacation days leave holiday carry over buy sell wedding",
    "vpn": "vpn tunnel key profile hotel network lighthouse port dns",
    "battery": "battery pack cells charge storage red tag tester drum sand",
}


def prompts(per_subject=20, seed=1):
    """Questions of three subjects that share no words."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    made = {name: set() for name in SUBJECTS}
    for name, words in SUBJECTS.items():
        while len(made[name]) < per_subject:
            made[name].add(" ".join([name, *dice.sample(words.split()[1:], 4)]))
    return {name: sorted(found) for name, found in made.items()}


def everything():
    return [prompt for found in prompts().values() for prompt in found]


def clustered(texts, encoder=None, **more):
    encoder = encoder or HashEncoder(dimension=256)
    return fit(texts, encoder.encode, encoder=encoder.fingerprint, **more)


def test_fit_finds_the_subjects_and_names_them():
    found = clustered(everything(), clusters=3)
    assert len(found.names) == 3
    for subject, members in prompts().items():
        assigned = set(found.assign(members))
        assert len(assigned) == 1
        assert subject in next(iter(assigned)).split()


def test_fit_does_not_depend_on_order_repetition_or_spaces():
    texts = everything()
    shuffled = [f"  {text.replace(' ', '  ')}" for text in texts * 3]
    random.Random(3).shuffle(shuffled)  # noqa: S311 - no secret
    one, two = clustered(texts), clustered(shuffled)
    assert one.names == two.names
    assert one.identity == two.identity
    assert np.array_equal(one.centroids, two.centroids)


def test_fit_is_decided_by_the_seed():
    assert clustered(everything(), seed=5).identity == clustered(everything(), seed=5).identity


def test_fit_samples_many_prompts_by_hash(monkeypatch):
    monkeypatch.setattr(topics, "MAX_PROMPTS", 10)
    encoder = HashEncoder(dimension=256)
    texts = everything()
    found = clustered(texts, encoder)
    assert (found.prompts, len(encoder.embedded)) == (10, 10)
    again = HashEncoder(dimension=256)
    clustered(list(reversed(texts)), again)
    assert again.embedded == encoder.embedded
    assert encoder.embedded != sorted(texts)[:10]


@pytest.mark.parametrize(("distinct", "count"), [(1, 1), (8, 1), (32, 2), (800, 10), (5_000, 24)])
def test_number_of_clusters_grows_with_the_root(distinct, count):
    assert number_of_clusters(distinct) == count


def test_fit_of_one_prompt_is_one_topic():
    found = clustered(["How many vacation days?"])
    assert found.assign(["How many vacation days?"]) == list(found.names)


def test_fit_of_equal_vectors_does_not_divide_by_zero():
    found = clustered(["a b", "b a", "A b", "B a"], clusters=3)
    assert len(found.names) == 1


def test_fit_without_prompts_is_refused():
    with pytest.raises(ValueError, match="no prompts"):
        clustered([])


def test_fit_dissolves_small_clusters():
    def encode(texts):
        vectors = np.zeros((len(texts), 8), np.float32)
        for row, text in enumerate(texts):
            vectors[row, "abcd".index(text[0])] = 1.0
            vectors[row, 4 + int(text[1:]) % 4] = 0.1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    texts = [f"{letter}{number}" for letter in "abc" for number in range(20)]
    assert len(fit([*texts, *(f"d{number}" for number in range(20))], encode, clusters=4).names) == 4
    assert len(fit([*texts, "d1"], encode, clusters=4).names) == 3


def test_names_are_unique_and_hold_no_single_prompt_word_and_no_digits():
    texts = [f"vacation days question {word} 12345" for word in ("anna", "berta", "carla", "dora", "emma", "frida")]
    found = clustered(texts, clusters=2)
    assert len(set(found.names)) == len(found.names)
    assert not any(name in " ".join(found.names) for name in ("anna", "berta", "12345"))


def test_names_of_prompts_without_words_are_numbered():
    encoder = HashEncoder(dimension=64)
    found = clustered([f"{n} {n} {n}" for n in range(40)], encoder, clusters=3)
    assert set(found.names) <= {"topic 1", "topic 2", "topic 3"}


def test_assign_gives_other_below_the_floor():
    found = clustered(everything())
    assert found.assign(["quagga okapi zebra giraffe", everything()[0]])[0] == OTHER
    assert OTHER not in found.assign(everything())


def test_assign_embeds_each_distinct_prompt_once():
    encoder = HashEncoder(dimension=256)
    found = clustered(everything(), encoder)
    encoder.embedded.clear()
    assigned = found.assign([everything()[0], everything()[1], everything()[0], f" {everything()[0]} "])
    assert len(encoder.embedded) == 2
    assert assigned[0] == assigned[2] == assigned[3]


def test_assign_of_nothing_asks_nobody():
    encoder = HashEncoder(dimension=256)
    found = clustered(everything(), encoder)
    encoder.embedded.clear()
    assert found.assign([]) == []
    assert encoder.embedded == []


def test_assign_takes_huge_and_empty_prompts():
    encoder = HashEncoder(dimension=256)
    found = clustered(everything(), encoder)
    assert len(found.assign(["x" * 1_000_000, "", "\x00\ud800"])) == 3
    assert max(map(len, encoder.embedded)) <= topics.MAX_CHARACTERS


def test_table_round_trip_assigns_the_same(tmp_path):
    from orchestration.engines.lake import FolderLake

    encoder = HashEncoder(dimension=256)
    found = clustered(everything(), encoder)
    lake = FolderLake(tmp_path)
    lake.write("t.parquet", found.table())
    stored = lake.read("t.parquet")
    assert stored is not None
    back = from_table(stored, encoder.encode, encoder.fingerprint)
    assert back.assign(everything()) == found.assign(everything())
    assert back.identity == found.identity


def test_from_table_refuses_another_encoder():
    table = clustered(everything()).table()
    with pytest.raises(EngineError, match=r"freeze the topics again"):
        from_table(table, HashEncoder().encode, "another")


def test_from_table_refuses_a_table_without_its_facts():
    table = clustered(everything()).table().replace_schema_metadata(None)
    with pytest.raises(CorruptState, match="how it was made"):
        from_table(table, HashEncoder().encode, "hash-encoder")


def test_bundled_encoder_tells_subjects_apart():
    from orchestration.engines.encoders import load_encoder

    encoder = load_encoder(device="cpu", dtype="fp32")
    leave = ["How many vacation days do I get?", "Can I carry over unused leave?", "How do I ask for time off?"]
    leave += ["Do I get a day off for moving house?", "May I buy extra holiday days?"]
    vpn = ["The VPN does not connect in my hotel", "How long is a VPN key valid?", "Which port does the VPN use?"]
    vpn += ["How do I get a new VPN profile?", "Can I use one VPN profile on two devices?"]
    found = fit(leave + vpn, encoder.encode, encoder=encoder.fingerprint, clusters=2)
    assert len({*found.assign(leave)}) == len({*found.assign(vpn)}) == 1
    assert found.assign(["When does my vacation from last year lapse?"]) == found.assign(leave[:1])
    assert found.assign(["What torque for the crank bolt in the paint shop oven?"]) == [OTHER]
