"""What is said of a wrong twohands.toml: in the file's words, and without a secret that stands in the wrong place."""

from __future__ import annotations

import pytest

from assets.errors import ConfigError
from orchestration.config import load

SOURCE = '[sources.a]\nurl = "x"\n'
JUDGE = '[evaluation.judge]\nurl = "u"\nmodel = "m"\nanchors = "a"\nguideline = "g"\n'
MAIL = '[alerts.mail]\nhost = "h"\nsender = "a@b"\nto = ["a@b"]\nuser = "u"\n'
NAME = "Expected the NAME of an environment variable, such as ASK_TOKEN."


@pytest.fixture
def said(tmp_path):
    def told(text: str) -> list[str]:
        (tmp_path / "twohands.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(str(tmp_path / "twohands.toml"))
        return str(caught.value).splitlines()

    return told


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("[serve]\ntokens = [{{ token_env = {} }}]", "serve.tokens.0.token_env"),
        ("[index]\napi_key_env = {}", "index.api_key_env"),
        ("[generator]\napi_key_env = {}", "generator.api_key_env"),
        ("[warehouse]\npassword_env = {}", "warehouse.password_env"),
        (JUDGE + "key_env = {}", "evaluation.judge.key_env"),
        ('[alerts.webhook]\nurl = "http://h"\ntoken_env = {}', "alerts.webhook.token_env"),
        ("[alerts.webhook]\nurl_env = {}", "alerts.webhook.url_env"),
        (MAIL + "password_env = {}", "alerts.mail.password_env"),
    ],
)
def test_secret_in_the_place_of_a_variable_s_name_is_refused_and_not_printed(said, table, key):
    for secret, kind in (('"sk-very-secret"', "text"), (f'"{"deadbeef" * 8}"', "text"), ("4711471147", "number")):
        assert said(SOURCE + table.format(secret)) == [f"{key}: received a {kind}. {NAME}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[serve]\ntokens = ["sk-very-secret"]',
            "serve.tokens.0: received a text. Expected a table, whose keys may be: groups, name, token_env.",
        ),
        ('[serve]\ntokens = "sk-very-secret"', "serve.tokens: received a text. Expected a list."),
        ("[dataset]\nsplit_key = 4711", "dataset.split_key: received a number. Expected a text."),
        (
            '[sources.b]\nurl = "x"\noptions = { sas = ["sk-very-secret"] }',
            "sources.b.options.sas: received a list. Expected a text or a whole number or true or false.",
        ),
        (
            '[sources.b]\nurl = ["https://me:sk-very-secret@h"]',
            "sources.b.url: received ['https://...@h']. Expected a text.",
        ),
        ('[[lake]]\nkey = "sk-very-secret"', "lake: received a list. Expected a text."),
    ],
)
def test_value_that_may_be_a_secret_is_named_by_its_kind(said, text, line):
    assert said(SOURCE + text) == [line]


def test_secret_in_the_place_of_a_table_is_not_printed(said):
    for text in (
        '[alerts]\nwebhook = "https://h/sk-secret"',
        'alerts = "https://h/sk-secret"',
        '[[alerts]]\nurl = "sk-"',
    ):
        lines = said(f"{text}\n{SOURCE}")
        assert "sk-" not in "".join(lines)
        assert lines[0].startswith("alerts")
        assert "Expected a table, whose keys may be: " in lines[0]


@pytest.mark.parametrize(
    "url",
    [
        "https://h/hook/se cret",
        "https://h/se\\tcret",
        "h/secret",
        "https://h:port/secret",
        "https://[/secret",
        "http://ü/",
    ],
)
def test_webhook_s_address_is_checked_and_not_printed(said, url):
    (line,) = said(f'{SOURCE}[alerts.webhook]\nurl = "{url}"\n')
    assert line.startswith("alerts.webhook.url: received a text. Expected http(s)://host/... in ASCII, without spaces")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[dataset]\nheld_out = 3", "dataset.held_out: received 3. Expected a list."),
        (
            '[decision]\nbudget = "low"',
            "decision.budget: received a text. Expected a table, whose keys may be: curr",
        ),
        ("[parsing]\nworkers = 1.5", "parsing.workers: received 1.5. Expected a whole number."),
        ("[behavior]\nquote = 'no'", "behavior.quote: received 'no'. Expected true or false."),
        ("[automation]\nretries = true", "automation.retries: received true. Expected a whole number."),
        (
            "[chunking]\nmax_tokens = 3",
            "chunking.max_tokens: received 3. Expected a number greater than or equal to",
        ),
        ("[adapter]\ntargets = 5", "adapter.targets: received 5. Expected a text or a list."),
        ('[dataset.pii]\nkinds = ["email", 3]', "dataset.pii.kinds.1: received 3. Expected 'email', 'phone', "),
        (
            MAIL.replace('"a@b"]', "]") + 'password_env = "P"',
            "alerts.mail.to: received []. Expected a list with at",
        ),
        ('[encoder]\nmodel = ""', "encoder.model: received ''. It should have at least 1 character."),
        (
            '[index]\nengin = "x"',
            "index.engin: unknown key in twohands.toml. Did you mean 'engine'? Valid keys are: ",
        ),
    ],
)
def test_errors_speak_of_lists_and_tables_and_end_like_sentences(said, text, line):
    (found,) = said(SOURCE + text)
    assert found.startswith(line)
    assert found[-1] == "."
    assert found[-2] not in "?. "
    assert not {"tuple", "dictionary", "Input"} & set(found.split())


def test_file_without_a_source_says_that_a_table_needs_one(said):
    assert said("sources = {}") == ["sources: received a table. Expected a table with at least 1 in it."]


def test_decision_that_is_no_table_hides_no_other_error(said):
    lines = said(f"decision = 3\n{SOURCE}[variants.main]\nalpa = 1\n")
    assert [line.partition(":")[0] for line in lines] == ["variants.main.alpa", "decision"]
