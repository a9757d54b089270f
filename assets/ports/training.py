"""Chats to the weights of an adapter, by whatever trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from assets.errors import Final, Retryable

Chat = Sequence[Mapping[str, Any]]  # messages: role, content


class OutOfMemory(Final):
    """The machine has less memory than one update takes, in the parts that it was told."""


class Diverged(Final):
    """The loss is no number any more."""


class UnfitRows(Final):
    """Rows that cannot be learned from: none, all the same, masked, endless, longer than the context."""


class MissingExtra(Final):
    """What was configured needs a library, or a GPU, that is not there."""


class Superseded(Retryable):
    """Another run has taken this training over."""


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt with a better and a worse answer."""

    prompt: Chat
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Declining:
    """Questions that the adapter must decline as readily as its base does: prompts with what is shown, and no answers.

    `says` is what the rows to learn from say where they decline, and `base_says` what the base says, both up to where
    they have declined. `weight` is that of their divergence in the loss; `lean` is taken off the base's log odds.
    """

    prompts: Sequence[Chat]
    says: str
    base_says: str
    weight: float
    lean: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a training runs: `device` is cpu or cuda, `kind` tells devices apart whose sums are rounded differently."""

    device: str
    kind: str
    cores: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be trained: `adapter` is its id, `run` the run that asks, `said` the hyperparameters as
    `AdapterConfig.said` gives them. `variant` is whom the adapter is for, and pays for it. Rows have at most
    `max_tokens` tokens, as the dataset counted them (0: not known), which is a limit where the base states no context.
    """

    adapter: str
    run: str
    base: Path
    base_id: str
    said: Mapping[str, Any]
    train: Sequence[Chat]
    validation: Sequence[Chat] = ()
    pairs: Sequence[Preference] = ()
    declining: Declining | None = None
    variant: str = ""
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """What runs have spent on an adapter that is not published: seconds of `device` (cpu or cuda) by run."""

    adapter: str
    variant: str
    device: str
    spent: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """Where a training is. `validation` is the loss on held-out rows where it was just measured; `left` in seconds."""

    step: int
    steps: int
    loss: float
    validation: float | None
    tokens_per_second: float
    left: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to: `folder` holds the two files of an adapter, and nothing else.

    losses: the mean loss of an answer's token, an update each; divergences: likewise, of how readily the questions of
    `Declining` are declined, in nats from the base; validation: (update, loss) as it was measured. `best` is
    the update whose weights were kept, `resumed` the one that a former run had come to. tokens and seconds are of all
    runs together; `watts` was measured, or is None.
    """

    folder: Path
    losses: Sequence[float]
    validation: Sequence[tuple[int, float]]
    best: int
    stopped: bool
    resumed: int
    tokens: int
    answer_tokens: int
    seconds: float
    watts: float | None = None
    memory: int = 0  # bytes at most: of the GPU, or of the process
    preference: Mapping[str, float] = field(default_factory=dict)
    divergences: Sequence[float] = ()


Report = Callable[[Step], None]
Pay = Callable[[Left], None]


class Trainer(Protocol):
    """Trains one adapter at a time."""

    def machine(self) -> Machine:
        """Where it would train, by "auto"."""
        ...

    def versions(self, said: Mapping[str, Any]) -> Mapping[str, str]:
        """Versions of the libraries that decide the bits; MissingExtra where one is missing."""
        ...

    def train(self, order: Order, report: Report, pay: Pay | None = None) -> AbstractContextManager[Trained]:
        """Trains, or goes on where a killed run of this adapter had come to. Inside the `with`, nobody else trains on
        this machine or owns this training; after it, what it kept on the disk is gone.

        `pay` is told first what other runs have spent, on this adapter and on any that is not published: those that
        were killed with their parent could not say so themselves. It may be told the same again.

        OutOfMemory, Diverged, UnfitRows, MissingExtra; EngineBusy while another one trains; DiskFull; Superseded.
        """
        ...

    def spent(self, adapter: str) -> Mapping[str, float]:
        """Seconds of the device that each run has spent on an adapter so far, also those that were killed."""
        ...
