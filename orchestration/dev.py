"""`twohands dev`: the Dagster UI and daemon over this project, with all state in the home folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

from assets.errors import ConfigError
from orchestration.settings import Settings

WORKSPACE = "workspace.yaml"


def prepare(settings: Settings) -> dict[str, str]:
    """Makes the home folder of Dagster and returns the environment that points at it."""
    folder = settings.home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    template = resources.files("orchestration").joinpath("dagster.yaml").read_text(encoding="utf-8")
    target = folder / "dagster.yaml"
    if not target.exists() or target.read_text(encoding="utf-8") != template:
        target.write_text(template, encoding="utf-8")
    return {
        "DAGSTER_HOME": str(folder),
        "TWOHANDS_HOME": str(settings.home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def serve(settings: Settings, host: str, port: int, ask_port: int = 0) -> None:
    """Becomes `dg dev`, with the ask page beside it (port 0: without); does not return."""
    project = Path(__file__).resolve().parent.parent
    if not (project / WORKSPACE).exists():
        raise ConfigError(
            f"There is no {WORKSPACE} in {project}",
            expected="the project's own folder",
            next_step="install the project with `pip install -e .` from a checkout",
        )
    command = shutil.which("dg", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if command is None:
        raise ConfigError("The command dg is not installed", next_step="pip install dagster-dg-cli, or `make run`")
    from orchestration.assembly_behavior import open_warehouse

    open_warehouse(settings).manifest()  # parsed here once: the server starts several processes that need it at once
    waiting = {"OMP_WAIT_POLICY": "PASSIVE"}  # runs, sensors and the ask page share the cores: threads that wait rest
    environment = {**waiting, **os.environ, **prepare(settings), "TWOHANDS_CONFIG": str(settings.file)}
    os.chdir(project)
    if ask_port:
        _keep_asking(settings, ask_port, environment)
    os.execve(command, [command, "dev", "--host", host, "--port", str(port)], environment)  # noqa: S606 - no shell


def _keep_asking(settings: Settings, port: int, environment: dict[str, str]) -> None:
    """Starts the keeper of `twohands serve`. It ends with this process, which soon is `dg dev`."""
    server = [sys.executable, "-m", "orchestration", "--config", str(settings.file), "--home", str(settings.home)]
    keeper = [sys.executable, "-m", "orchestration.web.keeper", str(os.getpid())]
    command = [*keeper, *server, "serve", "--port", str(port)]
    subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603 - no shell
