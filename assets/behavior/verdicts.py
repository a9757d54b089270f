"""The rules of attribution: from the facts of a case to a verdict. `attribution.py` has the truth table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from assets.behavior import facts, forms
from assets.behavior.comparison import ANOTHER, Comparison, Form, carries_material, compare, superseded
from assets.behavior.facts import Fact, weight

if TYPE_CHECKING:
    from assets.behavior.attribution import Case, Corpus, Shown

# How much has to be missing, or found, for a verdict; tuned on one half of the labelled cases (benchmarks/attribution).
HELD = 0.6  # of the missing facts' weight, in one passage, for it to be where they stand
PHRASE = 0.4  # of the missing facts' neighbor pairs, so that a passage holds them as the correction says them
CONTEXT = 0.4  # of the request's and the correction's other facts, where there are no phrases to compare
KEPT = 0.5  # of the correction's facts were in the response: an edit, not another answer
GROUNDED = 0.7  # of the correction's facts were shown or asked: the rest are other words for them
LACKING = 0.7  # of the correction's new facts stand nowhere: another answer, that nothing shown supports
MINOR = 0.3  # of the correction's facts, all common words: a turn of phrase, wherever else it may stand
LOOSE = 0.3  # of what the response said, in words that nothing shown holds: it went beyond the passages
LISTED = 12  # facts of one kind in the evidence
CANDIDATES = 8


class Finding(NamedTuple):
    """A verdict and what it rests on."""

    verdict: str | None
    kind: str | None
    doc_id: str | None
    evidence: Mapping[str, Any]


class Place(NamedTuple):
    """A passage that holds missing facts."""

    sha: str
    doc_id: str
    held: set[str]
    score: float


def without_correction(case: Case, corpus: Corpus, later: Corpus) -> Finding:
    """A thumbs-down alone says that something is wrong, not what."""
    if case.schema_ok is False:
        return Finding("behavior", "format", None, {"rule": "the output broke its schema", "schema_ok": False})
    said = facts.stated(case.response)
    for old in superseded(case, corpus, later):
        text = old.text or corpus.text(old.text_sha) or ""
        gone = _withdrawn(said, text, old, case, corpus, later)
        if gone:
            rule = "the response states what only a superseded version of a shown document says"
            return Finding(
                "knowledge",
                "stale_passage",
                old.doc_id,
                {"rule": rule, "withdrawn": _surfaces(said, gone), "superseded": [old.text_sha], **_noted(corpus)},
            )
    return Finding("unclear", None, None, {"rule": "rejected, and nobody wrote what would have been right"})


def with_correction(case: Case, after: str, form: Form, corpus: Corpus, later: Corpus) -> Finding:
    """The facts decide first, then the form."""
    body = forms.content(after, form.corrected_format or "prose")
    told = compare(case, body, case.response, form, corpus)
    old = superseded(case, corpus, later)
    evidence = _evidence(told, form, old, corpus)
    if form.refusal and not form.corrected_refusal and not told.stated:
        return _finding("unclear", None, None, "the correction states nothing that could be looked up", evidence)
    if told.missing and not carries_material(case):
        found = _knowledge(case, body, form, told, old, corpus, later, evidence)
        if found is not None:
            return found
    said = facts.stated(case.response) if told.dropped or old else {}
    for passage in () if form.corrected_refusal else old:
        text = passage.text or corpus.text(passage.text_sha) or ""
        gone = _withdrawn(said, text, passage, case, corpus, later) - told.stated.keys()
        if gone:
            evidence["withdrawn"] = _surfaces(said, gone)
            rule = "the correction takes back what only a superseded version of a shown document says"
            return _finding("knowledge", "stale_passage", passage.doc_id, rule, evidence)
    return _behavior(case, form, told, said, evidence)


def _knowledge(
    case: Case,
    after: str,
    form: Form,
    told: Comparison,
    old: list[Shown],
    corpus: Corpus,
    later: Corpus,
    evidence: dict[str, Any],
) -> Finding | None:
    """A knowledge failure, an unclear one, or None where what is missing is no more than other words."""
    relevant = {pair for pair in facts.pairs(after) if pair[0] in told.missing or pair[1] in told.missing}
    shas = {passage.text_sha for passage in case.passages}
    for passage in old:
        fresh = {sha: text for sha, text in (later.current(passage.doc_id) or {}).items() if sha not in shas}
        place = _best(((sha, passage.doc_id, text) for sha, text in fresh.items()), told, relevant)
        if place is not None:
            _place(evidence, told, place, "newer_text")
            rule = "facts of the correction stand in a newer version of a document that was shown"
            return _finding("knowledge", "stale_passage", passage.doc_id, rule, evidence)
    if _other_words(form, told):
        return None
    holding = [row for row in corpus.holding(told.missing) if row.sha not in shas][:CANDIDATES]
    place = _best(((row.sha, row.doc_id, corpus.text(row.sha) or "") for row in holding), told, relevant)
    if place is not None:
        _place(evidence, told, place, "elsewhere")
        rule = "facts of the correction stand in a passage that was not shown"
        return _finding("knowledge", "retrieval_miss", place.doc_id, rule, evidence)
    return _nowhere(form, told, evidence)


def _nowhere(form: Form, told: Comparison, evidence: dict[str, Any]) -> Finding | None:
    """No passage holds what is missing: a document to write, or only other words."""
    own = weight(told.stated, told.stated.keys() - told.asked) or 1.0
    lacking = weight(told.stated, told.missing) / own
    if told.unread:
        return _finding("unclear", None, None, "the text of a shown passage is not known any more", evidence)
    if told.strong(told.missing) or lacking >= LACKING:
        rule = "facts of the correction stand in no passage"
        return _finding("knowledge", "missing_document", None, rule, evidence)
    if told.kept() >= KEPT or 1.0 - lacking >= GROUNDED or form.format != form.corrected_format:
        return None
    return _finding("unclear", None, None, "rewritten in words of which only a part was shown", evidence)


def _other_words(form: Form, told: Comparison) -> bool:
    """Whether what is missing needs no passage: a turn of phrase, or what another format takes."""
    if told.strong(told.missing):
        return False
    if form.corrected_refusal or (form.format != form.corrected_format and not form.refusal):
        return True
    own = weight(told.stated, told.stated.keys() - told.asked) or 1.0
    return told.kept() >= KEPT and weight(told.stated, told.missing) / own < MINOR


def _best(passages: Iterable[tuple[str, str, str]], told: Comparison, relevant: Set[tuple[str, str]]) -> Place | None:
    """The passage where the missing facts stand together, said as in the correction; None where there is none."""
    total = weight(told.stated, told.missing)
    context = (told.asked | told.stated.keys()) - told.missing
    best: Place | None = None
    for sha, doc_id, text in passages:
        keys = facts.passage_keys(text)
        held = told.missing & keys
        share = weight(told.stated, held) / total
        if share < HELD:
            continue
        phrase = len(facts.passage_pairs(text) & relevant) / len(relevant) if relevant else 0.0
        around = len(context & keys) / len(context) if context else 1.0
        if phrase < PHRASE and not (around >= CONTEXT and (told.strong(held) or not relevant)):
            continue
        score = share + phrase + around
        if best is None or score > best.score:
            best = Place(sha, doc_id, held, score)
    return best


def _behavior(case: Case, form: Form, told: Comparison, said: Mapping[str, Fact], evidence: dict[str, Any]) -> Finding:
    if form.refusal != form.corrected_refusal:
        which = "it declined, and the answer was shown" if form.refusal else "it answered, and should have declined"
        return _finding("behavior", "refusal", None, which, evidence)
    if form.format != form.corrected_format:
        return _finding("behavior", "format", None, f"{form.format} was rewritten as {form.corrected_format}", evidence)
    if told.seen and _ungrounded(form, told, said) and not carries_material(case):
        evidence["ungrounded"] = _surfaces(said, told.dropped)
        return _finding("behavior", "ungrounded", None, "the response stated what no shown passage says", evidence)
    picked = told.novel - told.missing - told.derived
    if told.strong(picked) or (picked and told.kept() < ANOTHER):
        return _finding("behavior", "task", None, "the facts were there, and others were picked", evidence)
    return _finding("behavior", "style", None, "the same facts in other words", evidence)


def _ungrounded(form: Form, told: Comparison, said: Mapping[str, Fact]) -> bool:
    """Whether what the correction dropped is more than words: a number or name, or a good part of the response."""
    dropped = [key for key in said if key in told.dropped]
    if form.format in ("sql", "code"):  # names are the schema's there
        return any(said[key].kind in ("number", "literal") for key in dropped)
    return any(said[key].kind != "word" for key in dropped) or weight(said, dropped) > LOOSE * weight(said, said)


def _withdrawn(said: Mapping[str, Fact], text: str, old: Shown, case: Case, corpus: Corpus, later: Corpus) -> set[str]:
    """Numbers, names and literals of the response that stand in a superseded passage and in no other text at hand."""
    there = facts.passage_keys(text)
    claims = {key for key, fact in said.items() if fact.kind != "word" and key in there}
    if not claims:
        return set()
    for now in (later.current(old.doc_id) or {}).values():
        claims -= facts.passage_keys(now)
    for other in case.passages:
        if other.text_sha != old.text_sha:
            claims -= facts.passage_keys(other.text or corpus.text(other.text_sha) or "")
    return claims - facts.keys(case.prompt)


def _evidence(told: Comparison, form: Form, old: list[Shown], corpus: Corpus) -> dict[str, Any]:
    found = {
        "shown": _surfaces(told.stated, told.novel & told.seen),
        "derived": _surfaces(told.stated, told.derived),
        "nowhere": _surfaces(told.stated, told.missing),
    }
    evidence: dict[str, Any] = {"facts": {name: listed for name, listed in found.items() if listed}}
    if old:
        evidence["superseded"] = [passage.text_sha for passage in old]
    if form.format != form.corrected_format:
        evidence["format"] = [form.format, form.corrected_format]
    if form.refusal != form.corrected_refusal:
        evidence["refusal"] = [form.refusal, form.corrected_refusal]
    if told.unread:
        evidence["unread_passages"] = told.unread
    return evidence | _noted(corpus)


def _noted(corpus: Corpus) -> dict[str, str]:
    return {"note": corpus.note} if corpus.note else {}


def _place(evidence: dict[str, Any], told: Comparison, place: Place, name: str) -> None:
    """Moves the facts that were found from nowhere to where they stand."""
    listed = evidence["facts"]
    rest = told.missing - place.held
    listed.pop("nowhere", None)
    listed[name] = {"sha": place.sha, "doc_id": place.doc_id, "facts": _surfaces(told.stated, place.held)}
    if rest:
        listed["nowhere"] = _surfaces(told.stated, rest)


def _finding(verdict: str, kind: str | None, doc_id: str | None, rule: str, evidence: dict[str, Any]) -> Finding:
    return Finding(verdict, kind, doc_id, {"rule": rule, **evidence})


def _surfaces(stated: Mapping[str, Fact], keys: Collection[str]) -> list[str]:
    """Facts as they were written, the telling ones first."""
    ordered = sorted((key for key in stated if key in keys), key=lambda key: -stated[key].weight)
    return [stated[key].surface for key in ordered[:LISTED]]
