from __future__ import annotations

from pathlib import Path

import pytest

from assets.behavior.dataset.config import DatasetConfig
from assets.errors import ConfigError
from assets.ports.index import joined
from orchestration.config import load

ROOT = Path(__file__).resolve().parent.parent
DATASET = '[sources.a]\nurl = "x"\n[dataset]\n'
GENERATOR = '[sources.a]\nurl = "x"\n[generator]\n'
LOGS = '[sources.a]\nurl = "x"\n[warehouse.logs]\n'


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.delenv("TWOHANDS_HOME", raising=False)
    monkeypatch.delenv("TWOHANDS_CONFIG", raising=False)

    def write(text: str):
        file = tmp_path / "twohands.toml"
        file.write_text(text)
        return str(file)

    return write


def test_smallest_file_gets_every_default(write, tmp_path):
    settings = load(write('[sources.handbook]\nurl = "docs"\n'))
    assert [spec.name for spec in settings.slices()] == ["handbook"]
    assert (settings.index.engine, settings.encoder.model) == ("lancedb", "bundled")
    assert settings.home == tmp_path / ".twohands"
    assert settings.path("docs") == tmp_path / "docs"


def test_source_may_name_several_groups(write):
    made = load(
        write('[sources.a]\nurl = "x"\nshards = 2\nmetadata = { audience = ["staff", "board"], team = "a, b" }\n')
    )
    [first, second] = made.slices()
    assert first.metadata == second.metadata == {"audience": joined(["staff", "board"]), "team": "a, b"}
    for wrong in ("[]", "[1]", '["a", ""]', "3", '[["a"]]'):
        with pytest.raises(ConfigError, match=r"sources\.a\.metadata\.audience: received"):
            load(write(f'[sources.a]\nurl = "x"\nmetadata = {{ audience = {wrong} }}\n'))


def test_token_with_a_name_is_a_group_of_its_own(write):
    text = '[sources.a]\nurl = "x"\n[serve]\ntokens = [{{ token_env = "A", groups = [{}]{} }}]\n'
    for groups, name, held in (
        ('"staff"', ', name = "maria"', ("staff", "user:maria")),
        ("", ', name = "maria"', ("user:maria",)),
        ('"*"', ', name = "maria"', ("*", "user:maria")),
        ('"staff"', "", ("staff",)),
    ):
        assert load(write(text.format(groups, name))).serve.tokens[0].groups == held


def test_who_may_read_what_and_what_speaks_have_defaults(write):
    settings = load(write('[sources.handbook]\nurl = "docs"\n[variants.main]\n[variants.api]\nanswer = "json"\n'))
    assert (settings.access.field, settings.access.public) == ("audience", ("all",))
    assert {name: one.answer for name, one in settings.variants.items()} == {"main": "text", "api": "json"}
    assert (settings.generator.engine, settings.answering.passages) == ("transformers", settings.evaluation.passages)
    assert settings.generator.max_new_tokens == settings.evaluation.max_new_tokens  # what is served is what was tried


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sources: missing"),
        ("[sources.a]\n", r"sources\.a\.url: missing"),
        ('[sources.a]\nurl = "x"\nurls = "y"\n', r"sources\.a\.urls: unknown key.*Did you mean 'url'"),
        ('[sources.a]\nurl = 3\n', r"sources\.a\.url: received 3"),
        ('[sources.a]\nurl = "x"\nshards = 0\n', r"sources\.a\.shards: received 0.*greater than or equal to 1"),
        ('[sources."Not a name"]\nurl = "x"\n', "Not a name"),
        ('[sources.a]\nurl = "x"\n[index]\nengine = "faiss"\n', "index.engine: received 'faiss'.*or 'weaviate'"),
        ('[sources.a]\nurl = "x"\n[index.gate]\nmax_recall_drop = 2\n', r"index\.gate\.max_recall_drop: received 2"),
        ('[sources.a]\nurl = "x"\n[variants.main]\nalpa = 1\n', r"variants\.main\.alpa: unknown key.*'alpha'"),
        ('[sources.a]\nurl = "x"\nshards = 2\n[sources.a-00]\nurl = "y"\n', "same slice 'a-00'"),
        ('[sources.a]\nurl = "${TWOHANDS_NOT_SET}"\n', r"sources\.a\.url: the environment variable 'TWOHANDS_NOT_SET'"),
        ('home = "x"\n[sources.a]\nurl = "x"\n', "--home or TWOHANDS_HOME"),
        ('[sources.a]\nurl = "x"\n[index]\ngolden = "no.jsonl"\n', "index.golden: received 'no.jsonl'"),
        ('[sources.a]\nurl = "x"\n[automation]\ntimezone = "Mars/Base"\n', "automation.timezone: received 'Mars/Base'"),
        ('[sources.a]\nurl = "x"\n[automation]\nreconcile = "daily"\n', "automation.reconcile: received 'daily'.*cron"),
        ('[sources.a]\nurl = "x"\n[automation]\nfinetune = "weekly"\n', "automation.finetune: received 'weekly'.*cron"),
        ('[sources.a]\nurl = "x"\n[decision]\nmax_tainted_share = 5\n', r"decision.max_tainted_share: received 5"),
        ('[sources.a]\nurl = "x"\n[variants.main]\nanswer = "xml"\n', r"variants\.main\.answer: received 'xml'"),
        ('[sources.a]\nurl = "x"\n[decision]\nanswer = "json"\n', r"decision\.answer: unknown key"),
        ('[sources.a]\nurl = "x"\n[access]\nfeild = "team"\n', r"access\.feild: unknown key.*Did you mean 'field'"),
        ('[sources.a]\nurl = "x"\n[access]\npublic = "all"\n', r"access\.public: received 'all'"),
        ('[sources.a]\nurl = "x"\n[answering]\npassages = 0\n', r"answering\.passages: received 0"),
        (GENERATOR + 'engine = "openai"\n', r"generator: received.*Expected url and model beside it"),
        (GENERATOR + 'url = "http://h/v1"\n', r'Expected engine = "openai"'),
        (GENERATOR + 'model = "{adapter}"\n', r"generator: received.*belongs into models"),
        (GENERATOR + 'models = { legal = "x" }\n', r"generator\.models\.legal: no such variant\. Valid.* are: main"),
        (LOGS + 'table = "t"\n', r"warehouse\.logs\.schema_name: missing"),
        (LOGS + 'schema_name = "s"\ntabel = "t"\n', r"warehouse\.logs\.tabel: unknown key.*Did you mean 'table'"),
        (LOGS + 'schema_name = "s"\ntable = "a\\"b"\n', r"warehouse\.logs\.table: received"),
        (LOGS + 'schema_name = "s"\ntable = "t"\nmodel = "My Model"\n', r"warehouse\.logs\.model: received 'My Model'"),
        (LOGS + 'schema_name = "s"\ntable = "t"\nlook_back_days = 2\n', "received 2.*close_after_days is 3"),
        (LOGS + 'schema_name = "s"\ntable = "t"\nsensor_seconds = 0\n', r"warehouse\.logs\.sensor_seconds: received 0"),
        (DATASET + "min_row = 5\n", r"dataset\.min_row: unknown key.*Did you mean 'min_rows'"),
        (DATASET + "test_share = 0.6\n", r"dataset\.test_share: received 0\.6"),
        (DATASET + 'group_by = "team"\n', r"dataset\.group_by: received 'team'"),
        (DATASET + 'held_out = ["no.jsonl"]\n', r"dataset\.held_out: received 'no\.jsonl'"),
        (DATASET + '[dataset.pii]\nkinds = ["mail"]\n', r"dataset\.pii\.kinds\.0: received 'mail'.*'email'"),
        (DATASET + '[dataset.pii]\npatterns = { A = "(" }\n', r"dataset\.pii\.patterns\.A: received '\('"),
        (DATASET + '[dataset.pii]\nphone_regions = ["UK"]\n', r"dataset\.pii\.phone_regions: received 'UK'"),
        (DATASET + '[dataset.pii]\nnational_ids = ["nl.bns"]\n', r"dataset\.pii\.national_ids: received 'nl\.bns'"),
        ("[sources\n", "not valid TOML"),
    ],
)  # fmt: skip
def test_wrong_file_names_the_key_what_was_received_and_what_is_valid(write, text, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load(write(text))


def test_every_wrong_key_is_named_at_once(write):
    with pytest.raises(ConfigError) as caught:
        load(write('[sources.a]\nurl = 1\nx = 2\n[encoder]\ndtype = "fp8"\n'))
    assert all(key in str(caught.value) for key in ("sources.a.url", "sources.a.x", "encoder.dtype"))


def test_environment_variables_are_expanded(write, monkeypatch):
    monkeypatch.setenv("DOCS_AT", "s3://bucket")
    assert load(write('[sources.a]\nurl = "${DOCS_AT}/docs"\n')).sources["a"].url == "s3://bucket/docs"


def test_errors_never_show_the_value_of_a_variable(write, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret-value")
    with pytest.raises(ConfigError) as caught:
        load(write('[sources.a]\nurl = "x"\n[index]\nengine = "${TOKEN}"\n[encoder]\ndtype = "${TOKEN}"\n'))
    assert "s3cret-value" not in str(caught.value)
    assert "${TOKEN}" in str(caught.value)


def test_errors_never_show_a_variable_inside_a_list(write, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret-value")
    with pytest.raises(ConfigError) as caught:
        load(write('[sources.a]\nurl = "x"\noptions = { key = ["${TOKEN}"] }\n'))
    assert "s3cret-value" not in str(caught.value)


def test_doubled_dollar_is_not_expanded(write):
    assert load(write('[sources.a]\nurl = "$${HOME}"\n')).sources["a"].url == "${HOME}"


def test_home_that_is_a_file_is_refused(write, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is no folder"):
        load(write('[sources.a]\nurl = "x"\n'), str(tmp_path / "file"))


def test_shards_become_slices(write):
    settings = load(write('[sources.t]\nurl = "x"\nshards = 3\n'))
    assert [(s.name, s.source, s.shard, s.shards) for s in settings.slices()] == [
        ("t-00", "t", 0, 3),
        ("t-01", "t", 1, 3),
        ("t-02", "t", 2, 3),
    ]


def test_variant_keys_override_the_decision(write):
    settings = load(
        write('[sources.a]\nurl = "x"\n[decision]\nalpha = 0.1\n[variants.main]\n[variants.api]\nalpha = 0.2\n')
    )
    assert (settings.variants["main"].alpha, settings.variants["api"].alpha) == (0.1, 0.2)


def test_home_comes_from_the_option_then_the_environment(write, monkeypatch, tmp_path):
    file = write('[sources.a]\nurl = "x"\n')
    monkeypatch.setenv("TWOHANDS_HOME", str(tmp_path / "one"))
    assert load(file).home == tmp_path / "one"
    assert load(file, str(tmp_path / "two")).home == tmp_path / "two"


def test_missing_file_says_where_it_was_looked_for(write, tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load(str(tmp_path / "nowhere.toml"))


def test_the_project_file_shows_every_key(monkeypatch):
    """Each documented default, uncommented, is a valid key; and no key of the settings is left undocumented."""
    from orchestration.config_errors import keys_at
    from orchestration.settings import Settings

    text = (ROOT / "twohands.toml").read_text()
    load(str(ROOT / "twohands.toml"))
    for table in ("sources.x", "parsing", "chunking", "encoder", "index", "index.gate", "checks", "automation",
                  "base", "behavior", "warehouse", "warehouse.logs", "decision", "alerts", "alerts.webhook",
                  "alerts.mail"):  # fmt: skip
        keys = keys_at(table.split("."))
        assert keys, table
        for key in keys:
            assert f"{key} =" in text or f"{table}.{key}]" in text, f"{table}.{key} is not in twohands.toml"
    assert Settings.model_fields


def test_a_variant_may_have_its_own_share_of_declining_rows(write):
    from orchestration.assembly_dataset import own

    text = (
        '[sources.a]\nurl = "x"\n[dataset]\nrefusal_share = 0.7\n[variants.main]\n[variants.api]\nrefusal_share = 0.5\n'
    )
    found = own(load(write(text)))
    assert {name: one.refusal_share for name, one in found.items()} == {"api": 0.5}
    with pytest.raises(ConfigError, match=r"variants\.api\.refusal_share: received 2"):
        load(write(text.replace("0.5", "2")))


def test_dataset_settings_are_the_rules_own(write):
    pii = '[dataset.pii]\nkinds = ["email"]\npatterns = { EMPLOYEE = "emp-[0-9]+" }\n'
    config = load(write(DATASET + 'min_rows = 7\ngroup_by = "document"\n' + pii)).dataset.config()
    assert (config.min_rows, config.group_by) == (7, "document")
    assert (config.pii.kinds, config.pii.patterns) == (("email",), {"EMPLOYEE": "emp-[0-9]+"})
    assert load(write('[sources.a]\nurl = "x"\n')).dataset.config() == DatasetConfig()


def test_wrong_key_of_the_decision_is_named_once(write):
    with pytest.raises(ConfigError) as caught:
        load(write('[sources.a]\nurl = "x"\n[decision]\nalfa = 0.1\n[variants.main]\n[variants.api]\nbeta = 1\n'))
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["variants.api.beta", "decision.alfa"]
