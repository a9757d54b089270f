"""BERT encoders (MiniLM, BGE, E5, GTE and their kin) in plain torch: quick to start, and quick on a CPU.

Importing this module imports torch; transformers and sentence-transformers are not needed. Why it exists, with
measurements: docs/decisions/0002-encoder.md.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import tokenizers
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own custom
from torch import Tensor

from assets.errors import EngineBusy, ModelError
from orchestration.engines.encoder_files import EncoderFiles, read_checked

CPU_BATCH_TOKENS = 1536  # 1024 to 2048 measure alike; beyond, the activations leave the CPU's caches
GPU_BATCH_TOKENS = 65536
_COMPUTING = threading.Lock()  # torch's thread count belongs to the process: one encoder computes at a time


def fits(files: EncoderFiles) -> bool:
    """Whether `BertEncoder` computes what sentence-transformers would for these files."""
    config = files.config
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and files.modules in (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))
        and files.pooling in (("mean",), ("cls",))
        and (files.pools_prompt or not (files.document_prompt or files.query_prompt))
        and list(files.weights) == ["model.safetensors"]
        and not files.shape["text"].get("do_lower_case")
        and _tokenizes_as_written(files)
    )


def _tokenizes_as_written(files: EncoderFiles) -> bool:
    """Whether transformers would use tokenizer.json unchanged: its own class, and the same rule for case."""
    config = files.shape["tokenizer"]
    written = json.loads(read_checked(files.folder, "tokenizer.json", {"tokenizer.json": files.tokenizer_sha}))
    lowers = (written.get("normalizer") or {}).get("lowercase")
    own = config.get("tokenizer_class", "BertTokenizer").startswith("BertTokenizer")
    return own and config.get("do_lower_case", lowers) == lowers


class Bert:
    """The forward pass of BERT (Devlin et al. 2019, arXiv:1810.04805) without its pooler; weights in one dtype."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        self.heads: int = config["num_attention_heads"]
        self.eps: float = config.get("layer_norm_eps", 1e-12)
        self.words = weights["embeddings.word_embeddings.weight"]
        # every token is of type 0, so that the type's embedding is a constant part of the position's
        self.positions = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self.norm = _pair(weights, "embeddings.LayerNorm")
        self.layers = [_layer(weights, f"encoder.layer.{n}") for n in range(config["num_hidden_layers"])]

    def __call__(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Token states [texts, tokens, hidden] of token ids [texts, tokens]; `mask` [texts, tokens] is True on text."""
        texts, tokens = ids.shape
        attend = None if mask is None else mask[:, None, None, :]
        state = self._normed(F.embedding(ids, self.words) + self.positions[:tokens], self.norm)
        for layer in self.layers:
            joined = F.linear(state, *layer["query_key_value"]).view(texts, tokens, 3, self.heads, -1)
            query, key, value = joined.permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attend)
            mixed = mixed.transpose(1, 2).reshape(texts, tokens, -1)
            state = self._normed(state + F.linear(mixed, *layer["mixed"]), layer["mixed_norm"])
            wide = F.gelu(F.linear(state, *layer["wide"]))
            state = self._normed(state + F.linear(wide, *layer["narrow"]), layer["narrow_norm"])
        return state

    def _normed(self, state: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return F.layer_norm(state, state.shape[-1:], *norm, eps=self.eps)


class BertEncoder:
    """Texts to unit vectors: length-sorted batches, each computed by one thread on a CPU.

    One thread per batch, instead of all threads inside every operation, needs no barrier between operations (on a
    busy machine each one waits for the scheduler), and the bits of a batch do not depend on the number of threads.
    Pooling and normalization are in fp32 whatever the dtype. A text alone and the same text in any batch have cosine
    >= 0.9999 in bf16 and >= 0.999999 in fp32: matrix kernels round differently for different shapes.
    """

    def __init__(
        self,
        files: EncoderFiles,
        *,
        device: str = "cpu",
        dtype: str = "fp32",
        threads: int | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.cls = files.pooling == ("cls",)
        self.dimension = files.dimension
        self.threads = (threads or torch.get_num_threads()) if self.device.type == "cpu" else 1
        self.batch_tokens = batch_tokens or (CPU_BATCH_TOKENS if self.device.type == "cpu" else GPU_BATCH_TOKENS)
        promised = {"tokenizer.json": files.tokenizer_sha}
        self.tokenizer = tokenizers.Tokenizer.from_buffer(read_checked(files.folder, "tokenizer.json", promised))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(files.max_length)
        self.model = _load(files, self.device, torch.bfloat16 if dtype == "bf16" else torch.float32)

    def encode(self, texts: Sequence[str], prompt: str = "") -> np.ndarray:
        """float32 [len(texts), dimension], in the order given, each text after `prompt`.

        EngineBusy where one text outgrows the GPU's memory.
        """
        vectors = torch.empty(len(texts), self.dimension)
        ids = [np.array(found.ids) for found in self.tokenizer.encode_batch_fast([prompt + text for text in texts])]
        order = sorted(range(len(ids)), key=lambda number: -len(ids[number]))

        def fill(batch: list[int]) -> None:
            vectors[batch] = self._vectors([ids[number] for number in batch])

        with _one_thread_each(self.threads) as pool:
            list(pool.map(fill, self._batches(order, [len(row) for row in ids])))
        return vectors.numpy()

    def _batches(self, order: list[int], lengths: list[int]) -> Iterator[list[int]]:
        """Neighbors in length, longest first, so that little is padding; at least one batch for every thread."""
        budget = min(self.batch_tokens, -(-sum(lengths) // self.threads))
        start = 0
        while start < len(order):
            size = max(1, budget // lengths[order[start]])
            yield order[start : start + size]
            start += size

    def _vectors(self, ids: list[np.ndarray]) -> Tensor:
        """Unit vectors [texts, dimension] on the CPU; halves the batch while the GPU's memory does not hold it."""
        try:
            return self._pooled(ids)
        except torch.OutOfMemoryError as error:
            if len(ids) == 1:
                raise EngineBusy(
                    f"{self.device} has no memory for one text of {len(ids[0])} tokens",
                    expected="room for at least one text",
                    next_step="free the GPU, or set encoder.device to cpu",
                ) from error
        torch.cuda.empty_cache()
        half = len(ids) // 2
        return torch.cat([self._vectors(ids[:half]), self._vectors(ids[half:])])

    @torch.inference_mode()
    def _pooled(self, ids: list[np.ndarray]) -> Tensor:
        lengths = torch.tensor([len(row) for row in ids])
        padded = np.zeros((len(ids), int(lengths.max())), np.int64)
        for row, found in zip(padded, ids, strict=True):
            row[: len(found)] = found
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        full = bool(mask.all())
        mask = mask.to(self.device)
        states = self.model(torch.from_numpy(padded).to(self.device), None if full else mask).float()
        pooled = states[:, 0] if self.cls else (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(pooled, dim=1).cpu()


@contextmanager
def _one_thread_each(threads: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads each compute alone; torch's thread count is as before afterwards."""
    with _COMPUTING:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            # new threads take over the count that was set last, but only at their first parallel operation
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield pool
        finally:
            torch.set_num_threads(before)


def _load(files: EncoderFiles, device: torch.device, dtype: torch.dtype) -> Bert:
    """Reads the weights once: the bytes that were hashed are the bytes that are used."""
    data = read_checked(files.folder, "model.safetensors", files.weights)
    try:
        found = safetensors.torch.load(data)
        weights = {
            name.removeprefix("bert."): tensor.to(device, dtype)
            for name, tensor in found.items()
            if tensor.is_floating_point() and "pooler." not in name
        }
        return Bert(files.config, weights)
    except (safetensors.SafetensorError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{files.folder / 'model.safetensors'} is not the model that config.json describes: {error}",
            expected="the weights of a BERT model",
            next_step="fetch the model again, or choose another encoder.model",
        ) from error


def _pair(weights: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _layer(weights: Mapping[str, Tensor], name: str) -> dict[str, tuple[Tensor, Tensor]]:
    three = [_pair(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    return {
        "query_key_value": (torch.cat([weight for weight, _ in three]), torch.cat([bias for _, bias in three])),
        "mixed": _pair(weights, f"{name}.attention.output.dense"),
        "mixed_norm": _pair(weights, f"{name}.attention.output.LayerNorm"),
        "wide": _pair(weights, f"{name}.intermediate.dense"),
        "narrow": _pair(weights, f"{name}.output.dense"),
        "narrow_norm": _pair(weights, f"{name}.output.LayerNorm"),
    }
