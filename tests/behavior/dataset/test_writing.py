"""What a row's prompt shows, and what its answer cites, once it is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from assets.behavior import frames
from assets.behavior.dataset.building import build
from assets.behavior.dataset.rows import UNANSWERABLE, Reason
from tests.behavior.dataset.made import CONFIG, THINGS, length, render, row, sources, table, text

MANY = range(30)


def cites(number: int, said: str, *shown: int) -> dict:
    """A correction of a row that was written from these passages; its answer cites the last one."""
    passages = [{"chunk_id": "c", "doc_id": f"{THINGS[n]}.md", "text_sha": f"sha-{n}"} for n in (*shown, number)]
    answer = f"Broken {THINGS[number]} go to shelf {100 + number}. {said.format(len(passages))}"
    return row(number, completion=answer, passages=json.dumps(passages))


def built(rows, config, **given):
    return build(table(rows), sources(**given), config, render, length)


@pytest.mark.parametrize("said", ["[{0}]", "(source {0})", "Passage: {0}"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_answer_cites_its_passage_wherever_distractors_push_it(said, share):
    rows = [cites(n, said, (n + 3) % 30) for n in MANY]
    dataset = built(rows, replace(CONFIG, distractor_share=share, refusal_share=0.0))
    assert len(dataset.examples) > 20
    moved = 0
    for one in dataset.examples:
        number = int(re.findall(r"\d+", one.completion)[-1])
        own = int(one.interaction_ids[0][1:])
        assert one.passages[number - 1].text_sha == f"sha-{own}"
        assert one.messages[-1]["content"] == one.completion
        moved += number != 2
    assert (moved > 5) == (share == 1.0)


def test_what_was_produced_follows_its_passages_too():
    rows = [cites(n, "[{0}]", (n + 3) % 30) for n in MANY]
    config = replace(CONFIG, distractor_share=1.0, refusal_share=0.0)
    dataset = built(rows, config, produced=lambda wanted: {id_: "Prose. [2]" for _, id_ in wanted})
    chosen = [int(re.findall(r"\d+", pair.chosen)[-1]) for pair in dataset.pairs]
    assert [int(re.findall(r"\d+", pair.rejected)[-1]) for pair in dataset.pairs] == chosen
    assert set(chosen) > {2}


def test_prompt_that_grew_too_long_for_distractors_cites_as_without_them():
    rows = [cites(n, "[{0}]", (n + 3) % 30) for n in MANY]
    short = max(one.tokens for one in built(rows, replace(CONFIG, distractor_share=0.0, refusal_share=0.0)).examples)
    dataset = built(rows, replace(CONFIG, distractor_share=1.0, refusal_share=0.0, max_tokens=short))
    assert len(dataset.examples) > 20
    assert all(one.completion.endswith("[2]") for one in dataset.examples)


def test_frame_of_a_json_variant_is_not_learned():
    def in_frame(rows):
        return [one | {"completion": frames.framed(one["completion"], 2)} for one in rows]

    rows = [cites(n, "[{0}]", (n + 3) % 30) for n in MANY]
    config = replace(CONFIG, distractor_share=1.0, refusal_share=0.0)
    plain, framed = built(rows, config), built(in_frame(rows), config, framed=True)
    assert len(framed.examples) > 20
    said = {one.interaction_ids: one.completion for one in plain.examples}
    assert {one.interaction_ids: one.completion for one in framed.examples} == said
    assert all(one.messages[-1]["content"] == one.completion for one in framed.examples)
    kept = built(in_frame(rows), config)  # another variant's JSON is a manner like any other
    assert all(frames.is_framed(one.completion) for one in kept.examples)
    rejected = lambda wanted: {id_: frames.framed("Prose. [2]", 2) for _, id_ in wanted}  # noqa: E731
    pairs = built(in_frame(rows), config, framed=True, produced=rejected).pairs
    assert pairs
    assert all(re.fullmatch(r"Prose\. \[\d\]", pair.rejected) for pair in pairs)


def test_answer_that_cites_a_passage_which_is_gone_is_left_out():
    lost = cites(5, "[1]", 8)
    rows = [cites(n, "[{0}]") for n in MANY if n != 5]
    known = lambda sha: None if sha == "sha-8" else text(int(sha[4:]))  # noqa: E731
    dataset = built([*rows, lost], CONFIG, texts=known)
    assert dataset.report.reasons[Reason.UNSEEN] == 1
    [refused] = [one for one in dataset.report.refused if one.reason is Reason.UNSEEN]
    assert (refused.id, refused.detail) == ("i005", "cites passage 1")


def test_answer_whose_sentence_the_prompt_does_not_show_is_left_out():
    """Templates that show evidence show a few sentences of a passage: others would be made up."""

    def first_sentence(asks):
        return [
            [{"role": "user", "content": "\n".join(p.text.split(". ")[0] for p in ask.passages) + ask.question}]
            for ask in asks
        ]

    shelves = [row(n, completion=f"- Broken {THINGS[n]}: shelf {100 + n}") for n in range(5)]
    checked = [row(n, completion=f"- Checked: every {20 + n} days") for n in range(5, 30)]
    dataset = build(table([*shelves, *checked]), sources(), CONFIG, first_sentence, length)
    assert dataset.report.reasons[Reason.UNSEEN] == 5
    assert {one.id for one in dataset.report.refused} == {f"i{n:03d}" for n in range(5)}
    kept = {one.interaction_ids[0] for one in dataset.examples if one.kind != UNANSWERABLE}
    assert kept == {f"i{n:03d}" for n in range(5, 30)}
