"""A lean Qwen3 forward for training on packed rows, over the parameters of a transformers Qwen3ForCausalLM.

bf16 compute, fp32 master weights, block-diagonal attention (examples of a row do not see each other), logits only
where a loss is wanted. Tested to agree with transformers' own forward.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own custom
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from models.recipe.settings import Shape
from models.recipe.tokenizer import PAD, STOP

_BF16 = torch.bfloat16


def new_model(shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """A model with random weights, its first layers set to copy what followed the same words before."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.width // shape.head,
            num_key_value_heads=shape.width // shape.head,
            head_dim=shape.head,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids(STOP),
            pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
            attention_bias=False,
        )
    )
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "embed" not in name:
            out = "o_proj" in name or "down_proj" in name
            nn.init.normal_(weight, std=(0.5 if out else 1.0) / math.sqrt(weight.shape[1]))
    copy_circuit(model, shape)
    return model


class Packed:
    """The forward and its loss. Rows are [batch, tokens]; `parts` numbers the examples of a row."""

    def __init__(self, config: Qwen3Config, tokens: int) -> None:
        self.heads, self.size = config.num_attention_heads, config.head_dim
        rope: Any = config.rope_parameters
        frequency = 1.0 / (rope["rope_theta"] ** (torch.arange(0, self.size, 2).float() / self.size))
        angle = torch.arange(tokens).float()[:, None] * frequency
        angle = torch.cat([angle, angle], -1)
        self.cos, self.sin = angle.cos().to(_BF16), angle.sin().to(_BF16)
        self.causal = torch.full((tokens, tokens), -1e9).triu(1).to(_BF16)

    def logits(self, model: Qwen3ForCausalLM, ids: Tensor, parts: Tensor, chosen: Tensor) -> Tensor:
        """fp32 [len(chosen), vocabulary] at the flat positions `chosen` of ids [batch, tokens]."""
        batch, tokens = ids.shape
        embedding = model.model.embed_tokens.weight.to(_BF16)
        state = F.embedding(ids, embedding)
        together = parts[:, None, :, None] == parts[:, None, None, :]
        mask = self.causal[:tokens, :tokens] + torch.where(together, 0.0, -1e9).to(_BF16)
        layers: Any = model.model.layers
        for layer in layers:
            state = state + self._attend(layer.self_attn, _norm(state, layer.input_layernorm.weight), mask)
            normed = _norm(state, layer.post_attention_layernorm.weight)
            gate = F.silu(F.linear(normed, layer.mlp.gate_proj.weight.to(_BF16)))
            inner = gate * F.linear(normed, layer.mlp.up_proj.weight.to(_BF16))
            state = state + F.linear(inner, layer.mlp.down_proj.weight.to(_BF16))
        picked = state.reshape(batch * tokens, -1).index_select(0, chosen)
        return F.linear(_norm(picked, model.model.norm.weight), embedding).float()

    def loss(
        self, model: Qwen3ForCausalLM, ids: Tensor, parts: Tensor, chosen: Tensor, targets: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weighted mean cross-entropy, and the loss of every chosen position (detached)."""
        losses = F.cross_entropy(self.logits(model, ids, parts, chosen), targets, reduction="none")
        return (losses * weights).sum() / weights.sum(), losses.detach()

    def _attend(self, attention: Any, normed: Tensor, mask: Tensor) -> Tensor:
        batch, tokens, _ = normed.shape
        query, key, value = (
            F.linear(normed, getattr(attention, name).weight.to(_BF16)).view(batch, tokens, self.heads, self.size)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        query = self._turned(_norm(query, attention.q_norm.weight).transpose(1, 2))
        key = self._turned(_norm(key, attention.k_norm.weight).transpose(1, 2))
        raw = torch.matmul(query, key.transpose(-1, -2))
        weights = torch.softmax(raw.float() * self.size**-0.5 + mask, -1).to(_BF16)
        mixed = torch.matmul(weights, value.transpose(1, 2)).transpose(1, 2).reshape(batch, tokens, -1)
        return F.linear(mixed, attention.o_proj.weight.to(_BF16))

    def _turned(self, x: Tensor) -> Tensor:
        tokens, half = x.shape[-2], x.shape[-1] // 2
        swapped = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * self.cos[:tokens] + swapped * self.sin[:tokens]


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6) * weight).to(_BF16)


@torch.no_grad()
def copy_circuit(model: Qwen3ForCausalLM, shape: Shape, reach: int = 3, rank: int = 16) -> None:
    """Sets layers 0 to 2 to an n-gram copying circuit (an induction head, Olsson et al. 2022), which training refines.

    Heads 0..reach-1 of layer 0 read the last tokens (a constant embedding dimension, turned by RoPE); two heads of
    layers 1 and 2 match the current n-gram with earlier ones and copy what followed. Saves most of the early steps.
    """
    generator = torch.Generator().manual_seed(11)

    def orthogonal(rows: int, columns: int) -> Tensor:
        return nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)

    half, head = shape.head // 2, shape.head
    turns = 1.0 / (shape.theta ** (torch.arange(half).float() / half))
    slow = [i for i in range(half) if turns[i] < 0.004]
    slow += [i + half for i in slow]
    ranks = [rank] + [min(rank, (len(slow) - rank) // max(1, reach - 1))] * (reach - 1)
    embedding = model.model.embed_tokens.weight
    nn.init.normal_(embedding, std=0.02)
    embedding[:, 0] = 0.16
    layers: Any = model.model.layers
    for layer in layers:
        layer.mlp.down_proj.weight.zero_()
        layer.self_attn.o_proj.weight.zero_()
    read = orthogonal(rank, shape.width)
    read[:, 0] = 0
    joint = orthogonal(shape.width, sum(ranks))
    joint[0] = 0
    spaces = list(joint.split(ranks, 1))
    first = layers[0].self_attn
    first.q_norm.weight.fill_(3.0)
    for back in range(reach):
        rows = slice(back * head, (back + 1) * head)
        query, key = torch.zeros(head), torch.zeros(head)
        for i in range(5):  # the fastest turns tell positions apart
            key[i] = 1
            query[i], query[i + half] = math.cos(-(back + 1) * turns[i]), math.sin(-(back + 1) * turns[i])
        first.k_proj.weight[rows] *= 0.1
        first.q_proj.weight[rows] *= 0.1
        first.k_proj.weight[rows, 0], first.q_proj.weight[rows, 0] = key, query
        first.v_proj.weight[rows] = 0
        first.v_proj.weight[back * head : back * head + ranks[back]] = read[: ranks[back]]
        first.o_proj.weight[:, back * head : back * head + ranks[back]] = spaces[back] * 0.05
    for at in (1, 2):
        attention = layers[at].self_attn
        attention.q_norm.weight.fill_(2.5)
        for number in (0, 1):
            _match(attention, number, head, slow, ranks, read, spaces, orthogonal(head, shape.width))


def _match(
    attention: Any,
    number: int,
    head: int,
    slow: list[int],
    ranks: list[int],
    read: Tensor,
    spaces: list[Tensor],
    copied: Tensor,
) -> None:
    rows = slice(number * head, (number + 1) * head)
    attention.q_proj.weight[rows] *= 0.05
    attention.k_proj.weight[rows] *= 0.05
    start = 0
    for back, rank in enumerate(ranks):
        dims = [number * head + i for i in slow[start : start + rank]]
        start += rank
        attention.q_proj.weight[dims] += read[:rank] if back == 0 else 0.7 * spaces[back - 1].T[:rank]
        attention.k_proj.weight[dims] += spaces[back].T
    copied[:, 0] = 0
    attention.v_proj.weight[rows] = copied
    attention.o_proj.weight[:, rows] = copied.T * 0.3
