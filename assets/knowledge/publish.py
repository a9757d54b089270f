"""From desired passages to a published version: plan, apply to a candidate, check it there, then publish or discard.

Nothing a reader can see changes before every check has passed; a check that fails, an error or a kill leaves the last
good version published. What is compared follows the change: documents whose passages are the same as published are
not looked at, unless the version's own history is missing or a full comparison is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from assets.errors import GateRefused
from assets.knowledge import candidate_checks, chunks, gate, history
from assets.knowledge.candidate_checks import CandidateChecks, Check
from assets.knowledge.history import IndexVersion
from assets.knowledge.records import Records, State
from assets.knowledge.sync import Plan, difference, plan
from assets.knowledge.vectors import Embedded, VectorCache
from assets.ports import Candidate, Encoder, IndexSchema, Key, Lake, Passage, Progress, Published, VectorIndex

BATCH = 1_024  # passages written to the engine at once
PREVIEW = 8  # changed passages kept for the UI


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What publishing one slice did. `version` is the published version afterwards, None where there is none."""

    version: str | None
    plan: Plan
    total: int
    changed: bool
    rebuilt: bool = False
    embedded: Embedded = field(default_factory=Embedded)
    checks: tuple[Check, ...] = ()
    digest: str = ""
    preview: tuple[tuple[str, Passage], ...] = ()
    seconds: float = 0.0


class IndexRefused(GateRefused):
    """A blocking check of a candidate failed; `report` has all checks, and the version that is still published."""

    def __init__(self, report: IndexReport, failed: str) -> None:
        super().__init__(
            f"The new version of the index was not published: {failed}",
            expected="every blocking check to pass",
            next_step="look at the worse questions; correct the documents, the golden questions or the margins "
            f"([index.gate]); version {report.version} is still served",
        )
        self.report = report


@dataclass(frozen=True, slots=True)
class Target:
    """A slice as it should be published."""

    slice: str
    records: Records
    state: State

    @property
    def digest(self) -> str:
        """Names the slice's desired passages."""
        return self.state.facts.get("digest", "")

    @property
    def total(self) -> int:
        """How many passages that is."""
        return sum(row["count"] for row in self.state.rows.values())

    def marks(self) -> dict[str, str]:
        """doc_id -> digest of the document's desired passages."""
        return {doc_id: row["chunks_sha"] for doc_id, row in self.state.rows.items()}


@dataclass(frozen=True)
class Publisher:
    """Publishes slices to one index. `target` gives any slice of the configured `slices` as it should be.

    `siblings` names the slices of the same source, `prepare` brings another slice's chunks (and documents) up to
    date: both for the times when one slice cannot be published alone (another encoder, another number of shards).
    """

    lake: Lake
    index: VectorIndex
    encoder: Encoder
    cache: Callable[[], VectorCache]
    golden: Callable[[], Sequence[gate.Golden]]
    margins: gate.Margins
    slices: tuple[str, ...]
    target: Callable[[str], Target]
    siblings: Callable[[str], Sequence[str]]
    prepare: Callable[[str, bool], None]

    @property
    def schema(self) -> IndexSchema:
        """What all passages of the index must have in common."""
        return IndexSchema(self.encoder.fingerprint, self.encoder.dimension)

    def publish(self, target: Target, *, full: bool = False, progress: Progress | None = None) -> IndexReport:
        """Makes the published passages of a slice equal to the desired ones; IndexRefused when a check fails.

        `full` compares every passage of the slice, not only those of changed documents.
        """
        began = time.perf_counter()
        published, known = self._published()
        if published and known and not full and self._is_current(target, published, known):
            steps = Plan(target.total, (), (), (), ())
            checks = candidate_checks.unchanged(published.version, known)
            return IndexReport(published.version, steps, target.total, False, checks=checks, digest=target.digest)
        with self.index.candidate(self.schema) as candidate:
            published, known = self._published()  # again: only now is the writer's lock ours
            target = self.target(target.slice)
            run = _Run(self, target, candidate, published, known, full, progress)
            report = run.apply()
            if not all(check.passed for check in report.checks):
                failed = "; ".join(f"{check.name}: {check.summary}" for check in report.checks if not check.passed)
                raise IndexRefused(report, failed)
            version = candidate.publish() if report.changed or published is None else published.version
            run.remember(version)
        return replace(report, version=version, seconds=time.perf_counter() - began)

    def _published(self) -> tuple[Published | None, IndexVersion | None]:
        published = self.index.published()
        return published, history.load(self.lake, published.version) if published else None

    def _is_current(self, target: Target, published: Published, known: IndexVersion) -> bool:
        """Whether there is nothing to do. The count is asked of the index itself: somebody may have touched it."""
        configured, there = set(self.slices), set(known.slices)
        retirable = configured <= there and there != configured
        same = known.schema == self.schema and known.slices.get(target.slice) == target.digest
        whole = published.count() == known.passages and published.count(target.slice) == target.total
        return same and whole and not retirable


class _Run:
    """One publication: the candidate, what it is compared with, and what is learned on the way."""

    def __init__(
        self,
        publisher: Publisher,
        target: Target,
        candidate: Candidate,
        published: Published | None,
        known: IndexVersion | None,
        full: bool,
        progress: Progress | None,
    ) -> None:
        self.at, self.target, self.candidate = publisher, target, candidate
        self.published, self.known, self.full, self.progress = published, known, full, progress
        others = [name for name in self._together() if name != target.slice]
        self.targets = [target, *(publisher.target(name) for name in others)]
        self.slices = {} if candidate.rebuilt or known is None else dict(known.slices)
        self.slices |= {written.slice: written.digest for written in self.targets}
        self.complete = set(publisher.slices) <= set(self.slices)
        self.embedded = Embedded()
        self.cache = publisher.cache()
        self.preview: list[tuple[str, Passage]] = []
        self.checks = CandidateChecks(candidate, published, known, publisher.encoder, self.cache, publisher.golden())

    def _together(self) -> Sequence[str]:
        """Slices that must be published at once.

        A new index (deleted underneath, say)   all that the lake knows
        another encoder                         the same, cut anew: the tokenizer may be another one too
        other shards of the source              all of the source, read anew: published one by one, documents that move
                                                from one shard to another would be missing in between
        """
        known = [name for name in self.at.slices if self.at.target(name).digest]
        if self.candidate.rebuilt:
            for name in known if self.published is not None else ():
                self.at.prepare(name, False)
            return known
        if self.known is None:
            return ()
        siblings = self.at.siblings(self.target.slice)
        former = [name for name in self.known.slices if name in siblings or name not in self.at.slices]
        if not former or set(former) == set(siblings) or not self._resharded(former):
            return ()
        for name in siblings:
            self.at.prepare(name, True)
        return siblings

    def _resharded(self, former: Sequence[str]) -> bool:
        """Whether documents of this slice are published under other slices of the same source."""
        mine = sorted(self.target.state.rows)
        there = self.candidate.keys(doc_ids=mine)
        return (
            len(there) > len(self.candidate.keys(self.target.slice, mine)) or set(former) - set(self.at.slices) != set()
        )

    def apply(self) -> IndexReport:
        """Brings the candidate to the desired state and checks it there."""
        plans, differences = [], []
        for target in self.targets:
            scope = self._scope(target)
            desired = chunks.keys(target.records, target.state, scope)
            steps = plan(desired, self._keys(target, scope))
            self._write(target, desired, steps)
            self.candidate.delete(steps.removals)
            plans.append(steps)
            differences.append(difference(desired, self._keys(target, scope)))
        removed = self._retire()
        changed = removed > 0 or self.candidate.rebuilt or not all(steps.empty for steps in plans)
        return IndexReport(
            version=self.published.version if self.published else None,
            plan=replace(plans[0], kept=self.target.total - len(plans[0].writes)),
            total=self.target.total,
            changed=changed,
            rebuilt=self.candidate.rebuilt and self.published is not None,
            embedded=self.embedded,
            checks=self.checks.run(self.target.slice, differences, self.at.margins),
            digest=self.target.digest,
            preview=tuple(self.preview),
        )

    def remember(self, version: str) -> None:
        """Stores what the version holds. A kill before this costs the next sync one full comparison, nothing else."""
        history.save(
            self.at.lake,
            IndexVersion(
                version=version,
                at=time.time(),
                schema=self.at.schema,
                slices={n: value for n, value in self.slices.items() if n in self.at.slices or not self.complete},
                passages=self.candidate.count(),
                why=self.target.slice,
                golden=self.checks.golden_sha,
                outcome=self.checks.outcome,
            ),
        )
        for target in self.targets:
            history.save_marks(self.at.lake, target.slice, target.digest, target.marks())

    def _scope(self, target: Target) -> list[str] | None:
        """Documents to compare; None means all of the slice."""
        if self.full or self.candidate.rebuilt or self.known is None:
            return None
        if self.known.slices.get(target.slice) == target.digest:
            return None  # nothing changed on our side, and yet the index differs
        before = history.load_marks(self.at.lake, target.slice, self.known.slices.get(target.slice, ""))
        if before is None:
            return None
        now = target.marks()
        return sorted(doc for doc in before.keys() | now.keys() if before.get(doc) != now.get(doc))

    def _keys(self, target: Target, scope: list[str] | None) -> dict[str, Key]:
        return self.candidate.keys(target.slice, scope)

    def _write(self, target: Target, desired: Mapping[str, Key], steps: Plan) -> None:
        wanted, moved = set(steps.writes), set(steps.moved)
        if not wanted:
            return
        doc_ids = {desired[chunk_id].doc_id for chunk_id in wanted}
        needed = set(self.cache.missing([desired[chunk_id].text_sha for chunk_id in wanted]))
        if needed:
            texts = chunks.texts(target.records, target.state, doc_ids)
            self._embed({sha: text for sha, text in texts.items() if sha in needed})
        found = chunks.passages(target.records, target.state, target.slice, doc_ids)
        done = 0
        for batch in _batches((passage for passage in found if passage.chunk_id in wanted), BATCH):
            self.candidate.add(batch, self.cache.get([passage.text_sha for passage in batch]))
            for passage in batch[: max(PREVIEW - len(self.preview), 0)]:
                self.preview.append(("moved" if passage.chunk_id in moved else "added", passage))
            done += len(batch)
            if self.progress:
                self.progress("writing passages", done, len(wanted))

    def _embed(self, texts: dict[str, str]) -> None:
        more = self.cache.embed(texts, self.at.encoder, progress=self.progress)
        self.embedded = Embedded(
            self.embedded.embedded + more.embedded, self.embedded.reused, self.embedded.seconds + more.seconds
        )

    def _retire(self) -> int:
        """Removes passages of slices that are no longer configured, once every configured one is published."""
        counted = sum(self.candidate.count(name) for name in self.at.slices)
        if not self.complete or counted == self.candidate.count():
            return 0
        gone = [passage.chunk_id for passage in self.candidate.passages() if passage.slice not in self.at.slices]
        self.candidate.delete(gone)
        return len(gone)


def _batches(items: Iterable[Passage], size: int) -> Iterator[list[Passage]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
