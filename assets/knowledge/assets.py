"""The fast hand's four assets, partitioned by slice.

Each body is one call of `FastHand` and a report of what a person would look at. Nothing here depends on the slow hand,
and nothing of the slow hand depends on this: staleness does not cross between the hands. (No postponed annotations in
this file: Dagster reads those of an asset's config and resources when it is defined.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.assets import logged, shown, translated
from assets.knowledge import checks, preview
from assets.knowledge.checks import CHUNK_CHECKS, DOCUMENT_CHECKS, INDEX_CHECKS
from assets.knowledge.pipeline import FastHand
from assets.knowledge.publish import IndexRefused, IndexReport

GROUP = "knowledge"
OWNERS = ["team:knowledge"]
ENCODER_POOL = "encoder"  # one encoder at a time: it uses all cores, or the GPU
WRITER_POOL = "index_writer"  # one writer at a time: on one machine a lock holds this too, between machines only this


class SyncConfig(dg.Config):
    """Run config of a sync: `full` reads every file again and compares every passage."""

    full: bool = False


@dataclass(frozen=True)
class Policy:
    """What the deployment decides about these assets: retries (Retryable errors only), thresholds, freshness."""

    retries: int = 3
    retry_seconds: float = 5
    max_refused_share: float = 0.2
    max_document_age_days: float = 365
    freshness: timedelta = timedelta(hours=26)


def build(slices: dg.PartitionsDefinition, policy: Policy, engine: str = "lancedb") -> Sequence[Any]:
    """The four assets, with a partition for each slice; `engine` names the index's kind in the UI."""

    def common(kinds: set[str]) -> dict[str, Any]:
        return {
            "key_prefix": "knowledge",
            "group_name": GROUP,
            "owners": OWNERS,
            "kinds": kinds,
            "partitions_def": slices,
            "freshness_policy": dg.FreshnessPolicy.time_window(fail_window=policy.freshness),
        }

    @dg.asset(
        **common({"python"}),
        check_specs=DOCUMENT_CHECKS,
        description="Parsed text and metadata of every accepted document of the slice's source; files that were "
        "refused are kept beside them with the reason. Only files that changed are read.",
    )
    def documents(
        context: dg.AssetExecutionContext, config: SyncConfig, fast_hand: dg.ResourceParam[FastHand]
    ) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            report = fast_hand.documents(context.partition_key, full=config.full, progress=logged(context))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(report.digest),
            metadata=shown(preview.of_documents(report, fast_hand.rejected([context.partition_key]))),
            check_results=list(
                checks.document_results(
                    report, max_refused_share=policy.max_refused_share, max_age_days=policy.max_document_age_days
                )
            ),
        )

    @dg.asset(
        **common({"python"}),
        deps=[documents],
        check_specs=CHUNK_CHECKS,
        description="Passages anchored at headings, sized in the encoder's tokens, with ids that do not depend on "
        "their position: an edit at the top of a document renumbers nothing.",
    )
    def chunks(context: dg.AssetExecutionContext, fast_hand: dg.ResourceParam[FastHand]) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            report = fast_hand.chunks(context.partition_key)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(report.digest),
            metadata=shown(preview.of_chunks(report, fast_hand.chunk_sizes(context.partition_key))),
            check_results=[checks.chunks_result(report)],
        )

    @dg.asset(
        **common({"python", "torch"}),
        pool=ENCODER_POOL,
        deps=[chunks],
        description="Vectors of the passages that this encoder has never embedded before. Renames, reverts and a "
        "return to a former encoder cost nothing.",
    )
    def embeddings(context: dg.AssetExecutionContext, fast_hand: dg.ResourceParam[FastHand]) -> dg.MaterializeResult:
        with translated(policy.retries, policy.retry_seconds):
            report = fast_hand.embeddings(context.partition_key, progress=logged(context))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(fast_hand.embeddings_version(context.partition_key)),
            metadata=shown(preview.of_embeddings(report, fast_hand.encoder.fingerprint, fast_hand.vector_bytes())),
        )

    @dg.asset(
        **common({"python", engine}),
        pool=WRITER_POOL,
        deps=[embeddings],
        check_specs=INDEX_CHECKS,
        description="The published passages, equal to the desired chunks. A candidate is written beside the "
        "published version, checked there, and published only when every check has passed.",
    )
    def index(
        context: dg.AssetExecutionContext, config: SyncConfig, fast_hand: dg.ResourceParam[FastHand]
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        try:
            with translated(policy.retries, policy.retry_seconds):
                report = fast_hand.index(context.partition_key, full=config.full, progress=logged(context))
        except IndexRefused as refused:
            yield from map(checks.index_result, refused.report.checks)
            raise dg.Failure(str(refused), metadata=_refused(refused.report), allow_retries=False) from refused
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(fast_hand.index_version(report)),
            metadata=shown(preview.of_index(report, fast_hand.recent_versions())),
            check_results=[checks.index_result(check) for check in report.checks],
        )

    return [documents, chunks, embeddings, index]


def _refused(report: IndexReport) -> dict[str, dg.MetadataValue]:
    return {"still_published": dg.MetadataValue.text(report.version or "nothing was published yet")}
