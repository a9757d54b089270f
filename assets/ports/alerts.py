"""Who is told when a run failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Alert:
    """One failed run in words: `what` failed, `why`, the `next_step`, and a `link` to it (empty: none is known).

    `job` is the job's name, `partition` its slice, day or variant, or empty; `at` is ISO 8601 in UTC.
    """

    run: str
    job: str
    partition: str
    what: str
    why: str
    next_step: str
    link: str
    at: str

    def text(self) -> str:
        """The whole of it for a person, one idea a line."""
        lines = [self.what, f"Why: {self.why}", f"Next: {self.next_step}", f"Run: {self.link or self.run}"]
        return "\n".join(lines)


class AlertSink(Protocol):
    """Where alerts go. What it is told in a secret (an address with a token, a password) is in no error and no log."""

    @property
    def name(self) -> str:
        """One word, the same in every process: the run's tag holds it."""
        ...

    def send(self, alert: Alert) -> None:
        """Returns when the alert was taken. EngineBusy when it was not, after all attempts; EngineError where it was
        refused; ConfigError where a variable is not set."""
        ...

    def check(self) -> str:
        """How it is, in words, without sending anything; raises as `send` does."""
        ...
