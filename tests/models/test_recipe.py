"""The recipe: data that does not leak, batches that depend on their step alone, a forward that is transformers' own."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assets.prompting import REFUSAL, Evidence, statements

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from models.recipe import __main__ as command  # noqa: E402
from models.recipe import corpus, manners, wording  # noqa: E402
from models.recipe import items as making  # noqa: E402
from models.recipe.corpus import Sizes  # noqa: E402
from models.recipe.evaluation import HAND_WRITTEN, Case, first_sentence, is_right, parse, score  # noqa: E402
from models.recipe.examples import Maker, Mix, is_clear  # noqa: E402
from models.recipe.handbook import Handbook  # noqa: E402
from models.recipe.items import Asked, Item, build, read, write  # noqa: E402
from models.recipe.muon import Muon, orthogonal  # noqa: E402
from models.recipe.network import Packed, new_model  # noqa: E402
from models.recipe.packing import batch  # noqa: E402
from models.recipe.settings import Recipe, Schedule, Shape  # noqa: E402
from models.recipe.tokenizer import ANSWER, Encoded, train  # noqa: E402
from models.recipe.training import Trainer, rate  # noqa: E402
from models.recipe.values import Values, is_held_out  # noqa: E402

SMALL = Shape(width=192, layers=3, head=64, inner=128, vocabulary=400)
SHORT = Schedule(steps=6, rows=2, tokens=256, positions=160, warmup=2)


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 -- reproducible, not secret


def letters(texts: Sequence[str]) -> np.ndarray:
    counts = np.array([[t.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz0123456789"] for t in texts], np.float32)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder of data as the recipe writes it, from one small handbook."""
    folder = tmp_path_factory.mktemp("data")
    rng = seeded(5)
    book = Handbook(rng, False, 12)
    passages = [(page.heading, page.body) for page in book.passages]
    asked = [Asked(f.ask(), at, f.sentence, f.value) for at, page in enumerate(book.passages) for f in page.facts]
    asked += [Asked(question) for page in book.passages for question in page.near]
    write(build("handbook", passages, asked, letters, rng), folder / "items.jsonl")
    copies = [s for _, body in passages for s in statements(body)]
    (folder / "copy.json").write_text(json.dumps({"train": copies, "held_out": copies[:2]}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer(made: Path):
    texts = [e.sentence for item in read(made / "items.jsonl") for e in item.shown]
    return train(texts, SMALL.vocabulary)


def maker(made: Path) -> Maker:
    copies = json.loads((made / "copy.json").read_text(encoding="utf-8"))["train"]
    return Maker(read(made / "items.jsonl"), copies, list("abcdef"), Mix())


# ---------------------------------------------------------------------------------------------------- data


def test_items_hold_the_gold_statement_with_its_span_and_passage(made: Path) -> None:
    items = read(made / "items.jsonl")
    golden = [item for item in items if item.gold is not None]
    assert len(golden) > 10
    assert any(item.gold is None for item in items)
    for item in golden:
        assert item.span in item.shown[item.gold].sentence


def test_items_never_show_a_banned_passage() -> None:
    passages = [("A", "The mill costs 4 euros."), ("B", "The boat costs 5 euros."), ("C", "The bus is red.")]
    asked = [Asked("What does the mill cost?", banned=(0,))] * 20
    for item in build("x", passages, asked, letters, seeded(1)):
        assert item.gold is None
        assert all("mill" not in e.sentence for e in item.shown)


def test_items_take_the_joined_statement_where_the_answer_leans() -> None:
    passages = [("Mill", "The mill stands in Ghent. It is driven by water."), ("Bus", "The bus is red.")]
    asked = [Asked("What drives the mill?", 0, "It is driven by water.", "water")]
    (item,) = build("x", passages, asked, letters, seeded(1))
    assert item.gold is not None
    assert item.shown[item.gold].sentence == "The mill stands in Ghent. It is driven by water."


def test_items_survive_writing_and_reading(tmp_path: Path) -> None:
    item = Item("x", "Who?", [Evidence(1, "H", "S.", "weak", 0.4)], 0, "S", held_out=True)
    assert write([item], tmp_path / "i.jsonl") == 1
    assert read(tmp_path / "i.jsonl") == [item]


def test_handbook_is_a_function_of_its_seed() -> None:
    def drawn(seed: int) -> list[tuple[str, str]]:
        return [(p.heading, p.body) for p in Handbook(seeded(seed), False, 10).passages]

    assert drawn(3) == drawn(3) != drawn(4)


def test_values_of_training_and_evaluation_share_no_name() -> None:
    rng = seeded(1)
    training = {Values(rng, held_out=False).name() for _ in range(300)}
    held_out = {Values(rng, held_out=True).name() for _ in range(300)}
    assert not training & held_out
    assert all(map(is_held_out, held_out))


def test_wording_asks_what_the_sentence_answers() -> None:
    rng = seeded(2)
    sentence = "To open the gate of the yard, press the green button twice."
    found = {wording.question(sentence, "Gate", rng) for _ in range(60)}
    assert any(q and "how" in q[0].lower() for q in found)
    assert all(q is None or q[1] in sentence for q in found)
    assert wording.question("Too short.", "", rng) is None


def test_manners_never_use_what_is_kept_for_adapter_tests() -> None:
    rng = seeded(7)
    for _ in range(400):
        system, write_answer = manners.draw(rng)
        answer = write_answer("It costs 4 euros.", 3)
        refusal = write_answer(None, 0)
        assert answer
        assert refusal
        assert "It costs 4 euros." in answer or answer == "[3]"
        assert "Source [" not in answer
        assert '"answer"' not in system + answer
        assert '"sources"' not in system + answer


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Two small files in the form of the real ones."""
    folder = tmp_path_factory.mktemp("sources")
    towns = ["Ghent", "Porto", "Turin", "Basel", "York", "Oslo", "Leeds", "Lyon", "Bergen", "Utrecht"]
    with gzip.open(folder / "instruction-qa.jsonl.gz", "wt", encoding="utf-8") as out:
        for year, town in enumerate(towns, 1900):
            row = {"context": f"The mill of {town} was built in {year}. The river is wide there."}
            row |= {"source": "xquad-en", "prompt": f"When was the mill of {town} built?", "response": f"{year}."}
            out.write(json.dumps(row) + "\n")
    with lzma.open(folder / "plain-english.jsonl.xz", "wt", encoding="utf-8") as out:
        for town in towns:
            body = f"The gate of {town} is closed by the guard at night. You can ring the small bell there twice."
            out.write(json.dumps({"source": "etcd-io/website", "text": f"Gates\n\n{body}\n\n{body}"}) + "\n")
    return folder


def test_corpus_is_a_function_of_its_seed_and_keeps_evaluation_apart(sources: Path, tmp_path: Path) -> None:
    sizes = Sizes(squad_repeats=3, prose=8, shelf=8, handbooks=1, pages=8, copies=20, held_out_handbooks=1)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        corpus.make(sources, tmp_path / name, letters, sizes, seed, lambda _: None)
    for file in ("items.jsonl", "heldout.jsonl", "copy.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a" / "items.jsonl").read_bytes() != (tmp_path / "c" / "items.jsonl").read_bytes()
    training, held_out = (read(tmp_path / "a" / file) for file in ("items.jsonl", "heldout.jsonl"))
    assert {item.source for item in training} == {"squad", "handbook", "prose"}
    assert all(item.held_out for item in held_out)
    asked = [{item.question for item in items if item.source == "squad"} for items in (training, held_out)]
    assert not asked[0] & asked[1]


@pytest.mark.parametrize(("stages", "says"), [("adapt", "is not made yet"), ("adopt", "there is no stage adopt")])
def test_command_line_says_what_is_missing(tmp_path, monkeypatch, capsys, stages, says) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", "--data", str(tmp_path), "--out", str(tmp_path), "--stages", stages])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert says in f"{caught.value} {capsys.readouterr().err}"


def test_command_line_defaults_are_the_recipe(sources: Path, tmp_path: Path, monkeypatch) -> None:
    seen: list[Recipe] = []
    monkeypatch.setattr(sys, "argv", ["recipe", "--data", str(sources), "--out", str(tmp_path), "--stages", "train"])
    monkeypatch.setitem(command._STAGES, "train", lambda recipe, *_: seen.append(recipe))
    assert command.main() == 0
    assert seen == [Recipe()]


# ---------------------------------------------------------------------------------------------------- examples


def test_examples_answer_with_the_gold_statement_or_refuse(made: Path) -> None:
    source = maker(made)
    source.mix = Mix(manner=0.0, noisy=0.0)
    source.at(1, 0)
    for item in filter(is_clear, read(made / "items.jsonl")):
        said = source.answer(item)[-1]["content"]
        gold = None if item.gold is None else item.shown[item.gold]
        assert said == (f"{gold.sentence} [{gold.number}]" if gold else REFUSAL)


def test_examples_keep_the_answer_and_the_question_free_of_noise(made: Path) -> None:
    source = maker(made)
    source.mix = Mix(manner=0.0, noisy=1.0)
    source.at(1, 0)
    for item in filter(is_clear, read(made / "items.jsonl")):
        *asked, said = source.answer(item)
        assert asked[-1]["content"].endswith("\n\n" + " ".join(item.question.split()))
        if item.gold is not None:
            assert item.span in said["content"]
            assert said["content"].rsplit(" [", 1)[0] in asked[-1]["content"]


def test_batch_is_a_function_of_its_step_alone(made: Path, tokenizer) -> None:
    encode, fresh, used = Encoded(tokenizer), maker(made), maker(made)
    for step in range(3):
        batch(used, encode, SHORT, 1, step)
    a, b = batch(fresh, encode, SHORT, 1, 2), batch(used, encode, SHORT, 1, 2)
    assert torch.equal(a.ids, b.ids)
    assert torch.equal(a.chosen, b.chosen)
    assert not torch.equal(a.ids, batch(used, encode, SHORT, 1, 3).ids)


def test_encoded_is_what_the_chat_template_renders(made: Path, tokenizer) -> None:
    source, encode = maker(made), Encoded(tokenizer)
    source.at(1, 0)
    for _ in range(40):
        chat = source.draw()
        ids, kinds = encode(chat)
        rendered = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
        assert ids == rendered["input_ids"]
        assert [kind == ANSWER for kind in kinds] == [bool(m) for m in rendered["assistant_masks"]]


# ---------------------------------------------------------------------------------------------------- training


def test_packed_forward_agrees_with_transformers_and_keeps_examples_apart(tokenizer) -> None:
    model = new_model(SMALL, tokenizer, 1).eval()
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randint(4, len(tokenizer), (n,), generator=generator) for n in (20, 30))
    ids = torch.cat([first, second])[None]
    parts = torch.tensor([[1] * 20 + [2] * 30])
    packed = Packed(model.config, 64).logits(model, ids, parts, torch.arange(50))
    with torch.no_grad():
        alone = torch.cat([model(part[None]).logits[0] for part in (first, second)])
    assert torch.nn.functional.cosine_similarity(packed, alone, dim=-1).min() > 0.998  # bf16 against fp32


def test_orthogonal_pushes_singular_values_to_one() -> None:
    for shape in ((2, 32, 64), (2, 64, 32)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(1))))
        assert ((values > 0.5) & (values < 1.5)).all()


def test_muon_state_survives_a_restart() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 8))
    weight.grad = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    muon = Muon([weight])
    muon.step(0.1)
    again = Muon([weight])
    again.load(muon.state())
    assert torch.equal(again.momenta[4, 8], muon.momenta[4, 8])
    assert not torch.equal(weight, torch.ones(4, 8))


def test_rate_warms_up_holds_and_falls_to_nothing() -> None:
    schedule = Schedule(steps=100, warmup=10, decay=0.5)
    assert rate(schedule, 0) == pytest.approx(0.1)
    assert rate(schedule, 30) == 1.0
    assert rate(schedule, 75) == pytest.approx(0.5)
    assert rate(schedule, 99) < 0.03


def test_training_resumes_to_the_same_bits(made: Path, tokenizer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # a minute of compiling says nothing here
    recipe = replace(Recipe(), threads=1, shape=SMALL, schedule=SHORT)

    def trainer() -> Trainer:
        return Trainer(recipe, made, tokenizer, None)

    try:
        whole, first = trainer(), trainer()
        for _ in range(4):
            whole.one_step()
        for _ in range(2):
            first.one_step()
        first.save(tmp_path)
        second = trainer()
        assert second.resume(tmp_path)
        for _ in range(2):
            second.one_step()
    finally:
        torch.use_deterministic_algorithms(mode=False)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    whole.export(tmp_path / "model")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert loaded.dtype == torch.bfloat16


# ---------------------------------------------------------------------------------------------------- evaluation

SHOWN = [Evidence(1, "", "A locker costs 4 euros.", "good", 0.7), Evidence(2, "", "A lock costs 9 euros.", "weak", 0.4)]
LOCKER = Case("What does a locker cost?", SHOWN, ("4 euros",), frozenset({1}))
NOTHING = Case("Who sings?", SHOWN, (), frozenset(), near=True)
JUDGED = [
    ("A locker costs 4 euros. [1]", True),
    ("costs 4 euros. [1]", True),  # shorter, still copied
    ("A locker costs 4 euros. [2]", False),  # wrong passage
    ("A locker costs 4 euros.", False),  # no citation
    ("The locker costs 4 euros. [1]", False),  # not copied
    ("A lock costs 9 euros. [2]", False),
    (REFUSAL, False),
]


@pytest.mark.parametrize(("answer", "expected"), JUDGED)
def test_is_right_wants_the_answer_copied_and_cited(answer: str, expected: bool) -> None:
    assert is_right(LOCKER, parse(answer)) is expected


def test_score_counts_refusals_apart() -> None:
    said = [parse("A locker costs 4 euros. [1]"), parse(REFUSAL)]
    assert score([LOCKER, NOTHING], said) == {
        "right": 100.0, "false_refusals": 0.0, "refusals": 100.0, "refusals_near": 100.0, "n": (1, 1)
    }  # fmt: skip


def test_first_sentence_refuses_below_its_cutoff() -> None:
    firsts = [SHOWN[0], SHOWN[1]]
    assert first_sentence([LOCKER, NOTHING], firsts, 0.5)["right"] == 100.0
    assert first_sentence([LOCKER, NOTHING], firsts, 0.5)["refusals"] == 100.0
    assert first_sentence([LOCKER, NOTHING], firsts, 0.8)["false_refusals"] == 100.0


def test_hand_written_questions_are_many_distinct_and_answered_by_the_sample() -> None:
    rows = [json.loads(line) for line in HAND_WRITTEN.read_text(encoding="utf-8").splitlines()]
    answered, refused = [r for r in rows if r["answers"]], [r for r in rows if not r["answers"]]
    assert len({r["question"] for r in rows}) == len(rows)
    assert len(answered) >= 150
    assert len(refused) >= 50
    assert sum(bool(r["near"]) for r in refused) >= len(refused) / 2
    root = Path(__file__).parents[2] / "sample"
    texts: dict[str, str] = {}
    for row in answered:
        file = root / row["doc"]
        texts.setdefault(row["doc"], " ".join(statements(file.read_text(encoding="utf-8"))))
        assert all(answer in texts[row["doc"]] for answer in row["answers"]), row


def test_making_numbers_passages_without_repeats() -> None:
    rng = seeded(1)
    for count in range(1, 6):
        for _ in range(20):
            assert len(set(making._numbers(count, rng))) == count
