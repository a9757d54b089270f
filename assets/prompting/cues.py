"""What a question asks for, and which words of it a statement holds: what cosines alone do not see.

Plain rules over English words. They need no model, cost microseconds, and give 0 where they know nothing. What they say
of a text is remembered: a statement is compared with many questions, a question with many statements.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

ASKED, STEMMED, WORDS = 1_024, 32_768, 65_536  # questions, statements and words that are remembered

_WORD = re.compile(r"[A-Za-zÀ-ž]+|\d+(?:[.,:]\d+)*")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an the of to in on for and or is are was were be been being it its this that these those with by as at from
        if you your can will may must should no not which when how what who whom whose where why there their they him
        them he she his her i me my we our us has have had do does did done than then so but also more most such any all
        each into out up s t about get got need needs want am would could please tell much many long often ever one some
        just only while during per after before until over under again still very""",
    )
)
_NUMBERS = (
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty"
    r"|ninety|hundred|thousand|half|third|quarter|twice|once|dozen|no|none|nothing|free|every|each|daily|weekly|monthly"
    r"|yearly|unlimited)\b"
)
_MONEY = (
    r"[€$£¥]|\b(?:euros?|eur|usd|chf|dollars?|pounds?|francs?|kronor|krona|cents?|free|nothing|percent|costs?|price|pays?"
    r"|paid)\b|\d ?%"
)
_TIMES = (
    r"\d|\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may|june|july|august|september"
    r"|october|november|december|day|days|week|weeks|month|months|year|years|hours?|minutes?|noon|midnight|morning|evening"
    r"|afternoon|spring|summer|autumn|winter|always|never|before|after|until|when|once|every|end|beginning|start"
    r"|immediately|at once|weekends?|holidays?|century|today|tomorrow|as soon as|during|since)\b"
)
_PERSONS = (
    r"[a-zà-ž,;:(] [A-ZÀ-Þ][\w'’-]+|^[A-ZÀ-Þ][a-zà-ž'’-]+ [A-ZÀ-Þ][\w'’-]+"
    r"|\b(?:team|manager|lead|director|department|desk|office|council|officer|head|owner|everyone|everybody|nobody|you"
    r"|anyone|staff|members?|people|employees?|colleagues?|caretaker|doctor|board|committee|service|group|guard|firm|who"
    r"|they|he|she|we)\b"
)
_PLACES = (
    r"\b(?:in|at|on|behind|beside|next|near|under|above|below|opposite|inside|outside|between|to|from|into|room|floor"
    r"|building|where|online|hall|street|through|via|with|by)\b"
)
_REASONS = r"\b(?:because|since|so that|so|as|due|to|for|reason|why|therefore|otherwise|causes?|caused|order|avoid)\b"
_PHONE = r"\d{3}|extension|\bphone\b|\bcall\b"
_MAIL = r"@|\b(?:mail|email|write|address)\b"
_ASKS_SUM = (
    r"\bhow (?:much|high|expensive)\b.*\b(?:costs?|pay|paid|charge|price|fee|spend|money|rent|allowance|budget|claim)"
    r"|\b(?:cost|price|fee|fare|deposit|budget|allowance|salary|bonus|fine|rent)\b.*\?|^(?:price|cost|fee)"
)
_ASKS_NUMBER = (
    r"\bhow (?:much|many|far|fast|big|large|heavy|hot|cold|wide|tall|deep|old|high)\b|\bwhat percentage\b|\bhow often\b"
)
_ASKS_TIME = (
    r"\bwhen\b|\bwhat time\b|\bwhich day|\bwhat day|\bwhat year|\bby when\b|\buntil what\b|\bdeadline\b"
    r"|\bopening hours\b"
)
_WANTED: Sequence[tuple[str, str]] = (  # the first question pattern that fits decides
    (r"\b(?:e-?mail|mail address|mailbox)\b", _MAIL),
    (r"\b(?:phone|telephone|extension|what number do i call|which number)\b", _PHONE),
    (_ASKS_SUM, f"{_MONEY}|{_NUMBERS}"),
    (_ASKS_NUMBER, _NUMBERS),
    (r"\bhow (?:long|soon|late|early)\b", f"{_TIMES}|{_NUMBERS}"),
    (_ASKS_TIME, _TIMES),
    (r"\bwho(?:m|se)?\b", _PERSONS),
    (r"\bwhere\b", _PLACES),
    (r"\bwhy\b", _REASONS),
)
_COMPILED = [  # persons are told by their capitals
    (re.compile(asked, re.IGNORECASE), re.compile(answer, 0 if answer is _PERSONS else re.IGNORECASE))
    for asked, answer in _WANTED
]
_ENDINGS = re.findall(r"\w+", "ations ation ingly ments ment ings ing ied ies edly ers ed er es ly s e y")


@lru_cache(ASKED)
def wanted(question: str) -> re.Pattern[str] | None:
    """The pattern that a statement has to hold to be the kind of answer that is asked for; None where any will do."""
    return next((answer for asked, answer in _COMPILED if asked.search(question)), None)


def kind_match(question: str, statement: str) -> float:
    """1 where the statement holds the kind of thing asked for (a time, a sum, a person), -1 where not, 0 unknown."""
    answer = wanted(question)
    if answer is None:
        return 0.0
    return 1.0 if answer.search(statement) else -1.0


@lru_cache(STEMMED)
def stems(text: str) -> tuple[str, ...]:
    """The content words of a text, lower case, without the commonest endings."""
    return tuple(_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP)


@lru_cache(WORDS)
def _stem(word: str) -> str:
    if word[:1].isdigit() or len(word) < 5:
        return word.rstrip("s") if len(word) == 4 and not word.endswith("ss") else word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def weights(question: Collection[str], texts: Sequence[Collection[str]]) -> Mapping[str, float]:
    """How telling each stem of the question is: the fewer of the texts hold it, the more. They sum to 1."""
    counts = {stem: sum(stem in text for text in texts) for stem in set(question)}
    raw = {stem: 1.0 / (1.0 + count) ** 0.5 for stem, count in counts.items()}
    total = sum(raw.values())
    return {stem: value / total for stem, value in raw.items()}
