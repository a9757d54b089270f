"""Batched answers against one prompt at a time, on the bundled base: seconds side by side, and whether they are equal.

    python -m benchmarks.evaluation.bench_generation --count 512 --batch 32 64

One at a time is what transformers offers first: `generate` for each prompt. Both run in this process, in turns, on the
same prompts (the sample's held-out questions with their evidence), so that a busy machine is busy for both.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "models" / "tiny-reader"


def chats(count: int) -> list[list[dict[str, str]]]:
    """Prompts of the sample's held-out questions, as an evaluation asks them."""
    from assets.behavior.dataset.passages import numbered, passage_of
    from assets.behavior.dataset.rendering import renderer
    from assets.behavior.dataset.writing import Ask
    from assets.prompting import TEMPLATES
    from orchestration.engines.encoders import load_encoder

    rows = [json.loads(line) for line in (ROOT / "sample" / "facts.jsonl").read_text(encoding="utf-8").splitlines()]
    chosen = rows[:: max(len(rows) // count, 1)][:count]
    asks = [Ask(r["question"], numbered([passage_of(text, "", "") for text in r["passages"]])) for r in chosen]
    render = renderer(TEMPLATES["evidence"], load_encoder("bundled", None))
    return [[dict(one) for one in chat] for chat in render(asks)]


def one_at_a_time(prompts: list[list[dict[str, str]]], most: int) -> tuple[float, list[str]]:
    from transformers import GenerationConfig

    from orchestration.engines.base_model import load_base

    model, tokenizer = load_base(BASE)
    model.eval()
    config = GenerationConfig(do_sample=False, max_new_tokens=most, eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    said, began = [], time.perf_counter()
    for chat in prompts:
        fed = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        made = model.generate(**fed, generation_config=config)
        said.append(tokenizer.decode(made[0, fed["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return time.perf_counter() - began, said


def batched(prompts: list[list[dict[str, str]]], most: int, batch: int) -> tuple[float, list[str]]:
    from orchestration.engines.generator import TransformersGenerator

    generator = TransformersGenerator(BASE, batch=batch, max_new_tokens=most, device="cpu")
    generator.lengths(prompts[:1])  # loads the base
    began = time.perf_counter()
    found = generator.generate(prompts)
    return time.perf_counter() - began, [one.text for one in found]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--most", type=int, default=120, help="new tokens")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes by itself")
    parser.add_argument("--parts", type=int, default=4, help="turns in which both take their share of the prompts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads or torch.get_num_threads())
    prompts = chats(args.count)
    single, equal = 0.0, dict.fromkeys(args.batch, 0)
    seconds = dict.fromkeys(args.batch, 0.0)
    for part in range(args.parts):
        some = prompts[part :: args.parts]
        took, wanted = one_at_a_time(some, args.most)
        single += took
        for batch in args.batch:
            took, said = batched(some, args.most, batch)
            seconds[batch] += took
            equal[batch] += sum(a == b for a, b in zip(wanted, said, strict=True))
    print(f"{args.count} prompts, at most {args.most} tokens, {torch.get_num_threads()} thread(s)")
    print(f"{'':<16}{'seconds':>9}{'answers/s':>11}{'ratio':>7}{'equal':>11}")
    print(f"{'one at a time':<16}{single:>9.1f}{args.count / single:>11.1f}{1.0:>7.1f}")
    for batch, took in seconds.items():
        same = f"{equal[batch]} of {len(prompts)}"
        print(f"{f'batches of {batch}':<16}{took:>9.1f}{args.count / took:>11.1f}{single / took:>7.1f}{same:>11}")


if __name__ == "__main__":
    main()
