"""Typed settings of [alerts]: who is told when a run failed."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestration.settings_types import OptionalVariable

Address = Annotated[str, Field(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$", max_length=254)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _web(value: str) -> str:
    try:
        parts = urlsplit(value if value.isascii() and value.isprintable() and " " not in value else "")
        right = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise ValueError("Expected http(s)://host/... in ASCII, without spaces, and without a name or password in it")
    return value


class WebhookSettings(_Table):
    """[alerts.webhook]: JSON by POST. `url_env` is the NAME of the variable that holds an address which is a secret, as
    those of chat services are; `token_env` that of a bearer token."""

    url: str = ""
    url_env: OptionalVariable = ""
    token_env: OptionalVariable = ""
    seconds: Annotated[float, Field(gt=0, le=60)] = 10
    attempts: Annotated[int, Field(ge=1, le=10)] = 3

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return _web(value) if value else value

    @model_validator(mode="after")
    def _one_address(self) -> WebhookSettings:
        if bool(self.url) == bool(self.url_env):
            raise ValueError("Expected one of url and url_env (the NAME of the variable that holds the address)")
        return self


class MailSettings(_Table):
    """[alerts.mail]: SMTP. `password_env` is the NAME of the variable that holds the password of `user`."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Address
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]
    user: str = ""
    password_env: OptionalVariable = ""
    seconds: Annotated[float, Field(gt=0, le=60)] = 20
    attempts: Annotated[int, Field(ge=1, le=10)] = 2

    @field_validator("to", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        return _tuple(value)

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> MailSettings:
        if bool(self.user) != bool(self.password_env):
            raise ValueError("Expected both of user and password_env, or neither")
        if self.user and self.security == "none":
            raise ValueError('security = "none" would send the password in the clear. Expected "starttls" or "tls"')
        return self


class AlertSettings(_Table):
    """[alerts]: the log is told by default; `ui_url` is where links to runs lead."""

    log: bool = True
    ui_url: str = "http://127.0.0.1:3000"
    sensor_seconds: Annotated[int, Field(ge=1, le=3_600)] = 10
    webhook: WebhookSettings | None = None
    mail: MailSettings | None = None

    @field_validator("ui_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        return _web(value).rstrip("/") if value else value
