"""Preference pairs after the fine-tune: TRL moves the adapter to what people wanted, away from what it said."""

import json

import pytest

from assets.ports.training import Preference, UnfitRows
from orchestration.engines.trainer import ProcessTrainer
from tests.engines.training_rows import BASE, chat, order

pytest.importorskip("trl", reason="the extra `dpo` is not installed: pip install 'twohands[dpo]'")

DPO = {"enabled": True, "beta": 0.1, "learning_rate": 1e-3, "epochs": 1}


def preference(number: int) -> Preference:
    question, answer = chat(number)
    said = json.loads(answer["content"])["answer"]
    return Preference([question], answer["content"], said)


def trained(home, name, pairs=(), **said):
    """The two files of an adapter, and what was told of the pairs."""
    from dataclasses import replace

    asked = replace(order(home, 8, 2, adapter=name * 16, **said), pairs=pairs)
    with ProcessTrainer(home).train(asked, lambda _: None) as found:
        return {file.name: file.read_bytes() for file in found.folder.iterdir()}, found.preference


def preferred(folder, pairs) -> float:
    """Log probability of the wanted answers beside that of the produced ones, per pair."""
    import torch
    from peft import PeftModel

    from orchestration.engines.base_model import load_base
    from orchestration.engines.training_loop import answer_loss, padded
    from orchestration.engines.training_rows import tokenized

    base, tokenizer = load_base(BASE)
    model = PeftModel.from_pretrained(base, folder)
    total = 0.0
    for answer, sign in (("chosen", -1.0), ("rejected", 1.0)):
        chats = [[*pair.prompt, {"role": "assistant", "content": getattr(pair, answer)}] for pair in pairs]
        rows = tokenized(tokenizer, chats, limit=1_024, stops={tokenizer.eos_token_id}, what="pairs")
        with torch.no_grad():
            total += sign * float(answer_loss(model, padded(rows, tokenizer.pad_token_id)))
    return total / len(pairs)


def test_pairs_move_the_adapter_towards_what_was_wanted(tmp_path):
    pairs = [preference(number) for number in range(8)]
    plain, nothing = trained(tmp_path / "home", "a")
    files, told = trained(tmp_path / "home", "b", pairs, dpo=DPO)
    again, _ = trained(tmp_path / "again", "b", pairs, dpo=DPO)
    assert nothing == {}
    assert told["pairs"] == 8
    assert told["margin"] > 0
    assert again == files, "the same pairs give the same bits"
    for name, made in (("plain", plain), ("pairs", files)):
        (tmp_path / name).mkdir()
        for file, data in made.items():
            (tmp_path / name / file).write_bytes(data)
    assert preferred(tmp_path / "pairs", pairs) > preferred(tmp_path / "plain", pairs) + 1


def test_preference_without_pairs_is_refused(tmp_path):
    with pytest.raises(UnfitRows, match="no preference pairs"):
        trained(tmp_path, "c", dpo=DPO)
