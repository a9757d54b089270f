"""Whether a text declines to answer, or says that it cannot know."""

from __future__ import annotations

import re

MAX_CHARACTERS = 600  # a longer text answers something, whatever it says it cannot
START = 300  # characters within which a text that declines says so

_CANNOT = (
    r"(?:can(?:not|['’]t| not)|could(?: not|n['’]t)|unable to|not able to|do(?: not|n['’]t) (?:know|have)"
    r"|won['’]t|will not)"
)
_SERVE = (
    r"(?:answer|help|assist|find|provide|say|tell|determine|comply|know|do|have|enough|any|information|access|that"
    r"|this|the answer)"
)
_SOURCE = (
    r"(?:the|these|those|my|your|this|any of the)?\s*(?:\w+\s+)?(?:passages?|documents?|context|sources?|text|handbook"
    r"|information|documentation|excerpts?|knowledge base|evidence)"
)
_SILENT = (
    r"(?:do(?:es)?(?: not|n['’]t)|did(?: not|n['’]t)) (?:\w+ )?"
    r"(?:say|mention|contain|state|include|answer|provide|specify|cover|tell|give|have)"
)
_TOLD = r"(?:stated|mentioned|found|given|specified|covered|said|answered|available|provided)"
_NONE = r"(?:no|not enough|nothing|insufficient)"
_DECLINING = re.compile(
    r"\b(?:"
    + "|".join(
        [
            rf"i(?: am|['’]m)?(?: \w+){{0,2}} {_CANNOT}(?: \w+){{0,2}} {_SERVE}",
            r"i (?:do(?: not|n['’]t)|did(?: not|n['’]t)) know",
            r"i(?: a|['’])m (?:sorry|afraid)\b[^.!?\n]{0,20}\b(?:i|we|but|that|this|there)\b"
            r"[^.!?\n]{0,40}(?:not|n['’]t|unable|cannot|no )",
            rf"{_SOURCE} {_SILENT}",
            rf"(?:not|nothing|never|n['’]t) (?:\w+ )?{_TOLD}(?: about \w+)? (?:in|by|from) {_SOURCE}",
            rf"(?:there is|there['’]s|there was|i have|i found|we have|found) {_NONE} "
            r"(?:\w+ )?(?:information|answer|mention|evidence|data|details?|relevant|in the)",
            r"(?:no|not enough|insufficient) (?:information|context|evidence) (?:is |was )?"
            r"(?:available|found|given|provided|to answer|about)",
            r"(?:cannot|can['’]t|could not) be (?:answered|determined|found)",
            r"as an ai\b",
            r"(?:against|violates?) (?:my|our|the) (?:guidelines|policy|policies)",
        ]
    )
    + ")",
    re.IGNORECASE,
)
_DENIAL = re.compile(  # none of the above does without one of these, and they are found faster
    r"n['’]t\b|\bno\b|\bnot|never|cannot|unable|sorry|afraid|insufficient|as an ai|polic|guidelines", re.IGNORECASE
)
_BARE = re.compile(
    r"(?:n/a|none|unknown|unanswerable|no (?:answer|information|idea)|not (?:stated|found|available|given|sure)"
    r"|nothing found|i have no idea|i(?: am|'m) not sure)[.! ]*\Z",
    re.IGNORECASE,
)
_TURN = re.compile(r"\b(?:but|however|though)\b.{80,}", re.IGNORECASE | re.DOTALL)


def is_refusal(text: str) -> bool:
    """Whether a text declines; an answer with a caveat, or one that goes on to answer, does not."""
    body = text.strip()
    if not body or len(body) > MAX_CHARACTERS:
        return False
    if _BARE.match(body):
        return True
    start = body[:START]
    found = _DECLINING.search(start) if _DENIAL.search(start) else None
    return found is not None and not _TURN.search(body, found.end())
