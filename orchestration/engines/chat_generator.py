"""Answers of an OpenAI-compatible server (vLLM with its LoRA modules, Ollama, a vendor), streamed.

Its models are named by pattern: `{adapter}` in one is the id of the released adapter, so that the pointer chooses it
here as well, once the server has it (`twohands export ID --to DIR`, then vLLM's `--lora-modules ID=DIR` or
`/v1/load_lora_adapter`). Where the base alone answers, it is the plain `model`.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from assets.ports.generation import Chat, Generated, Voice
from orchestration.engines.chat_http import Endpoint
from orchestration.engines.control_tokens import broken

MAX_BYTES = 4_000_000  # of a stream: an answer, each token in a frame of its own
ADAPTER = "{adapter}"


class ChatGenerator:
    """A server that speaks (assets.ports.generation.Speaker). `model` names the base there, `models` the variants.

    Asked again while it is busy, until its first piece; a stream that breaks off later is EngineBusy. Marks of turns in
    what it is shown are broken up (control_tokens.py): many servers read them in a message as they would their own.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, models: Mapping[str, str] | None = None, max_new_tokens: int = 256
    ) -> None:
        self._endpoint, self._model, self._models = endpoint, model, dict(models or {})
        self._most = max_new_tokens

    def named(self, voice: Voice) -> str:
        """The model that a voice is."""
        pattern = self._models.get(voice.variant, self._model)
        if ADAPTER not in pattern:
            return pattern
        return pattern.replace(ADAPTER, voice.adapter) if voice.adapter else self._model

    def stream(self, chat: Chat, voice: Voice) -> Iterator[str | Generated]:
        """Pieces as the server sends them, and last the whole."""
        body = {
            "model": self.named(voice),
            "messages": [dict(one) | {"content": broken(one["content"])} for one in chat],
            "temperature": 0,
            "max_tokens": self._most,
            "stream": True,
        }
        began, said, ended = time.perf_counter(), list[str](), ""
        with self._endpoint.ask(body, lambda response: response) as response:
            try:
                for piece, reason in self._pieces(response):
                    ended = reason or ended
                    text = piece if said else piece.lstrip()
                    if text:
                        said.append(text)
                        yield text
            except (OSError, http.client.HTTPException) as error:
                raise self._endpoint.busy(f"broke off its answer ({type(error).__name__})") from error
        if not ended:
            raise self._endpoint.busy("broke off its answer (the connection ended)")
        seconds = time.perf_counter() - began
        yield Generated(
            "".join(said).strip(), seconds, len(said), ended != "length"
        )  # servers name the others as they like

    def _pieces(self, response: Any) -> Iterator[tuple[str, str]]:
        """(text, why it ended) of each frame; a server that does not stream sends one."""
        if "json" in (response.headers.get("Content-Type") or ""):
            yield self._frame(response.read(MAX_BYTES), "message")
            return
        read = 0
        while line := response.readline(MAX_BYTES):
            read += len(line)
            if read > MAX_BYTES:
                raise self._endpoint.nonsense("it is too long", "lower generator.max_new_tokens")
            data = line.strip()
            if data == b"data: [DONE]" or data == b"data:[DONE]":
                return
            if data.startswith(b"data:"):
                yield self._frame(data[5:], "delta")

    def _frame(self, data: bytes, holder: str) -> tuple[str, str]:
        try:
            row = json.loads(data)
            if not row["choices"]:  # the last frame of some servers holds the usage alone
                return "", ""
            choice = row["choices"][0]
            content = (choice.get(holder) or {}).get("content") or ""
            return str(content), str(choice.get("finish_reason") or "")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise self._endpoint.nonsense(type(error).__name__) from error
