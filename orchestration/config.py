"""Loading twohands.toml, checked as a whole.

Every error names the key's path, what was received and what is valid (config_errors.py). Secrets are never in the file:
it names the environment variables that hold them. Paths are relative to the file.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from assets.errors import ConfigError
from orchestration.config_errors import explained, keys_of
from orchestration.settings import Settings

CONFIG_NAME = "twohands.toml"


def find_config(path: str | None = None) -> Path:
    """The file to read: `path`, $TWOHANDS_CONFIG, or twohands.toml here or in a folder above."""
    named = path or os.environ.get("TWOHANDS_CONFIG")
    if named:
        found = Path(named).expanduser().resolve()
        if not found.is_file():
            raise ConfigError(
                f"The configuration file {found} does not exist",
                expected="a twohands.toml",
                next_step="correct --config or TWOHANDS_CONFIG",
            )
        return found
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return folder / CONFIG_NAME
    raise ConfigError(
        f"There is no {CONFIG_NAME} in {here} or above it",
        expected=f"a {CONFIG_NAME} with at least one [sources.NAME]",
        next_step="change to the project's folder, or name the file with --config or TWOHANDS_CONFIG",
    )


def load(path: str | None = None, home: str | None = None) -> Settings:
    """Reads and checks the settings; ConfigError lists every key that is wrong, not only the first."""
    file = find_config(path)
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} is not valid TOML: {error}", expected="TOML 1.0 in UTF-8", next_step="correct that line"
        ) from error
    for reserved in ("root", "home", "file"):
        if reserved in raw:
            raise ConfigError(
                f"{reserved}: unknown key in {file.name}",
                expected=f"one of {', '.join(keys_of(Settings))}",
                next_step="set the home folder with --home or TWOHANDS_HOME" if reserved == "home" else "remove it",
            )
    folder = Path(home or os.environ.get("TWOHANDS_HOME") or file.parent / ".twohands").expanduser()
    values = _variants(_expanded(raw, ()))
    try:
        settings = Settings.model_validate(
            {**values, "root": file.parent.resolve(), "home": folder.resolve(), "file": file.resolve()}
        )
    except ValidationError as error:
        raise ConfigError("\n".join(explained(error, file.name, raw))) from None
    _check_paths(settings)
    return settings


def _check_paths(settings: Settings) -> None:
    """Files that are named must exist; sources are looked at when they are listed, since they may come and go."""
    if settings.home.exists() and not settings.home.is_dir():
        raise ConfigError(
            f"The home {settings.home} is no folder",
            expected="a folder that can be made and written",
            next_step="correct --home or TWOHANDS_HOME",
        )
    if settings.index.golden and not settings.path(settings.index.golden).is_file():
        raise ConfigError(
            f"index.golden: received {settings.index.golden!r}, and {settings.path(settings.index.golden)} is no file",
            expected="a file of JSON lines, relative to twohands.toml",
            next_step="correct the path, or remove the key to publish without a retrieval gate",
        )
    listed = [("dataset.held_out", name) for name in settings.dataset.held_out]
    listed += [("evaluation.facts", name) for name in settings.evaluation.facts]
    for key, name in listed:
        if not settings.path(name).is_file():
            raise ConfigError(
                f"{key}: received {name!r}, and {settings.path(name)} is no file",
                expected="files of JSON lines, relative to twohands.toml",
                next_step="correct the path, or take it out of the list",
            )


def _variants(raw: dict[str, Any]) -> dict[str, Any]:
    """Keys of a variant override those of [decision]; a variant that says nothing is exactly [decision]."""
    decision, variants = raw.get("decision", {}), raw.get("variants", {"main": {}})
    if not isinstance(variants, dict) or not isinstance(decision, dict):
        return raw
    merged = {name: {**decision, **own} if isinstance(own, dict) else own for name, own in variants.items()}
    return {**raw, "variants": merged}


_VARIABLE = re.compile(r"\$?\$\{([^}]*)\}")


def _expanded(value: Any, path: tuple[str, ...]) -> Any:
    """`${NAME}` in any string becomes the environment variable's value; "$${" stays "${"."""
    if isinstance(value, dict):
        return {key: _expanded(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, path) for item in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        if match.group().startswith("$$"):
            return match.group()[1:]
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(
                f"{'.'.join(path)}: the environment variable {name!r} is not set",
                expected="a variable that is set, for every ${NAME} in the file",
                next_step=f"export {name}, or write the value itself if it is no secret",
            )
        return os.environ[name]

    return _VARIABLE.sub(replaced, value)
