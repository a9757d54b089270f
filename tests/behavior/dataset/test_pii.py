from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assets.behavior.dataset.config import PiiRules
from assets.behavior.dataset.pii import Redactor, is_name
from assets.errors import ConfigError

REDACTOR = Redactor(PiiRules())

FOUND = [
    ("Write to jo.smith+x@mail.example.org.", "Write to [EMAIL_1]."),
    ("Jo (at) example (dot) org", "[EMAIL_1]"),
    ("a@b.example and c@d.example and a@b.example", "[EMAIL_1] and [EMAIL_2] and [EMAIL_1]"),
    ("Call +49 30 901820 now", "Call [PHONE_1] now"),
    ("Call 0049 30 901820.", "Call [PHONE_1]."),
    ("on +00 555 0142.", "on [PHONE_1]."),
    ("(212) 555-0143 or 212.555.0144", "[PHONE_1] or [PHONE_2]"),
    ("London: 020 7946 0958", "London: [PHONE_1]"),
    ("Amsterdam: 020 624 1111", "Amsterdam: [PHONE_1]"),
    ("card 4111 1111 1111 1111", "card [CARD_1]"),
    ("4111-1111-1111-1111 expires", "[CARD_1] expires"),
    ("to GB82 WEST 1234 5698 7654 32 please", "to [IBAN_1] please"),
    ("NL91ABNA0417164300", "[IBAN_1]"),
    ("my SSN is 123-45-6789", "my SSN is [ID_1]"),
    ("passport number: X1234567", "passport number: [ID_1]"),
    ("born on 1985-03-12 in Rome", "born on [BIRTHDATE_1] in Rome"),
    ("DOB: 3 March 1985", "DOB: [BIRTHDATE_1]"),
    ("My name is Ada Lovelace. Thanks, Ada Lovelace", "My name is [NAME_1]. Thanks, [NAME_1]"),
    ("from 192.168.7.41 today", "from [IP_1] today"),
    ("at 2001:db8::ff00:42:8329", "at [IP_1]"),
    ("key sk-proj-abcdefghijklmnop1234", "key [SECRET_1]"),
    ("ghp_abcdefghijklmnopqrstuvwx1234", "[SECRET_1]"),
    ("password: hunter22!", "password: [SECRET_1]"),
    ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "[SECRET_1]"),
]
KEPT = [
    "Up to €25,000 and 1,250,000 units at 180 °C for 20 minutes.",
    "On 2026-10-31 at 12:47, and on 31/10/2026.",
    "PC-099: M8 by 35, order 4711, room 2.14, version 1.2.3",
    "4111 1111 1111 1112 fails Luhn's check at 40%",
    "The password is never asked for. Password: see the vault",
    "GB82 WEST 1234 5698 7654 33",
    "Call extension 505 before 5:45.",
    "The ratio is 1:2:3, the address @ home, and a::b in C++",
    "born to run",
    "a 10 digit code such as 0123456 8",
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_personal_data_is_replaced(text, expected):
    assert REDACTOR.redact([text]).texts == (expected,)


@pytest.mark.parametrize("text", KEPT)
def test_other_numbers_and_words_stay(text):
    assert REDACTOR.redact([text]).texts == (text,)


def test_a_value_has_one_placeholder_in_all_texts_of_a_row():
    found = REDACTOR.redact(
        ["My name is Ada Lovelace, jo@example.org", "Dear Ada Lovelace", "jo@example.org, x@y.example"]
    )
    assert found.texts == ("My name is [NAME_1], [EMAIL_1]", "Dear [NAME_1]", "[EMAIL_1], [EMAIL_2]")
    more = REDACTOR.redact(["x@y.example z@y.example"], values=found.values)
    assert more.texts == ("[EMAIL_2] [EMAIL_3]",)


@pytest.mark.parametrize(
    ("user", "text", "expected"),
    [
        ("emp-017", "I am emp-017, not emp-0171", "I am [USER_1], not emp-0171"),
        ("Ada Lovelace", "Dear Ada Lovelace", "Dear [USER_1]"),
        ("user", "any user may", "any user may"),
        ("2024", "in 2024", "in 2024"),
        (None, "nobody", "nobody"),
    ],
)
def test_the_users_own_id_is_replaced_unless_it_may_be_any_word(user, text, expected):
    assert REDACTOR.redact([text], user=user).texts == (expected,)
    assert user is None or is_name(user) == (text != expected)


def test_patterns_and_kinds_are_configurable():
    rules = PiiRules(kinds=("email",), patterns={"EMPLOYEE": r"emp-\d+"}, national_ids=())
    found = Redactor(rules).redact(["emp-17, a@b.example, +49 30 901820"]).texts[0]
    assert found == "[EMPLOYEE_1], [EMAIL_1], +49 30 901820"
    assert Redactor(PiiRules(national_ids=("nl.bsn",))).redact(["BSN 111222333"]).texts == ("BSN [ID_1]",)
    assert Redactor(PiiRules(phone_regions=())).redact(["020 7946 0958"]).texts == ("020 7946 0958",)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (PiiRules(kinds=("emails",)), "dataset.pii.kinds: received 'emails'"),
        (PiiRules(phone_regions=("UK",)), "dataset.pii.phone_regions: received 'UK'"),
        (PiiRules(national_ids=("xx.yy",)), "dataset.pii.national_ids: received 'xx.yy'"),
        (PiiRules(national_ids=("os.path",)), "dataset.pii.national_ids: received 'os.path'"),
        (PiiRules(patterns={"A": "("}), "dataset.pii.patterns.A: received '\\('"),
        (PiiRules(patterns={"A": "x*"}), "does not match an empty text"),
        (PiiRules(patterns={"a b": "x"}), "a label in capitals"),
    ],
)
def test_rules_that_cannot_be_used_are_named(rules, message):
    with pytest.raises(ConfigError, match=message):
        Redactor(rules)


_pieces = st.sampled_from([text for text, _ in FOUND] + KEPT + ["\n", " ", "(", "é", "1", "@"])


@example("my SSN is 123-45-6789 (212) 555-0143 or 212.555.0144")
@example("key sk-proj-abcdefghijklmnop1234 password: hunter22!")
@given(st.lists(st.one_of(_pieces, st.text(max_size=8)), max_size=6).map(" ".join))
def test_nothing_is_found_in_what_was_redacted(text):
    once = REDACTOR.redact([text]).texts[0]
    assert REDACTOR.redact([once]).texts[0] == once
