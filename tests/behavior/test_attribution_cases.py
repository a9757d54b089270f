"""The published measure of attribution on a sample of its labelled cases; the whole is in benchmarks/attribution."""

from __future__ import annotations

from pathlib import Path

from benchmarks.attribution.bench_attribution import judge, measure
from benchmarks.attribution.cases import build
from orchestration.engines.corpus_history import LakeHistory
from orchestration.engines.lake import FolderLake


def test_attribution_is_right_often_enough_on_labelled_cases(shared_data: Path, tmp_path: Path) -> None:
    cases, log = build(shared_data, per_source=60)
    chosen = [case for case in cases if case.reported]
    lake = FolderLake(tmp_path)
    log.write(lake)
    report = measure(chosen, judge(chosen, LakeHistory(lake)))
    assert report["cases"] > 500
    for name in ("knowledge", "behavior"):
        assert report["scores"][name]["precision"] >= 0.9, report
        assert report["scores"][name]["recall"] >= 0.8, report
