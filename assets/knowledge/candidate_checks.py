"""The blocking checks of an index candidate, run before anybody can see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from assets.fingerprints import digest, sha256_text
from assets.knowledge import gate
from assets.knowledge.history import IndexVersion
from assets.knowledge.sync import Difference
from assets.knowledge.vectors import VectorCache
from assets.ports import Candidate, Encoder, Hit, Published, Query, Reader

SAMPLE = 32  # passages whose stored vectors are compared with the encoder's


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a candidate. One that fails keeps the candidate from being published."""

    name: str
    passed: bool
    summary: str
    facts: Mapping[str, float | int | str] = field(default_factory=dict)


class CandidateChecks:
    """The three checks; `outcome` holds the golden answers afterwards, the next version's baseline."""

    def __init__(
        self,
        candidate: Candidate,
        published: Published | None,
        known: IndexVersion | None,
        encoder: Encoder,
        cache: VectorCache,
        golden: Sequence[gate.Golden],
    ) -> None:
        self._candidate, self._published, self._known = candidate, published, known
        self._encoder, self._cache, self._golden = encoder, cache, golden
        self.golden_sha = digest(sorted(item.key for item in golden))
        self.outcome = gate.Outcome()

    def run(self, slice: str, differences: Sequence[Difference], margins: gate.Margins) -> tuple[Check, ...]:
        """All checks, whether or not an earlier one failed: the person who reads them wants the whole picture."""
        return equality(differences), self._encoder_matches(slice), self._gate(margins)

    def _encoder_matches(self, slice: str) -> Check:
        """Compares stored vectors with what this encoder made of the same texts, as the cache remembers it.

        Passages made by another encoder would be found by nobody. The encoder itself is asked only where the cache
        knows none of the sample: no text is embedded twice for a check.
        """
        sample = list(islice(self._candidate.passages(slice), SAMPLE))
        known = {passage.chunk_id: passage.text_sha for passage in sample if passage.text_sha in self._cache}
        fresh = [] if known else sample[:2]
        made = dict(zip(known, self._cache.get(list(known.values())), strict=True)) if known else {}
        if fresh:
            vectors = self._encoder.encode([passage.text for passage in fresh])
            made |= dict(zip((passage.chunk_id for passage in fresh), vectors, strict=True))
        stored = self._candidate.vectors(list(made))
        lowest = min((float(np.dot(made[i], stored[i])) if i in stored else -1.0 for i in made), default=1.0)
        summary = f"lowest cosine of {len(made)} stored vectors to this encoder's: {lowest:.4f}"
        facts = {
            "encoder": self._encoder.fingerprint,
            "compared": len(made),
            "encoded_again": len(fresh),
            "lowest_cosine": lowest,
        }
        return Check("encoder_matches_index", lowest > 0.99, summary, facts)

    def _gate(self, margins: gate.Margins) -> Check:
        if not self._golden:
            return Check("retrieval_gate", True, "no golden questions are configured (index.golden)", {"questions": 0})
        self.outcome = self._ask(self._candidate)
        result = gate.judge(self.outcome, self._baseline(), margins)
        facts: dict[str, float | int | str] = {
            "questions": len(self._golden),
            "compared": result.compared,
            "absent": len(self.outcome.absent),
            "recall_at_5": result.recall,
            "mrr": result.mrr,
        }
        if result.recall_before is not None and result.mrr_before is not None:
            facts |= {"recall_at_5_before": result.recall_before, "mrr_before": result.mrr_before}
        worse = [item.question for item in self._golden if item.key in result.worse]
        if worse:
            facts["worse"] = "\n".join(worse[:10])
        summary = f"recall@5 {result.recall:.3f}, MRR {result.mrr:.3f} on {result.compared} questions: {result.reason}"
        return Check("retrieval_gate", result.passed, summary, facts)

    def _baseline(self) -> gate.Outcome | None:
        """What the published version answered: as remembered, or asked now if the golden questions have changed."""
        if self._published is None:
            return None
        if self._known is not None and self._known.golden == self.golden_sha:
            return self._known.outcome
        same_encoder = self._published.schema.encoder == self._encoder.fingerprint
        return self._ask(self._published) if same_encoder else None

    def _ask(self, reader: Reader) -> gate.Outcome:
        questions = {question_sha(item.question): item.question for item in self._golden}
        self._cache.embed(questions, self._encoder, queries=True)
        doc_ids = sorted({item.doc_id for item in self._golden if item.doc_id})
        present = {key.doc_id for key in reader.keys(doc_ids=doc_ids).values()}

        def search(question: str) -> list[Hit]:
            vector = self._cache.get([question_sha(question)])[0]
            return reader.search(Query(question, vector, k=gate.DEPTH))

        return gate.ask(self._golden, search, present.__contains__)


def equality(differences: Sequence[Difference]) -> Check:
    """Passes when the candidate holds exactly the desired passages: no orphans, none missing."""
    missing = sum(found.missing for found in differences)
    stale = sum(found.stale for found in differences)
    differing = sum(found.differing for found in differences)
    summary = f"{missing} missing, {stale} stale, {differing} differing passages"
    facts = {"missing": missing, "stale": stale, "differing": differing}
    return Check("desired_equals_published", not any(differences), summary, facts)


def unchanged(version: str, known: IndexVersion) -> tuple[Check, ...]:
    """The checks of a slice that needed nothing: what they found when its version was published."""
    since = f"nothing has changed since version {version}"
    golden = {"recall_at_5": known.outcome.recall, "mrr": known.outcome.mrr, "questions": len(known.outcome.ranks)}
    return (
        Check(
            "desired_equals_published",
            True,
            f"{since}; the number of passages is still right",
            {"missing": 0, "stale": 0},
        ),
        Check(
            "encoder_matches_index",
            True,
            f"{since}; its encoder is the configured one",
            {"encoder": known.schema.encoder},
        ),
        Check("retrieval_gate", True, f"{since}; recall@5 was {known.outcome.recall:.3f}", golden),
    )


def question_sha(question: str) -> str:
    """Key of a question's vector; never that of a passage with the same words, which is encoded differently."""
    return sha256_text(f"query\x1f{question}")
