"""Types that more than one table of twohands.toml has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

_NAME = "[A-Za-z_][A-Za-z0-9_]{0,62}"  # shorter than a token of `openssl rand -hex 32`, put here by mistake

Variable = Annotated[str, Field(pattern=f"^{_NAME}$")]  # the NAME of an environment variable that holds a secret
OptionalVariable = Annotated[str, Field(pattern=f"^({_NAME})?$")]  # "" where there is none
