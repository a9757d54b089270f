from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from assets.behavior import facts
from assets.fingerprints import sha256_text
from assets.knowledge import chunks
from assets.knowledge.pipeline import FastHand, Options, SliceSpec
from orchestration.engines.corpus_history import LakeHistory
from orchestration.engines.lake import FolderLake
from orchestration.engines.lancedb_index import LanceIndex
from tests.fakes import HashEncoder, MemorySource, PlainParser, WordTokenizer

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
SCHEMA = chunks.LOG.append(pa.field("at", pa.int64()))


def at(days: float) -> datetime:
    return BEGIN + timedelta(days=days)


def write(lake: FolderLake, days: float, documents: dict[str, list[str]], slice_: str = "handbook") -> None:
    """One part of a slice's log: these documents have these passages from then on."""
    rows = []
    stamp = int(at(days).timestamp()) * 10**9
    for doc_id, texts in documents.items():
        base = dict.fromkeys(SCHEMA.names) | {"doc_id": doc_id, "at": stamp}
        rows += [base | {"chunk_id": text, "text": text, "text_sha": sha256_text(text)} for text in texts]
        rows += [] if texts else [base | {"chunk_id": "", "text_sha": ""}]
    name = f"knowledge/{slice_}/chunks/part-{stamp:020d}-test.parquet"
    lake.write(name, pa.Table.from_pylist(rows, schema=SCHEMA))


@pytest.fixture
def lake(tmp_path: Path) -> FolderLake:
    lake = FolderLake(tmp_path)
    write(lake, 0, {"a": ["refunds take 30 days", "parcels leave Hamburg"], "b": ["holidays are 28 days"]})
    write(lake, 10, {"a": ["refunds take 14 days", "parcels leave Hamburg"]})
    write(lake, 20, {"b": []})
    write(lake, 30, {"b": ["holidays are 31 days"], "c": ["refunds take 14 days"]})
    return lake


def current(history: LakeHistory, days: float, doc_id: str) -> list[str] | None:
    found = history.as_of(at(days)).current(doc_id)
    return None if found is None else sorted(found.values())


def test_as_of_gives_the_passages_alive_then(lake: FolderLake) -> None:
    history = LakeHistory(lake, ["handbook"])
    assert current(history, 5, "a") == ["parcels leave Hamburg", "refunds take 30 days"]
    assert current(history, 10, "a") == ["parcels leave Hamburg", "refunds take 14 days"]
    assert current(history, 15, "b") == ["holidays are 28 days"]
    assert current(history, 25, "b") is None
    assert current(history, 31, "b") == ["holidays are 31 days"]
    assert current(history, 25, "c") is None
    assert current(history, 31, "never") is None


def test_text_is_known_of_any_time(lake: FolderLake) -> None:
    corpus = LakeHistory(lake).as_of(at(31))
    assert corpus.text(sha256_text("refunds take 30 days")) == "refunds take 30 days"
    assert corpus.text(sha256_text("never said")) is None
    assert corpus.text("") is None


def test_holding_finds_living_passages_best_first(lake: FolderLake) -> None:
    history, asked = LakeHistory(lake), facts.keys("refunds take 14 days")
    before, after = history.as_of(at(5)).holding(asked), history.as_of(at(31)).holding(asked)
    assert [(row.doc_id, row.facts) for row in before] == [
        ("a", facts.keys("refunds take days")),
        ("b", facts.keys("days")),
    ]
    assert after[0].facts == asked
    assert after[0].sha == sha256_text("refunds take 14 days")
    assert history.as_of(at(31)).holding({"nowhere"}) == history.as_of(at(31)).holding([]) == []


def test_as_of_shares_a_view_between_two_changes(lake: FolderLake) -> None:
    history = LakeHistory(lake)
    assert history.as_of(at(11)) is history.as_of(at(19.5))
    assert history.as_of(at(11)) is not history.as_of(at(20))


def test_as_of_before_the_log_is_its_first_state_and_says_so(lake: FolderLake) -> None:
    history = LakeHistory(lake)
    early = history.as_of(at(-100))
    assert current(history, -100, "b") == ["holidays are 28 days"]
    assert early.current("c") is None
    assert "2026-01-05" in early.note
    assert history.as_of(at(1)).note == ""


def test_as_of_before_the_log_holds_all_slices_of_the_first_sync_and_none_that_came_later(lake: FolderLake) -> None:
    write(lake, 0.25, {"t": ["a ticket"]}, "tickets")
    write(lake, 25, {"w": ["a wiki page"]}, "wiki")
    corpus = LakeHistory(lake).as_of(at(-1))
    assert corpus.current("t") is not None
    assert corpus.current("w") is None


def test_as_of_before_the_log_waits_for_a_first_sync_of_several_parts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(chunks, "FLUSH_ROWS", 2)
    lake = FolderLake(tmp_path)
    write(lake, 0, {"a": ["one", "two"]})
    write(lake, 0.1, {"b": ["three"]})
    write(lake, 0.2, {"c": ["four"]})
    corpus = LakeHistory(lake).as_of(at(-1))
    assert corpus.current("b") is not None
    assert corpus.current("c") is None


def test_slices_that_are_not_configured_any_more_are_read(lake: FolderLake) -> None:
    assert current(LakeHistory(lake, ["other"]), 5, "b") == ["holidays are 28 days"]


def test_an_empty_lake_is_an_empty_corpus(tmp_path: Path) -> None:
    corpus = LakeHistory(FolderLake(tmp_path), ["handbook"]).as_of(at(0))
    assert corpus.text("0" * 64) is None
    assert corpus.current("a") is None
    assert corpus.holding({"refund"}) == []
    assert corpus.note == ""


def test_reads_what_the_knowledge_hand_writes(tmp_path: Path) -> None:
    lake, source, began = FolderLake(tmp_path), MemorySource(), datetime.now(UTC)
    hand = FastHand(
        slices=[SliceSpec("docs", "docs")],
        source=lambda _: source,
        lake=lake,
        index=LanceIndex(str(tmp_path / "index")),
        encoder=HashEncoder(),
        tokenizer=WordTokenizer(),
        parser=PlainParser(),
        golden=list,
        options=Options(),
    )
    moments = []
    for files in (
        {"a.md": "# A\n\nRefunds take 30 days."},
        {"a.md": "# A\n\nRefunds take 14 days."},
        {"b.md": "# B\n\nB."},
    ):
        source.files.clear()
        source.files.update(files)
        hand.documents("docs")
        hand.chunks("docs")
        moments.append(datetime.now(UTC))
    history = LakeHistory(lake, ["docs"])
    first, second = (list((history.as_of(m).current("docs/a.md") or {}).values()) for m in moments[:2])
    assert ("30" in first[0], "14" in second[0]) == (True, True)
    assert history.as_of(moments[2]).current("docs/a.md") is None
    assert history.as_of(moments[2]).holding({"14"}) == []
    assert history.as_of(began).note
