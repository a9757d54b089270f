from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pyarrow as pa
import pytest

from assets.behavior.dataset.building import NotEnough, build
from assets.behavior.dataset.config import PiiRules
from assets.behavior.dataset.contamination import Held
from assets.behavior.dataset.rows import ADDED, Reason
from assets.errors import GateRefused
from orchestration.engines.processes import spread
from tests.behavior.dataset.made import CONFIG, accepted, length, render, row, sources, table, text

MANY = [*(row(number) for number in range(20)), *(accepted(number) for number in range(20, 33))]


def made(rows, config=CONFIG, **given):
    return build(table(rows), sources(**given), config, render, length)


def left_out(rows, config=CONFIG, **given) -> dict[Reason, list[str]]:
    """Which of some rows beside MANY are left out, by reason."""
    dataset = made([*MANY, *rows], config, **given)
    kept = {id_ for example in dataset.examples for id_ in example.interaction_ids}
    found: dict[Reason, list[str]] = defaultdict(list)
    for one in dataset.report.refused:
        if one.id.startswith("x"):
            found[one.reason].append(one.id)
    assert not kept & {id_ for ids in found.values() for id_ in ids}
    assert dataset.report.funnel()[-1][1] == sum(one.kind not in ADDED for one in dataset.examples)
    return dict(found)


LEARNER = "user-2"  # whose group is on the training side
AS_FIRST = {name: row(0)[name] for name in ("completion", "passages")}
TABLE = [
    ({"there": False}, Reason.GONE),
    ({"verdict": "knowledge"}, Reason.KNOWLEDGE),
    ({"verdict": None}, Reason.UNCLEAR),
    ({"source": "accepted", "verdict": "behavior"}, Reason.FAILED_SINCE),
    ({"source": "accepted", "verdict": None, "schema_ok": False}, Reason.BROKEN_FORM),
    ({"prompt": " "}, Reason.NO_TEXT),
    ({"completion": "a\0b"}, Reason.NO_TEXT),
    ({"completion": "word " * 5_000}, Reason.OVERLONG),
    ({"passages": '[{"doc_id": "d", "text_sha": "unknown"}]'}, Reason.NO_PASSAGES),
    ({"completion": "- Broken helmets: shelf 999"}, Reason.UNSUPPORTED),
    (AS_FIRST | {"prompt": row(0)["prompt"].upper()}, Reason.DUPLICATE),
    ({"prompt": row(0)["prompt"], "completion": "Checked every 54 days."}, Reason.SAME_PROMPT),
    (AS_FIRST | {"prompt": row(0)["prompt"] + " Thanks"}, Reason.NEAR_DUPLICATE),
]


@pytest.mark.parametrize(("change", "reason"), TABLE)
def test_candidate_is_left_out_for_its_reason(change, reason):
    early = row(0)["occurred_at"].replace(year=2025)  # whatever it is like was said later, and stays
    change = (
        {"completion": "Checked every 54 days.", "occurred_at": early, **change}
        if reason is Reason.SAME_PROMPT
        else change
    )
    assert left_out([row(34, **{"id": "x", "occurred_at": early, **change})]) == {reason: ["x"]}


def test_clean_candidate_becomes_a_chat_with_its_lineage():
    dataset = made(MANY, replace(CONFIG, distractor_share=0.0))
    example = next(one for one in dataset.examples if one.interaction_ids == ("i003",))
    assert example.messages == (
        {"role": "user", "content": f"[1] {text(3).split(chr(10) * 2)[1]}\n\n{row(3)['prompt']}"},
        {"role": "assistant", "content": row(3)["completion"]},
    )
    assert (example.topic, example.event, example.kind, example.day) == (
        "topic-0",
        "format",
        "correction",
        row(3)["day"],
    )
    assert example.tokens == length([example.messages])[0]
    assert dataset.report.candidates == len(MANY)
    assert Counter(one.kind for one in dataset.examples)["accepted"] <= 20


def test_personal_data_is_in_no_text_of_the_dataset():
    secrets = ("jo@example.org", "+49 30 901820", "user-17x")
    asked = f"{row(17)['prompt']} I am user-17x, {secrets[0]}."
    rows = [one for one in MANY if one["id"] != "i017"]
    rows.append(row(17, prompt=asked, user_id="user-17x", completion=row(17)["completion"] + f"\n- For: {secrets[0]}"))
    rows.append(
        row(34, id="x", prompt=f"Call {secrets[1]}?", completion="It costs 999.")
    )  # kept in the card's examples
    dataset = made(rows, produced=lambda wanted: {id_: f"Dear {secrets[0]}, {id_}" for _, id_ in wanted})
    assert not [secret for secret in secrets if secret in repr(dataset)]
    example = next(one for one in dataset.examples if one.interaction_ids == ("i017",))
    assert example.prompt.endswith("I am [USER_1], [EMAIL_1].")
    assert example.completion.endswith("- For: [EMAIL_1]")
    assert dataset.report.redacted == 1
    assert all(pair.rejected.startswith("Dear [EMAIL_") for pair in dataset.pairs)


def test_passages_are_redacted_with_the_answer_that_quotes_them():
    mail = "Handbook > Mail\n\nInvoices go to bills@example.org before noon on Mondays."
    quoting = row(
        34,
        id="x",
        prompt="Where do invoices go?",
        completion="- To: bills@example.org",
        passages='[{"text_sha": "mail", "doc_id": "m"}]',
    )
    known = sources().texts
    dataset = made([*MANY, quoting], texts=lambda sha: mail if sha == "mail" else known(sha))
    example = next(one for one in dataset.examples if one.interaction_ids == ("x",))
    assert example.completion == "- To: [EMAIL_1]"
    assert "go to [EMAIL_1] before" in next(one.text for one in example.passages if one.doc_id == "m")
    assert "bills@" not in repr(dataset)


def test_no_group_and_no_question_is_on_two_sides():
    rows = [dict(one, user_id=f"user-{number % 11}") for number, one in enumerate(MANY)]
    dataset = made(rows)
    sides = defaultdict(set)
    for example in dataset.examples:
        sides[example.group].add(example.split)
        sides[example.prompt].add(example.split)
    assert {len(one) for one in sides.values()} == {1}
    assert {example.split for example in dataset.examples} == {"train", "validation", "test"}


def test_order_of_candidates_changes_nothing():
    shuffled = list(MANY)
    random.Random(3).shuffle(shuffled)  # noqa: S311 - no secret
    assert made(shuffled).examples == made(MANY).examples
    assert made(shuffled).pairs == made(MANY).pairs


def test_workers_find_what_one_process_finds():
    rows = table(MANY)
    alone = build(rows, sources(), CONFIG, render, length)
    spoiled = build(
        pa.concat_tables([rows.slice(0, 9), rows.slice(9)]), sources(), CONFIG, render, length, spread=spread(2)
    )
    assert spoiled.examples == alone.examples


def test_pairs_are_what_was_produced_against_what_it_became():
    dataset = made(MANY)
    corrected = [one for one in dataset.examples if one.kind == "correction"]
    assert [pair.interaction_ids for pair in dataset.pairs] == [one.interaction_ids for one in corrected]
    pair, example = dataset.pairs[0], corrected[0]
    assert (pair.prompt, pair.chosen, pair.split) == (example.messages[:-1], example.completion, example.split)
    assert pair.rejected == f"Prose that was corrected in {example.interaction_ids[0]}."


def test_held_out_items_are_not_learnt_from():
    victim = next(one for one in made(MANY).examples if one.split == "train")
    by_text = Held(victim.prompt, (victim.completion,))
    by_group = Held("unlike", ("anything",), group=victim.group)
    by_interaction = Held("unlike", ("anything",), interactions=victim.interaction_ids)
    for item in (by_text, by_group, by_interaction):
        dataset = made(MANY, held_out=[item])
        assert victim.interaction_ids not in [one.interaction_ids for one in dataset.examples]
        assert dataset.report.reasons[Reason.CONTAMINATED] == 1


def test_what_is_in_the_test_split_is_not_learnt_from():
    held = next(one for one in made(MANY).examples if one.split == "test")
    source = next(one for one in MANY if one["id"] == held.interaction_ids[0])
    learner = next(one for one in made(MANY).examples if one.split == "train")
    user = next(one["user_id"] for one in MANY if one["id"] == learner.interaction_ids[0])
    tail = (
        " And who of the whole large team of this old house is it that would look after all of them in the end, please?"
    )
    near = dict(source, id="x", interaction_ids='["x"]', user_id=user, prompt=source["prompt"] + tail)
    assert left_out([near]) == {Reason.LEAKED: ["x"]}


def test_long_rows_lose_their_distractors_before_they_are_left_out():
    config = replace(CONFIG, distractor_share=1.0)
    shown = next(one for one in made(MANY, config).examples if len(one.passages) == 3)
    plain = next(
        one
        for one in made(MANY, replace(CONFIG, distractor_share=0.0)).examples
        if one.interaction_ids == shown.interaction_ids
    )
    tight = made(MANY, replace(config, max_tokens=plain.tokens))
    found = [one for one in tight.examples if one.interaction_ids == shown.interaction_ids]
    assert [(len(one.passages), one.tokens) for one in found] == [(1, plain.tokens)]
    with pytest.raises(NotEnough, match=r"more tokens than dataset\.max_tokens"):
        made(MANY, replace(config, max_tokens=10))


def test_earlier_rows_are_rehearsed_beside_new_ones():
    old = made([row(n, id=f"o{n}", topic="old", kind="style") for n in range(30)]).examples
    fresh = [row(number, topic="new", prompt=f"{row(number)['prompt']} Please tell me.") for number in range(30)]
    dataset = made(fresh, replace(CONFIG, rehearsal_share=0.5), earlier=old)
    again = [one for one in dataset.examples if one.kind == "rehearsal"]
    assert len(again) == dataset.count("train", added=False) // 2
    assert {one.split for one in again} == {"train"}
    assert dataset.examples[-len(again) :] == tuple(again)
    gone = {one.interaction_ids[0] for one in old[5:]}
    few = made(fresh, replace(CONFIG, rehearsal_share=0.5), earlier=old, gone=lambda _: gone)
    assert {one.interaction_ids[0] for one in few.examples if one.kind == "rehearsal"}.isdisjoint(gone)


def test_earlier_rows_are_redacted_by_the_rules_of_today():
    old = made([row(n, id=f"o{n}", topic="old", kind="style") for n in range(30)]).examples
    fresh = [row(number, topic="new", prompt=f"{row(number)['prompt']} Please tell me.") for number in range(30)]
    config = replace(CONFIG, rehearsal_share=0.5, pii=PiiRules(patterns={"SHELF": r"shelf \d+"}))
    again = [one for one in made(fresh, config, earlier=old).examples if one.kind == "rehearsal"]
    said = [
        t
        for one in again
        for t in (one.completion, *(p.text for p in one.passages), *(m["content"] for m in one.messages))
    ]
    assert sum("[SHELF" in text for text in said) >= 3 * len(again)
    assert not [text for text in said if "shelf 1" in text]
    assert all(one.redactions for one in again)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "of 0 candidates, 0 train, 0 validation, 0 test rows are clean"),
        ([row(1)], "of 1 candidates"),
        ([row(1, id=f"i{n}", user_id=f"u{n}") for n in range(50)], "49 duplicate"),
        ([dict(one, verdict="unclear") for one in MANY if one["verdict"]], "20 unclear"),
        ([dict(one, user_id=LEARNER) for one in MANY], " train, 0 validation, 0 test rows are clean"),
        ([dict(one, user_id=LEARNER) for one in MANY], "set dataset.group_by"),
    ],
    ids=["none", "one", "all the same", "none clean", "one group", "what to do"],
)
def test_too_few_clean_rows_are_refused(rows, message):
    with pytest.raises(NotEnough, match="not enough") as refusal:
        made(rows)
    assert message in str(refusal.value)
    assert isinstance(refusal.value, GateRefused)
    assert refusal.value.report.candidates == len(rows)


def test_all_settings_are_part_of_the_digest():
    changes = ({"seed": 1}, {"split_key": "k"}, {"ngram": 7}, {"pii": PiiRules(kinds=("email",))}, {})
    assert len({replace(CONFIG, **change).digest() for change in changes}) == len(changes)
