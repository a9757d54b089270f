"""Personal data in texts, and placeholders in its place.

What a library can verify is verified: telephone numbers by libphonenumber (phonenumbers), IBANs, cards and national
numbers by their check digits (python-stdnum). The rest are patterns. Names of persons are known only where a text
introduces them ("my name is"), and where they are the user's own id: to find them anywhere takes a model, which this is
without. docs/decisions has the reasons.

    kind       placeholder  what is taken for it
    ---------  -----------  -----------------------------------------------------------------------------------------
    email      EMAIL        addresses, also written with (at) or [at]
    phone      PHONE        +49 ..., 0049 ...; (212) 555-0143 and the like; whatever is valid in `phone_regions`
    card       CARD         13 to 19 digits that pass Luhn's check
    iban       IBAN         an IBAN whose check digits are right
    id         ID           123-45-6789; what follows SSN, passport, tax id ...; `national_ids` of python-stdnum
    birthdate  BIRTHDATE    a date after "born", "date of birth", "DOB"
    name       NAME         what follows "my name is"
    ip         IP           IPv4 and IPv6 addresses that are valid
    secret     SECRET       keys of well-known services, private keys, JSON web tokens, what follows "password:"
    (user)     USER         the id of the user who asked, but for a plain word
    (patterns) their label  regular expressions of dataset.pii.patterns
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import phonenumbers
from stdnum import iban, luhn

from assets.behavior.dataset.config import KINDS, PiiRules
from assets.errors import ConfigError

MIN_SPREAD = 4  # characters of a value that is replaced wherever else it stands
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+'%-]{1,64}(?:@|\s?[(\[]at[)\]]\s?)(?:[\w-]{1,63}(?:\.|\s?[(\[]dot[)\]]\s?)){1,6}[^\W\d_]{2,24}"
    r"(?![\w-])",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\w.,€$£])\(?\+?\(?\d(?:[ ().\u2009\u00a0/-]{0,3}\d){6,18}(?![\w%])")
_LONG = re.compile(r"\d(?:[^\w\n]{0,3}\d){6}")  # no number of any kind has fewer digits in a row
_ABROAD = re.compile(r"\(?(?:\+\(?\d|00[1-9])")
_AMERICAN = re.compile(r"(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}\Z")
_DATE = re.compile(r"(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)?\d\d")
_IBAN = re.compile(r"\b[A-Z]{2}\d\d(?: ?[A-Z\d]{4}){2,7}(?: ?[A-Z\d]{1,3})?\b")
_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_NAMED_ID = re.compile(
    r"\b(?:ssn|social security(?: number)?|bsn|passport|(?:tax|personal|national) id|driver['’]?s licen[cs]e"
    r"|account|id card)(?: number| no\.?| nr\.?)?\W{0,3}(?:is\W{1,3}|was\W{1,3})?"
    r"([A-Z]{0,3}[ -]?\d[\dA-Z]*(?:[ -]?\d[\dA-Z]*){1,6})",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"(?<![\w])[A-Z\d](?:[ .-]?[A-Z\d]){5,19}(?!\w)")
_BORN = re.compile(
    r"\b(?:born(?: on)?|date of birth|birth ?date|birthday|dob)\b\W{0,4}(?:is\W{1,3}|was\W{1,3})?"
    r"(\d{1,4}[-./ ]\w{1,9}[-./ ]\d{2,4}|[A-Z][a-z]{2,8}\.? \d{1,2},? \d{4}|\d{1,2} [A-Z][a-z]{2,8}\.?,? \d{4})",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?i:my (?:full )?name['’]?s?(?: is)?)\s*:?\s+((?:[A-Z][\w'’-]+)(?:\s(?:[a-z]{2,3}\s)?[A-Z][\w'’-]+){0,3})"
)
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)")
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}|\bgh[opsur]_[A-Za-z0-9]{20,}|\bAKIA[A-Z0-9]{12,}"
    r"|\bxox[abpr]-[A-Za-z0-9-]{10,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bAIza[\w-]{30,}|\bglpat-[\w-]{16,}",
    re.DOTALL,
)
_PASSWORD = re.compile(
    r"\b(?:password|passwd|passphrase|pwd|api[ _-]?key|access[ _-]?token|secret)\b(?:\s+is\s+|\s*[:=]\s*)[\"'`“]?"
    r"([^\s\"'`”]{6,})",
    re.IGNORECASE,
)
PASSES = 4
_HIDDEN = re.compile(r"\[[A-Z_]+_\d+\]\W*$")
_SECRET_SIGNS = (
    "BEGIN ", "sk-", "sk_", "pk_", "rk_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_",
    "AKIA", "xox", "eyJ", "AIza", "glpat-",
)  # fmt: skip
_DOTTED = re.compile(r"\d\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:")  # every address has one of these


class Text(NamedTuple):
    """A text as the finders look at it: most texts hold nothing, and what tells that is cheap and told once."""

    text: str
    lower: str
    numbers: bool  # whether it has any number that is long enough

    def has(self, *signs: str) -> bool:
        """Whether any of these stands in it, in whatever case."""
        return any(sign in self.lower for sign in signs)


class Span(NamedTuple):
    """Where in a text personal data stands."""

    start: int
    end: int
    label: str

    def meets(self, other: Span) -> bool:
        """Whether the two overlap."""
        return self.start < other.end and other.start < self.end


class Redacted(NamedTuple):
    """Texts with placeholders. `values` has the placeholder of each value that was found."""

    texts: tuple[str, ...]
    values: dict[str, str]


class Redactor:
    """Finds and replaces personal data by the rules of a configuration; ConfigError names one that cannot be used."""

    def __init__(self, rules: PiiRules) -> None:
        unknown = set(rules.kinds) - set(KINDS)
        if unknown:
            raise _wrong("kinds", sorted(unknown)[0], f"some of {', '.join(KINDS)}")
        for region in rules.phone_regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise _wrong("phone_regions", region, "countries by two letters, as in GB")
        self._regions = rules.phone_regions
        self._national = [_module(name) for name in rules.national_ids]
        self._own = [(_label(label), _pattern(label, regex)) for label, regex in sorted(rules.patterns.items())]
        finders: dict[str, Callable[[Text], Iterable[Span]]] = {
            "secret": _secrets,
            "email": _emails,
            "iban": _ibans,
            "id": self._ids,
            "card": _cards,
            "birthdate": _birthdates,
            "name": _names,
            "ip": _addresses,
            "phone": self._phones,
        }
        self._finders = [find for kind, find in finders.items() if kind in rules.kinds]

    def find(self, text: str) -> list[Span]:
        """Personal data in a text, in its order; where two overlap, a person's own pattern and the surer kind win."""
        found: list[Span] = []
        for label, pattern in self._own:
            found += [Span(*match.span(), label) for match in pattern.finditer(text) if match[0].strip()]
        read = Text(text, text.lower(), _LONG.search(text) is not None)
        for finder in self._finders:
            before = len(found)
            for span in finder(read):
                if not any(span.meets(other) for other in found):
                    found.append(span)
            if len(found) > before:
                rest = _without(text, found)  # what is left between them may be something else by itself
                read = Text(rest, rest.lower(), _LONG.search(rest) is not None)
        return sorted(found)

    def redact(
        self, texts: Sequence[str], *, user: str | None = None, values: dict[str, str] | None = None
    ) -> Redacted:
        """Texts of one row with placeholders: the same value has the same one in each. `values` is what other texts of
        the row had already; a value that was found in one text is replaced in all."""
        found = self._redacted(texts, user, dict(values or {}))
        for _ in range(PASSES if found.texts != tuple(texts) else 0):  # what stood beside a value may be found by now
            again = self._redacted(found.texts, user, dict(found.values))
            if again.texts == found.texts:
                break
            found = again
        return found

    def _redacted(self, texts: Sequence[str], user: str | None, known: dict[str, str]) -> Redacted:
        for text in texts:
            for start, end, label in self.find(text):
                _number(known, text[start:end], label)
        if user and is_name(user) and any(user in text for text in texts):
            _number(known, user, "USER")
        if not known:
            return Redacted(tuple(texts), known)
        spread = [value for value in sorted(known, key=len, reverse=True) if len(value) >= MIN_SPREAD]
        anywhere = re.compile("|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for value in spread)) if spread else None
        return Redacted(tuple(self._replaced(text, known, anywhere) for text in texts), known)

    def _replaced(self, text: str, known: dict[str, str], anywhere: re.Pattern[str] | None) -> str:
        parts, last = [], 0
        for start, end, _ in self.find(text):
            parts += [text[last:start], known[text[start:end]]]
            last = end
        text = "".join([*parts, text[last:]])
        return anywhere.sub(lambda match: known[match[0]], text) if anywhere else text

    def _phones(self, read: Text) -> Iterator[Span]:
        for match in _DIGITS.finditer(read.text) if read.numbers else ():
            number = match[0]
            if not _DATE.match(number) and (_is_phone(number) or _is_valid_in(number, self._regions)):
                yield Span(*match.span(), "PHONE")

    def _ids(self, read: Text) -> Iterator[Span]:
        if read.numbers:
            yield from (Span(*match.span(), "ID") for match in _SSN.finditer(read.text))
        if read.has("ssn", "social", "bsn", "passport", " id", "licen", "account"):
            yield from (Span(*m.span(1), "ID") for m in _NAMED_ID.finditer(read.text) if _digits(m[1]) >= 5)
        for module in self._national:
            yield from (Span(*m.span(), "ID") for m in _TOKEN.finditer(read.text) if module.is_valid(m[0]))


def _without(text: str, spans: Sequence[Span]) -> str:
    """The text with brackets, as a placeholder has them, in place of what was found."""
    for span in spans:
        text = f"{text[: span.start]}[{']' * (span.end - span.start - 1)}{text[span.end :]}"
    return text


def is_name(user: str) -> bool:
    """Whether a user's id is replaced where it stands in a text: not if it may be any word, such as `user`."""
    return len(user) >= MIN_SPREAD and not (user.isalpha() and user.islower()) and not user.isdigit()


def _number(known: dict[str, str], value: str, label: str) -> None:
    if value not in known:
        number = 1 + sum(placeholder.startswith(f"[{label}_") for placeholder in known.values())
        known[value] = f"[{label}_{number}]"


def _emails(read: Text) -> Iterator[Span]:
    if read.has("@", "at)", "at]"):
        yield from (Span(*match.span(), "EMAIL") for match in _EMAIL.finditer(read.text))


def _ibans(read: Text) -> Iterator[Span]:
    for match in _IBAN.finditer(read.text) if read.numbers else ():
        if iban.is_valid(match[0]):
            yield Span(*match.span(), "IBAN")


def _cards(read: Text) -> Iterator[Span]:
    for match in _DIGITS.finditer(read.text) if read.numbers else ():
        digits = "".join(filter(str.isdigit, match[0]))
        if 13 <= len(digits) <= 19 and luhn.is_valid(digits):
            yield Span(*match.span(), "CARD")


def _birthdates(read: Text) -> Iterator[Span]:
    if read.has("born", "birth", "dob"):
        yield from (Span(*match.span(1), "BIRTHDATE") for match in _BORN.finditer(read.text))


def _names(read: Text) -> Iterator[Span]:
    if read.has("my name", "my full name"):
        yield from (Span(*match.span(1), "NAME") for match in _NAME.finditer(read.text))


def _addresses(read: Text) -> Iterator[Span]:
    for match in _IP.finditer(read.text) if _DOTTED.search(read.text) else ():
        if len(match[0]) > 5 and any(map(str.isdigit, match[0])) and _is_address(match[0]):
            yield Span(*match.span(), "IP")


def _secrets(read: Text) -> Iterator[Span]:
    if any(sign in read.text for sign in _SECRET_SIGNS):
        yield from (Span(*match.span(), "SECRET") for match in _SECRET.finditer(read.text))
    if read.has("passw", "passphrase", "pwd", "key", "token", "secret"):
        yield from (Span(*m.span(1), "SECRET") for m in _PASSWORD.finditer(read.text) if _is_secret(m[1]))


def _is_secret(value: str) -> bool:
    """Whether it looks made up: "the password is never asked for" holds none, nor does "password: [SECRET_1]"."""
    if _HIDDEN.match(value):
        return False
    return not value.isalpha() and any(map(str.isalnum, value)) and not (value[:-1].isalpha() and value[-1] in ".,;!?")


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_phone(number: str) -> bool:
    if _AMERICAN.match(number):
        return True
    return bool(_ABROAD.match(number)) and 8 <= _digits(number) <= 17


@lru_cache(maxsize=4_096)
def _is_valid_in(number: str, regions: tuple[str, ...]) -> bool:
    """Whether it is a number of one of these countries, with the leading 0 that numbers have there."""
    return any(
        next(iter(phonenumbers.PhoneNumberMatcher(number, region)), None) is not None
        for region in regions
        if number.lstrip("(")[:1] == "0" or region == "US"
    )


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))


def _label(label: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z_]{0,30}", label):
        raise _wrong(f"patterns.{label}", label, "a label in capitals, as in EMPLOYEE")
    return label


def _pattern(label: str, regex: str) -> re.Pattern[str]:
    try:
        found = re.compile(regex)
    except re.error as error:
        raise _wrong(f"patterns.{label}", regex, f"a regular expression ({error})") from None
    if found.search(""):
        raise _wrong(f"patterns.{label}", regex, "a regular expression that does not match an empty text")
    return found


def _module(name: str) -> Any:
    try:
        if not re.fullmatch(r"[a-z_]+\.[a-z_]+", name):
            raise ImportError(name)
        return import_module(f"stdnum.{name}")
    except ImportError:
        raise _wrong("national_ids", name, "modules of python-stdnum, as in nl.bsn or us.ssn") from None


def _wrong(key: str, received: str, expected: str) -> ConfigError:
    return ConfigError(f"dataset.pii.{key}: received {received!r}", expected=expected)
