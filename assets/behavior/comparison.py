"""A correction and a response, fact by fact, held against what was shown and asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from assets.behavior import facts
from assets.behavior.facts import Fact, weight

if TYPE_CHECKING:
    from assets.behavior.attribution import Case, Corpus, Shown

ANOTHER = 0.3  # of the correction's facts were in the response: another answer


class Form(NamedTuple):
    """How response and correction are written."""

    refusal: bool
    corrected_refusal: bool | None
    format: str
    corrected_format: str | None
    edit: float | None


@dataclass(slots=True)
class Comparison:
    """The facts of a correction and of a response, held against what was shown and asked; sets of fact keys."""

    stated: dict[str, Fact]  # by the correction
    said: frozenset[str]  # by the response
    asked: frozenset[str]
    seen: frozenset[str]  # in the passages that were shown
    unread: int  # passages shown whose text nobody has any more
    novel: set[str] = field(default_factory=set)  # stated, not said, not asked
    derived: set[str] = field(default_factory=set)  # novel numbers that follow from others
    missing: set[str] = field(default_factory=set)  # novel, not derived, not seen
    dropped: frozenset[str] = frozenset()  # said, not stated any more, and neither seen nor asked

    def kept(self) -> float:
        """The share of what the correction states beyond the request that the response said too."""
        own = self.stated.keys() - self.asked
        return weight(self.stated, own & self.said) / (weight(self.stated, own) or 1.0)

    def strong(self, keys: Iterable[str]) -> list[str]:
        """Those of the correction's facts that are more than common words."""
        return [key for key in keys if self.stated[key].kind != "word"]


def compare(case: Case, after: str, before: str, form: Form, corpus: Corpus) -> Comparison:
    """Which facts of the correction are new, and which of these were shown, asked, or follow."""
    texts = [passage.text or corpus.text(passage.text_sha) for passage in case.passages]
    seen = frozenset().union(*(facts.passage_keys(text) for text in texts if text))
    told = Comparison(
        facts.stated(after), facts.keys(before), facts.keys(case.prompt), seen, sum(not text for text in texts)
    )
    told.novel = told.stated.keys() - told.said - told.asked
    if form.corrected_format in ("sql", "code"):  # names are the schema's there, and values the facts
        told.stated = {k: Fact(f.surface, "word") if f.kind == "name" else f for k, f in told.stated.items()}
        told.novel -= facts.half_known(after, seen | told.asked | told.said)
    elif not told.novel and case.passages and told.kept() < ANOTHER and not carries_material(case):
        told.novel = told.stated.keys() - told.said  # the question named the answer, among others
    told.novel -= {key for key in told.novel if key[0] == "`" and (key[1:] in before or key[1:] in case.prompt)}
    unseen = {key for key in told.novel - seen if key[0] != "`" or not any(key[1:] in text for text in texts if text)}
    given = told.asked | {key for key in told.said if key[0].isdigit()}
    told.derived = facts.derived(after, unseen, seen, given) if unseen else set()
    told.missing = unseen - told.derived
    told.dropped = told.said - told.stated.keys() - seen - told.asked
    return told


def superseded(case: Case, corpus: Corpus, later: Corpus) -> list[Shown]:
    """Shown passages that their document does not have any more, at the answer or at the correction."""
    found = []
    for passage in case.passages:
        if not passage.doc_id or not passage.text_sha:
            continue
        now = later.current(passage.doc_id)
        then = now if later is corpus else corpus.current(passage.doc_id)
        if any(alive is not None and passage.text_sha not in alive for alive in (now, then)):
            found.append(passage)
    return found


_SENTENCE = re.compile(r"(?<=[.!?\n])")
_REWRITING = re.compile(
    r"\b(?:translat|rewrit|rephras|reword|paraphras|summari|shorten|simplif|correct|proofread|improv|edit|convert|format"
    r"|polish|fix|split|write|turn|make)\w*\b[^:\n]{0,60}[:\n]",
    re.IGNORECASE,
)


def carries_material(case: Case) -> bool:
    """Whether a request brings the text it is about, so that nothing has to be retrieved for it.

    Without its questions it is about as long as the response or the correction, and it either asks to rewrite that text
    or was answered without any passage.
    """
    told = (sentence for sentence in _SENTENCE.split(case.prompt) if not sentence.endswith("?"))
    words = sum(len(sentence.split()) for sentence in told)
    needed = 0.6 * min(len(case.response.split()), len((case.corrected or case.response).split()))
    if words < 4 or words < needed:
        return False
    return not case.passages or _REWRITING.search(case.prompt[:120]) is not None
