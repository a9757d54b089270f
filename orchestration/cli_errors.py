"""How a command says that it failed: in words on stderr, as JSON where it was asked for, and by its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from assets.errors import BadQuestion, ConfigError, GateRefused, TwohandsError

FAILED, USAGE, REFUSED = 1, 2, 3


class Commands(click.Group):
    """A group whose commands, under --json, end in an object also where they fail: {"error": text, "kind": class}."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click does; what is raised is said on stdout, and raised on."""
        try:
            return super().invoke(ctx)
        except (TwohandsError, click.UsageError) as error:
            if ctx.obj is not None and ctx.obj.as_json:
                text = error.format_message() if isinstance(error, click.UsageError) else str(error)
                click.echo(json.dumps({"error": text, "kind": type(error).__name__}, ensure_ascii=False))
            raise


def guarded(run: Callable[[], Any]) -> Callable[[], Any]:
    """`run`, whose errors become a line on stderr and an exit code."""

    @wraps(run)
    def guarded() -> Any:
        try:
            return run()
        except (ConfigError, BadQuestion) as error:
            click.echo(f"twohands: {error}", err=True)
            sys.exit(USAGE)
        except TwohandsError as error:
            click.echo(f"twohands: {error}", err=True)
            sys.exit(REFUSED if isinstance(error, GateRefused) else FAILED)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                sys.stderr.close()  # the reader of our output has gone; Python would complain about it at exit
            else:
                click.echo(f"twohands: {error}. Next: check the path, its permissions and the disk.", err=True)
            sys.exit(FAILED)

    return guarded
