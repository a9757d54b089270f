"""`twohands serve`: the ask page, the OpenAI-compatible API and the feedback journal; `twohands dev`: the UI and it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestration.cli import Context

KEEPER = "TWOHANDS_KEEPER"  # the process that started this one, and without which it ends
_IDLE_SECONDS = 75  # longer than proxies keep theirs: a connection must not be closed under a request
_GRACE_SECONDS = 20  # in which answers that are under way may end


@click.command()
@click.option("--host", help="Address to listen on (default: [serve] host). Beyond this machine: only with tokens.")
@click.option("--port", envvar="SERVE_PORT", type=click.IntRange(1, 65_535), help="Default: [serve] port, 3001.")
@click.pass_obj
def serve(context: Context, host: str | None, port: int | None) -> None:
    """Serve the ask page and the OpenAI-compatible API; every answer and all feedback becomes an interaction."""
    if keeper := os.environ.pop(KEEPER, ""):
        from orchestration.engines.training_guard import die_with_parent

        die_with_parent(int(keeper))
    from orchestration.web.access import Access
    from orchestration.web.port import listening

    settings = context.settings
    wanted = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    chosen = settings.serve.model_copy(update=wanted)
    access = Access(chosen)
    bound = listening(chosen.host, chosen.port)  # before what takes seconds to import
    import uvicorn

    from orchestration.assembly_behavior import journal_folder
    from orchestration.assembly_web import web_app

    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        web_app(settings, chosen, access),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_IDLE_SECONDS,
    )
    folder, apart = journal_folder(settings)
    shown = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    click.echo(f"The ask page: http://{shown}:{chosen.port}  (API: /v1; events: {folder})", err=True)
    if apart:
        click.echo(f"{apart[0].upper()}{apart[1:]}: events stay in {folder}, and ingestion reads them there.", err=True)
    uvicorn.Server(config).run(sockets=[bound])


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--serve-port", envvar="SERVE_PORT", type=click.IntRange(0, 65_535), help="Default: port + 1; 0: none.")
@click.pass_obj
def dev(context: Context, port: int, host: str, serve_port: int | None) -> None:
    """Serve the Dagster UI with sensors and schedules running, and the ask page (what `make run` does)."""
    from orchestration.dev import serve as become

    become(context.settings, host, port, port + 1 if serve_port is None else serve_port)


COMMANDS: Sequence[click.Command] = (serve, dev)
