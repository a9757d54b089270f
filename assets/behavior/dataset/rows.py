"""What a dataset is made of, and the reasons for which a row is left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple, TypedDict

import pyarrow as pa

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
REHEARSAL, UNANSWERABLE = "rehearsal", "unanswerable"
ADDED = (REHEARSAL, UNANSWERABLE)  # kinds of rows that were no candidate


class Message(TypedDict):
    """One message of a chat."""

    role: str
    content: str


class Reason(StrEnum):
    """Why a candidate is no row of the dataset, in the order in which the rules are asked."""

    GONE = "gone"
    KNOWLEDGE = "knowledge"
    UNCLEAR = "unclear"
    FAILED_SINCE = "failed_since"
    BROKEN_FORM = "broken_form"
    NO_TEXT = "no_text"
    OVERLONG = "overlong"
    NO_PASSAGES = "no_passages"
    UNSUPPORTED = "unsupported"
    DUPLICATE = "duplicate"
    SAME_PROMPT = "same_prompt"
    NEAR_DUPLICATE = "near_duplicate"
    CONTAMINATED = "contaminated"
    NOT_CHOSEN = "not_chosen"
    TOO_LONG = "too_long"
    UNSEEN = "unseen"
    LEAKED = "leaked"


SAID = {
    Reason.GONE: "the interaction was deleted since",
    Reason.KNOWLEDGE: "a failure for want of knowledge: a case for the corpus",
    Reason.UNCLEAR: "nobody can tell why the answer failed",
    Reason.FAILED_SINCE: "it was accepted, and failed since",
    Reason.BROKEN_FORM: "it was accepted, and broke its schema",
    Reason.NO_TEXT: "no question, no answer, or characters that no text has",
    Reason.OVERLONG: "longer than dataset.max_characters",
    Reason.NO_PASSAGES: "the text of no shown passage is known any more",
    Reason.UNSUPPORTED: "the answer states what neither passages nor question hold",
    Reason.DUPLICATE: "the same question and answer as another row",
    Reason.SAME_PROMPT: "the same question as other rows, which are newer or corrected",
    Reason.NEAR_DUPLICATE: "nearly the same question and answer as another row",
    Reason.CONTAMINATED: "it overlaps with a frozen evaluation set",
    Reason.NOT_CHOSEN: "left out for balance, or beyond dataset.max_rows",
    Reason.TOO_LONG: "more tokens than dataset.max_tokens",
    Reason.UNSEEN: "the answer states what the written prompt does not show: its sentence is not among the evidence",
    Reason.LEAKED: "it overlaps with a row of the test split",
}


class Passage(NamedTuple):
    """A passage in a prompt; `shown` tells the ones that the answer was written from from distractors."""

    number: int
    heading: str
    text: str
    doc_id: str = ""
    text_sha: str = ""
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """One row. `prompt`, `completion` and the passages are what the messages were made of, redacted; `origin` names
    what the interaction said (origins.py), and is kept beside the rows."""

    messages: tuple[Message, ...]
    interaction_ids: tuple[str, ...]
    topic: str
    kind: str  # correction, accepted, refusal; unanswerable, rehearsal
    event: str  # format, style, task, refusal, ungrounded: what was corrected; or accepted
    day: date
    group: str
    split: str
    prompt: str
    completion: str
    passages: tuple[Passage, ...] = ()
    tokens: int = 0
    redactions: int = 0
    origin: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """What was produced against what it was corrected to, after the same prompt."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    interaction_ids: tuple[str, ...]
    topic: str
    event: str
    day: date
    group: str
    split: str


_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_PASSAGES = pa.list_(
    pa.struct(
        [
            ("number", pa.int32()),
            ("heading", pa.string()),
            ("text", pa.string()),
            ("doc_id", pa.string()),
            ("text_sha", pa.string()),
            ("shown", pa.bool_()),
        ]
    )
)
_ORIGIN: list[tuple[str, pa.DataType]] = [
    ("interaction_ids", pa.list_(pa.string())),
    ("topic", pa.string()),
    ("event", pa.string()),
    ("day", pa.date32()),
    ("group", pa.string()),
    ("split", pa.string()),
]
EXAMPLES = pa.schema(
    [
        ("messages", _MESSAGES),
        *_ORIGIN,
        ("kind", pa.string()),
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("passages", _PASSAGES),
        ("tokens", pa.int32()),
        ("redactions", pa.int32()),
    ]
)
PAIRS = pa.schema([("prompt", _MESSAGES), ("chosen", _MESSAGES), ("rejected", _MESSAGES), *_ORIGIN])


def example_table(examples: Sequence[Example]) -> pa.Table:
    """Rows as a table of the schema EXAMPLES."""
    return pa.Table.from_pylist([_example_row(one) for one in examples], schema=EXAMPLES)


def pair_table(pairs: Sequence[Pair]) -> pa.Table:
    """Pairs as a table of the schema PAIRS: prompt, chosen and rejected as chats, as DPO trainers read them."""
    return pa.Table.from_pylist([_pair_row(one) for one in pairs], schema=PAIRS)


def examples_of(table: pa.Table) -> list[Example]:
    """The rows of a stored table."""
    return [
        Example(
            tuple(row["messages"]),
            tuple(row["interaction_ids"]),
            row["topic"],
            row["kind"],
            row["event"],
            row["day"],
            row["group"],
            row["split"],
            row["prompt"],
            row["completion"],
            tuple(Passage(**passage) for passage in row["passages"]),
            row["tokens"],
            row["redactions"],
        )
        for row in table.to_pylist()
    ]


def pairs_of(table: pa.Table) -> list[Pair]:
    """The pairs of a stored table."""
    return [
        Pair(
            tuple(row["prompt"]),
            row["chosen"][0]["content"],
            row["rejected"][0]["content"],
            tuple(row["interaction_ids"]),
            row["topic"],
            row["event"],
            row["day"],
            row["group"],
            row["split"],
        )
        for row in table.to_pylist()
    ]


def chat_lines(examples: Sequence[Example]) -> str:
    """JSON lines as trainers read them: messages, and where they come from."""
    return _lines(
        {name: row[name] for name in ("messages", "interaction_ids", "topic", "kind", "event", "group", "split")}
        | {"day": row["day"].isoformat()}
        for row in map(_example_row, examples)
    )


def full_lines(examples: Sequence[Example]) -> str:
    """JSON lines of all that the rows hold."""
    return _lines({**row, "day": row["day"].isoformat()} for row in map(_example_row, examples))


def pair_lines(pairs: Sequence[Pair]) -> str:
    """JSON lines of pairs: prompt, chosen, rejected, and where they come from."""
    return _lines({**row, "day": row["day"].isoformat()} for row in map(_pair_row, pairs))


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def _example_row(one: Example) -> dict[str, Any]:
    return {
        "messages": list(one.messages),
        **_origin(one),
        "kind": one.kind,
        "prompt": one.prompt,
        "completion": one.completion,
        "passages": [passage._asdict() for passage in one.passages],
        "tokens": one.tokens,
        "redactions": one.redactions,
    }


def _pair_row(one: Pair) -> dict[str, Any]:
    return {
        "prompt": list(one.prompt),
        "chosen": [{"role": "assistant", "content": one.chosen}],
        "rejected": [{"role": "assistant", "content": one.rejected}],
        **_origin(one),
    }


def _origin(one: Example | Pair) -> dict[str, Any]:
    return {
        "interaction_ids": list(one.interaction_ids),
        "topic": one.topic,
        "event": one.event,
        "day": one.day,
        "group": one.group,
        "split": one.split,
    }
