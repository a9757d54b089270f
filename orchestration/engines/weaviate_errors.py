"""Weaviate's exceptions in the words of `assets.errors`. The vendor raises its own, httpx's and grpc's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from assets.errors import DiskFull, EngineBusy, EngineError, TwohandsError

# One and the same cause arrives as an exception class, as an HTTP status or inside a gRPC text, by the way it took.
DENIED = ("insufficient permissions", "forbidden", "permission denied")
UNKNOWN = ("unauthorized", "anonymous access not enabled", "unauthenticated", "invalid api key")
FULL = ("no space left", "store is read-only", "disk usage too high", "status readonly")
MISSING = ("could not find class", "class not found", "could not find collection", "status code: 404")
LATER = (
    "unavailable",
    "deadline exceeded",
    "deadline_exceeded",
    "timed out",
    "timeout",
    "failed to connect",
    "connection to weaviate failed",
    "could not connect",
    "connection refused",
    "connection reset",
    "disconnected",
    "broken pipe",
    "after 3 retries",
    "after 5 retries",
    "not enough memory",
    "memory pressure",
    "cannot reach enough replicas",
    "cannot achieve consistency",
    "leader not found",
    "resource_exhausted",
    "too many requests",
    "status code: 429",
    "status code: 502",
    "status code: 503",
    "status code: 504",
    "did not start listening",
)
SHOWN = 3  # messages of a batch that are shown


def is_missing(error: Exception) -> bool:
    """Whether a vendor's error says that the collection asked for is not there."""
    return _has(_text(error), MISSING)


def translated(error: Exception, place: str, api_key_env: str | None) -> TwohandsError:
    """The error of our own that says what the vendor's means for the caller."""
    text = _text(error)
    key = f"the key in {api_key_env}" if api_key_env else "the server without a key"
    if _has(text, DENIED):
        return EngineError(
            f"Weaviate at {place} does not allow this with {key}: {text}",
            expected="a key that may create, write and delete collections and aliases",
            next_step="publish with another key; a read-only one is enough to search",
        )
    if _has(text, UNKNOWN):
        return EngineError(
            f"Weaviate at {place} refused {key}: {text}",
            expected="a key that the server knows",
            next_step=f"correct the value of {api_key_env}" if api_key_env else "name its variable: index.api_key_env",
        )
    if _has(text, FULL):
        return DiskFull(
            f"Weaviate at {place} has no space left: {text}", next_step="free space or add nodes, then run again"
        )
    if is_missing(error):
        return EngineError(
            f"A collection at {place} is not there any more: {text}",
            expected="the collection of a version that is kept",
            next_step="open the published version again; if there is none, materialize knowledge/index",
        )
    if _is_transport(error) or _has(text, LATER):
        return EngineBusy(
            f"Weaviate at {place} did not answer: {text}", next_step="see whether the server is up, then run again"
        )
    return EngineError(f"Weaviate at {place} refused: {text}", next_step="see the cause above in the traceback")


@contextmanager
def translating(place: str, api_key_env: str | None) -> Iterator[None]:
    """Turns the vendor's exceptions into ours; ours pass through."""
    try:
        yield
    except TwohandsError:
        raise
    except Exception as error:
        if not _is_vendors(error):
            raise
        raise translated(error, place, api_key_env) from error


def failed_objects(errors: Mapping[int, Any], place: str, api_key_env: str | None) -> TwohandsError:
    """The error for a batch of which some objects were refused: the first messages, and which objects they are."""
    some = list(errors.values())[:SHOWN]
    names = ", ".join(str(each.object_.properties.get("chunk_id", each.original_uuid)) for each in some)
    messages = "; ".join(dict.fromkeys(" ".join(str(each.message).split())[:200] for each in some))
    return translated(
        RuntimeError(f"{len(errors)} objects of a batch failed ({names}): {messages}"), place, api_key_env
    )


def _is_vendors(error: Exception) -> bool:
    # ValueError: lone surrogates and other texts that protobuf cannot carry. urllib and OSError: the embedded server.
    import grpc
    from weaviate.exceptions import WeaviateBaseError

    return isinstance(error, WeaviateBaseError | grpc.RpcError | OSError | ValueError) or _is_transport(error)


def _is_transport(error: Exception) -> bool:
    import httpx
    from weaviate.exceptions import WeaviateConnectionError, WeaviateTimeoutError

    return isinstance(error, httpx.TransportError | WeaviateConnectionError | WeaviateTimeoutError)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


def _has(text: str, signs: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(sign in lowered for sign in signs)
