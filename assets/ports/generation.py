"""Chats to answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

Chat = Sequence[Mapping[str, str]]  # messages with role and content; the answer is to follow


class Generated(NamedTuple):
    """An answer. `seconds` is its share of the time that its batch took, `tokens` what was generated, `ended` whether
    the model said that it was done (or it was cut off). `problem` says why nothing was generated, where it was not."""

    text: str
    seconds: float = 0.0
    tokens: int = 0
    ended: bool = True
    problem: str = ""


class Generator(Protocol):
    """A base that answers, alone or with an adapter; greedy, so that the same chat always gets the same answer."""

    @property
    def context(self) -> int:
        """Tokens that the base reads, prompt and answer together."""
        ...

    def lengths(self, chats: Sequence[Chat]) -> list[int]:
        """Tokens of each prompt, as the base reads it. One of `context` or more gets no answer, but a problem."""
        ...

    def generate(
        self,
        chats: Sequence[Chat],
        adapter: Path | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Generated]:
        """Answers in the order of the chats; `adapter` is the folder of a PEFT adapter, None the base alone.

        ModelError where base or adapter cannot be loaded, EngineError where not even one prompt fits into memory.
        """
        ...
