"""The server's routes over injected parts: whoever answers, the journal, and a library of passages.

| route | what it does |
|---|---|
| `POST /v1/chat/completions` | answers, as OpenAI's API does; `model` is the variant, `stream` streams |
| `GET /v1/models` | the variants, and the release that answers for each |
| `POST /v1/feedback` | `{id, feedback, corrected_response}`: what a person makes of an answer |
| `GET /v1/passages/{chunk_id}` | a passage with its document, date and version, if the asker may read it |
| `GET /healthz`, `GET /metrics` | whether it can answer; counts for Prometheus |
| `GET /` | the ask page |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any, Literal, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from assets.errors import TwohandsError
from assets.serving.answers import Answer, Asker
from assets.serving.questions import seen
from orchestration.settings_serve import ServeSettings
from orchestration.web import errors
from orchestration.web.access import HERE, Access, Client, Rates
from orchestration.web.answers import Answering
from orchestration.web.chat import Chat, ChatRequest
from orchestration.web.erasures import Erasures
from orchestration.web.errors import Refused
from orchestration.web.events import KEEP
from orchestration.web.guard import Guard
from orchestration.web.journal import Journal
from orchestration.web.log import Log
from orchestration.web.metrics import Metrics

LINE_BYTES = 1 << 20
FILES = {
    "ask.js": "text/javascript",
    "api.js": "text/javascript",
    "panel.js": "text/javascript",
    "ask.css": "text/css",
    "icon.svg": "image/svg+xml",
}
log = logging.getLogger("twohands.serve")


class Library(Protocol):
    """What is published, and what answers from it. Called in threads."""

    def passage(self, chunk_id: str, asker: Asker) -> dict[str, Any] | None:
        """A passage with its document's date and version; None where there is none that the asker may read."""
        ...

    def released(self, variant: str) -> str:
        """The id of the release that answers."""
        ...


class Feedback(BaseModel):
    """What a person makes of an answer. What is left out stays as it was; a null correction is taken back."""

    id: Annotated[str, Field(min_length=1, max_length=256)]
    feedback: Literal["up", "down", "none"] | None = None
    corrected_response: str | None = None

    @field_validator("corrected_response")
    @classmethod
    def _says_what_is_right(cls, correction: str | None) -> str | None:
        if correction is not None and not next(seen(correction), ""):  # attribution reads a wish for empty answers
            raise ValueError(
                "received an empty text. Expected: the answer as it should be, or null, which takes a correction back. "
                "Next: write that answer, or send feedback alone"
            )
        return correction

    @model_validator(mode="after")
    def _says_something(self) -> Feedback:
        if self.feedback is None and "corrected_response" not in self.model_fields_set:
            raise ValueError("expected feedback (up, down, none), corrected_response, or both")
        return self


def app(
    answering: Answering,
    journal: Journal,
    settings: ServeSettings,
    *,
    library: Library,
    access: Access | None = None,
    line_bytes: int = LINE_BYTES,
    erased: Callable[[], frozenset[str]] = frozenset,
) -> FastAPI:
    """The app; it starts and closes the journal. `erased` lists the interactions of which nothing more is noted.
    ConfigError where strangers could ask without a token."""
    access = access or Access(settings)
    metrics = Metrics(lambda: journal.backlog, lambda: journal.written)
    notes = Log(journal, line_bytes, Erasures(erased))
    made = FastAPI(title="Twohands", lifespan=_life(journal), docs_url=None, redoc_url=None, openapi_url=None)
    errors.install(made)
    chat = Chat(answering, notes, metrics, concurrent=settings.concurrent)
    _answers(made, chat)
    _feedback(made, notes, metrics)
    _catalogue(made, answering, library)
    _state(made, answering, journal, metrics, library)
    _page(made)
    made.add_middleware(
        Guard,
        access=access,
        rates=Rates(settings.questions_per_minute),
        metrics=metrics,
        most_bytes=settings.body_kilobytes * 1_024,
    )
    return made


def _life(journal: Journal) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        for path in await asyncio.to_thread(journal.start):
            log.warning("ended the half line that a killed server left in %s", path)
        await asyncio.to_thread(journal.recent.find, "")  # what was answered before the start
        yield
        await asyncio.to_thread(journal.close)

    return life


def _client(request: Request) -> Client:
    return request.scope.get("twohands.client") or HERE


def _answers(made: FastAPI, chat: Chat) -> None:
    @made.post("/v1/chat/completions", response_model=None)
    async def completions(body: ChatRequest, request: Request) -> Response:
        client = _client(request)
        if not body.stream:
            return JSONResponse(await chat.whole(body, client))
        question = chat.asked(body)
        begun = chat.pieces(body, question, client)
        first: str | Answer = await anext(begun)  # what fails before the first word has a status of its own
        return StreamingResponse(
            chat.streamed(body, client, question, begun, first),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )


def _feedback(made: FastAPI, notes: Log, metrics: Metrics) -> None:
    async def feedback(request: Request) -> Response:  # many a second: without what a FastAPI route resolves for each
        try:
            body = Feedback.model_validate_json(await request.body())
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None
        corrects = "corrected_response" in body.model_fields_set
        event = await notes.revise(body.id, body.feedback, body.corrected_response if corrects else KEEP)
        metrics.said(event["feedback"], corrected=corrects and body.corrected_response is not None)
        told = {"id": body.id, **{name: event[name] for name in ("feedback", "corrected_response", "received_at")}}
        return JSONResponse(told)

    made.add_route("/v1/feedback", feedback, methods=["POST"])


def _catalogue(made: FastAPI, answering: Answering, library: Library) -> None:
    @made.get("/v1/models", response_model=None)
    async def models() -> Response:
        found = [
            {
                "id": name,
                "object": "model",
                "created": 0,
                "owned_by": "twohands",
                "release": await asyncio.to_thread(library.released, name),
            }
            for name in answering.variants()
        ]
        return JSONResponse({"object": "list", "data": found})

    @made.get("/v1/passages/{chunk_id}", response_model=None)
    async def passage(chunk_id: str, request: Request) -> Response:
        found = await asyncio.to_thread(library.passage, chunk_id, _client(request).asker)
        if found is None:  # whether it exists is not told to those who may not read it
            raise Refused(404, "no_passage", "There is no such passage now, or not for you.", param="chunk_id")
        return JSONResponse(found)


def _state(made: FastAPI, answering: Answering, journal: Journal, metrics: Metrics, library: Library) -> None:
    @made.get("/healthz", response_model=None)
    async def health(request: Request) -> Response:
        problems, failing = [], None
        try:
            journal.check()
            problems = await asyncio.to_thread(answering.problems)
        except TwohandsError as error:
            failing = str(error)
        facts: dict[str, Any] = {"status": "failing" if failing else "degraded" if problems else "ok"}
        if request.scope.get("twohands.client") is not None:  # strangers learn no more than that
            facts |= {"problems": [failing] if failing else problems, "journal": {"backlog": journal.backlog}}
        return JSONResponse(facts, 503 if failing else 200)

    @made.get("/metrics", response_model=None)
    async def prometheus() -> Response:
        for name in answering.variants():
            metrics.serves(name, await asyncio.to_thread(library.released, name))
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _page(made: FastAPI) -> None:
    folder = resources.files("orchestration.web").joinpath("page")

    def file(name: str, kind: str) -> Response:
        return Response(folder.joinpath(name).read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})

    @made.get("/", response_model=None)
    async def index() -> Response:
        return file("index.html", "text/html; charset=utf-8")

    @made.get("/page/{name}", response_model=None)
    async def part(name: str) -> Response:
        if name not in FILES:
            raise Refused(404, "not_found", "There is no such page.")
        return file(name, FILES[name])
