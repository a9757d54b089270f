"""Stable knowledge only: an answer may teach how to say things, and state nothing that its passages do not.

A row that states facts from nowhere would teach the adapter to remember them, and they would stay when the documents
change. What an answer states is looked up in the passages that were shown, in their documents' names and in the
question; numbers may follow from others (facts.derived). It is looked up again in the prompt as it is written in the
end (writing.py): of the passages, the model may be shown a few sentences only.

    of what the answer states, unsupported is                         outcome
    ----------------------------------------------------------------  -------
    nothing                                                           kept
    a number, name, identifier or literal                             refused
    only common words, up to `max_unsupported` of the answer's own    kept: other words
    more common words than that, in an answer that declines           kept: a refusal is words of its own
    more common words than that                                       refused

The answer's own are its facts that the question does not hold. What belongs to the form is no fact: JSON keys, courtesy
(forms.content), and the numbers of the passages that it cites.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import lru_cache

from assets.behavior import facts, forms
from assets.behavior.citations import without_citations
from assets.behavior.refusals import is_refusal

LISTED = 6
_keys = lru_cache(maxsize=32_768)(facts.keys)  # of passages: rows of all topics come in turn, so that many are in use


def unsupported(
    prompt: str,
    completion: str,
    passages: Sequence[str],
    doc_ids: Sequence[str],
    max_unsupported: float,
    *,
    cited: int | None = None,
    allowed: Set[str] = frozenset(),
) -> list[str]:
    """What an answer states without support, as it is written there; empty where it may teach.

    It may cite the numbers 1 to `cited`; usually there are as many as passages. `allowed` holds keys of facts that
    belong to the manner, such as a signature.
    """
    seen = frozenset(allowed).union(*map(_keys, passages), *map(_keys, doc_ids))
    asked = facts.keys(prompt)
    known = seen | asked
    body = without_citations(completion, len(passages) if cited is None else cited)
    if not facts.keys(body) - known:  # most rows: everything is there, and nothing has to be told apart
        return []
    form = forms.format_of(body)
    stated = facts.stated(forms.content(body, form))
    unseen = stated.keys() - known
    given = {key for key in asked if key[0].isdigit()}
    missing = unseen - facts.derived(body, unseen, known, given)
    missing -= {key for key in missing if key[0] == "`" and any(key[1:] in text for text in (prompt, *passages))}
    if form in ("sql", "code"):  # names are the schema's there, as far as half of their parts are known
        missing -= facts.half_known(body, known)
    if not missing:
        return []
    strong = [key for key in missing if stated[key].kind != "word" and not _is_schema(form, stated[key])]
    own = facts.weight(stated, stated.keys() - asked) or 1.0
    if not strong and (facts.weight(stated, missing) <= max_unsupported * own or is_refusal(completion)):
        return []
    return [stated[key].surface for key in stated if key in (strong or missing)][:LISTED]


def _is_schema(form: str, fact: facts.Fact) -> bool:
    """Names of a query or program are its schema's; its numbers and literals are facts."""
    return form in ("sql", "code") and fact.kind == "name"
