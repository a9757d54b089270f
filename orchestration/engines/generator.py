"""Answers by transformers and PEFT, in this process: the base is loaded once, adapters come and go by their folders.

Greedy decoding in batches. Prompts of similar length share a batch (padded on the left); whoever has said the stop
token leaves it at once, with its part of the cache, so that nobody waits for the longest answer. In fp32 the answers
are those of one prompt at a time; in bf16 a batch may decide a tie between two tokens otherwise. A single chat is
answered token by token as well (`stream`; generator_stream.py says who waits for whom).

torch and transformers are imported when the first prompt comes.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from assets.errors import EngineError, ModelError
from assets.ports import Progress
from assets.ports.generation import Chat, Generated, Voice
from orchestration.engines.base_context import stated_context
from orchestration.engines.base_model import load_base
from orchestration.engines.control_tokens import broken, pattern
from orchestration.engines.generator_steps import Row, decode
from orchestration.engines.generator_stream import Pieces, Turns, tokens

KEPT = 4  # adapters that stay loaded; the least recently used one goes first
WEIGHTS = "adapter_model.safetensors"
ALONE = Voice()


class TransformersGenerator:
    """A base folder that answers. Calls of several threads take turns.

    `batch`: prompts at a time, halved where memory is short; `max_new_tokens`: of an answer; `device`: auto, cpu,
    cuda, cuda:1; `dtype`: auto is fp32 on a CPU, bf16 elsewhere; `kept`: adapters that stay loaded side by side.
    """

    def __init__(
        self,
        folder: Path,
        *,
        batch: int = 32,
        max_new_tokens: int = 256,
        device: str = "auto",
        dtype: str = "auto",
        kept: int = KEPT,
        decode: Callable[..., None] = decode,
    ) -> None:
        self.folder = folder
        self._batch, self._most, self._device, self._dtype = batch, max_new_tokens, device, dtype
        self._decode, self._lock, self._kept, self._turns = decode, RLock(), kept, Turns()
        self._base: tuple[Any, Any] | None = None  # the model (PEFT's, once there was an adapter) and its tokenizer
        self._adapters: OrderedDict[Path, tuple[str, tuple[int, ...]]] = OrderedDict()  # folder -> PEFT's name, file
        self._loaded = 0

    @property
    def context(self) -> int:
        """Tokens that base and tokenizer promise to read; no end of them where neither says."""
        model, tokenizer = self._open()
        return stated_context(model.config, tokenizer) or sys.maxsize

    def lengths(self, chats: Sequence[Chat]) -> list[int]:
        """Tokens of each prompt."""
        return [len(ids) for ids in self._tokens(chats)]

    def generate(
        self, chats: Sequence[Chat], adapter: Path | None = None, progress: Progress | None = None
    ) -> list[Generated]:
        """Answers in the order of the chats."""
        with self._lock, self._attached(adapter) as model:
            rows = [Row(ids, min(self._most, self.context - len(ids))) for ids in self._tokens(chats)]
            fitting = sorted((row for row in rows if row.most > 0), key=lambda row: len(row.prompt))
            start, size = 0, self._batch
            while start < len(fitting):
                some = fitting[start : start + size]
                if self._answered(model, some):
                    start += len(some)
                    if progress:
                        progress("answers", start, len(fitting))
                else:
                    size = max(len(some) // 2, 1)
            return [self._generated(row) for row in rows]

    def stream(self, chat: Chat, voice: Voice = ALONE) -> Iterator[str | Generated]:
        """Pieces of one answer as they are generated, and last the whole of it; see assets.ports.generation.Speaker."""
        return self._turns.stream(lambda say: self._said(chat, voice.folder, say))

    def _said(self, chat: Chat, adapter: Path | None, say: Callable[[str], bool]) -> Generated:
        with self._lock, self._attached(adapter) as model:
            (ids,) = self._tokens([chat])
            row = Row(ids, min(self._most, self.context - len(ids)))
            pieces, began, said = Pieces(self._text), time.perf_counter(), ""
            try:
                for token in tokens(model, ids, row.most, self._stops()):
                    row.said.append(token)
                    piece = pieces.add(token)
                    said += piece
                    if not say(piece):
                        break
                else:
                    row.ended = len(row.said) < row.most
            except (RuntimeError, MemoryError) as error:
                if not _is_memory(error):
                    raise
                raise _too_large(row) from error
            row.seconds = time.perf_counter() - began
            whole = self._generated(row)
            say(whole.text[len(said) :] if whole.text.startswith(said) else "")
            return whole

    def _answered(self, model: Any, rows: Sequence[Row]) -> bool:
        """Answers some rows; False where they are too many for the memory."""
        import torch

        began = [row.restarted() for row in rows]
        try:
            self._decode(model, began, stops=self._stops(), pad=self._open()[1].pad_token_id, clock=time.perf_counter)
        except (RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
            torch.cuda.empty_cache()
            if len(rows) == 1:
                raise _too_large(rows[0]) from error
            return False
        for row, made in zip(rows, began, strict=True):
            row.said, row.seconds, row.ended = made.said, made.seconds, made.ended
        return True

    def _generated(self, row: Row) -> Generated:
        if row.most <= 0:
            problem = f"the prompt has {len(row.prompt)} tokens, and the base reads {self.context} with the answer"
            return Generated("", ended=False, problem=problem, prompt=0)
        text = self._text(row.said).strip()
        return Generated(text, row.seconds, len(row.said), row.ended, prompt=len(row.prompt))

    def _text(self, tokens: Sequence[int]) -> str:
        return self._open()[1].decode(tokens, skip_special_tokens=True)

    def _tokens(self, chats: Sequence[Chat]) -> list[list[int]]:
        tokenizer = self._open()[1]
        marks = pattern(control_tokens(tokenizer))
        texts = [
            tokenizer.apply_chat_template(
                [dict(one) | {"content": broken(one["content"], marks)} for one in chat],
                tokenize=False,
                add_generation_prompt=True,
            )
            for chat in chats
        ]
        return tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []

    def _stops(self) -> frozenset[int]:
        model, tokenizer = self._open()
        said = model.generation_config.eos_token_id
        listed = said if isinstance(said, list) else [said]
        return frozenset(int(one) for one in (*listed, tokenizer.eos_token_id) if one is not None)

    # ------------------------------------------------------------------------------------------------ base, adapters

    @property
    def device(self) -> str:
        """Where it answers, as torch names it; empty before the first prompt."""
        with self._lock:
            return str(self._base[0].device) if self._base else ""

    def _open(self) -> tuple[Any, Any]:
        with self._lock:
            if self._base is None:
                import torch

                cuda = torch.cuda.is_available()
                device = ("cuda" if cuda else "cpu") if self._device == "auto" else self._device
                dtype = ("float32" if device == "cpu" else "bfloat16") if self._dtype == "auto" else self._dtype
                model, tokenizer = load_base(self.folder, dtype=dtype, device=device)
                self._base = model.eval(), tokenizer
            return self._base

    @contextmanager
    def _attached(self, folder: Path | None) -> Iterator[Any]:
        """The base with an adapter, or alone, for as long as the context lasts."""
        model, _ = self._open()
        if folder is None:
            if not self._adapters:
                yield model
                return
            with model.disable_adapter():
                yield model
            return
        folder = folder.resolve()
        self._load(folder)
        model, _ = self._open()
        model.set_adapter(self._adapters[folder][0])
        self._adapters.move_to_end(folder)
        yield model

    def _load(self, folder: Path) -> None:
        if folder in self._adapters and self._adapters[folder][1] == _mark(folder):
            return
        mark = _mark(folder)
        if not mark:
            raise ModelError(
                f"The adapter is not there: no {WEIGHTS} in {folder}",
                expected="the folder of a published adapter",
                next_step="restore it from a backup, or fine-tune again",
            )
        from peft import PeftModel
        from safetensors import SafetensorError

        model, tokenizer = self._open()
        name = f"adapter_{self._loaded}"
        self._loaded += 1
        try:
            if self._adapters:
                model.load_adapter(str(folder), adapter_name=name, torch_device=str(model.device))
            else:
                device = str(model.device)
                model = PeftModel.from_pretrained(model, str(folder), adapter_name=name, torch_device=device)
                self._base = model.eval(), tokenizer
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            self._base, self._adapters = None, OrderedDict()  # what was half attached goes with the base
            raise ModelError(
                f"the adapter in {folder} does not fit the base in {self.folder} ({error!s:.300})",
                expected="an adapter that was trained on this base",
                next_step="fine-tune again, or restore the base that it was made for",
            ) from error
        replaced = self._adapters.pop(folder, None)
        self._adapters[folder] = name, mark
        model.set_adapter(name)  # PEFT warns where the active one is deleted
        if replaced is not None:
            model.delete_adapter(replaced[0])
        while len(self._adapters) > self._kept:
            _, (oldest, _) = self._adapters.popitem(last=False)
            model.delete_adapter(oldest)


def control_tokens(tokenizer: Any) -> list[str]:
    """What a tokenizer reads as control tokens, the longest first."""
    added = {str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted({*added, *map(str, tokenizer.all_special_tokens)}, key=lambda mark: (-len(mark), mark))


def _mark(folder: Path) -> tuple[int, ...]:
    """Tells an adapter's weights from others that take their place; empty where there are none."""
    try:
        said = (folder / WEIGHTS).stat()
    except OSError:
        return ()
    return said.st_ino, said.st_size, said.st_mtime_ns, said.st_ctime_ns


def _too_large(row: Row) -> EngineError:
    return EngineError(
        f"there is not enough memory to answer one prompt of {len(row.prompt)} tokens",
        expected="memory for the base, and for the cache of one prompt with its answer",
        next_step="free memory, choose a smaller base.model, or lower evaluation.max_new_tokens",
    )


def _is_memory(error: BaseException) -> bool:
    """Whether torch ran out of memory: CUDA has an error of its own, a CPU's allocator just says so."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said
