"""One answer, token by token, of a model that several threads ask at once.

The model works in one thread of its own (`Turns`), in the order in which it was asked: threads of torch are made once,
and a slow reader keeps nobody waiting, since what it has not read yet is held in a queue. Whoever closes the iterator
ends the generation after the token in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import Any

from assets.ports.generation import Generated

UNFINISHED = "\ufffd"  # what a decoder writes for half a character


class Turns:
    """Runs one piece of work after the other, and hands over what it says while it runs."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="twohands-generator")

    def stream(self, work: Callable[[Callable[[str], bool]], Generated]) -> Iterator[str | Generated]:
        """What `work` says and then returns; what it raises is raised here. `work` gets a function that takes a piece
        of text and returns whether anybody still listens."""
        said: SimpleQueue[str | Generated | BaseException] = SimpleQueue()
        gone = Event()

        def say(piece: str) -> bool:
            if piece:
                said.put(piece)
            return not gone.is_set()

        def run() -> None:
            if gone.is_set():
                return
            try:
                said.put(work(say))
            except BaseException as error:  # noqa: BLE001 - raised where it is read
                said.put(error)

        self._thread.submit(run)
        try:
            while True:
                piece = said.get()
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                if isinstance(piece, Generated):
                    return
        finally:
            gone.set()


class Pieces:
    """Tokens to text as it grows. A character of several tokens is held back until it is whole, and so is white space
    until something follows: the pieces together are the stripped text."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode, self._tokens = decode, list[int]()
        self._start, self._read = 0, 0  # tokens from `start` on are decoded; those before `read` were said
        self._space, self._begun = "", False

    def add(self, token: int) -> str:
        """What can be said since the last one."""
        self._tokens.append(token)
        before = self._decode(self._tokens[self._start : self._read])
        after = self._decode(self._tokens[self._start :])
        if after.endswith(UNFINISHED) or len(after) <= len(before):
            return ""
        self._start, self._read = self._read, len(self._tokens)
        return self._stripped(after[len(before) :])

    def _stripped(self, text: str) -> str:
        whole = self._space + text
        if not self._begun:
            whole = whole.lstrip()
        bare = whole.rstrip()
        self._space = whole[len(bare) :] if bare or self._begun else ""
        self._begun = self._begun or bool(bare)
        return bare


def tokens(model: Any, prompt: Sequence[int], most: int, stops: frozenset[int]) -> Iterator[int]:
    """The likeliest tokens after a prompt, one by one, until one of `stops` (not yielded) or `most` of them."""
    import torch
    from transformers import DynamicCache

    with torch.inference_mode():
        cache = DynamicCache(config=model.config.get_text_config())
        ids = torch.tensor([list(prompt)], dtype=torch.long, device=model.device)
        for _ in range(most):
            found = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            ids = found.logits[:, -1].argmax(-1, keepdim=True)
            token = int(ids)
            if token in stops:
                return
            yield token
