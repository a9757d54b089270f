"""A fine-tune moves how readily the base declines; shown questions beside its rows, the adapter goes on as its base."""

import json
from dataclasses import replace

import pytest

from assets.behavior.adapter.declining import declining
from assets.behavior.dataset.passages import numbered, passage_of
from assets.behavior.dataset.rendering import renderer
from assets.behavior.dataset.writing import Ask
from assets.ports.training import UnfitRows
from assets.prompting import REFUSAL, TEMPLATES
from orchestration.engines import training_declining as engine
from orchestration.engines.base_model import load_base
from orchestration.engines.encoders import load_encoder
from orchestration.engines.trainer import ProcessTrainer
from tests.conftest import ROOT
from tests.engines.training_rows import BASE, order

torch = pytest.importorskip("torch")
LEARNED, OTHERS = 96, 96


@pytest.fixture(scope="module")
def prompts():
    """Questions of the sample: some to keep declining by, and others."""
    rows = [json.loads(line) for line in (ROOT / "sample" / "declining.jsonl").read_text().splitlines()]
    some = rows[:: len(rows) // (LEARNED + OTHERS)][: LEARNED + OTHERS]
    render = renderer(TEMPLATES["evidence"], load_encoder("bundled", None))
    return list(
        render([Ask(r["question"], numbered([passage_of(text, "", "") for text in r["passages"]])) for r in some])
    )


@pytest.fixture(scope="module")
def base():
    return load_base(BASE)


def odds(model, tokenizer, prompts):
    return engine.odds(model.eval(), engine._asked(tokenizer, prompts, REFUSAL, 1_024))


def trained(home, prompts, **said):
    """The adapter's files, and what was told."""
    made = declining(prompts, [])
    asked = replace(order(home, 48, 0, learning_rate=3e-3, **said), declining=made and replace(made, lean=0.0))
    with ProcessTrainer(home).train(asked, lambda _: None) as found:
        return {file.name: file.read_bytes() for file in found.folder.iterdir()}, found.divergences


def test_adapter_declines_other_questions_as_its_base_does(tmp_path, prompts, base):
    from peft import PeftModel

    learned, others = prompts[:LEARNED], prompts[LEARNED:]
    before, apart = odds(*base, others), {}
    for name, shown in (("with", learned), ("without", [])):
        files, divergences = trained(tmp_path / name, shown)
        assert len(divergences) == (12 if shown else 0)
        folder = tmp_path / f"{name}-adapter"
        folder.mkdir()
        for file, data in files.items():
            (folder / file).write_bytes(data)
        after = odds(PeftModel.from_pretrained(load_base(BASE)[0], folder), base[1], others)
        apart[name] = float((torch.sigmoid(after) - torch.sigmoid(before)).abs().mean())
    assert apart["without"] > 0.1, "rows that never decline teach to answer whatever is asked"
    assert apart["with"] < 0.6 * apart["without"]


def test_accumulated_parts_and_another_run_come_to_the_same(tmp_path, prompts):
    files, divergences = trained(tmp_path / "home", prompts[:LEARNED], max_steps=4)
    assert trained(tmp_path / "again", prompts[:LEARNED], max_steps=4) == (files, divergences)
    _, parts = trained(tmp_path / "parts", prompts[:LEARNED], max_steps=4, accumulation=2)
    assert parts == pytest.approx(divergences, rel=1e-3, abs=1e-6)


def test_divergence_is_that_of_two_coins(base):
    model, tokenizer = base
    [row] = engine._asked(tokenizer, [[{"role": "user", "content": "When does it open?"}]], REFUSAL, 1_024)
    [own] = engine.odds(model.eval(), [row]).tolist()
    ids, labels = engine.padded([row])
    for wanted in (own, own + 1.5, own - 3):
        p, q = (1 / (1 + torch.exp(-torch.tensor(one, dtype=torch.float64))) for one in (wanted, own))
        coins = p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q))
        batch = {"asked_ids": ids, "asked_labels": labels, "asked_odds": torch.tensor([wanted])}
        with torch.no_grad():
            assert float(engine.divergence(model, batch)) == pytest.approx(float(coins), abs=1e-4)


def test_question_beyond_the_context_is_left_out(base):
    tokenizer = base[1]
    ask = [[{"role": "user", "content": "When does it open?"}], [{"role": "user", "content": "vans " * 40}]]
    short, long = engine._asked(tokenizer, ask, REFUSAL, 1_024)
    assert short
    assert long
    assert engine._asked(tokenizer, ask, REFUSAL, len(long.ids) - 1) == [short, None]
    assert engine._asked(tokenizer, ask, REFUSAL, len(long.ids)) == [short, long]


@pytest.mark.parametrize("parts", [1, 3, 4])
def test_every_question_comes_once_before_any_comes_again(parts):
    rows = [engine.Asked([number + 1, 7], 1) for number in range(10)]
    made = engine.Questions(rows, torch.arange(10.0), an_update=4, parts=parts, seed=3)
    seen = [float(odd) for part in range(5 * parts) for odd in made.of(part)["asked_odds"]]
    assert len(seen) == 20
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_leaning_is_what_greedy_decoding_does(prompts, base):
    from orchestration.engines.generator import TransformersGenerator

    answers = TransformersGenerator(BASE, device="cpu", max_new_tokens=12).generate(prompts)
    declined = [one.text.startswith(REFUSAL) for one in answers]
    same = sum((odd > 0) == said for odd, said in zip(odds(*base, prompts).tolist(), declined, strict=True))
    assert same >= 0.95 * len(prompts), "odds near one may go either way"
    assert 0.2 < sum(declined) / len(prompts) < 0.8


@pytest.mark.parametrize(
    ("count", "says", "why"),
    [(LEARNED, "Nobody ever wrote a word of it.", "of the 96 questions"), (20, REFUSAL, "of the 20 questions")],
)
def test_questions_that_cannot_keep_it_are_refused_before_anything_is_trained(tmp_path, prompts, count, says, why):
    asked = declining(prompts[:count], [])
    assert asked is not None
    steps = []
    with (
        pytest.raises(UnfitRows, match=rf"{why} of adapter.declining that fit its context, the base declines 0%"),
        ProcessTrainer(tmp_path).train(
            replace(order(tmp_path), declining=replace(asked, base_says=says)), steps.append
        ),
    ):
        pass
    assert steps == []
