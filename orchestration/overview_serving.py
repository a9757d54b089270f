"""What `twohands doctor` tries of answering and serving: tokens and port, journal, base, generator, access.

Imports no torch and loads no model: a base is looked at, not hashed, and a generator by URL is asked for its list once.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assets.errors import ConfigError, DiskFull, EngineBusy, EngineError, SourceError
from orchestration.overview_words import place
from orchestration.settings import Settings

if TYPE_CHECKING:
    from assets.knowledge.pipeline import FastHand

Check = tuple[str, Callable[[], str]]
ROOM = 256 << 20  # bytes: four full files of the journal
_WAIT = 5.0  # seconds that a generator by URL may take to say what it serves


def checks(settings: Settings, hand: Callable[[], FastHand]) -> list[Check]:
    """(name, what says how it is, or raises)."""
    return [
        ("serve", lambda: _serve(settings)),
        ("serve port", lambda: _port(settings)),
        ("journal", lambda: _journal(settings)),
        ("base", lambda: _base(settings)),
        ("generator", lambda: _generator(settings)),
        ("answering", lambda: _answering(settings)),
        ("access", lambda: _access(settings, hand())),
    ]


def _serve(settings: Settings) -> str:
    from orchestration.web.access import Access

    serve, access = settings.serve, Access(settings.serve)
    if access.open:
        return f"{serve.host}: this machine alone, without a token"
    names = ", ".join(token.name or token.token_env for token in serve.tokens)
    return f"{serve.host}: {len(serve.tokens)} tokens ({names})"


def _port(settings: Settings) -> str:
    from orchestration.web import port

    serve = settings.serve
    where = f"{serve.host}:{serve.port}"
    try:
        port.listening(serve.host, serve.port).close()
        return f"{where} is free: no server runs there"
    except port.PortInUse:
        said = port.said(serve.host, serve.port, next(iter(serve.hosts), ""))
        if said == "failing":
            raise EngineBusy(
                f"the server at {where} says that it is failing",
                expected="a server that can answer",
                next_step="look at its log, or ask its /healthz with a token",
            ) from None
        if not said:
            raise
        return f"a Twohands server has {where}, and says {said}"


def _journal(settings: Settings) -> str:
    from orchestration.assembly_behavior import journal_folder

    folder, apart = journal_folder(settings)
    there = next(one for one in (folder, *folder.parents) if one.exists())
    _write_to(there)
    free = shutil.disk_usage(there).free
    if free < ROOM:
        raise DiskFull(
            f"only {free / 2**20:.0f} MiB are free where served events are written ({folder})",
            expected=f"{ROOM / 2**20:.0f} MiB: a server that cannot note an answer gives none",
            next_step="free some space there",
        )
    made = "" if there == folder else "; the server will make it"
    why = f": {apart}; ingestion reads it there" if apart else ""
    return f"{folder} is writable, {free / 2**30:.0f} GiB free{made}{why}"


def _write_to(folder: Path) -> None:
    """Tries, as the server would, without leaving anything there."""
    probe = folder / f".doctor-{os.getpid()}"
    try:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with probe.open("xb"):
            pass
        probe.unlink()
    except OSError as error:
        raise SourceError(
            f"served events cannot be written to {folder} ({error.strerror or error})",
            expected="a folder that this user can write to",
            next_step="correct behavior.landing, or the folder's permissions",
        ) from error


def _base(settings: Settings) -> str:
    from orchestration.assembly_serving import base_folder
    from orchestration.engines.base_model import MissingBase, check_chats, readable

    folder = base_folder(settings)
    try:
        readable(folder)
    except MissingBase as error:
        if settings.generator.engine == "openai" and not folder.exists():
            return f"{folder} is not there; [generator] answers, and a fine-tune would need it"
        raise error
    check_chats(folder)
    return f"{folder} is whole, and its chat template marks answers"


def _generator(settings: Settings) -> str:
    said = settings.generator
    if said.engine == "transformers":
        return f"in this process ({said.device}), with up to {said.adapters} adapters side by side"
    from orchestration.engines.chat_http import Endpoint

    wait = min(said.seconds, _WAIT)
    endpoint = Endpoint(said.url or "", said.api_key_env, wait, 1, 0.0, "generator", "generator", "api_key_env")
    found, wanted, where = endpoint.models(), said.model or "", place(endpoint.url)
    if found is None:
        return f"{where} answers, and does not say what it serves"
    if not any(name == wanted or name.startswith(f"{wanted}:") for name in found):
        raise EngineError(
            f"the generator at {where} does not serve {wanted!r}",
            expected=f"one of what it lists: {', '.join(found[:5]) or 'nothing'}{', ...' if len(found) > 5 else ''}",
            next_step="correct generator.model, or load that model there",
        )
    return f"{where} serves {wanted}, and {len(found) - 1} others"


def _answering(settings: Settings) -> str:
    from orchestration.assembly_answering import form

    forms = [f"{name} as {form(settings, name).kind}" for name in settings.variants]
    said = settings.answering
    return f"{', '.join(forms)}; {said.passages} passages, questions of up to {said.max_characters:,} characters"


def _access(settings: Settings, hand: FastHand) -> str:
    field, public = settings.access.field, settings.access.public
    held: Counter[tuple[str, ...]] = Counter()
    for name in hand.slices:
        held.update(_values(hand, name, field))
    total = held.total()
    if not total:
        return f"{field}: there are no passages yet"
    for token in settings.serve.tokens:
        if "*" not in token.groups and not _readable(held, {*public, *token.groups}):
            raise ConfigError(
                f"serve.tokens: {token.name or token.token_env} may read none of the {total:,} passages",
                expected=f"groups that documents name in their field {field!r}, or public ones ({', '.join(public)})",
                next_step=f"correct its groups, access.field or access.public; documents have {_shown(held)}",
            )
    everybody, without = _readable(held, {*public}), held[()]
    groups = f"{total - everybody - without:,} for groups"
    return f"{field}: {everybody:,} passages for everybody, {groups}, {without:,} without it (whoever may read all)"


def _values(hand: FastHand, slice: str, field: str) -> Mapping[tuple[str, ...], int]:
    """How many passages of a slice have which values of a field, as filters read it; () where they have none."""
    from assets.knowledge import chunks
    from assets.ports.index import values

    records = chunks.open_records(hand.lake, slice)
    column = field if field in ("doc_id", "title") else "metadata"
    found: Counter[tuple[str, ...]] = Counter()
    for table in records.current(records.state(), None, ["title" if column == "doc_id" else column]):
        for row in table.column(column).value_counts().to_pylist():
            if field == "slice" or column != "metadata":
                held: tuple[str, ...] = (slice if field == "slice" else row["values"],)
            else:
                metadata: Mapping[str, str] = json.loads(row["values"])
                held = values(metadata[field]) if field in metadata else ()
            found[held] += row["counts"]
    return found


def _readable(held: Mapping[tuple[str, ...], int], wanted: Collection[str]) -> int:
    """How many passages have one of the wanted values."""
    return sum(count for found, count in held.items() if not {*found}.isdisjoint(wanted))


def _shown(held: Mapping[tuple[str, ...], int]) -> str:
    names = sorted({name for found in held for name in found})
    return ", ".join(names[:5]) or "none at all"
