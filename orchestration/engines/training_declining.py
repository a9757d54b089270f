"""While a manner is learned, the adapter goes on declining where the base does.

What a fine-tune is for is said by its rows; how readily the model declines is not, and yet it moves: an adapter that
learned a manner from a few hundred rows told questions with an answer from those without one visibly worse than its
base, and leaned to one side or the other by several points. So, beside the rows of each update, it is shown questions
that no row has (`adapter.declining`), and the loss has a second term: the divergence between the base's probability of
declining and its own, each in its own words,

    weight * mean over the questions of KL(Bernoulli(p_base) || Bernoulli(p_adapter))

Nobody's answer is needed for it, and none is learned. This is learning without forgetting (Li & Hoiem 2016) of one
decision rather than of all tokens. What is off of it counts where the best weights are chosen, too: a held-out loss
that is lower by a hair is no reason to take weights that lean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from assets.ports.training import UnfitRows
from orchestration.engines.training_rows import context

IGNORED = -100
TOKENS = 8_192  # padded ones, of questions that are looked at together
LEAST, CLEAR = 50, 0.05  # questions; share of them that the base must decline, and must not
CLOSEST = 1e-6  # to a probability of one


class Asked(NamedTuple):
    """A question, and the words of declining it, as tokens; `start` is where these begin."""

    ids: list[int]
    start: int


class Questions:
    """The questions of an order, in the adapter's words, with the base's log odds of declining each.

    `update` of them go along with each update, and their divergence weighs `weight`.
    """

    def __init__(
        self,
        asked: Sequence[Asked],
        odds: torch.Tensor,
        *,
        an_update: int,
        parts: int,
        seed: int,
        weight: float = 1.0,
    ) -> None:
        self.weight, self.update = weight, an_update
        self._asked, self._odds, self._sizes, self._seed = asked, odds, _split(an_update, parts), seed

    def __len__(self) -> int:
        """How many there are."""
        return len(self._asked)

    def of(self, part: int) -> dict[str, torch.Tensor]:
        """Those of one part of an update, as tensors: each question comes once before any comes again.

        asked_ids, asked_labels [questions, longest], padded on the right; asked_odds [questions]."""
        update, place = divmod(part, len(self._sizes))
        start = update * sum(self._sizes) + sum(self._sizes[:place])
        chosen = [self._at(start + one) for one in range(self._sizes[place])]
        ids, labels = padded([self._asked[one] for one in chosen] or self._asked[:1])
        return {"asked_ids": ids, "asked_labels": labels, "asked_odds": self._odds[chosen]}

    def _at(self, number: int) -> int:
        turn, place = divmod(number, len(self._asked))
        return int(np.random.Generator(np.random.PCG64([self._seed, 1, turn])).permutation(len(self._asked))[place])


def questions(order: Mapping[str, Any], base: Any, tokenizer: Any) -> Questions | None:
    """Those of an order; None where it has none. UnfitRows where nothing can be kept: the base declines none of them in
    the words that are looked for, or all."""
    said, config = order["declining"], order["said"]
    if not said:
        return None
    limit = context(base.config, tokenizer, order["max_tokens"])
    asked = _asked(tokenizer, said["prompts"], said["base_says"], limit)
    known = odds(base.eval(), [one for one in asked if one])
    declined = float((known > 0).double().mean()) if len(known) >= LEAST else 0.0
    if not CLEAR <= declined <= 1 - CLEAR:
        raise UnfitRows(
            f"of the {len(known)} questions of adapter.declining that fit its context, the base declines "
            f"{declined:.0%} in the words {said['base_says']!r}",
            expected=f"{LEAST} questions at least, of which it declines from {CLEAR:.0%} to {1 - CLEAR:.0%}",
            next_step="add questions of the other kind; or take the setting out, if it declines in other words",
        )
    own = _asked(tokenizer, said["prompts"], said["says"], limit)
    both = [at for at, (one, other) in enumerate(zip(asked, own, strict=True)) if one and other]
    there = [at for at, one in enumerate(asked) if one]
    known = known[[there.index(at) for at in both]] - said["lean"]
    rows = [one for at in both if (one := own[at])]
    size = {"an_update": config["batch_rows"], "parts": config["accumulation"]}
    return Questions(rows, known, **size, seed=config["seed"], weight=said["weight"])


def divergence(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The summed KL of a part's questions, in nats."""
    if not len(batch["asked_odds"]):
        return batch["asked_odds"].sum()
    declines = _said(model, batch["asked_ids"], batch["asked_labels"]).clamp(max=-CLOSEST)
    answers = torch.log(-torch.expm1(declines))
    wanted = batch["asked_odds"]
    p = torch.sigmoid(wanted)
    return (p * (logsigmoid(wanted) - declines) + (1 - p) * (logsigmoid(-wanted) - answers)).sum()


def odds(model: Any, rows: Sequence[Asked]) -> torch.Tensor:
    """Log odds of declining each, in the order of the rows; on the CPU."""
    found = torch.zeros(len(rows))
    with torch.no_grad():
        for places in _batches(rows):
            ids, labels = padded([rows[at] for at in places])
            said = _said(model, ids.to(model.device), labels.to(model.device)).clamp(max=-CLOSEST)
            found[places] = (said - torch.log(-torch.expm1(said))).float().cpu()
    return found


def padded(rows: Sequence[Asked]) -> tuple[torch.Tensor, torch.Tensor]:
    """input_ids and labels [rows, longest]; the labels are the words of declining."""
    ids = torch.zeros((len(rows), max(len(row.ids) for row in rows)), dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for at, row in enumerate(rows):
        known = torch.tensor(row.ids)
        ids[at, : len(known)] = known
        labels[at, row.start : len(known)] = known[row.start :]
    return ids, labels


def _asked(tokenizer: Any, prompts: Sequence[Any], says: str, limit: int) -> list[Asked | None]:
    """None where a question does not fit the context of `limit` tokens."""
    said = tokenizer(says, add_special_tokens=False)["input_ids"]
    found: list[Asked | None] = []
    for prompt in prompts:
        made = tokenizer.apply_chat_template(prompt, tokenize=True, add_generation_prompt=True, return_dict=True)
        ids = [*made["input_ids"], *said]
        found.append(Asked(ids, len(ids) - len(said)) if len(ids) <= limit else None)
    return found


def _batches(rows: Sequence[Asked]) -> Iterator[list[int]]:
    """Places of rows of about equal length."""
    order = sorted(range(len(rows)), key=lambda at: len(rows[at].ids))
    while order:
        size = 1
        while size < len(order) and (size + 1) * len(rows[order[size]].ids) <= TOKENS:
            size += 1
        yield order[:size]
        order = order[size:]


def _said(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log probability of the labels of each row."""
    wanted = labels[:, 1:]
    kept = (wanted != IGNORED).any(0).nonzero().squeeze(1)
    wanted = wanted[:, kept]
    logits = model(input_ids=ids, logits_to_keep=kept, use_cache=False).logits.float().log_softmax(-1)
    there = wanted != IGNORED
    said = logits.gather(-1, wanted.where(there, 0).unsqueeze(-1)).squeeze(-1)
    return said.where(there, 0.0).sum(1)


def _split(count: int, parts: int) -> list[int]:
    """`count` in parts that differ by one at most."""
    return [len(one) for one in np.array_split(np.arange(count), parts)]
