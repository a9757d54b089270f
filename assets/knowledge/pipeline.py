"""The fast hand: one method for each of its four assets, and `sync`, which runs them in order.

The Dagster assets and the command line call the same methods. Every stage compares its own state with its input's and
does what is missing, so it does not matter who ran last, or where a kill struck.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from assets.errors import EngineError, SourceError, TwohandsError
from assets.fingerprints import digest
from assets.knowledge import chunks, documents, gate, history
from assets.knowledge.audience import Audience
from assets.knowledge.candidate_checks import question_sha
from assets.knowledge.chunks import ChunksReport
from assets.knowledge.documents import DocumentsReport
from assets.knowledge.history import Point
from assets.knowledge.metered import Spent, metered
from assets.knowledge.overlay import Overlay
from assets.knowledge.publish import IndexReport, Publisher, Target
from assets.knowledge.sources import split
from assets.knowledge.sync import Plan, plan
from assets.knowledge.vectors import Embedded, VectorCache, cached_encoders
from assets.ports import Encoder, Hit, Lake, Listing, Parser, Progress, Query, Reason, Source, Tokenizer, VectorIndex

VECTORS = "knowledge/vectors"
LOCK_SECONDS = 600.0
MASS_DELETION = 10  # documents that a source may lose all at once without a word from its owner


@dataclass(frozen=True, slots=True)
class SliceSpec:
    """One partition of the fast hand: a source, or one shard of it. Its documents are named `<source>/<path>`."""

    name: str
    source: str
    shard: int = 0
    shards: int = 1
    metadata: Mapping[str, str] = field(default_factory=dict)
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may tune. `max_tokens` of None means what the encoder takes; `keep_days` is for unused vectors;
    `audience` says which field of metadata is narrowed and not replaced by the source's."""

    max_tokens: int | None = None
    margins: gate.Margins = field(default_factory=gate.Margins)
    keep_days: float = 30.0
    audience: Audience = field(default_factory=Audience)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync of one slice did; `seconds` is wall time."""

    slice: str
    documents: DocumentsReport
    chunks: ChunksReport
    embeddings: Embedded
    index: IndexReport
    seconds: float

    @property
    def embedded(self) -> int:
        """Texts that went through the encoder."""
        return self.embeddings.embedded + self.index.embedded.embedded


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a sync of one slice would do. `seconds` estimates the encoder's time; None before it was ever measured."""

    slice: str
    documents: DocumentsReport
    plan: Plan
    embed: int
    tokens: int
    seconds: float | None


class FastHand:
    """All that the fast hand does, over injected engines. `spent` is told what each run used of the encoder."""

    def __init__(
        self,
        *,
        slices: Sequence[SliceSpec],
        source: Callable[[str], Source],
        lake: Lake,
        index: VectorIndex,
        encoder: Encoder,
        tokenizer: Tokenizer,
        parser: Parser,
        golden: Callable[[], Sequence[gate.Golden]] = tuple,
        options: Options = Options(),
        spent: Spent | None = None,
    ) -> None:
        self.slices = {spec.name: spec for spec in slices}
        self.lake, self.vector_index, self.encoder, self.tokenizer = lake, index, encoder, tokenizer
        self._source, self._parser, self.golden, self.options = source, parser, golden, options
        self._spent = spent

    # ------------------------------------------------------------------------------------------------- stages

    def listings(self) -> dict[str, Listing | TwohandsError]:
        """What every slice's source holds now, or why it cannot be listed; each source is asked once."""
        wholes: dict[str, Listing | TwohandsError] = {}
        found: dict[str, Listing | TwohandsError] = {}
        for name, spec in self.slices.items():
            if spec.source not in wholes:
                try:
                    wholes[spec.source] = self._source(spec.source).list()
                except TwohandsError as error:
                    wholes[spec.source] = error
            whole = wholes[spec.source]
            found[name] = split(whole, spec.shards, spec.shard) if isinstance(whole, Listing) else whole
        return found

    def listing(self, slice: str) -> Listing:
        """What the slice's source holds now."""
        spec = self.slices[slice]
        return split(self._source(spec.source).list(), spec.shards, spec.shard)

    def documents(self, slice: str, *, full: bool = False, progress: Progress | None = None) -> DocumentsReport:
        """Reads and parses what changed in the source."""
        with self._locked(slice):
            began = time.time()
            report = self._documents(self.lake, slice, full, progress)
            history.save_look(self.lake, slice, began)
            return report

    def chunks(self, slice: str) -> ChunksReport:
        """Cuts the documents that changed."""
        with self._locked(slice):
            return self._chunks(self.lake, slice)

    def embeddings(self, slice: str, *, progress: Progress | None = None) -> Embedded:
        """Embeds the texts that this encoder never embedded before."""
        with self._metered("embeddings", slice) as encoder:
            return self._embeddings(slice, encoder, progress)

    def _embeddings(self, slice: str, encoder: Encoder, progress: Progress | None) -> Embedded:
        with self._locked(slice):
            records = chunks.open_records(self.lake, slice)
            state = records.state()
            marks = history.load_embedded(self.lake, slice, self.encoder.fingerprint)
            changed = [doc for doc, row in state.rows.items() if marks.get(doc) != row["chunks_sha"]]
            report = self._embed(chunks.texts(records, state, changed), encoder, progress) if changed else Embedded()
            now = {doc: row["chunks_sha"] for doc, row in state.rows.items()}
            if now != marks:
                history.save_embedded(self.lake, slice, self.encoder.fingerprint, now)
            return report

    def index(self, slice: str, *, full: bool = False, progress: Progress | None = None) -> IndexReport:
        """Publishes the slice's passages; IndexRefused when a blocking check fails."""
        with self._metered("index", slice) as encoder:
            return self._publish(slice, encoder, full, progress)

    def _publish(self, slice: str, encoder: Encoder, full: bool, progress: Progress | None) -> IndexReport:
        looked = history.load_look(self.lake, slice)
        report = self._publisher(encoder).publish(self._target(slice), full=full, progress=progress)
        if looked is not None:
            history.save_synced(self.lake, slice, looked)
        return report

    def sync(self, slice: str, *, full: bool = False, progress: Progress | None = None) -> SyncReport:
        """All four stages of one slice."""
        began = time.perf_counter()
        found = self.documents(slice, full=full, progress=progress)
        cut = self.chunks(slice)
        with self._metered("sync", slice) as encoder:
            embedded = self._embeddings(slice, encoder, progress)
            published = self._publish(slice, encoder, full, progress)
        return SyncReport(slice, found, cut, embedded, published, time.perf_counter() - began)

    # ------------------------------------------------------------------------------------------------ looking

    def plan(self, slice: str, *, progress: Progress | None = None) -> PlanReport:
        """What `sync` would do. Files are read and parsed, but nothing is written."""
        overlay = Overlay(self.lake)
        found = self._documents(overlay, slice, False, progress)
        self._chunks(overlay, slice)
        records = chunks.open_records(overlay, slice)
        state = records.state()
        desired = chunks.keys(records, state)
        published = self.vector_index.published()
        steps = plan(desired, published.keys(slice) if published else {})
        rebuilt = published is not None and published.schema.encoder != self.encoder.fingerprint
        shas = [desired[chunk_id].text_sha for chunk_id in (desired if rebuilt else steps.writes)]
        missing = set(self._cache().missing(shas))
        tokens, characters = chunks.volume(records, state, missing)
        rate = self._rate()
        return PlanReport(slice, found, steps, len(missing), tokens, characters * rate if rate is not None else None)

    def search(
        self, questions: Sequence[str], *, k: int = 5, where: Mapping[str, str] | None = None
    ) -> list[list[Hit]]:
        """The best `k` published passages for each question; empty lists where nothing is published."""
        return self.found(questions, k, where or {})[1]

    def found(
        self, questions: Sequence[str], k: int, where: Mapping[str, str], allowed: Mapping[str, Collection[str]] = {}
    ) -> tuple[str, list[list[Hit]]]:
        """As `search`, within `allowed` (see Query), and the version that was searched; "" where there is none."""
        published = self.vector_index.published()
        if published is None:
            return "", [[] for _ in questions]
        if published.schema.encoder != self.encoder.fingerprint:
            raise EngineError(
                f"Version {published.version} of the index was made by another encoder than the configured one",
                expected=f"encoder {self.encoder.fingerprint[:16]}, found {published.schema.encoder[:16]}",
                next_step="run `twohands sync`, which rebuilds the index side by side, or bring the old encoder back",
            )
        vectors = self.encoder.encode_queries(questions)
        found = zip(questions, vectors, strict=True)
        return published.version, [published.search(Query(text, vector, k, where, allowed)) for text, vector in found]

    def rejected(self, slices: Iterable[str] | None = None) -> list[dict[str, str]]:
        """Refused files, and documents that were accepted and have no passage: doc_id, reason, detail."""
        found = []
        for slice in slices or self.slices:
            found += documents.rejected(documents.open_records(self.lake, slice).state())
            found += [
                {"doc_id": doc_id, "reason": str(Reason.NO_TEXT), "detail": "accepted, but it has no text to cut"}
                for doc_id in chunks.without_passages(chunks.open_records(self.lake, slice).state())
            ]
        return found

    def recent_versions(self) -> list[Point]:
        """The last published versions, oldest first."""
        return history.recent(self.lake)

    def chunk_sizes(self, slice: str) -> list[int]:
        """Tokens of each of the slice's passages."""
        records = chunks.open_records(self.lake, slice)
        tables = records.current(records.state(), None, ["tokens"])
        return [size for table in tables for size in table.column("tokens").to_pylist()]

    def vector_bytes(self) -> int:
        """Size of the vector cache, of all encoders."""
        return self.lake.size(VECTORS)

    def embeddings_version(self, slice: str) -> str:
        """Data version of the slice's vectors: the encoder and the texts."""
        return digest([self.encoder.fingerprint, self._target(slice).digest])

    def index_version(self, report: IndexReport) -> str:
        """Data version of a published slice: the encoder and the passages, not the version's name."""
        return digest([self.encoder.fingerprint, report.digest])

    def maintain(self) -> dict[str, int]:
        """Compacts the lake and the index, and drops vectors that nothing has needed for `keep_days`."""
        since = time.time() - self.options.keep_days * 86_400
        cache = self._cache()  # before what is needed is looked up: what others embed meanwhile is not in it
        needed = self._needed(since) | {question_sha(item.question) for item in self.golden()}
        dropped = cache.compact(keep=needed.__contains__)
        unused = set(cached_encoders(self.lake, VECTORS)) - history.encoders_since(self.lake, since)
        for encoder in unused - {cache.folder.rsplit("/", 1)[1]}:
            self.lake.remove(self.lake.names(f"{VECTORS}/{encoder}"))
        for slice in self.slices:
            with self._locked(slice):
                documents.open_records(self.lake, slice).compact()
                chunks.open_records(self.lake, slice).compact()
        return {"vectors_dropped": dropped, **self.vector_index.maintain()}

    # ----------------------------------------------------------------------------------------------- plumbing

    def _locked(self, slice: str) -> AbstractContextManager[object]:
        return self.lake.lock(f"knowledge-{slice}", LOCK_SECONDS)

    def _documents(self, lake: Lake, slice: str, full: bool, progress: Progress | None) -> DocumentsReport:
        spec = self.slices[slice]
        source = self._source(spec.source)
        whole = source.list()
        records = documents.open_records(lake, slice)
        if not (whole.files or whole.refused or spec.may_be_empty):
            self._guard_emptiness(spec)
        listing = split(whole, spec.shards, spec.shard)
        return documents.refresh(
            source, listing, records, self._parser, prefix=spec.source, full=full, progress=progress
        )

    def _guard_emptiness(self, spec: SliceSpec) -> None:
        """A disk that is not mounted looks like an empty folder; nobody empties a source of many documents at once."""
        states = (documents.open_records(self.lake, name).state() for name in self._siblings(spec.name))
        accepted = sum(bool(row["part"]) for state in states for row in state.rows.values())
        if accepted > MASS_DELETION:
            raise SourceError(
                f"The source {spec.source} is empty, and it had {accepted} documents",
                expected="files; an unmounted disk, a wrong path or a wrong ref looks like this",
                next_step=f"bring the files back, or set sources.{spec.source}.may_be_empty = true to delete them all",
            )

    def _siblings(self, slice: str) -> list[str]:
        source = self.slices[slice].source
        return [name for name, spec in self.slices.items() if spec.source == source]

    def _prepare(self, slice: str, read: bool) -> None:
        """Another slice's chunks, for the times when it has to be published with this one; `read` its source too."""
        if read:
            self.documents(slice)
        self.chunks(slice)

    def _chunks(self, lake: Lake, slice: str) -> ChunksReport:
        sources, records = documents.open_records(lake, slice), chunks.open_records(lake, slice)
        room = self.options.max_tokens or self.tokenizer.max_tokens
        stated, audience = self.slices[slice].metadata, self.options.audience
        return chunks.cut(slice, sources, records, self.tokenizer, max_tokens=room, metadata=stated, audience=audience)

    def _metered(self, stage: str, slice: str) -> AbstractContextManager[Encoder]:
        return metered(self.encoder, f"knowledge/{stage}:{slice}", self._spent)

    def _embed(self, texts: dict[str, str], encoder: Encoder, progress: Progress | None) -> Embedded:
        report = self._cache().embed(texts, encoder, progress=progress)
        if report.embedded:
            rate = report.seconds / max(report.characters, 1)
            self.lake.write_text("knowledge/rate.json", json.dumps({self.encoder.fingerprint: rate}))
        return report

    def _rate(self) -> float | None:
        """Encoder-seconds for each character, as last measured; None before that."""
        return json.loads(self.lake.read_text("knowledge/rate.json") or "{}").get(self.encoder.fingerprint)

    def _cache(self) -> VectorCache:
        return VectorCache(self.lake, VECTORS, self.encoder.fingerprint)

    def _target(self, slice: str) -> Target:
        records = chunks.open_records(self.lake, slice)
        return Target(slice, records, records.state())

    def _publisher(self, encoder: Encoder) -> Publisher:
        return Publisher(
            lake=self.lake, index=self.vector_index, encoder=encoder, cache=self._cache, golden=self.golden,
            margins=self.options.margins, slices=tuple(self.slices), target=self._target,
            siblings=self._siblings, prepare=self._prepare,
        )  # fmt: skip

    def _needed(self, since: float) -> set[str]:
        """Text hashes that some document has had since then (unix seconds), of slices that have gone too."""
        names = (name.split("/") for name in self.lake.names("knowledge"))
        slices = {parts[1] for parts in names if parts[2:] == ["chunks", "state.parquet"]}
        found: set[str] = set()
        for slice in slices:
            found |= chunks.needed_since(chunks.open_records(self.lake, slice), since)
        return found
