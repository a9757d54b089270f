from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pytest

from assets.behavior import frames
from assets.behavior.dataset import card, store
from assets.behavior.dataset.building import NotEnough, build
from assets.behavior.dataset.origins import origin
from assets.behavior.dataset.pipeline import Base, Datasets
from assets.behavior.dataset.rows import UNANSWERABLE, Example, Pair
from assets.behavior.evaluation import sets
from assets.behavior.evaluation.items import Item, Kind
from assets.behavior.frozen import freeze
from assets.errors import CorruptState
from orchestration.engines.lake import open_lake
from tests.behavior.dataset.made import CANDIDATES, CONFIG, FIRST, accepted, fill, length, render, row, sources, table

ROWS = [*(row(number) for number in range(20)), *(accepted(number) for number in range(20, 33))]


@pytest.fixture
def lake(tmp_path):
    return open_lake(str(tmp_path / "lake"), locks=tmp_path / "locks")


@pytest.fixture
def datasets(lake):
    return Datasets(
        lake=lake,
        config=CONFIG,
        texts=lambda: sources().texts,
        base=lambda: Base(render, length, "template-1", "words"),
    )


def frozen(lake, rows, request="r1"):
    fill(lake, rows)
    columns = pa.Table.from_pylist(rows, schema=CANDIDATES)
    return freeze(lake, columns, variant="main", request=request, first=FIRST, last=FIRST).name


def test_variants_have_their_own_settings_and_frames(lake):
    said = [one | {"completion": frames.framed(one["completion"], 1)} for one in ROWS]
    datasets = Datasets(
        lake=lake,
        config=replace(CONFIG, refusal_share=0.0),
        texts=lambda: sources().texts,
        base=lambda: Base(render, length, "template-1", "words"),
        framed=["api"],
        own={"api": replace(CONFIG, refusal_share=1.0)},
    )
    name = frozen(lake, said)
    (_, people), (manifest, programs) = datasets.make("main", name), datasets.make("api", name)
    assert not any(one.kind == "unanswerable" for one in people.examples)
    assert sum(one.kind == "unanswerable" for one in programs.examples) > 5
    assert all(frames.is_framed(one.completion) for one in people.examples)
    assert not any(frames.is_framed(one.completion) for one in programs.examples)
    assert manifest.made_of["frame"] == "json"


def test_dataset_is_stored_under_its_hash_in_every_form(lake, datasets):
    manifest, dataset = datasets.make("main", frozen(lake, ROWS), "r1")
    stem = f"behavior/dataset/main/{manifest.digest[:16]}"
    assert lake.names("behavior/dataset/main") == sorted(
        stem + end for end in (".json", ".jsonl", ".origins.parquet", ".parquet", ".pairs.jsonl", ".pairs.parquet")
    )
    lines = [json.loads(line) for line in lake.read_text(stem + ".jsonl").splitlines()]
    assert [line["messages"] for line in lines] == [list(one.messages) for one in dataset.examples]
    assert set(lines[0]) == {"messages", "interaction_ids", "topic", "kind", "event", "day", "group", "split"}
    pairs = [json.loads(line) for line in lake.read_text(stem + ".pairs.jsonl").splitlines()]
    assert pairs[0]["rejected"] == [{"role": "assistant", "content": dataset.pairs[0].rejected}]
    assert store.read(lake, manifest) == (list(dataset.examples), list(dataset.pairs))
    lines = store.lineage(lake, manifest)
    assert [line[:3] for line in lines] == [(one.split, one.interaction_ids, one.day) for one in dataset.examples]
    assert {line.source for line in lines} == {"correction", "accepted"}
    assert [line.origin for line in lines] == [one.origin for one in dataset.examples]
    said = {one["id"]: origin(one["prompt"], one["completion"], one["passages"]) for one in ROWS}
    assert all(line.origin == said[line.interaction_ids[0]] for line in lines)
    assert (manifest.request, manifest.number, manifest.pairs) == ("r1", 1, len(pairs))
    assert "user-3" not in "".join(lake.read_text(stem + end) for end in (".json", ".jsonl", ".pairs.jsonl"))


def test_same_snapshot_makes_the_same_dataset_once(lake, datasets):
    name = frozen(lake, ROWS)
    first, _ = datasets.make("main", name)
    again, _ = datasets.make("main", name)
    assert again == first
    assert len(store.manifests(lake, "main")) == 1


def test_another_setting_makes_another_dataset(lake, datasets):
    name = frozen(lake, ROWS)
    first, _ = datasets.make("main", name)
    datasets.config = replace(CONFIG, seed=1, max_rows=20)
    second, _ = datasets.make("main", name)
    assert (second.digest != first.digest, second.number) == (True, 2)


def test_candidate_that_changed_since_it_was_frozen_does_not_teach(lake, datasets):
    name = frozen(lake, ROWS)
    fill(lake, [dict(one, verdict="knowledge") if one["id"] == "i004" else one for one in ROWS if one["id"] != "i005"])
    manifest, dataset = datasets.make("main", name)
    assert manifest.card["left_out"]["knowledge"] == 1
    assert manifest.card["left_out"]["gone"] == 1
    assert not {("i004",), ("i005",)} & {one.interaction_ids for one in dataset.examples}


def test_next_dataset_rehearses_the_one_before_and_keeps_off_frozen_sets(lake, datasets):
    first, _ = datasets.make("main", frozen(lake, [dict(one, topic="old", kind="style") for one in ROWS]))
    later = [
        dict(one, id="n" + one["id"], interaction_ids=json.dumps(["n" + one["id"]]), prompt=one["prompt"] + " Say it.")
        for one in ROWS
    ]
    name = frozen(lake, [*later, *ROWS], "r2")
    learnt = next(row for row in store.read(lake, first)[0] if row.split == "train")
    held = Item("1", Kind.BEHAVIOR, learnt.prompt + " Say it.", references=(learnt.completion,))
    second, _ = datasets.make("main", name)
    datasets.config = replace(CONFIG, near_duplicate=1.0)
    sets.freeze(lake, "main", "held", [held])
    third, held_off = datasets.make("main", name)
    assert third.card["left_out"]["contaminated"] >= 1
    assert second.number == 2
    assert ("n" + learnt.interaction_ids[0],) not in [one.interaction_ids for one in held_off.examples]


def test_rehearsal_does_not_depend_on_how_often_a_dataset_was_made(lake, datasets):
    datasets.make("main", frozen(lake, [dict(one, topic="old", kind="style") for one in ROWS]))
    later = [
        dict(one, id="n" + one["id"], interaction_ids=json.dumps(["n" + one["id"]]), prompt="Please: " + one["prompt"])
        for one in ROWS
    ]
    fill(lake, [*ROWS, *later])
    columns = pa.Table.from_pylist(later, schema=CANDIDATES)
    name = freeze(lake, columns, variant="main", request="r2", first=FIRST, last=FIRST).name
    second, _ = datasets.make("main", name)
    assert second.rows["rehearsal"] > 0
    other = [
        dict(one, id=f"m{one['id']}", interaction_ids=f'["m{one["id"]}"]', topic="third", prompt="And " + one["prompt"])
        for one in ROWS
    ]
    fill(lake, [*ROWS, *later, *other])
    columns = pa.Table.from_pylist(other, schema=CANDIDATES)
    third, _ = datasets.make("main", freeze(lake, columns, variant="main", request="r3", first=FIRST, last=FIRST).name)
    again, _ = datasets.make("main", name)
    assert (again, third.number) == (second, 3)
    ids = [id_ for row in store.read(lake, third)[0] if row.kind != UNANSWERABLE for id_ in row.interaction_ids]
    assert len(ids) == len(set(ids))  # a row that was rehearsed before is not rehearsed twice


def test_erased_interactions_leave_every_file(lake, datasets):
    manifest, dataset = datasets.make("main", frozen(lake, ROWS))
    victim = next(one for one in dataset.examples if one.kind == "correction")
    assert store.forget(lake, "main", ["unknown"]) == {}
    assert store.forget(lake, "main", victim.interaction_ids) == {manifest.digest: 1}
    after = store.manifests(lake, "main")[0]
    assert (after.digest, after.name, after.erased) == (manifest.digest, manifest.name, 1)
    examples, pairs = store.read(lake, after)
    assert len(examples) == len(dataset.examples) - 1
    stem = manifest.name.removesuffix(".parquet")
    texts = "".join(lake.read_text(stem + end) for end in (".json", ".jsonl", ".pairs.jsonl"))
    assert victim.prompt not in texts
    assert victim.interaction_ids[0] not in texts + repr([*examples, *pairs])


def test_erasure_is_told_by_content_and_split(lake, datasets):
    manifest, dataset = datasets.make("main", frozen(lake, ROWS))
    first, second = (next(one for one in dataset.examples if one.split == split) for split in ("train", "test"))
    store.forget(lake, "main", first.interaction_ids)
    between = store.manifests(lake, "main")[0]
    store.forget(lake, "main", second.interaction_ids)
    after = store.manifests(lake, "main")[0]
    assert after.erasures == (
        {"content": manifest.content, "rows": {"train": 1}},
        {"content": between.content, "rows": {"test": 1}},
    )
    assert (after.rows, after.erased) == (manifest.rows, 2)


def test_pair_alone_that_names_an_erased_interaction_goes_too(lake):
    one = Example(({"role": "user", "content": "When?"},), ("i1",), "t", "accepted", "accepted", FIRST, "g", "train",
                  "When?", "At seven.")  # fmt: skip
    pair = Pair(one.messages, "At seven.", "Never, says Quetzalcoatl.", ("i2",), "t", "style", FIRST, "g", "train")
    made = store.write(lake, "main", [one], [pair], request="r", frozen="f", made_of={}, card={})
    assert store.forget(lake, "main", ["i2"]) == {made.digest: 1}
    [after] = store.manifests(lake, "main")
    assert store.read(lake, after) == ([one], [])
    assert (after.erased, after.erasures) == (0, ({"content": made.content, "rows": {}},))
    assert "Quetzalcoatl" not in (lake.read_text(after.name.replace(".parquet", ".pairs.jsonl")) or "")


@pytest.mark.parametrize("writes", range(6))
def test_erasure_that_a_kill_cut_short_is_mended_by_erasing_again(lake, datasets, writes):
    manifest, dataset = datasets.make("main", frozen(lake, ROWS))
    victim = next(one for one in dataset.examples if one.kind == "correction")
    with pytest.raises(Killed):
        store.forget(Dying(lake, writes), "main", victim.interaction_ids)
    assert store.forget(lake, "main", victim.interaction_ids) == {manifest.digest: 1}
    [after] = store.manifests(lake, "main")
    assert (after.erased, len(after.erasures)) == (1, 1)
    examples, pairs = store.read(lake, after)
    stem = manifest.name.removesuffix(".parquet")
    texts = "".join(lake.read_text(stem + end) for end in (".json", ".jsonl", ".pairs.jsonl"))
    origins = lake.read(stem + ".origins.parquet").to_pylist()
    assert victim.interaction_ids[0] not in texts + repr([*examples, *pairs, origins])


class Killed(Exception):
    pass


class Dying:
    """A lake whose process is killed before the write after `writes` ones."""

    def __init__(self, lake, writes: int) -> None:
        self._lake, self._left = lake, writes

    def __getattr__(self, name: str):
        return self._dying(name) if name.startswith("write") else getattr(self._lake, name)

    def _dying(self, name: str):
        def write(*given):
            self._left -= 1
            if self._left < 0:
                raise Killed
            getattr(self._lake, name)(*given)

        return write


@pytest.mark.parametrize("damage", ["rows", "manifest", "missing"])
def test_damaged_dataset_is_refused(lake, datasets, damage):
    manifest, _ = datasets.make("main", frozen(lake, ROWS))
    if damage == "rows":
        lake.write(manifest.name, lake.read(manifest.name).slice(1))
    elif damage == "missing":
        lake.remove([manifest.name])
    else:
        lake.write_text(manifest.name.replace(".parquet", ".json"), "{}")
    with pytest.raises(CorruptState, match="is damaged"):
        store.read(lake, store.manifests(lake, "main")[0])


def test_dataset_without_a_manifest_is_none(lake, datasets):
    manifest, _ = datasets.make("main", frozen(lake, ROWS))
    lake.remove([manifest.name.replace(".parquet", ".json")])
    assert store.manifests(lake, "main") == []


def test_missing_snapshot_is_named(lake, datasets):
    with pytest.raises(CorruptState, match=r"behavior/frozen/main/none\.parquet"):
        datasets.make("main", "behavior/frozen/main/none.parquet")


def test_card_counts_every_filter_and_quotes_what_people_wrote(lake, datasets):
    rows = [*ROWS, row(34, id="x", completion="It costs `999` | **bold** <img src=x>.")]
    manifest, dataset = datasets.make("main", frozen(lake, rows))
    said = manifest.card
    assert said["funnel"][0] == ["candidates", 34]
    made = sum(row.kind == UNANSWERABLE for row in dataset.examples)
    assert said["funnel"][-1][1] + made == len(dataset.examples) == sum(said["splits"].values())
    assert made == said["kinds"][UNANSWERABLE] > 0
    assert said["left_out"]["unsupported"] == 1
    assert said["refused"][0]["detail"] == "999"
    assert said["tokens"]["by"] == "words"
    assert "split_key" not in json.dumps(said)
    shown = card.metadata(manifest, dataset)
    assert "| `unsupported` | `33` | `1` |" in shown["filters"]
    assert shown["dagster/row_count"] == len(dataset.examples)
    for name in ("lengths", "by_topic"):
        assert shown[name].startswith("![")
        assert "data:image/png;base64," in shown[name]
    assert "**correction** `format`" in shown["examples"]


def test_card_of_a_refusal_says_where_the_rows_went():
    with pytest.raises(NotEnough) as refusal:
        build(table([dict(one, there=False) for one in ROWS]), sources(), CONFIG, render, length)
    assert (
        "| `gone` | `0` | `33` | `the interaction was deleted since` |"
        in card.refusals(card.of_report(refusal.value.report))["filters"]
    )
