"""What a reader can do, by numbers: hand-written questions with real retrieval, held-out items, copying.

right: an accepted answer stands in the text, the text is copied from one statement of the evidence, and the passage
cited is from the right document. The baseline is the encoder alone: its first sentence by cosine, refused below a
cutoff.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from assets.prompting import REFUSAL, TEMPLATES, Evidence
from models.recipe.items import read

HAND_WRITTEN = Path(__file__).parent / "eval" / "handbook.jsonl"
CUTOFFS = (0.30, 0.35, 0.40, 0.45, 0.50)  # cosines below which the baseline refuses
NEW_TOKENS = 120
Log = Callable[[str], None]
_CITED = re.compile(r"(.*?)\s*\[(\d+)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Case:
    """A question and its evidence. `answers`: empty where it should be refused; `numbers`: passages that are right."""

    question: str
    shown: list[Evidence]
    answers: tuple[str, ...]
    numbers: frozenset[int]
    near: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """An answer taken apart; `number` None where none was cited."""

    text: str
    number: int | None
    refused: bool


class Reader:
    """A model folder that answers, greedy, in batches of similar length, fp32 on the CPU."""

    def __init__(self, folder: Path, threads: int = 2) -> None:
        torch.set_num_threads(threads)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def complete(self, chats: Sequence[Sequence[Mapping[str, str]]], batch: int = 32) -> list[str]:
        """The answers to chats, in their order."""
        texts = [self.tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in chats]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = [""] * len(texts)
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            fed = self.tokenizer([texts[i] for i in some], return_tensors="pt", padding=True, add_special_tokens=False)
            made = self.model.generate(
                input_ids=fed.input_ids,
                attention_mask=fed.attention_mask,
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id,
            )
            ends = self.tokenizer.batch_decode(made[:, fed.input_ids.shape[1] :], skip_special_tokens=True)
            for i, end in zip(some, ends, strict=True):
                found[i] = end.strip()
        return found

    def answers(self, cases: Sequence[Case], k: int = 3) -> list[str]:
        """Answers in the plain manner from the best k statements of each case."""
        return self.complete([TEMPLATES["evidence"].messages(c.question, c.shown[:k]) for c in cases])


def parse(answer: str) -> Said:
    """An answer in the plain manner: "statement [2]", or the refusal."""
    found = _CITED.fullmatch(answer)
    text, number = (found[1], int(found[2])) if found else (answer, None)
    return Said(text, number, answer.strip() == REFUSAL)


def is_right(case: Case, said: Said) -> bool:
    """The definition at the top of this file."""
    copied = any(said.text in e.sentence and e.number == said.number for e in case.shown)
    holds = any(answer.lower() in said.text.lower() for answer in case.answers)
    return holds and copied and said.number in case.numbers and not said.refused


def score(cases: Sequence[Case], said: Sequence[Said]) -> dict[str, Any]:
    """Percentages: right, false refusals, refusals (of all, of near misses, of the rest), and counts."""
    asked = [(c, s) for c, s in zip(cases, said, strict=True) if c.answers]
    other = [(c, s) for c, s in zip(cases, said, strict=True) if not c.answers]
    near = [pair for pair in other if pair[0].near]
    return {
        "right": _percent([is_right(c, s) for c, s in asked]),
        "false_refusals": _percent([s.refused for _, s in asked]),
        "refusals": _percent([s.refused for _, s in other]),
        "refusals_near": _percent([s.refused for _, s in near]),
        "n": (len(asked), len(other)),
    }


def _percent(flags: Sequence[bool]) -> float:
    return round(100 * sum(flags) / len(flags), 1) if flags else 0.0


def first_sentence(cases: Sequence[Case], firsts: Sequence[Evidence], cutoff: float) -> dict[str, Any]:
    """The baseline: the best sentence by cosine, refused below the cutoff."""
    said = [Said(f.sentence, f.number, f.score < cutoff) for f in firsts]
    bare = [Case(c.question, [f], c.answers, c.numbers, c.near) for c, f in zip(cases, firsts, strict=True)]
    return score(bare, said)


def held_out(folder: Path, limit: int, seed: int = 2) -> dict[str, list[Case]]:
    """Held-out items by source: SQuAD-style contexts and made-up handbooks with names that training never saw."""
    cases: dict[str, list[Case]] = {}
    for item in read(folder / "heldout.jsonl"):
        gold = None if item.gold is None else item.shown[item.gold]
        numbers = frozenset() if gold is None else frozenset({gold.number})
        answers = () if gold is None else (item.span or gold.sentence,)
        cases.setdefault(item.source, []).append(Case(item.question, item.shown, answers, numbers, near=True))
    rng = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    return {name: rng.sample(found, min(limit, len(found))) for name, found in cases.items()}


def evaluate(
    model: Path, data: Path, log: Log, cases: Sequence[Case] = (), *, limit: int = 400, threads: int = 2
) -> dict[str, Any]:
    """All the numbers of a model folder; `cases`: the hand-written ones with their retrieved evidence."""
    reader = Reader(model, threads)
    result: dict[str, Any] = {}
    if cases:
        answers = reader.answers(cases)
        result["hand_written"] = score(cases, [parse(a) for a in answers])
        log(f"hand-written: {result['hand_written']}")
    for name, found in held_out(data, limit).items():
        said = [parse(a) for a in reader.answers(found)]
        result[name] = score(found, said)
        asked = [(c, s) for c, s in zip(found, said, strict=True) if c.answers]
        result[name]["inside"] = _percent([any(a.lower() in s.text.lower() for a in c.answers) for c, s in asked])
        log(f"held-out {name}: {result[name]}")
    copies = json.loads((data / "copy.json").read_text(encoding="utf-8"))["held_out"]
    texts = random.Random(2).sample(copies, min(limit, len(copies)))  # noqa: S311
    made = reader.complete([[{"role": "user", "content": f"Repeat: {text}"}] for text in texts])
    result["copied_exactly"] = _percent([a == text.strip() for a, text in zip(made, texts, strict=True)])
    log(f"copied exactly: {result['copied_exactly']} of {len(texts)}")
    return result
