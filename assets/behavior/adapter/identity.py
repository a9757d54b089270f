"""What makes an adapter the one that it is. Equal parts give equal bits, so an id that is there need not be trained.

part                                   another one gives another id, since
base files                             weights, tokenizer and chat template are what is adapted
rows of the dataset                    they are what is learned; erased rows are not learned again
prompt template                        the rows were written by it
hyperparameters, seed                  they decide every step
questions to go on declining           likewise: some of them go along with each update
torch, transformers, peft, accelerate  kernels and defaults change between versions
device kind, threads, precision        sums are rounded in another order
variant                                a manner is released under its own name
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assets.fingerprints import digest
from assets.serving.files import Files, whole

LENGTH = 16  # hex digits of an id


def base_id(files: Files) -> str:
    """Names a base by the hashes of its deciding files (`assets.serving.files.hashed`)."""
    return whole(files)[:LENGTH]


def adapter_id(
    *,
    variant: str,
    base: str,
    content: str,
    template: str,
    recipe: Mapping[str, Any],
    versions: Mapping[str, str],
) -> str:
    """Names an adapter by all that decides its weights. `recipe` holds seed, threads and device kind too."""
    said = [json.dumps(dict(part), sort_keys=True) for part in (recipe, versions)]
    return digest([variant, base, content, template, *said])[:LENGTH]
