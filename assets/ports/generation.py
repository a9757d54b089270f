"""Chats to answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

Chat = Sequence[Mapping[str, str]]  # messages with role and content; the answer is to follow


class Generated(NamedTuple):
    """An answer. `seconds` is its share of the time that its batch took, `tokens` what was generated, `ended` whether
    the model said that it was done (or it was cut off). `problem` says why nothing was generated, where it was not;
    `prompt` is how many tokens were read, None where the engine does not tell: then `tokens` is a guess as well."""

    text: str
    seconds: float = 0.0
    tokens: int = 0
    ended: bool = True
    problem: str = ""
    prompt: int | None = None


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


class Voice(NamedTuple):
    """Who is to speak: a variant, with the released adapter's id and folder; both empty for the base alone."""

    variant: str = "main"
    adapter: str = ""
    folder: Path | None = None


class Speaker(Protocol):
    """A base that answers one chat piece by piece, with whatever adapter is asked for; greedy."""

    def stream(self, chat: Chat, voice: Voice) -> Iterator[str | Generated]:
        """Pieces of the answer's text as they are generated, and last the whole of it.

        May be called by several threads at once. Closing the iterator ends the generation. ModelError where base or
        adapter cannot be loaded, EngineBusy where no answer comes in time, EngineError where the engine refuses.
        """
        ...
