"""What an answer takes from its question alone, or turns around. Pure; looked up beside the lint of datasets.

The lint (assets/behavior/dataset/lint.py) counts what the asker said as known, so that a row may repeat it. Whoever
asks is no source: "Does a locker cost 900 euros?" supports nothing. Of what the question holds and no cited passage:

    a sentence of the answer states of it                              supported
    -----------------------------------------------------------------  ---------
    nothing                                                            yes
    a number, beside a number that only a passage holds                yes: "10 days are within the 30 allowed"
    a number of an equation with a number of a passage                 yes: "3 * 4 = 12"
    a name, identifier or literal, beside such a one or such a number  yes: "not Fenna Bruins, but Renske Oltmans"
    any other number, name, identifier or literal                      no
    common words, where the answer adds something of the passages      yes
    common words, more than `most` of all that it states               no: "Lockers are free."

And of a sentence whose words a statement of a cited passage holds:

    the sentence     every statement that holds its words    supported
    ---------------  --------------------------------------  ---------
    denies           affirms, and sets no bound              no: "may not submit receipts within 30 days"
    affirms          denies, and says no more than it        no
    anything else                                            yes

To deny is to hold an odd number of negations ("neither ... nor" is one); a "No," that opens a sentence answers the
question. Words that set a bound (only, unless, above ...) may do the same without one, so that nothing is said of their
statements. All of this compares words: it does not know who does what to whom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from assets.behavior import facts, forms
from assets.prompting.sentences import split, statements

COVERED = 0.8  # share of a statement's facts that a sentence has to hold to say no less than it
_LINES = re.compile(r"(?<!:)\n+")
_EQUATION = re.compile(r"[\d).%€$£ ]+[-+*/x×÷=][-+*/x×÷=\d(.,%€$£ ]+")
_NEGATION = re.compile(r"\b(?:not|never|no|none|nobody|nothing|neither|cannot|without)\b|n['’]t\b", re.IGNORECASE)
_OPENING = re.compile(r"^\W*(?:no|not at all)\b\s*[,.;:!–-]+\s*", re.IGNORECASE)
_BOUND = re.compile(
    r"\b(?:only|unless|except|excluding|until|till|before|after|below|under|above|over|beyond|more|less|fewer|least|most"
    r"|later|earlier|sooner|longer|than|if|when|otherwise|instead|rather|but|optional|voluntary|free|exempt|refus\w*"
    r"|forbid\w*|forbidden|prohibit\w*|den(?:y|ies|ied)|avoid\w*|lack\w*|miss\w*|fail\w*)\b",
    re.IGNORECASE,
)


def borrowed(
    question: str,
    said: str,
    passages: Sequence[str],
    names: Sequence[str],
    most: float,
    *,
    allowed: Set[str] = frozenset(),
) -> list[str]:
    """What an answer states and only its question holds, by the first table, as it is written; empty where it may be
    said. `passages` are those that it cites, `names` their documents', `said` has no citations any more, and `allowed`
    holds keys of facts that belong to the manner."""
    seen = frozenset(allowed).union(*map(facts.passage_keys, (*passages, *names)))
    asked = facts.keys(question)
    lent = asked - seen
    form = forms.format_of(said)
    if form in ("sql", "code") or not facts.keys(said) & lent:  # the names of a program are its schema's
        return []
    body = forms.content(said, form)
    own = seen - asked
    for sentence in _sentences(body):
        found = _strong(sentence, lent, own, seen)
        if found:
            return found
    stated = facts.stated(body)
    words = stated.keys() & lent
    if stated.keys() & own or facts.weight(stated, words) <= most * facts.weight(stated, stated):
        return []
    return [stated[key].surface for key in stated if key in words]


def _strong(sentence: str, lent: Set[str], own: Set[str], seen: Set[str]) -> list[str]:
    """The numbers and names of a sentence that are only lent, and that nothing of a passage stands beside."""
    stated = facts.stated(sentence)
    strong = {key: fact for key, fact in stated.items() if fact.kind != "word" or _counts(key)}
    numbers = {key for key in strong if _counts(key)}
    if not numbers & own:
        for match in _EQUATION.finditer(sentence):
            reckoned = facts.keys(match[0])
            numbers -= reckoned if "=" in match[0] and reckoned & seen else set()
    anchored = {key for key in strong if key in own}
    bare = set() if any(map(_counts, anchored)) else numbers & lent
    bare |= set() if anchored else (strong.keys() - {*filter(_counts, strong)}) & lent
    return [strong[key].surface for key in strong if key in bare]


def turned(said: str, passages: Sequence[str]) -> list[str]:
    """The sentences of an answer that deny what a cited passage affirms, or affirm what it denies, in the same words;
    by the second table."""
    told = [one for text in passages for one in statements(text)]
    known = [(_keys(one), one) for one in told]
    found: list[str] = []
    for sentence in _sentences(said):
        bare = _OPENING.sub("", sentence)
        keys = _keys(bare)
        if len(keys) < 2:
            continue
        holding = [(held, one) for held, one in known if keys <= held]
        if not holding or _BOUND.search(bare) or any(_BOUND.search(one) for _, one in holding):
            continue
        denies = _denies(bare)
        if any(_denies(one) == denies for _, one in holding):
            continue
        if denies or any(len(keys) >= COVERED * len(held) for held, _ in holding):
            found.append(sentence)
    return found


def _keys(text: str) -> frozenset[str]:
    return facts.passage_keys(_NEGATION.sub(" ", text))


def _denies(text: str) -> bool:
    return len(_NEGATION.findall(text)) % 2 == 1


def _counts(key: str) -> bool:
    return key[0].isdigit()


def _sentences(text: str) -> Iterator[str]:
    """The sentences of an answer; a line that ends in a colon is one with the line that it announces."""
    for line in _LINES.split(text):
        yield from split(" ".join(line.split()))
