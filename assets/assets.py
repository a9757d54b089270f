"""What the assets of both hands share: how our errors, progress and metadata become Dagster's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from assets.errors import Final, GateRefused, Retryable
from assets.ports import Progress
from assets.rendering import Markdown, Metadata


def shown(metadata: Metadata) -> dict[str, Any]:
    """Metadata as the UI shows it."""
    return {k: dg.MetadataValue.md(v) if isinstance(v, Markdown) else v for k, v in metadata.items()}


@contextmanager
def translated(retries: int, seconds: float) -> Iterator[None]:
    """Retryable errors are tried again by Dagster, final ones fail at once with their own words.

    A refusal of a gate passes through: whoever asked has more to say about it.
    """
    try:
        yield
    except GateRefused:
        raise
    except Retryable as error:
        raise dg.RetryRequested(retries, seconds) from error
    except Final as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def logged(context: dg.AssetExecutionContext) -> Progress:
    """Logs about ten lines for a long piece of work, and none for a short one."""

    def report(what: str, done: int, total: int) -> None:
        if total >= 1_000 and (done * 10) // total != ((done - 1) * 10) // total:
            context.log.info(f"{what}: {done:,} of {total:,}")

    return report
