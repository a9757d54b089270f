"""The base: what its folder must hold before it is trained or served, and how it is loaded.

`check_base` imports no torch: it looks at headers and texts, so that a base that is missing, cut short, pickled, wants
code of its own or has no chat template is refused before anything is paid for.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.behavior.adapter.weights import damaged, tensors
from assets.errors import ModelError
from assets.serving.files import hashed

INDEX = "model.safetensors.index.json"
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
DTYPES = ("auto", "float32", "bfloat16", "float16")


class MissingBase(ModelError):
    """There is no base where it should be."""


class DamagedBase(ModelError):
    """Files of a base that are missing, or cut short."""


class RemoteCode(ModelError):
    """A base that runs code of its own, or is pickled."""


class NoChatTemplate(ModelError):
    """A base whose chats nobody can write, or whose answers nobody can tell from their prompts."""


def check_base(folder: Path, *, trains: bool = True) -> dict[str, str]:
    """The hashes of the base's deciding files; one of the errors above where it cannot be used.

    `trains`: the chat template must mark what is an answer (`{% generation %}`), which serving does not need.
    """
    readable(folder)
    check_chats(folder, trains=trains)
    try:
        return hashed(folder, "base")
    except ModelError as error:
        if "run code" in error.problem:
            raise RemoteCode(error.problem, expected=error.expected, next_step=error.next_step) from None
        raise


def check_chats(folder: Path, *, trains: bool = True) -> None:
    """NoChatTemplate where nobody can write its chats or, where it `trains`, tell its answers."""
    template = chat_template(folder)
    if not template:
        raise NoChatTemplate(
            f"the base in {folder} has no chat template",
            expected="chat_template.jinja, or chat_template in tokenizer_config.json",
            next_step="choose a base that was made for chats, or put a chat_template.jinja beside its tokenizer",
        )
    if trains and not _MARK.search(template):
        raise NoChatTemplate(
            f"the chat template of the base in {folder} does not mark answers",
            expected="{% generation %} before what the model is to say and {% endgeneration %} after its stop token: "
            "without them every token is masked, and nothing is learned",
            next_step="add the marks in a chat_template.jinja beside its tokenizer (docs/adapter.md); that makes it "
            "another base, with adapters of its own",
        )


def readable(folder: Path) -> None:
    """Looks at configuration and weights, without reading the weights themselves."""
    if not folder.is_dir():
        raise MissingBase(
            f"The base is not there: no folder {folder}",
            expected="the folder of a causal language model",
            next_step="correct base.model, or download it; a model of the hub (OWNER/NAME) needs base.revision, a full "
            "commit hash; `twohands doctor` shows what is looked for",
        )
    config = _json(folder / "config.json")
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file() and _json(folder / name).get("auto_map"):
            raise RemoteCode(
                f"the base in {folder} wants to run code of its own (auto_map in {name})",
                expected="an architecture of transformers: code that comes with a model is never run",
                next_step="choose another base, or a copy without auto_map",
            )
    if not config.get("model_type"):
        raise DamagedBase(f"{folder / 'config.json'} names no model_type", expected="a configuration of transformers")
    _weights(folder)


def chat_template(folder: Path) -> str:
    """The text of the chat template; empty where there is none."""
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        return alone.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        said = _json(folder / name).get("chat_template") if (folder / name).is_file() else None
        if isinstance(said, list):  # several, by name
            said = {one.get("name"): one.get("template") for one in said}.get("default")
        if said:
            return str(said)
    return ""


def load_base(
    folder: Path, *, dtype: str = "float32", device: str = "cpu", attention: str | None = None, **options: Any
) -> tuple[Any, Any]:
    """(model, tokenizer) of a base, from its folder alone: no network, no code of its own, no pickles.

    dtype: one of DTYPES; device: as torch names it; attention: transformers' `attn_implementation`, default its own.
    ModelError where it cannot be loaded, or weights are missing: transformers would make some up.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    readable(folder)
    _hush()
    said = {"local_files_only": True, "trust_remote_code": False}
    if attention:
        options["attn_implementation"] = attention
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **said)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder), **said, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        if "out of memory" in str(error).lower():
            raise
        raise DamagedBase(
            f"the base in {folder} cannot be loaded ({type(error).__name__}: {error!s:.300})",
            expected="a causal language model that transformers loads from safetensors",
            next_step="correct base.model and base.revision, or download it again",
        ) from error
    model, info = loaded
    lost = sorted({*info["missing_keys"], *(str(one) for one in info["mismatched_keys"])})
    if lost:
        raise DamagedBase(
            f"the base in {folder} lacks weights that its configuration promises: {', '.join(lost[:3])}",
            expected="all weights of the model",
            next_step="download it again",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return (model if "device_map" in options else model.to(device)), tokenizer


def _hush() -> None:
    """No bar for what a disk gives in moments, and no notice of PEFT's that nobody here can act on."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)


def _weights(folder: Path) -> None:
    index = folder / INDEX
    if not index.is_file():
        single = folder / "model.safetensors"
        if single.is_file():
            tensors(single)
            return
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        kind = RemoteCode if pickled else MissingBase
        raise kind(
            f"the base in {folder} has no safetensors weights{f', only {pickled[0]}' if pickled else ''}",
            expected="model.safetensors, or its shards with an index",
            next_step="convert it to safetensors: a pickle can run code when it is loaded",
        )
    try:
        shards = {str(shard) for shard in _json(index)["weight_map"].values()}
        promised: Mapping[str, str] = _json(index)["weight_map"]
    except (KeyError, AttributeError) as error:
        raise damaged(index, f"{type(error).__name__}: {error}") from None
    held: set[str] = set()
    for name in sorted(shards):
        if "/" in name or not (folder / name).is_file():
            raise DamagedBase(
                f"the base in {folder} lacks the shard {name}",
                expected=f"all {len(shards)} files that {INDEX} names",
                next_step="download it again",
            )
        held |= tensors(folder / name).keys()
    if lost := sorted(promised.keys() - held):
        raise damaged(index, f"no shard holds {lost[0]}")


def _json(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        problem = f"it holds a {type(found).__name__}"
    except FileNotFoundError:
        problem = "it is missing"
    except (OSError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise DamagedBase(
        f"{file} is no configuration ({problem:.200})",
        expected="the JSON that came with the model",
        next_step="download it again",
    )
