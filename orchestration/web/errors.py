"""Errors in the shape of OpenAI's API: {"error": {"message", "type", "param", "code"}}.

| raised | status |
|---|---|
| BadQuestion | 400; 404 for a model that is not there |
| what a client may try again (Retryable), a disk that is full | 503, with Retry-After |
| no index yet, model files that are missing or tampered with | 503 |
| anything else | 500; its text goes to the log, not to the client |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from assets.errors import (
    BadQuestion,
    DiskFull,
    EngineBusy,
    Final,
    ModelError,
    NothingPublished,
    Retryable,
    TwohandsError,
)

log = logging.getLogger("twohands.serve")
RETRY_AFTER = 2

_STATUS: tuple[tuple[type[TwohandsError], int, str], ...] = (
    (BadQuestion, 400, "bad_question"),
    (DiskFull, 503, "disk_full"),
    (EngineBusy, 503, "busy"),
    (Retryable, 503, "try_again"),
    (NothingPublished, 503, "nothing_published"),
    (ModelError, 503, "model_unavailable"),
    (Final, 500, "refused"),
)


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None, retry_after: int = 0) -> None:
        self.status, self.code, self.message, self.param, self.retry_after = status, code, message, param, retry_after
        super().__init__(message)


def refused(error: TwohandsError) -> Refused:
    """What one of our errors is to a client."""
    status, code = next(((s, c) for kind, s, c in _STATUS if isinstance(error, kind)), (500, "failed"))
    if status == 500:
        log.error("%s", error)
        return Refused(500, code, "The server cannot answer: its operator finds the reason in its log.")
    return Refused(status, code, str(error), retry_after=RETRY_AFTER if status == 503 else 0)


def body(error: Refused) -> dict[str, Any]:
    """The JSON of an error."""
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(error.status)
    kind = kind or ("invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def response(error: Refused) -> JSONResponse:
    """An error as a response."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="twohands"'
    return JSONResponse(body(error), error.status, headers)


def install(app: FastAPI) -> None:
    """Every error of the app in one shape."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        return response(error if isinstance(error, Refused) else refused(error))  # type: ignore[arg-type]

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        found = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
        if found.get("type") == "json_invalid":
            return response(Refused(400, "invalid_request", _no_json(found)))
        where = ".".join(str(part) for part in found["loc"] if part != "body")
        said = str(found["msg"]).removeprefix("Value error, ")
        return response(Refused(400, "invalid_request", f"{where or 'body'}: {said}.", param=where or None))

    async def http(_: Request, error: Exception) -> JSONResponse:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 400 and error.__cause__ is not None:  # FastAPI could not decode the body, or it nests too deeply
            return response(Refused(400, "invalid_request", _no_json(_undecoded(error.__cause__))))
        code = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
        return response(Refused(status, code, str(getattr(error, "detail", error))))

    async def unknown(_: Request, error: Exception) -> JSONResponse:
        log.error("unexpected", exc_info=error)
        return response(Refused(500, "failed", "The server failed: its operator finds the reason in its log."))

    app.add_exception_handler(Refused, ours)
    app.add_exception_handler(TwohandsError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unknown)


def _undecoded(cause: BaseException) -> Mapping[str, Any]:
    if isinstance(cause, UnicodeDecodeError):
        return {"loc": ("body", cause.start), "msg": f"not {cause.encoding}, {cause.reason}"}
    return {"loc": (), "msg": str(cause) or type(cause).__name__}


def _no_json(found: Mapping[str, Any]) -> str:
    """FastAPI gives the position as a place of the body, pydantic within its words."""
    where = [f"position {part}" for part in found["loc"] if part != "body"]
    said = found.get("ctx", {}).get("error") or str(found["msg"]).removeprefix("Invalid JSON: ")
    return f"The body is no JSON ({': '.join([*where, said])}). Next: send a JSON object."
