"""Encoders: texts to unit vectors, with an identity that is known before torch is imported.

`load_tokenizer` and `load_encoder` are cheap; torch comes with the first text that is encoded. The bundled model and
every other BERT with mean or CLS pooling runs in `encoder_bert`, all else through sentence-transformers itself.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tokenizers

from assets import ports
from assets.errors import ConfigError, EngineBusy, ModelError
from assets.fingerprints import sha256_bytes
from orchestration.engines import encoder_files
from orchestration.engines.encoder_files import EncoderFiles
from orchestration.engines.encoder_places import BUNDLED
from orchestration.engines.token_counts import WordCounts, splits_at_white_space

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_BF16_FLAGS = {"amx_bf16", "avx512_bf16"}  # /proc/cpuinfo; measured faster on both, see docs/decisions/0002-encoder.md


def load_tokenizer(model: str = BUNDLED, revision: str | None = None) -> ports.Tokenizer:
    """The encoder's tokenizer, without torch. Arguments and errors as for `load_encoder`."""
    data, max_length, document_prompt = encoder_files.tokenizer_file(model, revision)
    return RustTokenizer(data, max_length, document_prompt)


def load_encoder(
    model: str = BUNDLED,
    revision: str | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    batch_tokens: int | None = None,
) -> ports.Encoder:
    """An encoder by name, built without torch.

    model: "bundled" (all-MiniLM-L6-v2, every file verified by sha256), a folder, or a hub id with `revision`, a
    full commit hash. Weights are safetensors only, and code that comes with a model is never run.
    device: "auto" (the first GPU, else the CPU), "cpu", "cuda", "cuda:1", "mps".
    dtype: "bf16", "fp32", or "auto": bf16 where the hardware computes it natively (amx_bf16 or avx512_bf16, a GPU of
    compute capability >= 8), else fp32. The dtype is part of the fingerprint, so with "auto" a home that moves
    between machines of both kinds embeds everything anew; name one dtype where several machines share a home.
    threads: CPU threads, default torch's own. batch_tokens: padded tokens computed at once.

    Raises ConfigError (the message starts with the key) or ModelError (missing, damaged, pickled, needs code).
    """
    if not _DEVICE.fullmatch(device):
        raise ConfigError(f"encoder.device: received {device!r}", expected='"auto", "cpu", "cuda", "cuda:N" or "mps"')
    if dtype not in ("auto", "bf16", "fp32"):
        raise ConfigError(f"encoder.dtype: received {dtype!r}", expected='"auto", "bf16" or "fp32"')
    for key, value in (("threads", threads), ("batch_tokens", batch_tokens)):
        if value is not None and value < 1:
            raise ConfigError(f"encoder.{key}: received {value}", expected="a whole number above 0")
    files = encoder_files.read(model, revision)
    chosen = resolve_dtype(dtype, device)
    return LazyEncoder(files, device=device, dtype=chosen, threads=threads, batch_tokens=batch_tokens)


class RustTokenizer:
    """Counts tokens through the `tokenizers` package. `max_tokens` leaves room for special tokens and the prompt."""

    def __init__(self, data: bytes, max_length: int, document_prompt: str = "") -> None:
        self.fingerprint = sha256_bytes(data)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the Rust side raises plain Exception
            raise ModelError(f"tokenizer.json cannot be used: {error}", next_step="fetch the model again") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._counts = WordCounts(self._whole) if splits_at_white_space(data) else self._whole
        special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        self.max_tokens = max_length - special - self.count([document_prompt])[0]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special ones and without truncation."""
        return self._counts([well_formed(text) for text in texts])

    def _whole(self, texts: Sequence[str]) -> list[int]:
        return [len(found) for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


class _Backend(Protocol):
    def encode(self, texts: Sequence[str], prompt: str = "") -> np.ndarray: ...


class LazyEncoder:
    """An encoder whose identity is known at once and whose model is loaded by the first text. Thread-safe.

    Texts longer than the model's maximum are truncated, lone surrogates are encoded as "?".
    """

    def __init__(
        self, files: EncoderFiles, *, device: str, dtype: str, threads: int | None, batch_tokens: int | None
    ) -> None:
        self.files = files
        self.dtype = dtype
        self.dimension = files.dimension
        self.fingerprint = files.fingerprint(dtype)
        self._options: dict[str, Any] = {"dtype": dtype, "threads": threads, "batch_tokens": batch_tokens}
        self._device = device
        self._backend: _Backend | None = None
        self._loading = threading.Lock()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension], L2-normalized, in the order given. ModelError at the first call."""
        return self._encode(texts, self.files.document_prompt)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, with the model's query prompt."""
        return self._encode(texts, self.files.query_prompt)

    def verify(self) -> None:
        """Reads all weights and compares them with the fingerprint's; ModelError where a byte differs."""
        encoder_files.verify(self.files)

    def _encode(self, texts: Sequence[str], prompt: str) -> np.ndarray:
        if not len(texts):
            return np.zeros((0, self.dimension), np.float32)
        with self._loading:
            self._backend = self._backend or self._load()
        return self._backend.encode([well_formed(text) for text in texts], prompt)

    def _load(self) -> _Backend:
        from orchestration.engines import encoder_bert

        device = _present(self._device)
        if encoder_bert.fits(self.files):
            return encoder_bert.BertEncoder(self.files, device=device, **self._options)
        return SentenceTransformersEncoder(self.files, device=device, **self._options)


class SentenceTransformersEncoder:
    """Any model of sentence-transformers. The transformer runs in the dtype; pooling and what follows in fp32."""

    def __init__(
        self, files: EncoderFiles, *, device: str, dtype: str, threads: int | None, batch_tokens: int | None
    ) -> None:
        import torch

        encoder_files.verify(files)
        self.files = files
        self.threads = threads
        self.batch = max(1, (batch_tokens or (65536 if device.startswith("cuda") else 2048)) // files.max_length)
        self.model = _sentence_transformer(files, device)
        if dtype == "bf16":
            self.model[0].to(torch.bfloat16)
            self.model[0].register_forward_hook(_to_fp32)

    def encode(self, texts: Sequence[str], prompt: str = "") -> np.ndarray:
        """float32 [len(texts), dimension]. Each text follows `prompt`, whose tokens some models do not pool."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads or before)
        try:
            vectors = self._halving(list(texts), prompt, self.batch)
        finally:
            torch.set_num_threads(before)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def _halving(self, texts: list[str], prompt: str, batch: int) -> np.ndarray:
        import torch

        try:
            found = self.model.encode(texts, prompt=prompt, batch_size=batch, show_progress_bar=False)
            return np.asarray(found, np.float32)
        except torch.OutOfMemoryError as error:
            if batch == 1:
                raise EngineBusy(
                    f"{self.model.device} has no memory for one text",
                    expected="room for at least one text",
                    next_step="free the GPU, or set encoder.device to cpu",
                ) from error
        torch.cuda.empty_cache()
        return self._halving(texts, prompt, batch // 2)


def _sentence_transformer(files: EncoderFiles, device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(
            str(files.folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": "float32"},
        )
    except Exception as error:  # the loader raises whatever the model's own class raises
        raise ModelError(
            f"sentence-transformers cannot load {files.folder}: {error}",
            expected="a model of sentence-transformers that needs no code of its own, with safetensors weights",
            next_step="fetch the model again, or choose another encoder.model",
        ) from error
    model.max_seq_length = files.max_length
    found = model.get_embedding_dimension()
    if found != files.dimension:
        raise ModelError(
            f"{files.folder} gives vectors of {found} numbers",
            expected=f"{files.dimension}, as its configuration says",
            next_step="fetch the model again, or choose another encoder.model",
        )
    return model


def _to_fp32(_module: Any, _inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
    return features | {"token_embeddings": features["token_embeddings"].float()}


def well_formed(text: str) -> str:
    """The text itself, or with "?" for lone surrogates, which no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def resolve_dtype(dtype: str, device: str) -> str:
    """What "auto" means here: "bf16" or "fp32", found without torch.

    | device | bf16 where |
    |---|---|
    | auto | a visible GPU of compute capability >= 8; without a GPU as for cpu |
    | cuda, cuda:N | a visible GPU of compute capability >= 8 |
    | cpu | /proc/cpuinfo shows amx_bf16 or avx512_bf16 |
    | mps | never |
    """
    if dtype != "auto":
        return dtype
    capability = gpu_capability() if device.startswith(("auto", "cuda")) else None
    if capability is not None:
        return "bf16" if capability >= 8 else "fp32"
    return "bf16" if device in ("auto", "cpu") and _BF16_FLAGS & cpu_flags() else "fp32"


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets of this machine's first CPU; empty where the system does not say (not Linux on x86)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


@functools.cache
def gpu_capability() -> int | None:
    """Major compute capability of the first NVIDIA GPU, or None where no GPU can be used.

    Asks NVML, as torch does for its own availability check: unlike CUDA it may be used before a fork.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return None
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    handle, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        if nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) != 0:
            return None
        asked = nvml.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
        return major.value if asked == 0 else None
    finally:
        nvml.nvmlShutdown()


def _present(device: str) -> str:
    """The device by torch's name; ConfigError where it was asked for by name and is not there."""
    import torch

    if device == "auto":
        return "cuda" if gpu_capability() is not None and torch.cuda.is_available() else "cpu"
    number = int(device.partition(":")[2] or 0)
    missing = (device.startswith("cuda") and torch.cuda.device_count() <= number) or (
        device == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ConfigError(
            f"encoder.device: {device} is not available",
            expected="a device that torch sees here",
            next_step='set encoder.device to "auto" or "cpu"',
        )
    return device
