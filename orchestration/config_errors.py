"""What is wrong in twohands.toml, in words: the key's path, what was received, what is valid.

received                                                 shown as
a text, number or list                                   the file says it: `${NAME}`, never the variable's value
anything under a key that may hold a secret (its path    "a text", "a number", "a list": a secret that stands in the
has token, key, password, secret, credential, options,   wrong place is not printed once more
or ends in _env; the webhook's url)
anything in the place of a table; a list of tables       the same
a name and password in an address                        "..."
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from datetime import date, time
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from orchestration.settings import Settings

_SECRET = re.compile(r"token|key|password|secret|credential|options|_env$|^alerts\.webhook\.url", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/@\s]*@")
_TABLE = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "date_type": "a date, as in 2025-01-01",
}
_VARIABLE = "Expected the NAME of an environment variable, such as ASK_TOKEN"


def explained(error: ValidationError, name: str, raw: Any) -> Iterator[str]:
    """One line for each wrong key of the file `name`, which holds `raw`."""
    found: dict[tuple[str, str], list[str]] = {}
    for problem in error.errors():
        if _inherited(raw, problem["loc"]):
            continue
        location, received = _at(raw, problem["loc"], missing=problem["type"] in ("missing", "extra_forbidden"))
        lead, said = _told(problem, location, received, name)
        if said not in (known := found.setdefault((lead, ".".join(location)), [])):
            known.append(said)  # the branches of a union, each with a problem of its own
    for (lead, _), said in found.items():
        alternatives = [said[0], *(one.removeprefix("Expected ") for one in said[1:])]
        yield _LOGIN.sub("://...@", f"{lead}{' or '.join(alternatives)}.")


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that a table may have in the file."""
    return [name for name in model.model_fields if name not in ("root", "home", "file")]


def keys_at(location: Sequence[str]) -> list[str]:
    """Valid keys of the table at a path; names of sources and variants stand for themselves."""
    model: Any = Settings
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[part].annotation
            tables = [arg for arg in get_args(model) if isinstance(arg, type) and issubclass(arg, BaseModel)]
            if tables and get_origin(model) is UnionType:  # Table | None
                model = tables[0]
            elif tables:  # Mapping[Name, Table], or a list of tables: the next part is a name, or a number
                model = (tables[0],)
        elif isinstance(model, tuple):
            model = model[0]
    return keys_of(model) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _told(problem: Any, location: list[str], received: Any, name: str) -> tuple[str, str]:
    """What a line begins with, and what it says of one problem."""
    path = ".".join(location)
    if problem["type"] == "extra_forbidden":
        valid = sorted(keys_at(location[:-1]))
        close = difflib.get_close_matches(location[-1], valid, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        return f"{path}: unknown key in {name}. {hint}", f"Valid keys are: {', '.join(valid)}"
    if problem["type"] == "missing":
        return f"{path}: missing in {name}. ", "It has no default and must be given"
    if not location:
        return f"{name}: ", _expected(problem, location)
    hidden = problem["type"] in _TABLE or _may_be_secret(location)
    return f"{path}: received {_shown(received, hidden)}. ", _expected(problem, location)


def _expected(problem: Any, location: list[str]) -> str:
    """What is valid, in the words of the file and not in those of its reader's library."""
    kind, words, more = problem["type"], problem["msg"].rstrip("."), problem.get("ctx", {})
    if location and location[-1].endswith("_env"):
        return _VARIABLE
    if kind in _TABLE:
        valid = ", ".join(sorted(keys_at(location)))
        return f"Expected a table, whose keys may be: {valid}" if valid else "Expected a table"
    if kind in _EXPECTED:
        return f"Expected {_EXPECTED[kind]}"
    if kind in ("too_short", "too_long"):
        what = "table" if more["field_type"] == "Dictionary" else "list"
        bound = f"at least {more['min_length']}" if kind == "too_short" else f"at most {more['max_length']}"
        return f"Expected a {what} with {bound} in it"
    for before, after in (("Value error, ", ""), ("Input should be ", "Expected "), ("String should ", "It should ")):
        words = words.replace(before, after, 1) if words.startswith(before) else words
    return words.replace("Expected greater", "Expected a number greater").replace(
        "Expected less", "Expected a number less"
    )


def _may_be_secret(location: list[str]) -> bool:
    """Whether a value at this path might be a secret that somebody put there. Numbers of tokens are none."""
    counted = location[-1].startswith("max_") and "options" not in location
    return not counted and bool(_SECRET.search(".".join(location)))


def _shown(value: Any, hidden: bool) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and (hidden or any(isinstance(one, dict | list) for one in value)):
        return "a list"
    if hidden:
        return "a text" if isinstance(value, str) else "a number" if isinstance(value, int | float) else "a date"
    return value.isoformat() if isinstance(value, date | time) else f"{value!r:.120}"


def _inherited(raw: Any, location: tuple[int | str, ...]) -> bool:
    """Whether a variant's key is [decision]'s, where it is reported already."""
    if len(location) < 3 or location[0] != "variants":
        return False
    _, own = _at(raw, location[:2], missing=False)
    decision = raw.get("decision")
    return isinstance(decision, dict) and location[2] in decision and not (isinstance(own, dict) and location[2] in own)


def _at(raw: Any, location: tuple[int | str, ...], missing: bool) -> tuple[list[str], Any]:
    """The path as the file knows it, and what is there. pydantic also names the branch of a union (`.str`, `.int`),
    which is no part of the file; a `missing` key is none either, and is still told."""
    path: list[str] = []
    for part in location:
        held: dict[Any, Any] = raw if isinstance(raw, dict) else dict(enumerate(raw)) if isinstance(raw, list) else {}
        if part in held:
            raw = held[part]
        elif not (missing and part == location[-1]):
            continue
        path.append(str(part))
    return path, raw
