"""The batched generator on the bundled base: the same answers as one at a time, adapters that come and go, limits."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from assets.errors import EngineError, ModelError
from orchestration.engines.generator import TransformersGenerator
from tests.conftest import ROOT

BASE = ROOT / "models" / "tiny-reader"
ENTRIES = [
    "Lockers on the second floor can be rented for 4 euros a month.",
    "Bring your own lock for the bicycle stand.",
    "Every visitor gets a badge at the desk, and returns it before six in the evening.",
]
ASKED = ["What does a locker cost?", "Who brings the lock?", "When is a visitor's badge returned?"]


def chat(right: int, shown: int = 2) -> list[dict[str, str]]:
    """A question, with its own entry first and as many in all."""
    entries = [ENTRIES[(right + number) % len(ENTRIES)] for number in range(shown)]
    said = [f"[{n}] ({'weak' if n > 1 else 'strong'})\n{entry}" for n, entry in enumerate(entries, 1)]
    return [{"role": "user", "content": "\n".join(said) + f"\n\n{ASKED[right]}"}]


CHATS = [chat(right, shown) for shown in (3, 1, 2) for right in range(len(ASKED))]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    """Two adapters of random weights: nonsense, but each its own."""
    folder = tmp_path_factory.mktemp("adapters")
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
        config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(model, config).save_pretrained(folder / str(seed))
    return [folder / "1", folder / "2"]


@pytest.fixture(scope="module")
def generator():
    return TransformersGenerator(BASE, batch=5, max_new_tokens=24)


def texts(generator, adapter=None, chats=CHATS[:4]) -> list[str]:
    return [one.text for one in generator.generate(chats, adapter)]


def by_transformers(chats, most: int) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()
    found = []
    for one in chats:
        fed = tokenizer.apply_chat_template(one, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        made = model.generate(**fed, max_new_tokens=most, do_sample=False, pad_token_id=0)
        found.append(tokenizer.decode(made[0, fed["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return found


def test_generator_answers_in_batches_what_transformers_answers_one_at_a_time(generator):
    found = generator.generate(CHATS)
    assert [one.text for one in found] == by_transformers(CHATS, 24)
    assert "4 euros" in found[0].text
    assert len({one.text for one in found}) >= 3
    assert all(one.seconds > 0 and one.tokens > 0 and not one.problem for one in found)


def test_answer_that_is_cut_off_says_so():
    [short] = TransformersGenerator(BASE, max_new_tokens=3).generate(CHATS[:1])
    assert (short.tokens, short.ended) == (3, False)
    [whole] = TransformersGenerator(BASE, max_new_tokens=60).generate(CHATS[:1])
    assert whole.ended
    assert whole.text.startswith(short.text)


def test_adapters_come_and_go_over_one_base(generator, adapters):
    alone = texts(generator)
    base = generator._open()[0]
    base = getattr(base, "get_base_model", lambda: base)()
    first, second = texts(generator, adapters[0]), texts(generator, adapters[1])
    assert len({tuple(alone), tuple(first), tuple(second)}) == 3
    assert texts(generator) == alone
    assert texts(generator, adapters[0]) == first
    assert generator._open()[0].get_base_model() is base


def test_only_the_adapters_used_last_stay_loaded(adapters):
    generator = TransformersGenerator(BASE, max_new_tokens=8, kept=1)
    first = texts(generator, adapters[0])
    texts(generator, adapters[1])
    assert list(generator._open()[0].peft_config) == ["adapter_1"]
    assert texts(generator, adapters[0]) == first
    assert texts(generator) == texts(TransformersGenerator(BASE, max_new_tokens=8))


def test_prompt_that_does_not_fit_is_reported_and_the_others_are_answered(generator):
    long = [{"role": "user", "content": "every word of it " * 400}]
    answered, refused = generator.generate([CHATS[0], long])
    assert answered.text == texts(generator)[0]
    [length] = generator.lengths([long])
    assert length > generator.context == 1_024
    assert (refused.text, refused.ended) == ("", False)
    assert refused.problem == f"the prompt has {length} tokens, and the base reads 1024 with the answer"


class Memory:
    """A decoder for which a few prompts are all that fits."""

    def __init__(self, rows: int, error: Exception) -> None:
        self.rows, self.error, self.sizes = rows, error, []

    def __call__(self, model, rows, **options) -> None:
        self.sizes.append(len(rows))
        if len(rows) > self.rows:
            rows[0].said.append(7)  # what was said before the end counts for nothing
            raise self.error
        for row in rows:
            row.said.append(len(row.prompt))


def test_batch_is_halved_where_memory_is_short():
    memory = Memory(2, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))
    told = []
    generator = TransformersGenerator(BASE, batch=8, decode=memory)
    found = generator.generate(CHATS[:5], progress=lambda *said: told.append(said))
    assert memory.sizes == [5, 2, 2, 1]
    assert told == [("answers", done, 5) for done in (2, 4, 5)]
    assert [one.tokens for one in found] == [1] * 5


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_one_prompt_too_many_for_the_memory_is_an_error(error):
    with pytest.raises(EngineError, match="not enough memory to answer one prompt of"):
        TransformersGenerator(BASE, decode=Memory(0, error)).generate(CHATS[:3])


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    memory = Memory(0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        TransformersGenerator(BASE, decode=memory).generate(CHATS[:3])
    assert memory.sizes == [3]


def test_adapter_that_is_not_there_or_does_not_fit_is_refused(generator, adapters, tmp_path):
    with pytest.raises(ModelError, match="The adapter is not there"):
        generator.generate(CHATS[:1], tmp_path / "none")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "adapter_config.json").write_text((adapters[0] / "adapter_config.json").read_text())
    (broken / "adapter_model.safetensors").write_bytes(b"\x00" * 40)
    before = texts(generator)
    with pytest.raises(ModelError, match="does not fit the base"):
        generator.generate(CHATS[:1], broken)
    assert texts(generator) == before
