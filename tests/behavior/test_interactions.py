from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assets.behavior.interactions import Interaction, Passage, json_schema, parse
from assets.behavior.quarantine import Reason, Rejected
from tests.behavior.landing_tools import event, line, tombstone

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_published_schema_is_the_model():
    published = json.loads((DOCS / "interactions.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), "run: python -m assets.behavior.interactions > docs/interactions.schema.json"


def test_documentation_has_an_example_of_every_field_and_each_is_valid():
    text = (DOCS / "interactions.md").read_text(encoding="utf-8")
    examples = [json.loads(found) for found in re.findall(r"```json\n(.+?)```", text, re.DOTALL)]
    assert len(examples) >= 3
    shown, of_passages = set(), set()
    for example in examples:
        parse(json.dumps(example).encode())
        jsonschema.validate(example, json_schema())
        shown |= example.keys()
        of_passages |= {key for passage in example.get("passages", []) for key in passage}
    assert shown == set(Interaction.model_fields)
    assert of_passages == set(Passage.model_fields)
    for name in Interaction.model_fields:
        assert f"| `{name}`" in text
    for reason in Reason:
        assert f"`{reason.value}`" in text


def test_tombstone_needs_only_its_id_and_times():
    assert parse(line(tombstone()).strip())["deleted"] is True
    Interaction.model_validate_json(line(tombstone()))
    for name in ("id", "occurred_at", "received_at"):
        with pytest.raises(Rejected, match=name):
            parse(json.dumps({k: v for k, v in tombstone().items() if k != name}).encode())


def test_parse_of_a_quote_and_a_colon_in_a_text_is_no_duplicate_key():
    text = 'he said "id": and "id": again'
    assert parse(line(event("a", prompt=text)).strip())["prompt"] == text


def test_parse_ignores_unknown_keys_whatever_they_hold():
    assert (
        parse(line(event("a")).strip()[:-1] + b', "n": {"m": ' + b"9" * 4000 + b', "x": [NaN, {"y": null}]}}')["id"]
        == "a"
    )


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2_000_000_000),
    st.text(max_size=8),
    st.sampled_from(["up", "down", "main", "2026-08-02T10:00:00Z", "2026-08-02T10:00:00", "2026-08-02", "1785000000"]),
    st.lists(st.text(max_size=3), max_size=2),
    st.just([{"chunk_id": "c", "doc_id": "d", "text_sha": "s"}]),
    st.just([{"chunk_id": "c", "doc_id": "d", "text_sha": None}]),
    st.just({}),
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from([*Interaction.model_fields, "unknown"]), VALUES, max_size=4), st.booleans())
def test_the_fast_reader_and_the_model_accept_the_same_lines(changes, deleted):
    record = {**(tombstone() if deleted else event()), **changes}
    text = json.dumps(record).encode()
    try:
        model = Interaction.model_validate_json(text)
    except ValidationError:
        model = None
    try:
        fast = parse(text)
    except Rejected as found:
        refusal = found
        fast = None
    if fast is None:
        assert model is None or refusal.reason is Reason.NUL
        return
    assert model is not None
    dumped = model.model_dump()
    for name in Interaction.model_fields:
        if name != "passages":
            assert fast.get(name) == dumped[name]
    valid = jsonschema.Draft202012Validator(json_schema()).is_valid(record)
    assert valid
