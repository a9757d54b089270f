"""Which adapters are of no use to what is configured now. Pure.

an adapter                                   what is configured          retired
-------------------------------------------  --------------------------  -------------------------------------
of a base                                    other weights, tokenizer    yes: it moves weights that are no more
                                             or chat template
of prompts (a template's version)            another version             yes: it was shown other prompts
of both                                      the same                    no
any                                          another encoder, index or   no: the next one is gated on the new
                                             documents                   passages
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Made(Protocol):
    """What is asked of an adapter (store.py)."""

    @property
    def id(self) -> str: ...  # noqa: D102

    @property
    def base(self) -> str: ...  # noqa: D102

    @property
    def template(self) -> str: ...  # noqa: D102


def retired(adapter: Made, base: str, template: str) -> str:
    """Why an adapter is of no use with the base of this id and prompts of this version; empty where it is."""
    if adapter.base != base:
        return f"made for base {adapter.base}, and {base} is configured"
    if adapter.template != template:
        return f"made for prompts {adapter.template}, and {template} are configured"
    return ""


def all_retired(adapters: Iterable[Made], base: str, template: str) -> dict[str, str]:
    """The retired ones by id, with the reason."""
    return {one.id: why for one in adapters if (why := retired(one, base, template))}
