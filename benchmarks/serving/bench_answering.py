"""Answering: the generator beside transformers' own, retrieval at 100,000 chunks, releases that move under load.

    python -m benchmarks.serving.bench_answering [--parts generate,retrieve,swap] [--model DIR] [--rounds 5]
        [--passages 100000] [--queries 300] [--seconds 30] [--threads 4]

generate: time to the first token and tokens a second, ours and `model.generate` (greedy, with a streamer) by turns in
one process, on the same prompts and threads; medians over rounds, and their ratio. retrieve: question to passages, the
encoder and the opening of the published version included, with and without an access filter. swap: threads that ask
without a pause while the pointer moves between two adapters; every request must be answered, by one of the two
(over HTTP a test does it: tests/web/test_released.py). A run of some parts replaces those in
benchmarks/out/answering.json and keeps the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assets.fingerprints import digest
from assets.ports import Hit, IndexSchema, Passage, Query
from assets.ports.generation import Generated, Voice
from assets.prompting import TEMPLATES
from assets.serving.answering import Answering, Asker, Options
from assets.serving.forms import Form
from assets.serving.release import Release
from assets.serving.releases import Releases
from assets.serving.watching import Watch
from benchmarks.search import corpus
from benchmarks.serving.report import measured, merge
from orchestration.engines.encoders import load_encoder
from orchestration.engines.generator import TransformersGenerator
from orchestration.engines.lake import FolderLake
from orchestration.engines.lancedb_index import LanceIndex

ROOT = Path(__file__).parents[2]
OUT = ROOT / "benchmarks" / "out" / "answering.json"
MOST = 64  # new tokens
QUESTIONS = ("What does a locker cost a month?", "Who brings the lock?", "When is a visitor's badge returned?")
STATEMENTS = (
    "Lockers on the second floor can be rented for 4 euros a month.",
    "Bring your own lock for the bicycle stand, and register its number at the desk.",
    "Every visitor gets a badge at the desk, and returns it before six in the evening.",
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--parts", default="generate,retrieve,swap")
    options.add_argument("--model", type=Path, default=ROOT / "models" / "tiny-reader")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--passages", type=int, default=100_000)
    options.add_argument("--queries", type=int, default=300)
    options.add_argument("--seconds", type=float, default=30)
    options.add_argument("--threads", type=int, default=4)
    asked = options.parse_args()
    report: dict[str, dict[str, Any]] = {}
    parts = asked.parts.split(",")
    with tempfile.TemporaryDirectory(prefix="twohands-bench-") as folder:
        if "generate" in parts:
            report["generate"] = measured(generating(asked.model, asked.rounds))
        if "retrieve" in parts:
            report["retrieve"] = measured(retrieving(Path(folder), asked.passages, asked.queries))
        if "swap" in parts:
            report["swap"] = measured(swapping(Path(folder), asked.model, asked.seconds, asked.threads))
    print(json.dumps(report, indent=2))
    merge(OUT, report)


def chats() -> list[list[dict[str, str]]]:
    """Prompts as the evidence template writes them."""
    found = []
    for n, question in enumerate(QUESTIONS):
        shown = [STATEMENTS[(n + at) % 3] for at in range(3)]
        entries = [f"[{at}] Rules ({'strong' if at == 1 else 'weak'})\n{one}" for at, one in enumerate(shown, 1)]
        found.append([{"role": "user", "content": "\n".join(entries) + f"\n\n{question}"}])
    return found


# ------------------------------------------------------------------------------------------------ generate


class Bare:
    """`model.generate` with a streamer that notes when the first token came."""

    def __init__(self, folder: Path, generator: TransformersGenerator) -> None:
        self.model, self.tokenizer = generator._open()
        self.folder = folder

    def __call__(self, chat: Any) -> tuple[float, float, int]:
        puts: list[float] = []

        class Streamer:
            def put(self, _: Any) -> None:
                puts.append(time.perf_counter())

            def end(self) -> None: ...

        began = time.perf_counter()
        fed = self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        pad = self.tokenizer.pad_token_id
        made = self.model.generate(
            **fed.to(self.model.device), max_new_tokens=MOST, do_sample=False, pad_token_id=pad, streamer=Streamer()
        )
        self.tokenizer.decode(made[0], skip_special_tokens=True)
        return puts[1] - began, time.perf_counter() - began, len(puts) - 1  # the first put is the prompt


def ours(generator: TransformersGenerator, chat: Any) -> tuple[float, float, int]:
    began, first, tokens = time.perf_counter(), 0.0, 0
    for piece in generator.stream(chat, Voice()):
        first = first or time.perf_counter() - began
        tokens = piece.tokens + 1 if isinstance(piece, Generated) else tokens  # and the one that ended it
    return first, time.perf_counter() - began, tokens


def generating(folder: Path, rounds: int) -> dict[str, float]:
    generator = TransformersGenerator(folder, max_new_tokens=MOST)
    bare, taken = Bare(folder, generator), {"bare": [], "ours": []}
    for one in chats():
        bare(one), ours(generator, one)
    for _ in range(rounds):
        for chat in chats():
            taken["bare"].append(bare(chat))
            taken["ours"].append(ours(generator, chat))
    found: dict[str, float] = {}
    for name, rows in taken.items():
        first, whole, tokens = np.array(rows).T
        found[f"{name}_first_token_ms"] = round(float(np.median(first)) * 1e3, 1)
        found[f"{name}_tokens_per_s"] = round(float(np.median(tokens / whole)), 1)
    found["first_token_ratio"] = round(found["ours_first_token_ms"] / found["bare_first_token_ms"], 3)
    found["tokens_per_s_ratio"] = round(found["ours_tokens_per_s"] / found["bare_tokens_per_s"], 3)
    return found


# ------------------------------------------------------------------------------------------------ retrieve


def retrieving(folder: Path, count: int, queries: int) -> dict[str, float]:
    encoder, pool = load_encoder("bundled"), corpus.sentences()
    index = LanceIndex(str(folder / "index"))
    stream, vectors = corpus.passages(count, pool), corpus.vectors(count)
    with index.candidate(IndexSchema(encoder.fingerprint, encoder.dimension)) as candidate:
        for start in range(0, count, 4_096):
            some = [next(stream) for _ in range(min(4_096, count - start))]
            candidate.add(some, vectors[start : start + len(some)])
        candidate.publish()
    rng = np.random.default_rng(5)
    texts = [" ".join(pool[int(pick)].split()[:10]) for pick in rng.integers(0, len(pool), queries + 20)]
    found: dict[str, float] = {"passages": count}
    for name, allowed in (("open", {}), ("allowed", {"audience": ["all", "staff"]})):
        taken = []
        for text in texts:
            began = time.perf_counter()
            published = index.published()
            assert published is not None
            [vector] = encoder.encode_queries([text])
            published.search(Query(text, vector, 5, {}, allowed))
            taken.append((time.perf_counter() - began) * 1e3)
        for share in (50, 95, 99):
            found[f"{name}_p{share}_ms"] = round(float(np.percentile(taken[20:], share)), 1)
    return found


# ------------------------------------------------------------------------------------------------ swap


class Shelf:
    """One passage, whatever is asked."""

    def __call__(self, questions: Sequence[str], *_: Any) -> tuple[str, list[list[Hit]]]:
        text = f"Rules\n\n{STATEMENTS[0]}"
        one = Passage("c1", "docs/rules.md", "docs", "Rules", ("Rules",), text, digest([text]))
        return "1-x", [[Hit(one, 1.0)] for _ in questions]


def swapping(folder: Path, model: Path, seconds: float, threads: int) -> dict[str, Any]:
    releases = Releases(
        FolderLake(folder / "lake"), base=lambda _: model, adapter=lambda one: folder / "adapters" / one.adapter
    )
    ids = [released(releases, folder, model, name) for name in ("left", "right")]
    watch = Watch(releases, base=lambda: "base", template=TEMPLATES["evidence"])
    generator = TransformersGenerator(model, max_new_tokens=MOST)
    answering = Answering(Shelf(), load_encoder("bundled"), watch.current, generator, Options({"main": Form()}))
    answering.answer(QUESTIONS[0], asker=Asker())
    answered, failed, swaps = Counter[str](), list[str](), list[float]()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answered[answering.answer(QUESTIONS[0], asker=Asker()).release_id] += 1
            except Exception as error:  # noqa: BLE001 - what is counted here
                failed.append(f"{type(error).__name__}: {error}")

    working = [threading.Thread(target=ask) for _ in range(threads)]
    for one in working:
        one.start()
    for to in turns(ids, seconds):
        began = time.perf_counter()
        releases.promote("main", to, why="swap", by="bench")
        while answering.answer(QUESTIONS[0], asker=Asker()).release_id != to:
            continue
        swaps.append(time.perf_counter() - began)
    done.set()
    for one in working:
        one.join()
    total = sum(answered.values())
    return {
        "requests": total,
        "failed": len(failed),
        "errors": failed[:3],
        "by_release": [answered[id] for id in ids],
        "swaps": len(swaps),
        "swap_to_answer_p50_ms": round(float(np.median(swaps)) * 1e3, 1),
        "threads": threads,
    }


def released(releases: Releases, folder: Path, model: Path, name: str) -> str:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(len(name))
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    get_peft_model(base, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")).save_pretrained(
        folder / "adapters" / name
    )
    made = Release("base", name, f"evidence@{TEMPLATES['evidence'].version}")
    now = releases.moves.now("main")
    releases.propose("main", made, promoted=True, sentence="s", against=now.id if now else "base")
    return releases.promote("main", releases.sealed(made).id, why="w", by="bench").id


def turns(ids: Sequence[str], seconds: float) -> Iterator[str]:
    """The one and the other, by turns, until the time is over."""
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        yield ids[number % 2]
        number += 1
        time.sleep(0.5)


if __name__ == "__main__":
    main()
