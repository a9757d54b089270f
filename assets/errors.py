"""Every error that Twohands raises on purpose.

    TwohandsError
    ├── Retryable                 the same call may succeed later; orchestration retries it
    │   ├── SourceBusy            a source could not be reached, or a file changed while it was read
    │   ├── EngineBusy            an engine did not answer, or another process holds the lock
    │   └── DiskFull              no space left; nothing was published
    └── Final                     the same call will fail again until a person changes something
        ├── ConfigError           twohands.toml or the environment; the message starts with the key's path
        ├── SourceError           a source that does not exist, or that may not be read
        ├── EngineError           an engine refused: wrong key, wrong dimension, wrong schema
        ├── ModelError            model files that are missing, or not the ones that were promised
        ├── CorruptState          a file of the lake that is not what was written
        ├── BadQuestion           a question that nobody could answer: empty, too long, no text; an unknown variant
        ├── NothingPublished      there is no index to answer from
        └── GateRefused           a blocking check failed; the last good version is still served

Each carries what was received, what was expected and what to do next.
"""

from __future__ import annotations


class TwohandsError(Exception):
    """Base class. `str(error)` is one readable sentence or three: problem, expectation, next step."""

    def __init__(self, problem: str, *, expected: str = "", next_step: str = "") -> None:
        self.problem = problem.rstrip(".")
        self.expected = expected.rstrip(".")
        self.next_step = next_step.rstrip(".")
        super().__init__(problem, expected, next_step)

    def __str__(self) -> str:
        parts = [f"{self.problem}."]
        if self.expected:
            parts.append(f"Expected: {self.expected}.")
        if self.next_step:
            parts.append(f"Next: {self.next_step}.")
        return " ".join(parts)


class Retryable(TwohandsError):
    """Nothing is wrong that time cannot mend."""


class SourceBusy(Retryable):
    """A source could not be reached, or a file changed while it was read."""


class EngineBusy(Retryable):
    """An engine did not answer in time, or another process holds the lock."""


class DiskFull(Retryable):
    """No space left on a device. What was published before is untouched."""


class Final(TwohandsError):
    """Trying again without a change will fail again."""


class ConfigError(Final):
    """A wrong key, type, path or value in twohands.toml or the environment."""


class SourceError(Final):
    """A source that does not exist, or that may not be read."""


class EngineError(Final):
    """An engine refused the request itself: wrong key, wrong dimension, wrong schema."""


class ModelError(Final):
    """Model files that are missing, damaged, or not the ones that were promised."""


class CorruptState(Final):
    """A file of the lake is not what was written there."""


class BadQuestion(Final):
    """A question that nobody could answer: empty, too long, not text, or to a variant that does not exist."""


class NothingPublished(Final):
    """There is no published index to answer from."""


class GateRefused(Final):
    """A blocking check failed. The last good version is still the one that is served."""
