"""Encoders: identity without torch, equality with sentence-transformers, and refusals that say what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub at its import

import numpy as np
import pytest

from assets.errors import ConfigError, EngineBusy, ModelError
from orchestration.engines import encoder_files, encoders
from orchestration.engines.encoder_places import locate
from orchestration.engines.encoders import LazyEncoder, load_encoder, load_tokenizer

ROOT = Path(__file__).parents[2]
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
SENTENCE = "A reader asks how long the warranty lasts and who pays for the parcel when a kettle is sent back."
WORDS = SENTENCE.split()
TEXTS = [
    "",
    " ",
    "!",
    "return policy",
    "Grüße aus Zürich: 20 € für Übergepäck",
    "第一章 保証期間は二年です。",
    "שלום עולם, مرحبا بالعالم",
    "🙂🚀 emoji \u200b zero width \x00 NUL",
    "def area(r: float) -> float:\n    return 3.14159 * r ** 2\n",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "https://example.org/a/b?c=d&e=f#g",
    "x" * 300,
    "long " * 3000,
    "\t\n" * 50,
    *[" ".join(WORDS[n % 7 :] * (1 + n % 11)) + f" Case {n}." for n in range(26)],
]


@pytest.fixture(scope="module")
def bundled() -> Path:
    return locate("bundled", None)


@pytest.fixture(scope="module")
def reference(bundled: Path) -> np.ndarray:
    """float32 [40, 384] by plain sentence-transformers, in fp32."""
    return plain(bundled).encode(TEXTS, batch_size=32, normalize_embeddings=True, show_progress_bar=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, bundled: Path) -> Path:
    """A BERT of 48 dimensions with random weights, CLS pooling, a query prompt and 64 tokens, saved by its library."""
    return save_tiny(tmp_path_factory.mktemp("models"), bundled)


@pytest.fixture
def copy(tmp_path, bundled: Path) -> Path:
    """A copy of the bundled model's folder."""
    return Path(shutil.copytree(bundled, tmp_path / "copy", copy_function=shutil.copyfile))


def plain(folder: Path):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def save_tiny(root: Path, bundled: Path, *, dense: int = 0) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel

    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    bert = root / "bert"
    BertModel(config).save_pretrained(bert)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copyfile(bundled / name, bert / name)
    modules = [Transformer(str(bert), max_seq_length=64), Pooling(48, pooling_mode="cls")]
    modules += [Dense(48, dense)] if dense else []
    model = SentenceTransformer(modules=modules, device="cpu", prompts={"query": "question: ", "document": ""})
    model.save(str(root / "saved"))
    return root / "saved"


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    """The smallest cosine of any pair of rows."""
    return float((left * right).sum(1).min())


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# ------------------------------------------------------------------------------------------------- equal vectors


def test_fp32_equals_sentence_transformers(reference):
    vectors = load_encoder(dtype="fp32", device="cpu").encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (40, 384)
    np.testing.assert_allclose(vectors, reference, atol=1e-5)


def test_bf16_stays_within_a_thousandth_of_sentence_transformers(reference):
    vectors = load_encoder(dtype="bf16", device="cpu").encode(TEXTS)
    assert cosine(vectors, reference) >= 0.999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("dtype", "bound"), [("bf16", 0.9999), ("fp32", 0.999999)])
def test_vector_does_not_depend_on_its_batch(dtype, bound):
    encoder = load_encoder(dtype=dtype, device="cpu")
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    small = load_encoder(dtype=dtype, device="cpu", batch_tokens=64, threads=1).encode(TEXTS)
    assert cosine(together, alone) >= bound
    assert cosine(together, small) >= bound


def test_vectors_come_back_in_the_order_given():
    encoder = load_encoder(device="cpu")
    order = np.random.default_rng(3).permutation(len(TEXTS))
    shuffled = encoder.encode([TEXTS[number] for number in order])
    assert cosine(shuffled, encoder.encode(TEXTS)[order]) >= 0.9999


def test_threads_change_no_bit_and_are_put_back():
    import torch

    before = torch.get_num_threads()
    found = [load_encoder(device="cpu", threads=n, batch_tokens=8).encode(TEXTS) for n in (1, 3)]
    np.testing.assert_array_equal(*found)
    assert torch.get_num_threads() == before


def test_encode_of_nothing_is_an_empty_matrix():
    assert load_encoder().encode([]).shape == (0, 384)
    assert load_encoder().encode_queries(()).dtype == np.float32


def test_odd_input_gives_unit_vectors():
    odd = ["\ud800 lone", "a\x00b", "\ufffe\uffff", "word " * 200_000, "á" * 5000]
    vectors = load_encoder(device="cpu").encode(odd)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert load_tokenizer().count(["\ud800", "a\x00b"]) == [1, 1]


def test_text_beyond_the_maximum_is_truncated():
    encoder = load_encoder(device="cpu")
    long, longer = " ".join(WORDS * 20), " ".join(WORDS * 40)
    assert min(load_tokenizer().count([long])) > 254
    assert cosine(encoder.encode([long]), encoder.encode([longer])) >= 0.9999


# --------------------------------------------------------------------------------------------------- the tokenizer


def test_tokenizer_counts_what_the_model_sees(bundled: Path):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(bundled)
    texts = [text for text in TEXTS if len(text) < 5000]
    assert load_tokenizer().count(texts) == [len(theirs.tokenize(text)) for text in texts]


def test_tokenizer_leaves_room_for_special_tokens_and_prompt(tiny: Path, tmp_path):
    assert load_tokenizer().max_tokens == 256 - 2
    assert load_tokenizer().count([]) == []
    prompted = Path(shutil.copytree(tiny, tmp_path / "prompted"))
    edit(prompted / "config_sentence_transformers.json", prompts={"document": "a long passage: "})
    assert load_tokenizer(str(tiny)).max_tokens == 64 - 2
    assert load_tokenizer(str(prompted)).max_tokens == 64 - 2 - 4


def test_identity_and_counting_leave_torch_alone():
    code = (
        "import sys; from orchestration.engines.encoders import load_encoder, load_tokenizer\n"
        "encoder = load_encoder(); encoder.fingerprint, encoder.dimension, encoder.encode([])\n"
        "assert load_tokenizer().count(['two words']) == [2]\n"
        "assert not {'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_bundled_model_needs_no_transformers():
    code = (
        "import sys; from orchestration.engines.encoders import load_encoder\n"
        "assert load_encoder(device='cpu').encode(['text']).shape == (1, 384)\n"
        "assert not {'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# ---------------------------------------------------------------------------------------------------- other models


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", 1 - 1e-6), ("bf16", 0.999)])
def test_folder_with_cls_pooling_and_prompt_equals_its_library(tiny: Path, dtype, bound):
    encoder = load_encoder(str(tiny), dtype=dtype, device="cpu")
    model = plain(tiny)
    assert encoder.dimension == 48
    assert cosine(encoder.encode(TEXTS), model.encode_document(TEXTS, normalize_embeddings=True)) >= bound
    queries = model.encode_query(TEXTS, normalize_embeddings=True)
    assert cosine(encoder.encode_queries(TEXTS), queries) >= bound
    assert cosine(encoder.encode(TEXTS), queries) < 0.99


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", 1 - 1e-6), ("bf16", 0.999)])
def test_other_modules_run_through_sentence_transformers(tmp_path, bundled: Path, dtype, bound):
    folder = save_tiny(tmp_path, bundled, dense=24)
    encoder = load_encoder(str(folder), dtype=dtype, device="cpu")
    assert encoder.dimension == 24
    found = encoder.encode_queries(TEXTS)
    assert found.shape == (40, 24)
    assert cosine(found, plain(folder).encode_query(TEXTS, normalize_embeddings=True)) >= bound


def test_out_of_memory_halves_the_batch_then_says_so():
    import torch

    from orchestration.engines.encoder_bert import BertEncoder

    encoder = BertEncoder(encoder_files.read("bundled"))
    model, sizes = encoder.model, []

    def small(limit):
        def forward(ids, mask):
            sizes.append(len(ids))
            if len(ids) > limit:
                raise torch.OutOfMemoryError("full")
            return model(ids, mask)

        return forward

    expected = encoder.encode(TEXTS)
    encoder.model = small(2)  # type: ignore[assignment]
    assert cosine(encoder.encode(TEXTS), expected) >= 0.999999
    assert max(sizes) > 2
    encoder.model = small(0)  # type: ignore[assignment]
    with pytest.raises(EngineBusy, match="no memory for one text"):
        encoder.encode(TEXTS)


# ----------------------------------------------------------------------------------------------------------- identity

CHANGES = {
    "weights": lambda folder: flip(folder / "model.safetensors"),
    "tokenizer": lambda folder: edit(folder / "tokenizer.json", truncation=None),
    "pooling": lambda folder: edit(folder / "1_Pooling" / "config.json", pooling_mode="mean"),
    "normalization": lambda folder: add_module(folder, "sentence_transformers.models.Normalize", "2_Normalize"),
    "query prompt": lambda folder: edit(folder / "config_sentence_transformers.json", prompts={"query": "q: "}),
    "document prompt": lambda folder: edit(folder / "config_sentence_transformers.json", prompts={"document": "d: "}),
    "maximum length": lambda folder: edit(folder / "sentence_bert_config.json", max_seq_length=32),
    "architecture": lambda folder: edit(folder / "config.json", layer_norm_eps=1e-5),
}


def flip(file: Path, at: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def add_module(folder: Path, kind: str, path: str) -> None:
    file = folder / "modules.json"
    file.write_text(json.dumps([*json.loads(file.read_text()), {"idx": 9, "name": "9", "path": path, "type": kind}]))


@pytest.mark.parametrize("ingredient", CHANGES)
def test_fingerprint_changes_with_each_ingredient(tiny: Path, tmp_path, ingredient):
    changed = Path(shutil.copytree(tiny, tmp_path / "changed"))
    before = load_encoder(str(changed), dtype="fp32").fingerprint
    CHANGES[ingredient](changed)
    assert load_encoder(str(changed), dtype="fp32").fingerprint != before


def test_fingerprint_changes_with_dtype_and_not_with_place_or_name(tiny: Path, tmp_path):
    moved = Path(shutil.copytree(tiny, tmp_path / "elsewhere"))
    edit(moved / "config.json", _name_or_path="another", transformers_version="9")
    here, there = (load_encoder(str(folder), dtype="fp32") for folder in (tiny, moved))
    assert here.fingerprint == there.fingerprint
    assert here.fingerprint != load_encoder(str(tiny), dtype="bf16").fingerprint
    assert len(here.fingerprint) == 64


@pytest.mark.parametrize(
    ("dtype", "device", "flags", "gpu", "expected"),
    [
        ("auto", "cpu", {"avx2"}, 9, "fp32"),
        ("auto", "cpu", {"avx512_bf16"}, None, "bf16"),
        ("auto", "auto", {"amx_bf16"}, None, "bf16"),
        ("auto", "auto", {"avx2"}, None, "fp32"),
        ("auto", "auto", {"avx2"}, 9, "bf16"),
        ("auto", "auto", {"amx_bf16"}, 7, "fp32"),
        ("auto", "cuda:1", {"avx2"}, 8, "bf16"),
        ("auto", "mps", {"amx_bf16"}, None, "fp32"),
        ("fp32", "cpu", {"amx_bf16"}, 9, "fp32"),
        ("bf16", "cpu", set(), None, "bf16"),
    ],
)
def test_auto_dtype_follows_the_hardware(monkeypatch, dtype, device, flags, gpu, expected):
    monkeypatch.setattr(encoders, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(encoders, "gpu_capability", lambda: gpu)
    assert encoders.resolve_dtype(dtype, device) == expected


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "1_Pooling/config.json", "modules.json"])
def test_tampered_bundled_file_is_refused_at_once(copy: Path, monkeypatch, name):
    monkeypatch.setattr(encoder_files, "locate", lambda model, revision: copy)
    file = copy / name
    file.write_text(file.read_text() + " ")
    with pytest.raises(ModelError, match=r"has sha256 [0-9a-f]{64}\. Expected: sha256 [0-9a-f]{64}\. Next: "):
        load_encoder()


def test_tampered_bundled_weights_are_refused_before_use(copy: Path, monkeypatch):
    monkeypatch.setattr(encoder_files, "locate", lambda model, revision: copy)
    flip(copy / "model.safetensors", -5)
    encoder = load_encoder(device="cpu")
    with pytest.raises(ModelError, match="Expected: sha256 53aa51172d142c89"):
        encoder.encode(["text"])
    assert isinstance(encoder, LazyEncoder)
    with pytest.raises(ModelError, match="sha256"):
        encoder.verify()


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "1110a24", REVISION.upper()])
def test_hub_id_needs_a_pinned_commit(revision):
    for load in (load_encoder, load_tokenizer):
        with pytest.raises(ConfigError, match=r"^encoder\.revision: .*full commit hash"):
            load("sentence-transformers/all-MiniLM-L6-v2", revision)


@pytest.mark.parametrize("model", ["bundled", "."])
def test_revision_belongs_to_hub_ids_only(model):
    with pytest.raises(ConfigError, match=r"^encoder\.revision: "):
        load_encoder(model, REVISION)


def test_hub_that_cannot_be_reached_names_model_and_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=f"some/model at {REVISION} is not on this machine .*Next: run `hf download"):
        load_encoder("some/model", REVISION)


def test_snapshot_in_the_hub_cache_is_used_without_a_network(monkeypatch, tmp_path, tiny: Path):
    snapshot = tmp_path / "models--some--model" / "snapshots" / REVISION
    shutil.copytree(tiny, snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    encoder = load_encoder("some/model", REVISION, dtype="fp32")
    assert encoder.fingerprint == load_encoder(str(tiny), dtype="fp32").fingerprint


@pytest.mark.parametrize(
    ("key", "value"),
    [("device", "gpu"), ("dtype", "int8"), ("threads", 0), ("batch_tokens", -1), ("model", "not a model")],
)
def test_wrong_option_names_its_key(key, value):
    with pytest.raises(ConfigError, match=rf"^encoder\.{key}: received"):
        load_encoder(**{key: value})


def test_absent_gpu_is_a_config_error():
    import torch

    with pytest.raises(ConfigError, match=r"^encoder\.device: cuda:99"):
        load_encoder(device=f"cuda:{99 + torch.cuda.device_count()}").encode(["text"])


def test_pickled_weights_are_refused(tiny: Path, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin.*never loaded"):
        load_encoder(str(folder))


def test_custom_code_is_refused(tiny: Path, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "custom"))
    add_module(folder, "custom_st.Module", "")
    with pytest.raises(ModelError, match=r"needs custom code: custom_st\.Module"):
        load_encoder(str(folder))


@pytest.mark.parametrize("name", ["modules.json", "config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file_is_a_model_error(tiny: Path, tmp_path, name):
    folder = Path(shutil.copytree(tiny, tmp_path / "partial"))
    (folder / name).unlink()
    with pytest.raises(ModelError, match="Next: "):
        load_encoder(str(folder))


def test_damaged_weights_are_a_model_error(tiny: Path, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "damaged"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="is not the model"):
        load_encoder(str(folder), device="cpu").encode(["text"])


def test_damaged_tokenizer_is_a_model_error(tiny: Path, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "damaged"))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be used"):
        load_tokenizer(str(folder))


def test_missing_folder_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder(str(tmp_path / "nowhere"))
