"""`POST /v1/chat/completions`: OpenAI's shape, with `twohands` beside the choices: what the answer rests on.

The last message of the user is the question; the released prompt takes the place of system messages. An answer is
confirmed when its event is on disk: a stream's last chunk waits for that. All its chunks have the id of the
interaction, under which nothing is noted where the stream breaks off.

`usage` counts what the generator read and said, and is left out where its engine does not tell (a server behind a URL):
as OpenAI's clients take it, optional. A stream tells it in a chunk of its own, if asked (`stream_options`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from assets.errors import TwohandsError
from assets.serving.answers import Answer
from orchestration.web import errors, events
from orchestration.web.access import Client
from orchestration.web.answers import Answering, Turns, pieces
from orchestration.web.errors import Refused
from orchestration.web.log import Log
from orchestration.web.metrics import Metrics

REPLACED = "\n\n[Checked against the passages, this answer is replaced by:]\n\n"


class Part(BaseModel):
    """A part of a message."""

    type: str = "text"
    text: str = ""


class Message(BaseModel):
    """A message of the chat; parts of other types than text are left out."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """What it says."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type in ("text", "input_text"))
        return self.content or ""


class StreamOptions(BaseModel):
    """What a stream tells beside the answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request. Sampling parameters are ignored: how an answer is made is part of the release."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=200)]
    model: str = "main"
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1)] = 1
    user: Annotated[str | None, Field(max_length=256)] = None
    where: dict[str, str] = Field(default_factory=dict)

    @property
    def tells_usage(self) -> bool:
        """Whether a stream is to tell what it took."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def question(self) -> str:
        """The last message of the user; Refused where there is none."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        raise Refused(400, "bad_question", "There is no message of the user. Next: send one.", param="messages")


class Chat:
    """Answers requests of one app."""

    def __init__(self, answering: Answering, log: Log, metrics: Metrics, *, concurrent: int) -> None:
        self._answering, self._log, self._metrics = answering, log, metrics
        self._turns = Turns(concurrent)

    def asked(self, request: ChatRequest) -> str:
        """The question of a variant that there is; raises Refused, and what logging it would fail with now."""
        question = request.question.strip()
        known = self._answering.variants()
        if request.model not in known:
            raise Refused(
                404, "model_not_found", f"There is no variant {request.model!r}. Valid ones: {', '.join(known)}.",
                param="model",
            )  # fmt: skip
        self._log.check()
        return question

    def pieces(self, request: ChatRequest, question: str, client: Client) -> AsyncIterator[str | Answer]:
        """The answer as it is made."""
        return pieces(
            self._answering, self._turns, question, variant=request.model, asker=client.asker, where=request.where
        )

    async def noted(
        self, request: ChatRequest, question: str, client: Client, answer: Answer, id: str = ""
    ) -> dict[str, Any]:
        """Puts the exchange on disk, under a new id or the one that was told; returns what `twohands` holds of it.
        Raises where that fails: no answer then."""
        at = datetime.now(UTC)
        id = id or events.new_id(at)
        user = request.user or client.name
        try:
            await self._log.append(events.exchange(id, at, question, answer, user=user))
        except TwohandsError:
            self._metrics.unlogged.inc()
            raise
        self._metrics.answered(request.model, refused=answer.refused, fallback=answer.fallback)
        self._metrics.serves(request.model, answer.release_id)
        seconds = {name: round(value, 4) for name, value in answer.seconds.items()}
        return {"interaction_id": id, "created": int(at.timestamp()), **answer.said(), "seconds": seconds}

    async def whole(self, request: ChatRequest, client: Client) -> dict[str, Any]:
        """The answer in one piece."""
        question = self.asked(request)
        answer = None
        async for piece in self.pieces(request, question, client):
            answer = piece
        assert isinstance(answer, Answer)  # noqa: S101 - the last of a stream
        told = await self.noted(request, question, client, answer)
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {
            "id": told["interaction_id"],
            "object": "chat.completion",
            "created": told["created"],
            "model": request.model,
            "system_fingerprint": answer.release_id,
            "choices": [choice],
            **_usage(answer),
            "twohands": told,
        }

    async def streamed(
        self,
        request: ChatRequest,
        client: Client,
        question: str,
        begun: AsyncIterator[str | Answer],
        first: str | Answer,
    ) -> AsyncIterator[bytes]:
        """The answer as server-sent events, from its first piece on."""
        began = datetime.now(UTC)
        shared: dict[str, Any] = {"id": events.new_id(began), "object": "chat.completion.chunk"}
        shared |= {"created": int(began.timestamp()), "model": request.model}
        shared |= {"usage": None} if request.tells_usage else {}  # of all chunks but its own
        said, ended, piece = "", False, first
        try:
            yield _event({**shared, "choices": [_delta({"role": "assistant", "content": ""})]})
            while isinstance(piece, str):
                said += piece
                yield _event({**shared, "choices": [_delta({"content": piece})]})
                piece = await anext(begun)
            told = await self.noted(request, question, client, piece, shared["id"])
            shared["system_fingerprint"] = piece.release_id
            if rest := _rest(said, piece.text):
                yield _event({**shared, "choices": [_delta({"content": rest})]})
            ended = True
            yield _event({**shared, "choices": [_delta({}, "stop")], "twohands": told})
            if request.tells_usage and (counted := _usage(piece)):
                yield _event({**shared, "choices": [], **counted})
            yield b"data: [DONE]\n\n"
        except TwohandsError as error:  # the headers are sent: the stream itself has to say it
            ended = True
            yield _event(errors.body(errors.refused(error)))
        finally:
            if not ended:
                self._metrics.abandoned.inc()
            await begun.aclose()  # type: ignore[attr-defined]


def _usage(answer: Answer) -> dict[str, dict[str, int]]:
    if answer.usage is None:
        return {}
    read, said = answer.usage
    return {"usage": {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}}


def _rest(said: str, holds: str) -> str:
    """What is still to be told, so that a client that only joins the pieces has the answer that holds."""
    if said.strip() == holds.strip():
        return ""
    if holds.startswith(said):
        return holds[len(said) :]
    return f"{REPLACED}{holds}"


def _delta(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"
