"""What was read, kept with room for what follows: a step writes its own tokens, and copies nothing.

transformers' cache copies all that was read whenever a token comes. Imports torch: for where a model is open anyway.
"""

from __future__ import annotations

from typing import Any

from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 32  # tokens by which a layer grows


class RoomyLayer(DynamicLayer):
    """Keys and values [rows, heads, tokens, size], as views of buffers that are longer."""

    buffers: tuple[Any, ...] = ()

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Adds tokens; all that there are now."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        had, new = self.get_seq_length(), key_states.shape[-2]
        states = (key_states, value_states)
        if not self.buffers or self.buffers[0].shape[2] < had + new:
            self.buffers = tuple(_larger(one, had, had + new + ROOM) for one in (self.buffers or states))
        for buffer, one in zip(self.buffers, states, strict=True):
            buffer[:, :, had : had + new] = one
        self._show(had + new)
        return self.keys, self.values

    def batch_select_indices(self, indices: Any) -> None:
        """Keeps some rows."""
        shown = self.get_seq_length()
        self.buffers = tuple(buffer.index_select(0, indices) for buffer in self.buffers)
        self._show(shown)

    def _show(self, tokens: int) -> None:
        self.keys, self.values = (buffer[:, :, :tokens] for buffer in self.buffers)


def cache(model: Any) -> DynamicCache:
    """An empty cache of a model; layers that forget, such as those of sliding windows, stay transformers' own."""
    made = DynamicCache(config=model.config.get_text_config())
    made.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in made.layers]
    return made


def _larger(states: Any, had: int, tokens: int) -> Any:
    made = states.new_empty(*states.shape[:2], tokens, states.shape[3])
    made[:, :, :had] = states[:, :, :had]
    return made
