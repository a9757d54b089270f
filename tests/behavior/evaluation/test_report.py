"""The report: every number of the verdict, answers side by side, and nothing of them that could run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from assets.behavior.evaluation.comparing import compare
from assets.behavior.evaluation.gate import judge
from assets.behavior.evaluation.items import Answer, Item, Kind
from assets.behavior.evaluation.judging import Opinion, Outcome
from assets.behavior.evaluation.manner import Manner
from assets.behavior.evaluation.report import Report, examples, markdown, page

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></section><iframe src='https://example.org'></iframe>",
    "<!-- --><style>body{display:none}</style>",
    "[link](javascript:alert(1)) ![x](https://example.org/x.png)",
    "\ud800 \x00 \u202e backwards",
    "`code` | cell\n# head\n- item",
]


def report(texts=HOSTILE, items: int = 30) -> Report:
    def text(number: int) -> str:
        return texts[number % len(texts)]

    asked = [
        Item(f"i{n:02d}", Kind.GROUNDED, f"{text(n)}?", (text(n + 1),), (text(n + 2),), f"g{n}") for n in range(items)
    ]
    asked.append(Item("b", Kind.BEHAVIOR, text(0), (text(1),), (text(2),), text(3)))
    asked.append(Item("r", Kind.REFUSAL, text(0), (text(1),)))
    before = [Answer(item.references[0] if item.references else "x") for item in asked]
    after = [Answer(text(n)) for n in range(len(asked))]
    found = compare(asked, ("base", before), (text(0), after), Manner(), resamples=200)
    verdict = judge(found.compared([f"i1: group {text(1)} was trained on"]))
    opinion = Opinion(Outcome.FAILED, text(0), text(1), text(2), next_step=text(4))
    return Report("main", text(0), "base", found, verdict, [text(3)], {"base": text(1)}, opinion)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_page_holds_no_tag_of_what_it_shows():
    whole = page(report())
    tags = Tags()
    tags.feed(whole)
    assert tags.tags <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "b", "table", "tr", "th", "td", "section",
        "small", "div", "pre", "details", "summary", "del", "ins",
    }  # fmt: skip
    assert tags.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    assert "default-src 'none'" in whole
    whole.encode()  # also where an answer had half of a surrogate pair
    assert "\u202e" not in whole
    assert "\x00" not in whole


def test_page_is_one_file_whatever_braces_the_texts_have():
    whole = page(report(texts=["{title} {body} {0}", "%s {}"]))
    assert "{title} {body} {0}" in whole
    assert whole.count("<html") == 1


@pytest.mark.parametrize("show", [markdown, page])
def test_every_gate_and_metric_is_shown(show):
    found = report()
    whole = show(found)
    for gate in found.verdict.reasons:
        assert gate.name in whole
    for name, one in found.comparison.changes.items():
        assert name in whole
        assert f"{100 * one.before:.1f}%" in whole or f"{one.before:.2f}" in whole


def test_markdown_holds_no_markup_of_what_it_shows():
    whole = markdown(report())
    plain = re.sub(r"`[^`\n]*`", "", "\n".join(line for line in whole.splitlines() if not line.startswith("    ")))
    for sign in ("<", "](", "javascript", "# head"):
        assert sign not in plain


def test_examples_begin_with_what_got_worse():
    items = [Item(f"i{n:02d}", Kind.GROUNDED, "?", ("four",), ("four",), f"g{n}") for n in range(30)]
    before = [Answer("four" if n < 20 else "x") for n in range(30)]
    after = [Answer("x" if n < 3 else "four") for n in range(30)]
    found = examples(compare(items, ("a", before), ("b", after), Manner(), resamples=100), most=12)
    assert [(one.item.id, one.why, one.change) for one in found[:3]] == [(f"i{n:02d}", "worse", -1) for n in range(3)]
    assert [one.why for one in found[3:7]] == ["better"] * 4
    assert {one.why for one in found[7:]} == {"drawn"}
    assert len({one.item.id for one in found}) == 12
    assert (found[0].before, found[0].after) == ("four", "x")


def test_answers_stand_side_by_side_with_the_ends_of_their_lines():
    items = [Item("i", Kind.GROUNDED, "How much?", ("a",), ("four",), "g")]
    found = compare(items, ("a", [Answer("four")]), ("b", [Answer("four\n- Say more")]), Manner())
    whole = markdown(Report("main", "b", "a", found, judge(found.compared())))
    assert "| question | before: `a` | after: `b` | wanted | change |" in whole
    assert "| `How much?` | `four` | `four \u21b5 - Say more` | `four` | `+0.00 (grounded, drawn)` |" in whole


def test_words_that_differ_are_marked():
    items = [Item("i", Kind.GROUNDED, "?", ("a",), ("four",), "g")]
    found = compare(items, ("a", [Answer("it costs four euros")]), ("b", [Answer("it costs <five> euros")]), Manner())
    whole = page(Report("main", "b", "a", found, judge(found.compared())))
    assert "it costs <del>four</del> euros" in whole
    assert "it costs <ins>&lt;five&gt;</ins> euros" in whole


def test_long_answers_are_cut_and_say_so():
    items = [Item("i", Kind.GROUNDED, "?", ("a",), ("four",), "g")]
    found = compare(items, ("a", [Answer("x " * 5_000)]), ("b", [Answer("y")]), Manner())
    whole = page(Report("main", "b", "a", found, judge(found.compared())))
    assert "6000 characters more" in whole
    assert len(whole) < 20_000
