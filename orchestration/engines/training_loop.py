"""The training itself: transformers' Trainer with PEFT, and what it does not do by itself.

batches      planned beforehand (training_plan.py), padded on the right only as far as the longest of a part
loss         of answers only; the output layer is computed where a row of the batch has an answer, and nowhere else. Of
             questions, beside it, how readily they are declined (training_declining.py)
checkpoints  made whole by a mark (training_checkpoints.py), with the best weights so far inside
a step       stops when the training is another run's, and when the loss is no number
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import Trainer

from orchestration.engines.training_declining import Questions, divergence
from orchestration.engines.training_rows import Tokens

BEST = "best.safetensors"
IGNORED = -100
Emit = Callable[[Mapping[str, Any]], None]
Batch = dict[str, torch.Tensor]


@dataclass
class Progress:
    """What a training has come to; it is kept in every checkpoint."""

    losses: list[float] = field(default_factory=list)
    divergences: list[float] = field(default_factory=list)  # of the questions of each update
    validation: list[tuple[int, float]] = field(default_factory=list)
    best: int = 0
    lowest: float = math.inf  # what the best weights came to
    worse: int = 0
    stopped: bool = False
    tokens: int = 0
    answer_tokens: int = 0
    resumed: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)  # the best ones

    def state(self) -> dict[str, Any]:
        """As JSON."""
        names = ("losses", "divergences", "validation", "best", "lowest", "worse", "stopped", "tokens", "answer_tokens")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, state: Mapping[str, Any], folder: Path) -> Progress:
        """As a checkpoint kept it."""
        made = cls(**{**state, "validation": [(int(at), loss) for at, loss in state["validation"]]})
        made.resumed = len(made.losses)
        if (folder / BEST).is_file():
            made.weights = load_file(folder / BEST)
        return made


class Planned(torch.utils.data.Dataset):
    """Parts of updates, in the order in which they are trained."""

    def __init__(
        self, rows: Sequence[Tokens], plan: Sequence[Sequence[int]], pad: int, questions: Questions | None = None
    ) -> None:
        self._rows, self._plan, self._pad, self._questions = rows, plan, pad, questions

    def __len__(self) -> int:
        """How many parts."""
        return len(self._plan)

    def __getitem__(self, at: int) -> Batch:
        """A part, padded; one that is empty is a row without labels."""
        part = self._plan[at]
        made = padded([self._rows[row] for row in part] or self._rows[:1], self._pad, learned=bool(part))
        return made | (self._questions.of(at) if self._questions else {})


def padded(rows: Sequence[Tokens], pad: int, *, learned: bool = True) -> Batch:
    """input_ids and labels [rows, longest]. Padding is on the right, where no token that counts can see it."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    labels = torch.full((len(rows), longest), IGNORED)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)] = torch.tensor(row.ids)
        if learned:
            known = torch.tensor(row.mask, dtype=torch.bool)
            labels[at, : len(row.ids)][known] = torch.tensor(row.ids)[known]
    return {"input_ids": ids, "labels": labels}


def answer_loss(model: Any, batch: Batch) -> torch.Tensor:
    """The summed loss of all answer tokens. Logits are computed at positions where any row has one.

    Without an attention mask: causal attention looks to the left, and padding is on the right.
    """
    labels = batch["labels"][:, 1:]
    kept = (labels != IGNORED).any(0).nonzero().squeeze(1)
    kept = kept if kept.numel() else kept.new_zeros(1)
    wanted = labels[:, kept]
    learned = wanted != IGNORED
    logits = model(input_ids=batch["input_ids"], logits_to_keep=kept, use_cache=False).logits[learned].float()
    return torch.nn.functional.cross_entropy(logits, wanted[learned], reduction="sum")


class AnswerTrainer(Trainer):
    """transformers' Trainer over planned batches, with the loss of answers, and of questions where there are any."""

    def __init__(self, *, held: Sequence[Batch], questions: Questions | None = None, **said: Any) -> None:
        super().__init__(data_collator=lambda items: items[0], **said)
        self.held, self.questions = held, questions
        self.running: list[torch.Tensor] = []  # losses of the parts of an update
        self.diverged: list[torch.Tensor] = []  # likewise, of its questions
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This part's share of the update's mean loss."""
        loss = answer_loss(model, inputs) / max(num_items_in_batch, 1)
        self.running.append(loss.detach())
        if self.questions:
            apart = divergence(model, inputs) / self.questions.update
            self.diverged.append(apart.detach())
            loss = loss + self.questions.weight * apart
        return (loss, None) if return_outputs else loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The mean loss of an answer token of the held-out rows."""
        total, count = 0.0, 0
        model: Any = self.model
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in self.held:
                there = {name: value.to(self.args.device) for name, value in batch.items()}
                total += float(answer_loss(model, there))
                count += int((batch["labels"][:, 1:] != IGNORED).sum())
        model.train()
        metrics = {"eval_loss": total / max(count, 1)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
