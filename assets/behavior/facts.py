"""What a text states: numbers, names, identifiers, literals and content words, normalized to be compared.

A fact's key is the same for "5,000" and "5000", "two" and "2", "policies" and "policy", "2024-06-28" and "28 June
2024". A key that starts with a digit is a number, one that starts with a backtick a piece of code as it is written; any
other one is a light stem of a word in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

TOKEN = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")
_ISO_DATE = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)(?=\b|T)")
_TENS = re.compile(r"\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)-(\w+)", re.IGNORECASE)
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z\d_]+|[A-Z]")
_MARK = re.compile(r"^[ \t]*(?:\d{1,3}[.)]|[-*+•])[ \t]+", re.MULTILINE)
_NAME = re.compile(r"[\w./$-]+")
_CODE = re.compile(r"(?<!`)`([^`\n]{2,80})`(?!`)")
_LITERAL = re.compile(r"`([^`\n]{1,80})`|(?<!\w)[\"“]([^\"“”\n]{1,60})[\"”]")
_EQUATION = re.compile(r"([-+*/x×÷()$£€%\d,. ]{1,80})=\s*[$£€]?\s*(?:<<[^>\n]*>>)?\s*([\d,]*\.?\d+)")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_SHORT_MONTHS = {month[:3]: month for month in _MONTHS if month != "may"} | {"sept": "september"}
_COUNTED = (
    "zero", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_TENTHS = ("thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: str(value) for value, word in enumerate(_COUNTED)} | {
    word: str(value) for value, word in zip(range(30, 100, 10), _TENTHS, strict=True)
}
_WITHOUT_FACT = """
a about above after again all also although am an and another any anyway are as at be because been before being
below both but by can could did do does doing done down during each either else etc ever every few for from further
get gets getting give gives given go goes going got had has have having he hence her here hers him his how however i
if in indeed instead into is it its itself just let lets like likely made make makes making many may maybe me might
mine more most much must my near need needs neither no nor not now of off often oh ok okay on once one ones only or
other others otherwise our ours out over own per percent please quite rather really said same say says see seem
seems shall she should since so some such sure than thank thanks that the their theirs them then there therefore
these they thing things this those though thus to together too under until up upon us use used uses using very via
was way we well were what whatever when where whether which while who whom whose why will with within without would
yes yet you your yours don't doesn't didn't isn't aren't can't won't i'm it's that's there's you're we're i've s t d
ll re ve m th st nd rd e g
"""
STOP = frozenset(_WITHOUT_FACT.split())  # function words, and what answers say about themselves
_CONSTANTS = frozenset(map(str, (1, 2, 3, 4, 5, 7, 10, 12, 24, 30, 50, 52, 60, 100, 365, 1000)))
STRONG = 3.0  # weight of a number, name, identifier or literal; a content word weighs 1
_MEMO_TOKENS = 400_000


class _Memo(dict[str, tuple[str, ...]]):
    """Token -> its keys, worked out at the first sight; `("",)` for a word that states nothing."""

    def __missing__(self, token: str) -> tuple[str, ...]:
        if len(self) >= _MEMO_TOKENS:
            self.clear()
        found = self[token] = _keys_of(token)
        return found


_memo = _Memo()


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact as a text states it: how it is written there, and whether it is more than a common word."""

    surface: str
    kind: str  # number, name, literal, word

    @property
    def weight(self) -> float:
        """How much it counts."""
        return 1.0 if self.kind == "word" else STRONG


def keys(text: str) -> frozenset[str]:
    """The keys of all facts that a text holds."""
    found: set[str] = set().union(*map(_memo.__getitem__, set(TOKEN.findall(_plain(text)))))
    found.discard("")
    if "`" in text:
        found.update("`" + code for code in _CODE.findall(text))
    return frozenset(found)


@lru_cache(maxsize=8_192)
def passage_keys(text: str) -> frozenset[str]:
    """As `keys`, remembered: the same passages are shown again and again."""
    return keys(text)


def sequence(text: str) -> list[str]:
    """The keys in the order of the text, without stop words."""
    return [key for token in TOKEN.findall(_plain(text)) for key in _memo[token] if key]


def pairs(text: str) -> frozenset[tuple[str, str]]:
    """Keys that stand side by side: the short phrases of a text."""
    found = sequence(text)
    return frozenset(pairwise(found))


@lru_cache(maxsize=2_048)
def passage_pairs(text: str) -> frozenset[tuple[str, str]]:
    """As `pairs`, remembered."""
    return pairs(text)


def stated(text: str) -> dict[str, Fact]:
    """The facts of an answer by key, each as it is first written, in the order of the text.

    A capitalized word is a name unless it opens a sentence, line or cell; anything between backticks or quotes is a
    literal; a word with inner capitals, digits or underscores is an identifier, which counts as a name.
    """
    plain = _plain(text)
    literal = {key for match in _LITERAL.finditer(plain) for key in keys(match[1] or match[2])}
    found: dict[str, Fact] = {}
    if "`" in text:
        found |= {"`" + code: Fact(code, "literal") for code in _CODE.findall(text) if not code.isalnum()}
    for match in TOKEN.finditer(plain):
        token = match[0]
        for key in _memo[token]:
            former = found.get(key)
            if not key or (former is not None and former.kind != "word"):
                continue
            kind = "literal" if key in literal else _kind(token, key, plain, match.start(), match.end())
            if former is None or kind != "word":
                found[key] = Fact(token, kind)
    return found


def derived(text: str, unknown: Collection[str], known: Collection[str], given: Collection[str]) -> set[str]:
    """Those of the `unknown` numbers that follow from others: computed in the text itself, or from the request.

    A number follows when the text shows "expression = number" and every number of the expression is known, follows
    itself or is one that everybody counts with (two halves, seven days, 100%), or when it is a sum, difference,
    product, quotient or share of two of the `given` numbers.
    """
    wanted = {key for key in unknown if key[:1].isdigit()}
    if not wanted:
        return set()
    found: set[str] = set()
    if "=" in text:
        for match in _EQUATION.finditer(text):
            operands = {key for token in TOKEN.findall(match[1]) for key in _memo[token] if key}
            if operands and all(key in known or key in found or key in given or key in _CONSTANTS for key in operands):
                found |= operands
                found.add(_number(match[2].strip(",")))
    rest = wanted - found
    return (found & wanted) | (rest & _results(given) if rest else set())


def half_known(code: str, known: Set[str]) -> set[str]:
    """Facts of those names of a program, such as `order_total` or `shop.orders`, that are known by half of their parts.

    The rest of such a name is convention: a prefix, an ending, a joined word.
    """
    found: set[str] = set()
    for name in set(_NAME.findall(code)):
        parts = keys(name)
        if len(parts) > 1 and 2 * len(parts & known) >= len(parts):
            found |= parts
    return found


def weight(facts: Mapping[str, Fact], only: Iterable[str]) -> float:
    """The summed weight of some facts."""
    return sum(facts[key].weight for key in only)


def _results(given: Collection[str]) -> set[str]:
    values = sorted({float(key) for key in given if key[:1].isdigit() and key.count(".") < 2 and len(key) < 12})[:12]
    found: set[str] = set()
    if len(values) < 2:
        return found
    for left in values:
        for right in values:
            results = [left + right, left - right, left * right]
            if right:
                results += [left / right, left * (1 + right / 100), left * (1 - right / 100)]
            found.update(_number(f"{value:.2f}") for value in results if value > 0)
    return found


def _plain(text: str) -> str:
    if "-" in text:
        text = _ISO_DATE.sub(_spelled_date, text)
        if "ty-" in text:
            text = _TENS.sub(_spelled_tens, text)
    return _MARK.sub("", text) if "\n" in text or _MARK.match(text) else text


def _spelled_date(match: re.Match[str]) -> str:
    month = int(match[2])
    return f"{match[1]} {_MONTHS[month - 1]} {int(match[3])}" if 1 <= month <= 12 else match[0]


def _spelled_tens(match: re.Match[str]) -> str:
    tens, unit = _WORDS[match[1].lower()], "1" if match[2].lower() == "one" else _WORDS.get(match[2].lower(), "")
    return str(int(tens) + int(unit)) if len(unit) == 1 else match[0]


def _keys_of(token: str) -> tuple[str, ...]:
    if token[0].isdigit():
        return (_number(token),)
    parts = _CAMEL.findall(token) if not token.islower() and not token.isupper() and not token.istitle() else [token]
    found = tuple(dict.fromkeys(key for part in parts if (key := _word(part))))
    return found or ("",)


def _number(token: str) -> str:
    digits = token.replace(",", "")
    whole, point, rest = digits.partition(".")
    whole = whole.lstrip("0") or "0"
    if "." in rest:
        return f"{whole}.{rest}"  # a version, not a quantity
    return f"{whole}.{rest}" if point and rest.strip("0") else whole


def _word(part: str) -> str:
    word = part.lower().replace("’", "'")
    if word in STOP:
        return ""
    word = word.split("'", 1)[0]
    if word in _WORDS:
        return _WORDS[word]
    if word in _SHORT_MONTHS:
        return _SHORT_MONTHS[word]
    return "" if word in STOP else _stem(word)


def _stem(word: str) -> str:
    """Plurals, -ed and -ing fold; nothing shorter than three letters comes out."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            return word[:-1] if word[-1] == word[-2] and word[-1] not in "ls" else word
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def _kind(token: str, key: str, text: str, start: int, end: int) -> str:
    glued = text[start - 1 : start].isalpha() or text[start - 1 : start] == "_"
    if key[0].isdigit():
        return "name" if glued else "number" if token[0].isdigit() else "word"  # "two" may count, or point
    bare = token.replace("’", "'").split("'", 1)[0]
    if text[end : end + 1] == "_" or glued or not (bare.islower() or bare.istitle()):
        return "name"
    return "name" if token[0].isupper() and not _opens(text, start) else "word"


def _opens(text: str, start: int) -> bool:
    """Whether a word opens a sentence, line, cell or clause, where a capital says nothing."""
    before = text[max(0, start - 4) : start].rstrip(" \t\"'“‘(*#>_[")
    return not before or before[-1] in ".!?:\n|;"
