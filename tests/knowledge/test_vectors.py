from __future__ import annotations

import numpy as np
import pytest

from assets.fingerprints import sha256_text
from assets.knowledge import vectors
from assets.knowledge.vectors import VectorCache
from orchestration.engines.lake import open_lake
from tests.fakes import HashEncoder


@pytest.fixture
def lake(tmp_path):
    return open_lake(str(tmp_path), locks=tmp_path)


def texts(*names: str) -> dict[str, str]:
    return {sha256_text(name): name for name in names}


def test_embed_embeds_each_text_once(lake):
    encoder, cache = HashEncoder(), VectorCache(lake, "v", "fp")
    assert cache.embed(texts("a", "b"), encoder).embedded == 2
    report = cache.embed(texts("a", "b", "c"), encoder)
    assert (report.embedded, report.reused) == (1, 2)
    assert sorted(encoder.embedded) == ["a", "b", "c"]


def test_get_returns_vectors_in_the_order_asked(lake):
    encoder, cache = HashEncoder(), VectorCache(lake, "v", "fp")
    wanted = [f"text number {i}" for i in range(20)]
    cache.embed(texts(*wanted[:7]), encoder)
    cache.embed(texts(*wanted[7:]), encoder)
    order = list(reversed(wanted))
    again = VectorCache(lake, "v", "fp")
    np.testing.assert_allclose(again.get([sha256_text(t) for t in order]), encoder.encode(order), atol=1e-6)


def test_encoders_do_not_share_vectors(lake):
    VectorCache(lake, "v", "one").embed(texts("a"), HashEncoder())
    assert VectorCache(lake, "v", "two").missing(list(texts("a"))) == list(texts("a"))


def test_a_kill_loses_at_most_one_batch(lake, monkeypatch):
    monkeypatch.setattr(vectors, "BATCH", 4)
    encoder = HashEncoder()
    whole = encoder.encode

    def dies(batch):
        if len(encoder.embedded) >= 8:
            raise KeyboardInterrupt
        return whole(batch)

    monkeypatch.setattr(encoder, "encode", dies)
    wanted = texts(*(f"t{i}" for i in range(20)))
    with pytest.raises(KeyboardInterrupt):
        VectorCache(lake, "v", "fp").embed(wanted, encoder)
    assert len(VectorCache(lake, "v", "fp").missing(list(wanted))) == 12


def test_compact_joins_parts_and_loses_nothing(lake):
    encoder, cache = HashEncoder(), VectorCache(lake, "v", "fp")
    wanted = [f"text {i}" for i in range(vectors.COMPACT_AT + 3)]
    for text in wanted:
        cache.embed(texts(text), encoder)
    assert cache.compact() == 0
    assert len(lake.names("v")) == 1
    again = VectorCache(lake, "v", "fp")
    np.testing.assert_allclose(again.get([sha256_text(t) for t in wanted]), encoder.encode(wanted), atol=1e-6)


def test_compact_drops_what_is_not_kept(lake):
    encoder, cache = HashEncoder(), VectorCache(lake, "v", "fp")
    cache.embed(texts("a", "b", "c"), encoder)
    assert cache.compact(keep={sha256_text("b")}.__contains__) == 2
    assert cache.missing(list(texts("a", "b", "c"))) == [sha256_text("a"), sha256_text("c")]
    assert cache.compact(keep=lambda sha: False) == 1
    assert lake.names("v") == []
