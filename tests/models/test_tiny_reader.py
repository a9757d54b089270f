"""The bundled base: loads offline without remote code, copies and cites evidence, refuses without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assets.prompting import REFUSAL, TEMPLATES, Evidence, plain_answer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FOLDER = Path(__file__).parents[2] / "models" / "tiny-reader"
LOCKERS = [
    Evidence(2, "Lockers", "Lockers on the second floor can be rented for 4 euros a month.", "strong", 0.8),
    Evidence(1, "Bikes", "Bring your own lock for the bicycle stand.", "weak", 0.42),
]


@pytest.fixture(scope="module")
def base():
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER, local_files_only=True, trust_remote_code=False)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        FOLDER, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    )
    return tokenizer, model.eval()


def answer(base, question: str, shown: list[Evidence]) -> str:
    tokenizer, model = base
    messages = TEMPLATES["evidence"].messages(question, shown)
    fed = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    made = model.generate(**fed, max_new_tokens=60, do_sample=False)
    return tokenizer.decode(made[0, fed["input_ids"].shape[1] :], skip_special_tokens=True)


def test_tiny_reader_copies_the_evidence_and_cites_it(base) -> None:
    assert answer(base, "What does a locker cost?", LOCKERS) == plain_answer(LOCKERS[0].sentence, 2)


def test_tiny_reader_cites_by_number_not_by_place(base) -> None:
    moved = [Evidence(7, *(getattr(LOCKERS[0], f) for f in ("heading", "sentence", "support", "score"))), LOCKERS[1]]
    assert answer(base, "What does a locker cost?", moved) == plain_answer(LOCKERS[0].sentence, 7)


def test_tiny_reader_refuses_without_support(base) -> None:
    shown = [Evidence(e.number, e.heading, e.sentence, "none", 0.2) for e in LOCKERS]
    assert answer(base, "Who repairs the coffee machine?", shown) == REFUSAL


def test_tiny_reader_template_marks_the_answer_and_the_stop_token(base) -> None:
    tokenizer, _ = base
    said = plain_answer(LOCKERS[0].sentence, 2)
    messages = [*TEMPLATES["evidence"].messages("What?", LOCKERS), {"role": "assistant", "content": said}]
    made = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    marked = [i for i, m in zip(made["input_ids"], made["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(marked) == f"{said}{tokenizer.eos_token}"
    assert marked[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(made["input_ids"]).endswith(f"{tokenizer.eos_token}\n")


def test_tiny_reader_is_small_safe_and_without_code() -> None:
    names = {file.name for file in FOLDER.iterdir()}
    assert "model.safetensors" in names
    assert not any(Path(name).suffix in {".py", ".bin", ".pt", ".pkl", ".pth"} for name in names)
    assert sum(file.stat().st_size for file in FOLDER.glob("*.safetensors")) <= 24_000_000
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert "auto_map" not in config
    assert config["dtype"] == "bfloat16"


def test_tiny_reader_tokenizer_round_trips_any_text(base) -> None:
    tokenizer, _ = base
    for text in ("Żurek €4.20", "日本語", "a\u0000b", "tab\tand  spaces", "👍🏽", "0123456789"):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert len(tokenizer("2025", add_special_tokens=False).input_ids) == 4
