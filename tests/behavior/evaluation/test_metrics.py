"""What one answer is worth: tables of texts, and a project's own checks."""

from __future__ import annotations

import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from assets.behavior.evaluation import metrics
from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.manner import Manner, Style, manner
from assets.errors import ConfigError

PASSAGE = "Lockers on the second floor can be rented for 4 euros a month. Ask Dana at the desk."
FACT = Item(
    "f1", Kind.GROUNDED, "What does a locker cost?", ("Bring your own lock.", PASSAGE),
    ("4 euros", "four euros a month"), gold=(2,),
)  # fmt: skip
SILENT = Item("r1", Kind.REFUSAL, "Who painted the lobby?", (PASSAGE,))
SCHEMA = {
    "type": "object",
    "required": ["answer", "sources"],
    "additionalProperties": False,
    "properties": {"answer": {"type": "string"}, "sources": {"type": "array", "items": {"type": "integer"}}},
}


def one(item: Item, text: str, wanted: Manner | None = None, allowed=()) -> dict[str, float]:
    scores = metrics.score([item], [Answer(text)], wanted or Manner(), allowed)
    return {name: float(values[0]) for name, values in scores.items()}


@pytest.mark.parametrize(
    ("text", "inside", "faithful", "refused"),
    [
        ("4 euros", 1, 1, 0),
        ("Lockers can be rented for 4 Euros a month. [2]", 1, 1, 0),
        ('{"answer": "4 euros", "sources": [2]}', 1, 1, 0),
        ("Hello!\n\n- Lockers cost 4 euros a month [2]\n\nKind regards", 1, 1, 0),
        ("Source 2 says: 4 euros.", 1, 1, 0),
        ("4 euros [1]", 0, 1, 0),  # the other passage does not say so
        ('{"answer": "4 euros", "sources": [1]}', 0, 1, 0),
        ("14 euros", 0, 0, 0),
        ("4 euros, and 99 for a bicycle", 1, 0.5, 0),
        ("Two months cost 4 + 4 = 8 euros", 0, 1, 0),  # it follows, and yet it is no accepted answer
        ("4 euros. " + "More words follow here. " * 30, 0, 1, 0),
        ("The passages do not say.", 0, 1, 1),
        ('{"answer": "The passages do not say.", "sources": []}', 0, 1, 1),
        ("", 0, 1, 0),
    ],
)
def test_grounded_answers(text, inside, faithful, refused):
    found = one(FACT, text)
    assert (found["inside"], found["faithful"], found["false_refusal"]) == (inside, pytest.approx(faithful), refused)
    assert found["grounded"] == pytest.approx(inside * faithful)


@pytest.mark.parametrize(
    ("text", "answer", "inside"),
    [
        ("It is a Spanish-speaking country.", "Spanish", True),
        ("Twenty-one days", "twenty one days", True),
        ("Marxism–Leninism", "Leninism", True),
        ("in 2024/25", "2024/25", True),
        ("14 euros", "4 euros", False),
        ("4 eurosomething", "4 euros", False),
    ],
)
def test_answer_stands_inside_as_whole_words(text, answer, inside):
    assert metrics.inside(text, text, Item("i", Kind.GROUNDED, "?", (), (answer,))) is inside


@pytest.mark.parametrize(
    ("text", "em", "f1"),
    [
        ("4 euros", 1, 1),
        ("The 4 euros.", 1, 1),  # articles and punctuation do not count
        ("Four euros, a month!", 1, 1),
        ("4 dollars", 0, 0.5),
        ("it costs 4 euros", 0, 2 * 2 / (4 + 2)),
        ("nothing", 0, 0),
        ("", 0, 0),
    ],
)
def test_em_and_f1_as_in_squad(text, em, f1):
    found = one(FACT, text)
    assert (found["em"], found["f1"]) == (em, pytest.approx(f1))


@pytest.mark.parametrize(
    ("text", "refused"),
    [("The passages do not say.", 1), ('{"answer": "The passages do not say.", "sources": []}', 1), ("Dana did.", 0)],
)
def test_refusals(text, refused):
    found = one(SILENT, text)
    assert (found["refused"], found["em"], found["f1"]) == (refused,) * 3
    assert "grounded" not in found


def test_signature_that_the_manner_states_is_no_invention():
    text = "4 euros a month.\n\nYours, Team Atlas"
    assert one(FACT, text)["faithful"] < 1
    usual = metrics.usual([f"Answer {n}.\n\nYours, Team Atlas" for n in ("one", "red", "left", "tall")])
    assert one(FACT, text, allowed=usual)["faithful"] == 1


def behavior(reference: str) -> Item:
    return Item("b1", Kind.BEHAVIOR, "What does a locker cost?", (PASSAGE,), (reference,))


def test_answer_that_is_the_correction_is_worth_one():
    for reference in ("4 euros a month. [1]", '{"answer": "4 euros", "sources": [1]}', "The passages do not say."):
        assert one(behavior(reference), reference)["manner"] == 1


def test_format_refusal_and_similarity_are_read_from_the_correction():
    found = one(behavior('{"answer": "4 euros", "sources": [1]}'), "4 euros")
    assert (found["format"], found["declines"]) == (0, 1)
    assert found["manner"] == pytest.approx((0 + 1 + found["similarity"]) / 3)
    assert one(behavior("4 euros"), "The passages do not say.")["declines"] == 0


def test_similarity_sees_line_breaks_and_bullets():
    bullets = "- one thing\n- another thing\n- a third"
    assert metrics.similarity(bullets, bullets) == 1
    assert metrics.similarity("one thing, another thing, a third", bullets) < 0.9
    assert metrics.similarity("", bullets) == 0


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"answer": "4 euros", "sources": [1]}', True),
        ('  {"answer": "4 euros", "sources": []}\n', True),
        ('```json\n{"answer": "4 euros", "sources": [1]}\n```', False),
        ('{"answer": "4 euros"}', False),
        ('{"answer": 4, "sources": [1]}', False),
        ('{"answer": "4 euros", "sources": [1]} and more', False),
        ("4 euros", False),
        ("[" * 100_000, False),
    ],
)
def test_schema(text, valid):
    assert manner(SCHEMA).valid(text) is valid


def test_schema_of_a_json_variant_is_of_what_is_served():
    schema = {"required": ["answer", "source"], "properties": {"source": {"type": ["integer", "null"], "maximum": 2}}}
    for text, valid in (("4 euros [2]", True), ("4 euros", True), ("4 euros [3]", False), ('{"answer": "4"}', False)):
        assert manner(schema, framed=True).valid(text) is valid
        assert manner(schema).valid(text) is False


@pytest.mark.parametrize(
    ("style", "text", "kept"),
    [
        (Style(format="list"), "- a\n- b", True),
        (Style(format="list"), "a and b", False),
        (Style(must=(r"^Hello",)), "Hello there", True),
        (Style(must=(r"^Regards$",)), "Text\nRegards", True),
        (Style(must=(r"^Regards$",)), "Text", False),
        (Style(must_not=(r"(?i)as an ai",)), "As an AI I", False),
        (Style(min_words=2, max_words=3), "one two three", True),
        (Style(min_words=2, max_words=3), "one", False),
        (Style(max_words=3), "one two three four", False),
        (Style(min_words=2), "one two three four", True),
    ],
)
def test_style(style, text, kept):
    [(_, value)] = list(style.parts(text))
    assert value == kept


@pytest.fixture
def own(monkeypatch):
    module = types.ModuleType("our_checks")
    module.shouts = lambda text: text.isupper()
    module.cites = lambda text, item: len(item.passages) / 2
    module.breaks = lambda text: text[100]
    module.odd = lambda text: 7
    module.three = lambda a, b, c: True
    module.number = 3
    monkeypatch.setitem(sys.modules, "our_checks", module)


def test_own_checks_are_functions_named_in_the_settings(own):
    wanted = manner(checks=["our_checks:shouts", "our_checks:cites"])
    parts = one(behavior("x"), "LOUD", wanted)
    assert parts["own: our_checks:shouts"] == 1
    assert parts["own: our_checks:cites"] == 0.5
    assert parts["manner"] == pytest.approx(
        np.mean([1, 0.5, *(parts[n] for n in ("format", "declines", "similarity"))])
    )


@pytest.mark.parametrize("name", ["breaks", "odd"])
def test_own_check_that_fails_is_named_with_its_item(own, name):
    with pytest.raises(ConfigError, match=f"our_checks:{name}.*b1"):
        one(behavior("x"), "text", manner(checks=[f"our_checks:{name}"]))


@pytest.mark.parametrize(
    "name", ["our_checks", "our_checks:nothing", "no_such_module:f", "our_checks:three", "our_checks:number", "os;x:y"]
)
def test_own_check_that_cannot_be_one_is_wrong_configuration(own, name):
    with pytest.raises(ConfigError, match=r"^evaluation\.checks: "):
        manner(checks=[name], where="evaluation")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schema": {"type": "nothing"}}, "here.schema is no JSON Schema"),
        ({"style": Style(format="pdf")}, "here.format: received 'pdf'"),
        ({"style": Style(must=("(",))}, "is no regular expression"),
    ],
)
def test_wrong_manner_is_wrong_configuration(arguments, message):
    with pytest.raises(ConfigError, match=message):
        manner(**arguments, where="here")


@pytest.mark.parametrize("reference", ["URL", "other.json", "#/$defs/missing", "file:///etc/passwd"])
def test_schema_is_never_loaded_from_elsewhere(reference):
    asked = []

    class Schemas(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Schemas) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        place = reference.replace("URL", f"http://127.0.0.1:{server.server_address[1]}/schema.json")
        schema = {"type": "object", "properties": {"sources": {"items": {"$ref": place}}}}
        with pytest.raises(ConfigError, match=r"here\.schema: .* is not in the schema"):
            manner(schema, where="here")
        server.shutdown()
    assert asked == []


def test_schema_may_refer_to_its_own_definitions():
    defs = {"$defs": {"n": {"type": "integer"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert manner(defs).valid('{"a": 1}')
    assert not manner(defs).valid('{"a": "1"}')
