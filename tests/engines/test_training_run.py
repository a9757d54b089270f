"""The training itself, on the bundled base: what is learned, what is refused, and the same bits after a kill."""

import errno
import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from assets.behavior.adapter.config import AdapterConfig
from assets.errors import DiskFull
from assets.ports.training import Diverged, Superseded, UnfitRows
from orchestration.engines import training_checkpoints as checkpoints
from orchestration.engines.base_model import NoChatTemplate, load_base
from orchestration.engines.training_rows import Tokens, context, stop_tokens, tokenized
from tests.engines.training_rows import BASE, CONFIG, chat, order

torch = pytest.importorskip("torch")

from peft import PeftModel  # noqa: E402
from transformers import AutoConfig  # noqa: E402

from orchestration.engines import training_run  # noqa: E402 - imports torch
from orchestration.engines.trainer import ProcessTrainer, _said  # noqa: E402
from orchestration.engines.training_loop import answer_loss, padded  # noqa: E402


class Killed(BaseException):
    """As a SIGKILL would: nothing of ours runs afterwards."""


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer():
    return load_base(BASE)[1]


def rows(tokenizer, chats) -> list[Tokens]:
    limit = context(AutoConfig.from_pretrained(BASE), tokenizer)
    return tokenized(tokenizer, chats, limit=limit, stops=stop_tokens(BASE, tokenizer), what="train")


def train(
    home: Path, *, dies_at: int = 0, model=None, count: int = 16, held: int = 4, told=lambda _event: None, **said
):
    """One attempt; (hash of the adapter's files, progress, events)."""
    asked = _said(order(home, count, held, **said), home)
    checkpoints.take(home, "run-1")
    events = []

    def emit(event) -> None:
        events.append(event)
        told(event)
        if event["event"] == "step" and event["step"] == dies_at:
            raise Killed

    base = load_base(BASE)
    base = (model or base[0], base[1])
    made, progress = training_run.train(
        asked, base, rows(base[1], asked["train"]), rows(base[1], asked["validation"]), emit
    )
    training_run.save(made, home / "out", "b" * 16)
    files = sorted((home / "out").iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest(), progress, events


def test_training_that_is_killed_again_and_again_comes_to_the_same_bits(tmp_path):
    whole, progress, events = train(tmp_path / "whole", count=24)
    assert progress.losses[-1] < progress.losses[0]
    assert events[0] == {"event": "begun", "steps": 6, "rows": 24, "resumed": 0}
    for dies_at in (2, 3, 5):
        with pytest.raises(Killed):
            train(tmp_path / "killed", count=24, dies_at=dies_at)
        half = tmp_path / "killed" / "checkpoint-9"  # a kill within a save
        half.mkdir()
        (half / "adapter_model.safetensors").write_bytes(b"half")
    again, resumed, _ = train(tmp_path / "killed", count=24)
    assert resumed.resumed >= 3
    assert again == whole
    assert (resumed.losses, resumed.validation, resumed.tokens) == (
        progress.losses,
        progress.validation,
        progress.tokens,
    )


@pytest.mark.parametrize(
    ("module", "call"), [(os, "fsync"), (tempfile, "mkstemp")], ids=["while files are flushed", "at the mark"]
)
def test_training_whose_disk_fills_at_a_checkpoint_comes_to_the_same_bits(tmp_path, monkeypatch, module, call):
    whole, progress, _ = train(tmp_path / "whole", count=24)
    home, real, full = tmp_path / "home", getattr(module, call), []

    def written(*args, **said):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **said)

    monkeypatch.setattr(module, call, written)
    with pytest.raises(DiskFull, match="Next: free disk space"):
        train(home, count=24, told=lambda event: full.extend([True] * (event.get("step") == 3)))
    assert not (home / "checkpoint-3" / checkpoints.MARK).exists()
    assert [file for file in home.rglob(".*") if file.is_file()] == []
    full.clear()
    again, resumed, events = train(home, count=24)
    assert events[0]["resumed"] == 2
    assert again == whole
    assert (resumed.losses, resumed.validation) == (progress.losses, progress.validation)


def test_worker_that_is_killed_comes_to_the_same_bits_as_one_that_is_not(tmp_path):
    import psutil

    whole, progress, _ = train(tmp_path / "whole")
    killed = []

    def kill(step) -> None:
        if step.step == 2 and not killed:
            alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
            [worker] = [one for one in alive if "training_worker" in " ".join(one.cmdline())]
            killed.append(worker.pid)
            worker.kill()

    with ProcessTrainer(tmp_path / "home").train(order(tmp_path, 16), kill) as trained:
        files = sorted(trained.folder.iterdir())
        assert hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() == whole
        assert (killed != [], trained.resumed > 0, trained.losses) == (True, True, progress.losses)
        assert json.loads(files[0].read_text())["base_model_name_or_path"] == "b" * 16


def test_parts_of_half_the_size_make_the_same_update(tmp_path):
    _, whole, _ = train(tmp_path / "whole", max_steps=2, held=0)
    _, parts, _ = train(tmp_path / "parts", max_steps=2, held=0, accumulation=3)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-4)


def test_best_weights_are_kept_and_worse_ones_end_the_training(tmp_path):
    said = {
        "learning_rate": 3.0,
        "evaluations": 6,
        "patience": 1,
        "max_grad_norm": 1e6,
        "schedule": "constant",
    }
    _, progress, _ = train(tmp_path, count=24, warmup_share=0.0, **said)
    assert progress.stopped
    assert len(progress.losses) < 6
    best = min(loss for _, loss in progress.validation)
    assert dict(progress.validation)[progress.best] == best
    base = load_base(BASE)
    model = training_run.with_adapter(base[0], replace(CONFIG, rank=2))
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(tmp_path / "out" / "adapter_model.safetensors"))
    held = rows(base[1], [chat(1_000 + number) for number in range(4)])
    with torch.no_grad():
        total = float(answer_loss(model.eval(), padded(held, base[1].pad_token_id)))
    assert total / sum(row.answers for row in held) == pytest.approx(best, rel=1e-4)


def test_loss_that_is_no_number_names_the_step_and_saves_nothing(tmp_path):
    model = load_base(BASE)[0]
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(Diverged, match="the loss was nan at step 1 of 4"):
        train(tmp_path, model=model)
    assert not (tmp_path / "out").exists()
    assert checkpoints.newest(tmp_path) is None


def test_training_that_is_another_run_s_stops_at_the_next_step(tmp_path):
    asked = _said(order(tmp_path), tmp_path)
    checkpoints.take(tmp_path, "run-1")
    steps = []

    def emit(event) -> None:
        steps.append(event)
        if event.get("step") == 1:
            checkpoints.take(tmp_path, "run-2")

    base = load_base(BASE)
    with pytest.raises(Superseded):
        training_run.train(asked, base, rows(base[1], asked["train"]), [], emit)
    assert [one["step"] for one in steps if one["event"] == "step"] == [1]


def test_half_the_strength_moves_the_logits_half_as_far(tmp_path):
    """To the first order; the update of a layer is exactly half, since alpha scales it."""
    said = {name: {"strength": strength, "max_steps": 2} for name, strength in (("whole", 1.0), ("half", 0.5))}
    logits, updates = {}, {}
    ids = torch.tensor([load_base(BASE)[1].encode("How often are bikes checked?")])
    for name in said:
        with ProcessTrainer(tmp_path / name).train(order(tmp_path, 16, 4, **said[name]), lambda _: None) as made:
            model = PeftModel.from_pretrained(load_base(BASE)[0], made.folder).eval()
            layer = next(one for one in model.modules() if hasattr(one, "get_delta_weight"))
            updates[name] = layer.get_delta_weight("default").detach()
            with torch.no_grad():
                logits[name] = model(ids).logits
    with torch.no_grad():
        before = load_base(BASE)[0].eval()(ids).logits
    assert torch.allclose(updates["half"], updates["whole"] / 2, atol=1e-7)
    assert updates["whole"].abs().max() > 0
    far, near = (float((logits[name] - before).norm()) for name in ("whole", "half"))
    assert 0.3 < near / far < 0.7


@pytest.mark.parametrize("method", ["rslora", "dora"])
def test_other_methods_are_trained_as_such(tmp_path, method):
    train(tmp_path, method=method, max_steps=2, held=0, targets=("q_proj", "v_proj"))
    said = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (said["use_rslora"], said["use_dora"]) == (method == "rslora", method == "dora")
    assert said["target_modules"] == ["q_proj", "v_proj"]


def test_answer_loss_is_that_of_whole_rows_whatever_the_padding(tokenizer):
    model = load_base(BASE)[0].eval()
    made = rows(tokenizer, [chat(number) for number in range(5)])
    wanted = 0.0
    for row in made:
        labels = [id if learned else -100 for id, learned in zip(row.ids, row.mask, strict=True)]
        said = model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([labels]))
        wanted += float(said.loss) * row.answers
    with torch.no_grad():
        assert float(answer_loss(model, padded(made, tokenizer.pad_token_id))) == pytest.approx(wanted, rel=1e-4)


def test_only_answers_and_their_stop_token_are_learned(tokenizer):
    [row] = rows(tokenizer, [chat(3)])
    learned = tokenizer.decode([id for id, one in zip(row.ids, row.mask, strict=True) if one])
    assert learned == chat(3)[1]["content"] + "<|im_end|>"


def test_rows_beyond_the_context_are_refused_with_their_numbers(tokenizer):
    long = [{"role": "user", "content": "vans " * 2_000}, chat(1)[1]]
    with pytest.raises(UnfitRows, match=r"2 train rows are longer than the base reads \(number 1, 3; the longest has"):
        rows(tokenizer, [chat(1), long, chat(2), long])


def changed(template: str, tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    return other


def test_mask_that_is_empty_is_refused(tokenizer):
    template = tokenizer.chat_template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    with pytest.raises(NoChatTemplate, match="every token is masked"):
        rows(changed(template, tokenizer), [chat(1)])


def test_stop_token_outside_the_mask_is_refused(tokenizer):
    template = tokenizer.chat_template.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
    with pytest.raises(NoChatTemplate, match="stop token would not be learned"):
        rows(changed(template, tokenizer), [chat(1)])


def test_configuration_survives_the_way_to_the_worker():
    config = replace(CONFIG, targets=("q_proj",))
    assert AdapterConfig.of(json.loads(json.dumps(config.said()))) == config
