"""dbt as a subprocess: its command, its output, and what it says went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.errors import EngineBusy, EngineError
from orchestration.engines.warehouse_duckdb import busy, is_busy

_DRIVER = Path(__file__).with_name("warehouse_driver.py")
_FINE = frozenset({"success", "pass", "no-op", "warn"})
_TAIL = 40  # lines of dbt's output that are kept for the message of an unexpected end


@dataclass(frozen=True, slots=True)
class Outcome:
    """What dbt did: models and tests that are well, by name; a test counts once for every range of days."""

    models: tuple[str, ...]
    tests: tuple[str, ...]


def invoke(
    commands: Sequence[Sequence[str]],
    environment: Mapping[str, str],
    folder: Path,
    on_line: Callable[[str], None] | None = None,
) -> Outcome:
    """Runs dbt commands one after the other in one process, in the project's folder; `on_line` sees the output.

    Raises EngineError with the names of what failed and dbt's own message, EngineBusy when the warehouse was locked
    by another process or dbt was killed. What is built before a failure stays; the same call again converges.
    """
    results = Path(environment["DBT_TARGET_PATH"]) / "results.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    # -P: the folder of the script must not shadow anybody's modules
    words = [sys.executable, "-P", str(_DRIVER), str(results), json.dumps([list(command) for command in commands])]
    code, tail = _run(words, environment, folder, on_line)
    found = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {"nodes": [], "problem": None}
    failures = [node for node in found["nodes"] if node["status"] not in _FINE]
    if code == 0 and not failures:
        return Outcome(_names(found["nodes"], "model"), _names(found["nodes"], "test"))
    problem = _what(failures) or " ".join((found["problem"] or " ".join(tail) or f"exit code {code}").split())
    if is_busy(problem) or is_busy(" ".join(tail)):
        raise busy("The warehouse", " ".join([problem, *tail]))
    if code < 0:
        raise EngineBusy(
            f"dbt was stopped by signal {-code}",
            expected="a process that may finish; signal 9 can mean that the machine is out of memory",
            next_step="run this again: what was built stays, and the rest is built",
        )
    raise EngineError(
        f"dbt {commands[0][0]} failed: {problem}",
        expected="models that build and tests that pass",
        next_step=f"see {environment['DBT_LOG_PATH']}/dbt.log; correct the data or the model, then build again",
    )


def _run(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, on_line: Callable[[str], None] | None
) -> tuple[int, list[str]]:
    """Exit code and the last lines of the output. The child ends with us when we are interrupted."""
    tail: list[str] = []
    with subprocess.Popen(  # noqa: S603 -- our own interpreter and script
        list(words),
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        try:
            for line in child.stdout or ():
                tail = [*tail[1 - _TAIL :], line.rstrip()]
                if on_line:
                    on_line(line.rstrip())
            return child.wait(), tail
        except BaseException:
            child.kill()  # what is built stays; SIGTERM may be ignored where SIGINT was
            raise


def _names(nodes: Sequence[Mapping[str, Any]], kind: str) -> tuple[str, ...]:
    parts = (node["id"].split(".") for node in nodes)
    return tuple(sorted(part[2] for part in parts if part[0] == kind))


def _what(failures: Sequence[Mapping[str, Any]]) -> str:
    """Each failed model or test with its message; what was only skipped because of them is counted."""
    told = [_told(failure) for failure in failures if failure["status"] != "skipped"]
    skipped = len(failures) - len(told)
    return "; ".join(told) + (f" ({skipped} skipped)" if told and skipped else "")


def _told(failure: Mapping[str, Any]) -> str:
    kind, _, name, *rest = failure["id"].split(".")
    name = rest[0] if kind == "source" else name
    if failure["status"] == "fail":
        return f"test {name} found {failure['failures']} bad row(s)"
    days = f" on {', '.join(failure['batches'])}" if failure["batches"] else ""
    message = " ".join(str(failure["message"] or failure["status"]).split())
    return f"{kind} {name}{days}: {message}"
