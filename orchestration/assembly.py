"""From settings to the fast hand: which engine stands behind each port. Opens nothing, imports no torch."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from assets.decision.spending.costs import Budget, Prices
from assets.errors import ConfigError
from assets.knowledge.audience import Audience
from assets.knowledge.gate import Golden, Margins, parse_golden
from assets.knowledge.metered import Spent
from assets.knowledge.pipeline import FastHand, Options
from assets.knowledge.sources import open_source
from assets.ports import Encoder, Lake, Parser, Source, Tokenizer, VectorIndex
from orchestration.engines.lake import open_lake
from orchestration.ledger import LakeLedger
from orchestration.settings import Settings


def fast_hand(settings: Settings) -> FastHand:
    """The fast hand over the configured engines."""

    def source(name: str) -> Source:
        configured = settings.sources[name]
        return open_source(
            configured.url,
            include=configured.include,
            exclude=configured.exclude,
            base=settings.root,
            cache=settings.home / "git",
            max_bytes=int(settings.parsing.max_megabytes * 2**20),
            storage_options=configured.options,
        )

    gate = settings.index.gate
    margins = Margins(gate.max_recall_drop, gate.max_mrr_drop, gate.max_vanished_share)
    lake = open_the_lake(settings)
    return FastHand(
        slices=settings.slices(),
        source=source,
        lake=lake,
        index=open_index(settings),
        encoder=open_encoder(settings),
        tokenizer=open_tokenizer(settings),
        parser=open_parser(settings),
        golden=lambda: golden(settings),
        options=Options(
            settings.chunking.max_tokens,
            margins,
            settings.encoder.keep_vectors_days,
            Audience(settings.access.field, settings.access.public),
        ),
        spent=encoder_spent(settings, lake),
    )


def encoder_spent(settings: Settings, lake: Lake) -> Spent:
    """Puts what the fast hand used of the encoder into the ledger."""
    prices, ledger = budget(settings).prices, LakeLedger(lake)

    def record(by: str, seconds: float) -> None:
        fact = prices.spend("encoder", seconds, by=by, run=uuid.uuid4().hex)
        ledger.append(fact.entry(at=datetime.now(UTC)))

    return record


def budget(settings: Settings) -> Budget:
    """What may be spent in a month, and at which prices."""
    decision = settings.decision
    money = decision.budget
    return Budget(
        Prices(money.currency, money.per_gpu_hour, money.per_cpu_hour),
        money.per_month,
        money.gpu_hours_per_month,
        decision.finetune_hours,
    )


def open_the_lake(settings: Settings) -> Lake:
    """`lake` of the settings, or the folder in the home."""
    return open_lake(settings.lake or str(settings.home / "lake"), locks=settings.home / "locks")


def open_parser(settings: Settings) -> Parser:
    """Bounded worker processes."""
    from orchestration.engines.parsers import ParserPool

    limits = settings.parsing
    return ParserPool(
        workers=limits.workers,
        max_bytes=int(limits.max_megabytes * 2**20),
        seconds=limits.timeout_seconds,
        memory=limits.memory_megabytes * 2**20,
    )


def open_tokenizer(settings: Settings) -> Tokenizer:
    """The encoder's tokenizer, without the encoder."""
    from orchestration.engines.encoders import load_tokenizer

    return load_tokenizer(_model(settings), settings.encoder.revision)


def open_encoder(settings: Settings) -> Encoder:
    """The encoder; its weights are read at the first text."""
    from orchestration.engines.encoders import load_encoder

    encoder = settings.encoder
    return load_encoder(_model(settings), encoder.revision, device=encoder.device, dtype=encoder.dtype)


def _model(settings: Settings) -> str:
    """A model's name, or its folder made absolute when the settings name one that exists."""
    folder = settings.path(settings.encoder.model)
    return str(folder) if folder.is_dir() else settings.encoder.model


def open_index(settings: Settings) -> VectorIndex:
    """LanceDB in the home or at `index.uri`, or Weaviate."""
    index = settings.index
    if index.engine == "lancedb":
        from orchestration.engines.lancedb_index import LanceIndex

        uri = index.uri or str(settings.home / "index")
        uri = uri if "://" in uri else str(settings.path(uri))
        return LanceIndex(uri, ann_threshold=index.ann_threshold, keep_versions=index.keep_versions)
    from orchestration.engines.weaviate_index import WeaviateIndex

    return WeaviateIndex(
        connection=index.connection,
        url=index.url,
        grpc_host=index.grpc_host,
        grpc_port=index.grpc_port,
        api_key_env=index.api_key_env,
        collection=index.collection,
        replication=index.replication,
        consistency=index.consistency,
        version=index.version,
        data_path=settings.home / "weaviate",
        lock_path=settings.home / "locks" / "weaviate.lock",
        keep_versions=index.keep_versions,
    )


def golden(settings: Settings) -> Sequence[Golden]:
    """The golden questions; none where none are configured, ConfigError where the file is missing."""
    if not settings.index.golden:
        return ()
    file = settings.path(settings.index.golden)
    return _read_golden(file)


def _read_golden(file: Path) -> Sequence[Golden]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"index.golden: {file} cannot be read ({error})",
            expected="a file of JSON lines, in UTF-8",
            next_step="correct the path, or remove the key to publish without a retrieval gate",
        ) from error
    return parse_golden(text, file.name)
