"""The contract of one interaction: what a model was asked, what it saw, what it answered, and what people made of it.

`Interaction` is the contract as a model, `json_schema()` as JSON Schema, and `parse` the fast reader of one line. All
three are made from the same annotations. docs/interactions.md explains every field with an example.

Keys that the contract does not have are ignored, not refused: a producer that adds a field for its own use must not
lose its events for it, and nothing that the contract knows is lost by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Required, Self, cast, get_type_hints

import numpy as np
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from typing_extensions import TypedDict

from assets.behavior.quarantine import Reason, Rejected, refused, texts

MAX_ID = 256
ALWAYS = ("id", "occurred_at", "received_at")
UNLESS_DELETED = ("prompt", "response", "passages", "release_id")

_Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID)]


class Passage(BaseModel):
    """A passage that the model was shown, as `twohands search` and `ask` return it."""

    model_config = ConfigDict(strict=True, extra="ignore")

    chunk_id: Annotated[str, Field(description="The passage's id in the index")]
    doc_id: Annotated[str, Field(description="The document it is a part of")]
    text_sha: Annotated[str, Field(description="SHA-256 of the embedded text, in lower-case hex: which version it was")]
    text: Annotated[str | None, Field(description="The text itself, where the producer wants to keep it here")] = None


class Interaction(BaseModel):
    """One interaction, or with `deleted` its tombstone, which needs no more than id, occurred_at and received_at."""

    model_config = ConfigDict(
        strict=True,
        extra="ignore",
        json_schema_extra={
            "if": {"properties": {"deleted": {"const": True}}, "required": ["deleted"]},
            "else": {
                "required": list(UNLESS_DELETED),
                "properties": {name: {"not": {"type": "null"}} for name in UNLESS_DELETED},
            },
        },
    )

    id: Annotated[_Name, Field(description="Names the interaction; the same id again is a correction of it")]
    occurred_at: Annotated[
        AwareDatetime, Field(description="When the answer was given, with a UTC offset. Its UTC date is the event day")
    ]
    received_at: Annotated[
        AwareDatetime,
        Field(description="When this version was recorded, with a UTC offset. Of an id's versions the latest counts"),
    ]
    user: Annotated[str | None, Field(description="Who asked; any stable pseudonym will do")] = None
    variant: Annotated[str | None, Field(description="The manner that was served; main where it is left out")] = None
    prompt: Annotated[str | None, Field(description="What was asked")] = None
    response: Annotated[str | None, Field(description="What the model answered")] = None
    passages: Annotated[
        list[Passage] | None, Field(description="What the model was shown, in that order; may be empty")
    ] = None
    release_id: Annotated[str | None, Field(description="The release that answered, as the answer was stamped")] = None
    feedback: Annotated[
        Literal["up", "down", "none"] | None, Field(description="A person's verdict; none where it is left out")
    ] = None
    corrected_response: Annotated[
        str | None, Field(description="What a person made of the answer; equal to it where it was accepted as it was")
    ] = None
    schema_ok: Annotated[bool | None, Field(description="Whether a structured answer fitted its schema")] = None
    topic: Annotated[str | None, Field(description="The producer's own topic; clustered from prompts without it")] = (
        None
    )
    tags: Annotated[list[str] | None, Field(description="Any labels")] = None
    deleted: Annotated[bool | None, Field(description="A tombstone: this interaction is to be forgotten")] = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        absent = [] if self.deleted else [name for name in UNLESS_DELETED if getattr(self, name) is None]
        if absent:
            raise ValueError(f"{absent[0]} is missing, and this is no tombstone")
        return self


def json_schema() -> dict[str, Any]:
    """The contract as JSON Schema (draft 2020-12): what docs/interactions.schema.json publishes."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Interaction.model_json_schema()}


def _typed(model: type[BaseModel], **replaced: Any) -> Any:
    """The model as a TypedDict: validated five times as fast, and its length tells how many keys the line had."""
    hints = {**get_type_hints(model, include_extras=True), **replaced}
    fields = {
        name: Required[hints[name]] if info.is_required() else hints[name] for name, info in model.model_fields.items()
    }
    made = cast(Any, TypedDict)(f"_{model.__name__}", fields, total=False)
    made.__pydantic_config__ = ConfigDict(strict=True, extra="allow", cache_strings="keys")
    return made


PASSAGE_KEYS = frozenset(Passage.model_fields)
PASSAGE_KEYS_NEEDED = sum(info.is_required() for info in Passage.model_fields.values())
_LINE = _typed(Interaction, passages=cast(Any, list[_typed(Passage)] | None))  # type: ignore[misc]
_validate = TypeAdapter(_LINE).validator.validate_json
KEY_END, ESCAPED_NUL = b'":', b"\\u0000"
_spaced_colon = re.compile(rb'"[ \t\r]+:').search


def parse(line: bytes) -> dict[str, Any]:
    """One line as a dict of the contract's fields (and keys to ignore); absent fields are absent, or None.

    Times are aware datetimes; passages hold only the contract's keys. Raises Rejected.
    """
    event = read(line)
    check(line, event)
    absent = [] if event.get("deleted") else [name for name in UNLESS_DELETED if event.get(name) is None]
    if absent:
        raise incomplete(absent[0])
    return event


def read(line: bytes) -> dict[str, Any]:
    """As `parse`, but for what `check` finds, and for fields that only a tombstone may lack. Raises Rejected."""
    try:
        return _validate(line)
    except ValidationError as error:
        raise refused(line, error) from None


def incomplete(name: str) -> Rejected:
    """The refusal of an interaction that lacks a field and is no tombstone."""
    return Rejected(Reason.MISSING_FIELD, f"{name} is missing")


def check(line: bytes, event: dict[str, Any]) -> None:
    """Refuses keys that are named twice and NUL characters; keeps only the contract's keys of passages."""
    if line.count(KEY_END) != keys_of(event) or _spaced_colon(line):
        json.loads(line, object_pairs_hook=_no_duplicates, parse_int=str, parse_float=str)
    passages = event.get("passages")
    if passages and not all(passage.keys() <= PASSAGE_KEYS for passage in passages):
        event["passages"] = [{k: p[k] for k in Passage.model_fields if k in p} for p in passages]
    if ESCAPED_NUL in line and any(
        "\0" in text for name in Interaction.model_fields for text in texts(event.get(name))
    ):
        raise Rejected(Reason.NUL, "a NUL character in a text")


def keys_of(event: dict[str, Any]) -> int:
    """How many keys a line named at least: those of the event and of its passages."""
    passages = event.get("passages")
    return len(event) + sum(map(len, passages)) if passages else len(event)


def surely_checked(lines: Sequence[bytes], keys: int, plain: bool) -> bool:
    """Whether `check` would find nothing in any of these lines; False where it might.

    `keys` is how many keys the events have, `plain` says that their passages have no others than the contract's.

    Every key ends in `":`, so a text has at least as many of these as its events have keys. Where it has no more, no
    key was named twice; unless a space stands before a colon somewhere.
    """
    text = b"\n".join(lines)
    if not plain or ESCAPED_NUL in text:
        return False
    symbols = np.frombuffer(text, np.uint8)
    before = symbols[np.flatnonzero(symbols == ord(":")) - 1]
    return np.count_nonzero(before == ord('"')) == keys and not (before <= ord(" ")).any()


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads: refuses an object that names a key twice. A key of the contract is named in the detail."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        known = twice if twice in Interaction.model_fields or twice in PASSAGE_KEYS else "a key"
        raise Rejected(Reason.DUPLICATE_KEY, f"{known} is named twice in one object")
    return found


if __name__ == "__main__":
    import sys

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
