"""From settings to what answers are served from: where bases and adapters lie, and how the decision sees a release."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from assets.decision.pipeline import Release as Answering
from assets.errors import ConfigError, ModelError
from assets.ports import Lake
from assets.serving.releases import Releases
from orchestration.settings import Settings

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def releases(settings: Settings, lake: Lake) -> Releases:
    """The releases of every variant; the base is the configured one, adapters are in the home."""
    return Releases(
        lake, base=lambda _: base_folder(settings), adapter=lambda one: adapter_folder(settings, one.adapter)
    )


def answering(found: Releases) -> Callable[[str], Answering]:
    """What the decision asks: what answers, and since which day. A new release begins a new contract."""
    return lambda variant: Answering(*found.moves.since(variant))


def adapter_folder(settings: Settings, id: str) -> Path:
    """Where an adapter is published; ModelError for a name that could leave the folder."""
    if not _ID.fullmatch(id):
        raise ModelError(f"{id!r} is no id of an adapter", expected="letters, digits, dots, - and _")
    return settings.home / "adapters" / id


def base_folder(settings: Settings) -> Path:
    """Where the configured base lies: a folder, or (with a revision) the hub's cache. Nothing is downloaded here."""
    model, revision = settings.base.model, settings.base.revision
    if revision is None:
        return settings.path(model)
    if not _COMMIT.fullmatch(revision):
        raise ConfigError(
            f"base.revision: received {revision!r}",
            expected="a full commit hash (40 lower-case hex digits), since branches and tags move",
            next_step="copy the commit hash from the model's page on the hub",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"The base {model} at {revision} is not in the hub's cache",
            expected="the files that releases were made for",
            next_step="download it (`hf download`), or set base.model to a folder",
        ) from error
