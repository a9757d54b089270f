"""What a person may tune of a dataset; all of it is a part of what the dataset is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from assets.fingerprints import sha256_text

RULES = "3"  # the version of the rules themselves: another one makes other datasets of the same candidates
KINDS = ("email", "phone", "card", "iban", "id", "birthdate", "name", "ip", "secret")


@dataclass(frozen=True, slots=True)
class PiiRules:
    """What is taken for personal data. `patterns` has regular expressions by the label of their placeholder.

    `phone_regions` are countries whose numbers are known without a country code, `national_ids` modules of
    python-stdnum (as in "nl.bsn") whose numbers are looked for, with or without separators.
    """

    kinds: tuple[str, ...] = KINDS
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "NL")
    national_ids: tuple[str, ...] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetConfig:
    """Shares are from 0 to 1. Every rule's own file says what its numbers mean."""

    min_rows: int = 200  # clean rows to learn from; fewer are no dataset
    max_rows: int = 20_000  # of all splits, without rehearsal
    max_characters: int = 20_000  # of a question or an answer
    max_unsupported: float = 0.3  # of an answer's own facts, in common words that neither passages nor question hold
    near_duplicate: float = 0.8  # Jaccard similarity of question and answer
    max_per_prompt: int = 1  # answers to one question, the newest corrections first
    validation_share: float = 0.1
    test_share: float = 0.15
    group_by: Literal["user", "document"] = "user"
    split_key: str = "twohands"
    ngram: int = 5  # words
    max_overlap: float = 0.7  # of the n-grams of a row or a held-out item that the other may hold
    accepted_per_correction: float = 1.0
    max_times_median: float = 5.0  # of the median topic's or event's rows
    max_passages: int = 5  # shown ones in a prompt
    distractor_share: float = 0.25  # of the rows
    distractors: int = 2
    rehearsal_share: float = 0.2  # of the rows to learn from
    refusal_share: float = 0.3  # likewise: their questions again, with passages that do not answer them
    max_tokens: int = 1_024  # of a row, as the base reads it
    seed: int = 0
    pii: PiiRules = PiiRules()

    def digest(self) -> str:
        """The hash of these settings and of the rules' version; the key of the split is in it, but not to be read."""
        return sha256_text(json.dumps({"rules": RULES, **asdict(self)}, sort_keys=True))
