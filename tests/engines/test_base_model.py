"""A base that cannot be used is refused before anything is paid for."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assets.behavior.adapter.identity import base_id
from assets.errors import ModelError
from orchestration.engines import base_model
from orchestration.engines.base_model import (
    DamagedBase,
    MissingBase,
    NoChatTemplate,
    RemoteCode,
    chat_template,
    check_base,
    load_base,
)

BUNDLED = Path(__file__).parents[2] / "models" / "tiny-reader"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED, tmp_path / "base"))


def rewritten(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_bundled_base_passes_and_is_named_by_its_files(base):
    id = base_id(check_base(base))
    (base / "README.md").write_text("another card")
    assert base_id(check_base(base)) == id == base_id(check_base(BUNDLED))
    with (base / "chat_template.jinja").open("a") as file:
        file.write(" ")
    assert base_id(check_base(base)) != id


def test_check_imports_no_torch():
    said = "import sys; from pathlib import Path; from orchestration.engines.base_model import check_base;"
    said += f"check_base(Path({str(BUNDLED)!r})); assert not {{'torch', 'transformers'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", said], check=True)


def test_missing_folder_and_missing_weights(base, tmp_path):
    with pytest.raises(MissingBase, match=r"no folder .*needs base\.revision, a full commit hash"):
        check_base(tmp_path / "owner" / "nothing")
    (base / "model.safetensors").unlink()
    with pytest.raises(MissingBase, match="no safetensors weights"):
        check_base(base)


@pytest.mark.parametrize("cut", [0, 5, 500, -1])
def test_weights_that_are_cut_short(base, cut):
    whole = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(whole[:cut])
    with pytest.raises(ModelError, match=r"model\.safetensors .* is damaged"):
        check_base(base)


def test_weights_that_grew(base):
    with (base / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="damaged"):
        check_base(base)


def test_shards_are_all_there_and_hold_what_the_index_promises(base):
    names = list(base_model.tensors(base / "model.safetensors"))
    (base / "model.safetensors").rename(base / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (base / base_model.INDEX).write_text(json.dumps(index))
    check_base(base)
    (base / base_model.INDEX).write_text(json.dumps({"weight_map": {**index["weight_map"], "more": "model-2"}}))
    with pytest.raises(DamagedBase, match="lacks the shard model-2"):
        check_base(base)
    more = {**index["weight_map"], "more": "model-00001-of-00001.safetensors"}
    (base / base_model.INDEX).write_text(json.dumps({"weight_map": more}))
    with pytest.raises(ModelError, match="no shard holds more"):
        check_base(base)


def test_pickles_are_refused(base):
    (base / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(RemoteCode, match=r"pytorch_model\.bin"):
        check_base(base)
    (base / "model.safetensors").unlink()
    with pytest.raises(RemoteCode, match=r"only pytorch_model\.bin"):
        check_base(base)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own_is_refused(base, name):
    rewritten(base / name, auto_map={"AutoModelForCausalLM": "modeling.Model"})
    with pytest.raises(RemoteCode, match=f"auto_map in {name}"):
        check_base(base)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}'])
def test_configuration_that_is_none(base, text):
    (base / "config.json").write_text(text)
    with pytest.raises(DamagedBase, match=r"config\.json"):
        check_base(base)


def test_no_chat_template_and_one_without_marks(base):
    (base / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(NoChatTemplate, match="does not mark answers"):
        check_base(base)
    check_base(base, trains=False)
    (base / "chat_template.jinja").unlink()
    with pytest.raises(NoChatTemplate, match="has no chat template"):
        check_base(base, trains=False)


def test_chat_template_is_found_where_tokenizers_keep_it(base):
    said = chat_template(base)
    (base / "chat_template.jinja").unlink()
    rewritten(base / "tokenizer_config.json", chat_template=said)
    assert chat_template(base) == said
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": said}]
    rewritten(base / "tokenizer_config.json", chat_template=several)
    assert chat_template(base) == said
    check_base(base)


def test_load_gives_model_and_tokenizer():
    model, tokenizer = load_base(BUNDLED)
    assert next(model.parameters()).dtype.is_floating_point
    assert str(next(model.parameters()).dtype) == "torch.float32"
    assert tokenizer.pad_token_id is not None


def test_load_refuses_weights_that_are_not_all_there(base):
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    lost = next(name for name in weights if "mlp" in name)
    save_file({name: one for name, one in weights.items() if name != lost}, base / "model.safetensors")
    with pytest.raises(DamagedBase, match="lacks weights"):
        load_base(base)


def test_load_refuses_an_architecture_that_nobody_knows(base):
    rewritten(base / "config.json", model_type="unheard_of")
    with pytest.raises(DamagedBase, match="cannot be loaded"):
        load_base(base)
