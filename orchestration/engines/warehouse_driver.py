"""The child process in which dbt runs: several invocations for the price of one start.

Called by `warehouse_dbt` as a script with two arguments: the file for the results, and a JSON list of dbt argument
lists. Stops at the first that fails. Starting Python and dbt takes longer than a small build, hence the care.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PDEATHSIG = 1  # of prctl(2)
_EXCEPTIONS = ("GenericExceptionOnRun", "CatchableExceptionOnRun", "InternalErrorOnRun")


def _die_with_parent() -> None:
    """A dbt whose caller was killed would hold the DuckDB file, and go on writing to it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:  # it died before the line above
            sys.exit(1)


def main(results: str, commands: str) -> int:
    """Runs the commands; writes what each node did, and what ended dbt if something did. Exit code 0 or 1."""
    _die_with_parent()
    gc.disable()  # importing dbt makes hundreds of thousands of objects, none of them garbage
    from dbt.cli.main import dbtRunner

    gc.freeze()
    gc.enable()
    nodes: list[dict[str, Any]] = []
    told: dict[str, str] = {}

    def hear(event: Any) -> None:
        if event.info.name in _EXCEPTIONS:
            told.setdefault(event.data.node_info.unique_id, event.data.exc)

    problem: str | None = None
    for arguments in json.loads(commands):
        outcome = dbtRunner(callbacks=[hear]).invoke(arguments)
        nodes += [_node(result, told) for result in getattr(outcome.result, "results", None) or ()]
        if not outcome.success:
            problem = str(outcome.exception or "")
            break
    Path(results).write_text(json.dumps({"nodes": nodes, "problem": problem}), encoding="utf-8")
    return 0 if problem is None else 1


def _node(result: Any, told: Mapping[str, str]) -> dict[str, Any]:
    """One model, test or exposure: its id, status, message and number of bad rows."""
    batches = getattr(result, "batch_results", None)
    failed = [start.date().isoformat() for start, _ in (batches.failed if batches else ())]
    newest = getattr(result, "max_loaded_at", None)  # of a source's freshness
    return {
        "id": result.node.unique_id,
        "status": str(getattr(result.status, "value", result.status)),
        # of a failed batch dbt keeps only "ERROR", and of a stale source nothing
        "message": told.get(result.node.unique_id) or result.message or (f"newest {newest}" if newest else None),
        "failures": getattr(result, "failures", None),
        "batches": failed,
    }


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written; tearing down dbt's modules would take a tenth of the whole
