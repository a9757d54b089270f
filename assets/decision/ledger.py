"""The entries of the ledger: what was spent, decided, approved and done. They are added and never changed.

    kind        says                                                     its id holds
    spend       encoder, CPU or GPU time was used, and what it cost      what, run, by whom
    verdict     the policy decided something, with evidence and cost     variant, key of the evidence
    approval    a person agreed to a verdict                             the verdict
    retraction  a correction took a verdict back before it was acted on  the verdict
    override    a person asked for a fine-tune without a verdict         variant, key
    request     a fine-tune was asked for, because of its `cause`        the cause: so each is requested once
    finished    a run of a request ended                                 run, the request

A fact is a class below; `fact.entry(at=...)` makes the entry and `Fact.of(entry)` reads it. An id says what the entry
is about and holds no time: `Ledger.append` refuses a second one, whatever the clock says meanwhile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self, get_args

from assets.errors import CorruptState, Final
from assets.fingerprints import sha256_text

MAX_ID = 400  # characters
MAX_VARIANT = 63


class Kind(StrEnum):
    """What an entry is about."""

    SPEND = "spend"
    VERDICT = "verdict"
    APPROVAL = "approval"
    RETRACTION = "retraction"
    OVERRIDE = "override"
    REQUEST = "request"
    FINISHED = "finished"


What = Literal["encoder", "cpu", "gpu"]
Outcome = Literal["done", "failed", "canceled"]


class BadEntry(Final):
    """Something that cannot be written into the ledger."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. `at` is made UTC; `data` is copied, as JSON would bring it back.

    `variant` is empty where the entry concerns all of them. BadEntry when it could not be stored as it is.
    """

    id: str
    at: datetime
    kind: Kind
    variant: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checked here, so that no wrong entry exists that could be appended."""
        if not 0 < len(self.id) <= MAX_ID:
            raise BadEntry(f"an entry with the id {self.id!r:.80}", expected=f"1 to {MAX_ID} characters")
        if self.kind not in set(Kind):
            raise BadEntry(f"{self.id}: kind {self.kind!r}", expected=f"one of {', '.join(Kind)}")
        if ":" in self.variant or len(self.variant) > MAX_VARIANT:
            raise BadEntry(f"{self.id}: variant {self.variant!r:.80}", expected="the name of a variant, or none")
        if self.at.tzinfo is None:
            raise BadEntry(f"{self.id}: at {self.at} has no time zone", expected="an aware datetime, in UTC")
        try:
            data = json.loads(json.dumps(dict(self.data), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise BadEntry(
                f"{self.id}: data that is not JSON ({error})", expected="finite numbers, texts, lists"
            ) from None
        object.__setattr__(self, "kind", Kind(self.kind))
        object.__setattr__(self, "at", self.at.astimezone(UTC))
        object.__setattr__(self, "data", data)

    def text(self) -> str:
        """As one line of JSON, with a checksum."""
        return json.dumps({**self._fields(), "check": self.check()})

    def check(self) -> str:
        """A checksum over all that the entry says."""
        return sha256_text(json.dumps(self._fields(), sort_keys=True))

    def _fields(self) -> dict[str, Any]:
        at = self.at.isoformat(timespec="microseconds")
        return {"id": self.id, "at": at, "kind": str(self.kind), "variant": self.variant, "data": self.data}

    @classmethod
    def parse(cls, text: str, name: str) -> Entry:
        """The entry that `text` made; CorruptState names the file (`name`) that does not hold one."""
        try:
            row = json.loads(text)
            entry = cls(row["id"], datetime.fromisoformat(row["at"]), Kind(row["kind"]), row["variant"], row["data"])
            if row["check"] == entry.check():
                return entry
            problem = "its checksum is another"
        except (ValueError, KeyError, TypeError, AttributeError, BadEntry) as error:
            problem = f"{type(error).__name__}: {error}"
        raise damaged(name, problem)


def damaged(name: str, problem: str) -> CorruptState:
    """A file of the ledger that is not what was written there. Nothing can rebuild it: there is no other copy."""
    return CorruptState(
        f"{name} of the ledger is damaged ({problem:.200})",
        expected="the file that Twohands wrote there, which is never changed",
        next_step="restore that file from a backup; without one, move it out of the lake: what it recorded (spend, or "
        "a request that was made) is forgotten then",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What the entries of one kind say. Subclasses have one field for each value of `data`."""

    kind: ClassVar[Kind]

    def __post_init__(self) -> None:
        """BadEntry when a field is not what its annotation promises."""
        for item in fields(self):
            expected, fits = _CHECKS[str(item.type)]
            value, required = getattr(self, item.name), item.default is MISSING and item.default_factory is MISSING
            if not fits(value) or (required and value == ""):
                raise BadEntry(f"{self.kind}: {item.name} is {value!r:.80}", expected=expected)

    def key(self) -> str:
        """What tells this fact from others of its kind, for the variant that it is about."""
        raise NotImplementedError

    def id(self, variant: str = "") -> str:
        """The id of its entry; a long one is hashed."""
        whole = f"{self.kind}:{variant}:{self.key()}"
        return whole if len(whole) <= MAX_ID else f"{self.kind}:{variant}:sha256-{sha256_text(whole)}"

    def entry(self, *, at: datetime, variant: str = "") -> Entry:
        """The entry that records this fact."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        return Entry(self.id(variant), at, self.kind, variant, data)

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """The fact that an entry records; CorruptState when it says something else. Unknown fields are left out, so
        that a newer version's entries can be read."""
        names = [item.name for item in fields(cls)]
        try:
            if entry.kind is not cls.kind:
                raise BadEntry(f"the entry is of kind {entry.kind}", expected=f"one of kind {cls.kind}")
            known = {name: value for name, value in entry.data.items() if name in names}
            tupled = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
            return cls(**tupled)
        except (TypeError, BadEntry) as error:
            raise damaged(f"the entry {entry.id}", str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend(Fact):
    """Time of an encoder, CPU or GPU. `by` is what used it (an asset, a command), `run` the run that did: one attempt,
    so that one which is resumed after a kill is paid for under a name of its own.

    `seconds` are of the device, not of the whole run; `amount` is what they cost in `currency` (`Prices.spend`).
    """

    kind: ClassVar[Kind] = Kind.SPEND
    what: What
    seconds: float
    amount: float
    currency: str
    by: str
    run: str

    def key(self) -> str:
        """Each run is paid for once for each thing that it used, also when its recording is tried again."""
        return f"{self.what}:{self.run}:{self.by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Fact):
    """A verdict. `evidence_key` identifies what it was made from (snapshot, contract, config): it is recorded once for
    each action that this came to (money, examples and approvals may change it). `sentence` says it to a person;
    `reasons`, `evidence` and `cost` are the policy's own."""

    kind: ClassVar[Kind] = Kind.VERDICT
    evidence_key: str
    action: str
    sentence: str
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> str:
        """The evidence, and what it came to."""
        return f"{self.evidence_key}:{self.action}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Fact):
    """A person (`by`) agreed to a verdict, named by the id of its entry, or refused it (`granted` is false)."""

    kind: ClassVar[Kind] = Kind.APPROVAL
    verdict: str
    by: str
    why: str = ""
    granted: bool = True

    def key(self) -> str:
        """The verdict, and the answer: a person may change their mind once each way."""
        return f"{self.verdict}:{'yes' if self.granted else 'no'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction(Fact):
    """A verdict that does not hold any more, after a correction of the days that it was made from."""

    kind: ClassVar[Kind] = Kind.RETRACTION
    verdict: str
    why: str

    def key(self) -> str:
        """The verdict."""
        return self.verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Override(Fact):
    """A person (`by`) wants a fine-tune that no verdict asks for. `request_key` tells one request from the next."""

    kind: ClassVar[Kind] = Kind.OVERRIDE
    request_key: str
    by: str
    why: str

    def key(self) -> str:
        """Each request is one override."""
        return self.request_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Fact):
    """A fine-tune was asked for. `cause` is the id of a verdict's entry, or of an override's."""

    kind: ClassVar[Kind] = Kind.REQUEST
    cause: str
    run_key: str
    by: str
    day: str  # the last day of the evidence that this consumes

    def key(self) -> str:
        """The cause: whoever appends this first has the fine-tune, and nobody else ever gets it."""
        return self.cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Fact):
    """A run of a request (the id of its entry) ended. What it used is a spend of the same `run`."""

    kind: ClassVar[Kind] = Kind.FINISHED
    request: str
    run: str
    outcome: Outcome
    detail: str = ""
    released: bool = False

    def key(self) -> str:
        """The request and its run: one that failed may be run again."""
        return f"{self.run}:{self.request}"


FACTS: Mapping[Kind, type[Fact]] = {
    fact.kind: fact for fact in (Spend, Decided, Approval, Retraction, Override, Request, Finished)
}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_word(value: object) -> bool:
    return isinstance(value, str)


_CHECKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "float": ("a finite number, zero or more", _is_number),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "str": ("a text, and not an empty one where it has no default", _is_word),
    "What": (f"one of {', '.join(get_args(What))}", lambda value: value in get_args(What)),
    "Outcome": (f"one of {', '.join(get_args(Outcome))}", lambda value: value in get_args(Outcome)),
    "tuple[str, ...]": ("a tuple of texts", lambda value: isinstance(value, tuple) and all(map(_is_word, value))),
    "Mapping[str, Any]": ("a mapping", lambda value: isinstance(value, Mapping)),
}
