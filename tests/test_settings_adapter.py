"""The table [adapter]: its defaults are the training's own, and what cannot be trained is refused at load."""

import pytest

from assets.behavior.adapter.config import AdapterConfig, DpoConfig
from assets.errors import ConfigError
from orchestration.config import load

SOURCE = '[sources.a]\nurl = "x"\n[adapter]\n'


@pytest.fixture
def write(tmp_path):
    def written(text: str) -> str:
        (tmp_path / "twohands.toml").write_text(SOURCE + text)
        return str(tmp_path / "twohands.toml")

    return written


def test_defaults_are_the_training_s_own(write):
    assert load(write("")).adapter.config() == AdapterConfig()


def test_settings_reach_the_training(write):
    text = 'method = "dora"\nrank = 16\ntargets = ["q_proj", "v_proj"]\nlearning_rate = 2e-4\n'
    config = load(write(text + "dpo = { enabled = true, beta = 0.2 }\n")).adapter.config()
    assert (config.method, config.rank, config.targets) == ("dora", 16, ("q_proj", "v_proj"))
    assert (config.learning_rate, config.dpo) == (2e-4, DpoConfig(enabled=True, beta=0.2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accumulation = 16", "accumulation: received 16"),
        ('quantize = "4bit"\ndevice = "cpu"', 'received "4bit" with device = "cpu"'),
        ("targets = []", "targets: received none"),
        ('method = "lora+"', "adapter.method"),
        ("rank = 0", "adapter.rank"),
        ("learning_rate = 2", "adapter.learning_rate"),
        ("dpo = { beta = 0 }", "adapter.dpo.beta"),
        ("epochs = 2.5", "adapter.epochs"),
        ("lora_rank = 8", "adapter.lora_rank"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_load(write, text, said):
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert said in str(caught.value)


@pytest.mark.parametrize(("device", "wanted"), [("cpu", ("cpu", "fp32", 4)), ("cuda", ("cuda", "bf16", 4))])
def test_auto_is_settled_by_the_machine(device, wanted):
    config = AdapterConfig().settled(device, 4)
    assert (config.device, config.precision, config.threads) == wanted
    assert AdapterConfig(device="cpu", threads=3).settled("cuda", 64).threads == 3
    assert AdapterConfig().settled("cpu", 64).threads == 16


def test_halving_ends_at_one_row():
    config, seen = AdapterConfig(batch_rows=6), []
    while config is not None:
        seen.append(config.accumulation)
        config = config.halved()
    assert seen == [1, 2, 4, 8]
