"""`python -m models.recipe --data DIR --out DIR`: the whole recipe; a second call goes on where the first stopped."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from models.recipe.settings import Recipe

Log = Callable[[str], None]


def main() -> int:
    """Runs the stages that are asked for."""
    usual = Recipe()
    parser = argparse.ArgumentParser(prog="python -m models.recipe", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with instruction-qa.jsonl.gz and plain-english.jsonl.xz"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for items, tokenizer, checkpoints and the model"
    )
    parser.add_argument("--stages", default="data,tokenizer,train,evaluate,adapt", help="which of them, in order")
    parser.add_argument(
        "--start", type=Path, help="a model folder to go on from, with its tokenizer; default: random weights"
    )
    parser.add_argument("--model", type=Path, help="the model folder to evaluate; default: the one in --out")
    parser.add_argument("--declining", action="store_true", help="adapt: keep how readily the base declines")
    parser.add_argument("--share", type=float, default=0.6, help="of what was trained, in the stage blend")
    parser.add_argument("--limit", type=int, default=400, help="held-out questions of each kind that are evaluated")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data that is made; small for a trial")
    parser.add_argument("--steps", type=int, default=usual.schedule.steps)
    parser.add_argument("--muon", type=float, default=usual.schedule.muon)
    parser.add_argument("--adam", type=float, default=usual.schedule.adam)
    parser.add_argument("--decay", type=float, default=usual.schedule.decay)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--threads", type=int, default=usual.threads)
    asked = parser.parse_args()
    schedule = replace(usual.schedule, steps=asked.steps, muon=asked.muon, adam=asked.adam, decay=asked.decay)
    sizes = usual.sizes.scaled(asked.scale)
    recipe = replace(usual, seed=asked.seed, threads=asked.threads, schedule=schedule, sizes=sizes)
    begun = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - begun:.0f} s  {text}", flush=True)  # noqa: T201

    stages = asked.stages.split(",")
    if unknown := [stage for stage in stages if stage not in _STAGES]:
        parser.error(f"there is no stage {', '.join(unknown)}; there are {', '.join(_STAGES)}")
    for stage in stages:
        log(f"stage {stage}")
        _STAGES[stage](recipe, asked, log)
    return 0


def _data(recipe: Recipe, asked: argparse.Namespace, log: Log) -> None:
    from models.recipe.corpus import make
    from orchestration.engines.encoders import load_encoder

    if (asked.out / "data" / "copy.json").exists():
        return log("data is there already")
    return make(
        asked.data, asked.out / "data", load_encoder(threads=recipe.threads).encode, recipe.sizes, recipe.seed, log
    )


def _made(asked: argparse.Namespace) -> Path:
    """The folder of the items that the stage data made."""
    folder = asked.out / "data"
    if not (folder / "items.jsonl").is_file():
        raise SystemExit(f"{folder} is not made yet: let the stage data come first, or name the --out that has it")
    return folder


def _tokenizer(recipe: Recipe, asked: argparse.Namespace, log: Log) -> None:
    from models.recipe import tokenizer

    if asked.start or (asked.out / "tokenizer").exists():
        return log("tokenizer is there already")
    tokenizer.train(_texts(_made(asked), recipe), recipe.shape.vocabulary).save_pretrained(asked.out / "tokenizer")
    return None


def _texts(data: Path, recipe: Recipe) -> Iterator[str]:
    from models.recipe.examples import Maker
    from models.recipe.items import read

    copies = json.loads((data / "copy.json").read_text(encoding="utf-8"))["train"]
    maker = Maker(read(data / "items.jsonl"), copies, ["a"], replace(recipe.mix, noisy=0.0, drill=0.0, echo=0.0))
    maker.at(recipe.seed, 0)
    yield "user assistant system " * 300
    for _ in range(30_000):
        yield from (message["content"] for message in maker.draw())
    yield from random.Random(recipe.seed).sample(copies, min(len(copies), 25_000))  # noqa: S311


def _train(recipe: Recipe, asked: argparse.Namespace, log: Log) -> None:
    from models.recipe.training import train

    train(recipe, _made(asked), asked.out, asked.start, log)


def _evaluate(recipe: Recipe, asked: argparse.Namespace, log: Log) -> None:
    from models.recipe import handwritten
    from models.recipe.evaluation import CUTOFFS, evaluate, first_sentence

    cases, firsts = handwritten.retrieve(Path(__file__).parents[2] / "twohands.toml", asked.out / "home")
    for cutoff in CUTOFFS:
        log(f"encoder's first sentence, refused below {cutoff}: {first_sentence(cases, firsts, cutoff)}")
    result = evaluate(
        asked.model or asked.out / "model", _made(asked), log, cases, limit=asked.limit, threads=recipe.threads
    )
    (asked.out / "evaluation.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


def _adapt(recipe: Recipe, asked: argparse.Namespace, log: Log) -> None:
    from models.recipe import adapted, handwritten

    data = _made(asked)
    cases, _ = handwritten.retrieve(Path(__file__).parents[2] / "twohands.toml", asked.out / "home")
    found = adapted.compare(
        asked.model or asked.out / "model",
        data,
        asked.out,
        cases,
        recipe.threads,
        log,
        declining=asked.declining,
    )
    (asked.out / "adapted.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def _blend(_: Recipe, asked: argparse.Namespace, log: Log) -> None:
    from models.recipe.blending import blend

    if not asked.start:
        raise SystemExit("blend needs --start MODEL: the weights that training went on from")
    folder = blend(asked.start, asked.out / "model", asked.out / "blended", asked.share)
    log(f"{1 - asked.share:g} of {asked.start} and {asked.share:g} of what was trained: {folder}")


_STAGES = {
    "blend": _blend,
    "data": _data,
    "tokenizer": _tokenizer,
    "train": _train,
    "evaluate": _evaluate,
    "adapt": _adapt,
}

if __name__ == "__main__":
    sys.exit(main())
