"""The fast hand as Dagster sees it, materialized in process."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest

from assets.errors import EngineBusy, SourceError
from assets.knowledge.gate import Golden
from tests.graph.plots import of_group, unplotted

ASSETS = ["documents", "chunks", "embeddings", "index"]
INDEX = dg.AssetKey(["knowledge", "index"])
DOCUMENTS = dg.AssetKey(["knowledge", "documents"])


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def materializations(result) -> dict[str, dg.AssetMaterialization]:
    return {event.asset_key.path[-1]: event.materialization for event in result.get_asset_materialization_events()}


def data_version(instance, key: dg.AssetKey, slice: str) -> str:
    records = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[slice]), limit=1).records
    return records[0].asset_materialization.tags["dagster/data_version"]


def checks(result) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def test_graph_is_a_line_partitioned_by_slice(graph):
    nodes = graph.defs.resolve_asset_graph()
    keys = [dg.AssetKey(["knowledge", name]) for name in ASSETS]
    for upstream, key in zip([None, *keys], keys, strict=False):
        assert nodes.get(key).parent_keys == ({upstream} if upstream else set())
        assert nodes.get(key).partitions_def.get_partition_keys() == ["docs", "notes"]
        assert nodes.get(key).owners
        assert nodes.get(key).description
        assert nodes.get(key).freshness_policy
        assert nodes.get(key).automation_condition is None


def test_one_run_publishes_one_slice(graph, instance):
    result = graph.run(instance, "docs")
    assert result.success
    assert set(materializations(result)) == set(ASSETS)
    assert checks(result) == dict.fromkeys(
        [
            "refused_share",
            "newest_document_age",
            "every_document_has_passages",
            "desired_equals_published",
            "encoder_matches_index",
            "retrieval_gate",
        ],
        True,
    ) | {"newest_document_age": False}  # the stand-in source is dated 2023: a warning, and no more
    assert {p.doc_id for p in graph.hand.vector_index.published().passages()} == {"docs/a.md", "docs/b.md"}


def test_document_without_passages_is_warned_about_and_holds_up_nothing(graph, instance):
    graph.sources["docs"].files["rule.md"] = "---\n"
    result = graph.run(instance, "docs")
    assert result.success
    assert checks(result)["every_document_has_passages"] is False
    found = materializations(result)["chunks"].metadata
    assert found["documents_without_passages"].value == 1
    assert "docs/rule.md" in found["without_passages"].value


def test_metadata_is_worth_looking_at(graph, instance):
    graph.sources["docs"].files["bad.md"] = "REFUSE | `me`"
    graph.sources["docs"].files.update({f"{number}.md": f"# Page {number}\n\nWords." for number in range(5)})
    found = materializations(graph.run(instance, "docs"))
    assert unplotted(instance, of_group(graph.defs, "knowledge")) == []
    assert found["documents"].metadata["parsed"].value == 7
    assert "docs/bad.md" in found["documents"].metadata["refused_files"].value
    assert found["embeddings"].metadata["embedded"].value == 7
    assert found["embeddings"].metadata["encoder_seconds"].value >= 0
    assert "All about" in found["index"].metadata["changed_passages"].value
    assert found["chunks"].metadata["sizes"].value.startswith("![passage sizes in tokens](data:image/png;base64,")
    assert found["index"].metadata["published_version"].value


def test_equal_content_has_equal_data_versions(graph, instance):
    graph.run(instance, "docs")
    before = {name: data_version(instance, dg.AssetKey(["knowledge", name]), "docs") for name in ASSETS}
    assert graph.run(instance, "docs").success
    assert before == {name: data_version(instance, dg.AssetKey(["knowledge", name]), "docs") for name in ASSETS}
    graph.sources["docs"].files["a.md"] = "# Alpha\n\nSomething else."
    graph.run(instance, "docs")
    after = {name: data_version(instance, dg.AssetKey(["knowledge", name]), "docs") for name in ASSETS}
    assert all(before[name] != after[name] for name in ASSETS)


def test_failed_gate_fails_the_run_and_keeps_the_published_version(graph, instance):
    graph.golden = [Golden("all about alpha", doc_id="docs/a.md"), Golden("all about bravo", doc_id="docs/b.md")]
    assert graph.run(instance, "docs").success
    before = graph.hand.vector_index.published().version
    graph.sources["docs"].files["a.md"] = "# x\n\ny."
    for number in range(12):
        graph.sources["docs"].files[f"{number}.md"] = "# Alpha\n\nall about alpha"
    result = graph.run(instance, "docs")
    assert not result.success
    assert checks(result)["retrieval_gate"] is False
    assert "index" not in materializations(result)
    assert graph.hand.vector_index.published().version == before
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "is still served" in failure.event_specific_data.error_display_string


def test_final_errors_fail_at_once_with_their_own_words(graph, instance, monkeypatch):
    calls = []

    def missing():
        calls.append(1)
        raise SourceError("The folder docs does not exist", next_step="correct sources.docs.url")

    monkeypatch.setattr(graph.sources["docs"], "list", missing)
    result = graph.run(instance, "docs")
    assert not result.success
    assert len(calls) == 1
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "Next: correct sources.docs.url" in failure.event_specific_data.error_display_string


def test_retryable_errors_are_tried_again(graph, instance, monkeypatch):
    whole, calls = graph.sources["docs"].list, []

    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise EngineBusy("not now")
        return whole()

    monkeypatch.setattr(graph.sources["docs"], "list", flaky)
    assert graph.run(instance, "docs").success
    assert len(calls) == 3


def test_reconcile_job_reads_every_file_again(graph, instance):
    graph.run(instance, "docs")
    graph.sources["docs"].reads.clear()
    assert graph.run(instance, "docs", job="reconcile_slices").success
    assert graph.sources["docs"].reads == ["a.md", "b.md"]


def test_maintenance_job_runs(graph, instance):
    graph.run(instance, "docs")
    assert graph.defs.resolve_job_def("maintain").execute_in_process(instance=instance).success


def test_loading_the_definitions_imports_no_engine_and_no_model():
    code = (
        "import sys, orchestration.definitions as d; d.defs(); "
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'lancedb', 'weaviate', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_definitions_load_without_warnings_of_dagster():
    code = "import orchestration.definitions as d; d.defs()"
    command = [sys.executable, "-W", "error::DeprecationWarning:dagster", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "Warning" not in done.stderr
