"""What is wanted of an answer's manner: a JSON schema, a style, and a project's own checks; read from settings.

Each part says between 0 and 1 how well a text keeps it. A project's own check is a plain function, named in the
settings as "module:function", of the text (and, if it takes two arguments, of the item) that returns a bool, or a
number from 0 to 1.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from assets.behavior import forms, frames
from assets.behavior.citations import cited
from assets.behavior.evaluation.items import Item
from assets.errors import ConfigError
from assets.fingerprints import digest

FORMATS = ("json", "xml", "sql", "code", "table", "list", "fields", "prose")
_NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

Check = Callable[[str, Item], float]


@dataclass(frozen=True, slots=True)
class Style:
    """What every answer keeps to. Patterns are regular expressions that are searched in the text."""

    format: str = ""
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    min_words: int = 0
    max_words: int = 0

    def parts(self, text: str) -> Iterator[tuple[str, float]]:
        """Each rule that is set, and whether the text keeps it."""
        words = len(text.split())
        if self.format:
            yield "style: format", float(forms.format_of(text) == self.format)
        for pattern in self.must:
            yield f"style: has {pattern}", float(re.search(pattern, text, re.MULTILINE) is not None)
        for pattern in self.must_not:
            yield f"style: has no {pattern}", float(re.search(pattern, text, re.MULTILINE) is None)
        if self.min_words or self.max_words:
            yield "style: length", float(self.min_words <= words <= (self.max_words or words))


@dataclass(frozen=True)
class Manner:
    """The wanted manner of a variant. Without any of this, answers are held against their corrections alone. `framed`:
    serving puts what is said into the frame of a JSON variant, so that is what the schema is of."""

    schema: Mapping[str, Any] | None = None
    style: Style = field(default_factory=Style)
    checks: Mapping[str, Check] = field(default_factory=dict)
    framed: bool = False

    def parts(self, text: str, item: Item) -> Iterator[tuple[str, float]]:
        """Each part by name, from 0 to 1. ConfigError where a project's own check fails or returns something else."""
        if self.schema is not None:
            yield "schema", float(self.valid(text))
        yield from self.style.parts(text)
        for name, check in self.checks.items():
            yield f"own: {name}", _checked(name, check, text, item)

    def valid(self, text: str) -> bool:
        """Whether a text is JSON and keeps the schema; a fence around it is none of the answer's."""
        value = forms.parsed_json(text)
        if value is None and self.framed:
            value = forms.parsed_json(frames.framed(text, min(cited(text), default=None)))
        return value is not None and self._validator.is_valid(value)

    @functools.cached_property
    def _validator(self) -> Any:
        return _validator(self.schema or {})


def manner(
    schema: Mapping[str, Any] | None = None,
    style: Style | None = None,
    checks: Sequence[str] = (),
    where: str = "",
    *,
    framed: bool = False,
) -> Manner:
    """A manner from settings; `where` is their path in the file. ConfigError names the key that is wrong."""
    found = Manner(schema, style or Style(), {name: named(name, f"{where}.checks") for name in checks}, framed)
    if schema is not None:
        _validator(schema, f"{where}.schema")
    wanted = found.style.format
    if wanted and wanted not in FORMATS:
        raise ConfigError(f"{where}.format: received {wanted!r}", expected=f"one of {', '.join(FORMATS)}")
    for pattern in (*found.style.must, *found.style.must_not):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"{where}: {pattern!r} is no regular expression ({error})") from error
    return found


def named(name: str, where: str) -> Check:
    """The check that settings name as "module:function"; ConfigError where there is none."""
    if not _NAMED.fullmatch(name):
        raise ConfigError(f"{where}: received {name!r}", expected='"module:function", as in "our_checks:signs_off"')
    module, function = name.split(":")
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{where}: {name} cannot be loaded ({error})",
            expected="a function of a module that can be imported",
            next_step="put the module beside twohands.toml, or install it",
        ) from error
    if not inspect.isroutine(found):
        raise ConfigError(f"{where}: {name} is a {type(found).__name__}", expected="a function of a text")
    takes = len(inspect.signature(found).parameters)
    if takes not in (1, 2):
        raise ConfigError(f"{where}: {name} takes {takes} arguments", expected="a text, or a text and its item")
    whole: Check = found if takes == 2 else functools.wraps(found)(lambda text, _: found(text))
    return whole


def sourced(checks: Mapping[str, Check]) -> list[list[str]]:
    """Each check's name, sorted, with a hash of its source: of the module that its name says and, where the function
    comes from another one, of that too. What these import is not looked at. The name alone where there is no source."""
    found = []
    for name, check in sorted(checks.items()):
        modules = [sys.modules.get(name.partition(":")[0]), inspect.getmodule(check)]
        texts = [_source(one) for one in dict.fromkeys(modules) if one is not None]
        found.append([name, digest(texts)[:16]] if any(texts) else [name])
    return found


@functools.cache
def _source(module: ModuleType) -> str:
    """A module's source as it was when it was asked for first, which is what runs: a file that changes under a process
    is not loaded again. Empty where there is none."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""


def _checked(name: str, check: Check, text: str, item: Item) -> float:
    try:
        value = check(text, item)
    except Exception as error:
        raise ConfigError(
            f"the check {name} failed on item {item.id} ({type(error).__name__}: {error})",
            expected="a check that judges any text",
            next_step="mend it: an answer that it cannot read should get False",
        ) from error
    if isinstance(value, (bool, int, float)) and 0 <= value <= 1:
        return float(value)
    raise ConfigError(f"the check {name} returned {value!r:.80} for item {item.id}", expected="a bool, or 0 to 1")


def _validator(schema: Mapping[str, Any], where: str = "schema") -> Any:
    """A validator that loads no other schema from anywhere: a `$ref` must point into the schema itself."""
    import jsonschema
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    kind = validator_for(schema, default=jsonschema.Draft202012Validator)
    registry = Registry().with_resource("", DRAFT202012.create_resource(dict(schema)))
    try:
        kind.check_schema(dict(schema))
        for reference in _references(schema):
            registry.resolver().lookup(reference)
    except jsonschema.SchemaError as error:
        raise ConfigError(f"{where} is no JSON Schema: {error.message}", expected="a JSON Schema") from error
    except Unresolvable as error:
        raise ConfigError(
            f"{where}: {error.ref} is not in the schema",
            expected="references into the schema itself, as in #/$defs/source",
            next_step="copy the definition into the schema: nothing is loaded from elsewhere",
        ) from error
    return kind(dict(schema), registry=Registry())


def _references(schema: Any) -> Iterator[str]:
    """Every `$ref` of a schema."""
    inner = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
        yield schema["$ref"]
    for value in inner:
        yield from _references(value)
