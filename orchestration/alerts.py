"""What an alert says of a failed run, and telling it: what failed, why, what to do next. Pure but for the sinks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from assets.errors import TwohandsError
from assets.ports.alerts import Alert, AlertSink

LONGEST = 600  # characters of a reason
PASSED_ON = 400  # of an error that is not ours
_DOCTOR = "open the run; `twohands doctor` says what is wrong with sources, models and engines"
NEXT: Mapping[str, str] = {  # where the error itself names no next step
    "sync_slices": f"{_DOCTOR}. The sensor asks for the slice again; what was published before is served",
    "reconcile_slices": f"{_DOCTOR}. Then re-execute the run; what was published before is served",
    "ingest_interactions": f"{_DOCTOR}. The sensor asks again; nothing that was landed is lost",
    "rebuild_days": f"{_DOCTOR}. The sensor asks for the days again; the former marts stay",
    "rebuild_report": f"{_DOCTOR}. The sensor asks for the report again",
    "decide": "open the run; the newest verdict stands, and the sensor asks again",
    "finetune": "open the run, and docs/runbook.md (A candidate was refused). Re-executed, it goes on with what was "
    "claimed; what answered before answers",
    "release": "open the run; what answered before answers",
    "report_ledger": "open the run, and re-execute it; nothing was spent",
    "maintain": "open the run, and re-execute it; nothing that is published changed",
}
ANY = "open the run; re-execute it from the failed step when its cause is mended"


@dataclass(frozen=True)
class Cause:
    """Why a step failed: our own error or a gate's word (`ours`), or what something else said."""

    step: str
    said: str
    ours: bool = True


def alert(
    run: str,
    job: str,
    partition: str,
    causes: Sequence[Cause],
    *,
    otherwise: str = "",
    ui_url: str = "",
    at: datetime | None = None,
) -> Alert:
    """One alert for one run. `otherwise` is why it failed where no step did: its process died, or was canceled.

    The first cause is told: what fails below it failed of it. Our errors end in a next step; all others get the job's.
    """
    first = causes[0] if causes else None
    of = f" ({partition})" if partition else ""
    where = f" at {first.step.replace('__', '/')}" if first else ""
    said = _line(first.said, LONGEST if first.ours else PASSED_ON) if first else _line(otherwise, PASSED_ON)
    why, next_step = _parted(said) if first and first.ours else (said, "")
    return Alert(
        run=run,
        job=job,
        partition=partition,
        what=f"{_shown(job)}{of} failed{where}",
        why=why or "Dagster gives no reason",
        next_step=next_step or NEXT.get(job, ANY),
        link=f"{ui_url}/runs/{run}" if ui_url else "",
        at=(at or datetime.now(UTC)).isoformat(timespec="seconds"),
    )


def probe(ui_url: str = "") -> Alert:
    """What `twohands alert --test` sends."""
    return Alert(
        run=f"test-{datetime.now(UTC):%Y%m%dT%H%M%S%f}",
        job="test",
        partition="",
        what="This is a test of the alerts, and nothing failed",
        why="somebody ran `twohands alert --test`",
        next_step="nothing: alerts of failed runs arrive here",
        link=f"{ui_url}/runs" if ui_url else "",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def tell(alert: Alert, sinks: Sequence[AlertSink], told: Collection[str] = ()) -> dict[str, str]:
    """Tells every sink that was not `told` yet: {name: what went wrong, or nothing}. One that fails holds up none."""
    found = {}
    for sink in sinks:
        if sink.name in told:
            continue
        try:
            sink.send(alert)
        except TwohandsError as error:
            found[sink.name] = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a sink does, the others are told
            found[sink.name] = f"{type(error).__name__}"  # its message may hold what the sink keeps secret
        else:
            found[sink.name] = ""
    return found


def _shown(job: str) -> str:
    return "A run of assets" if job.startswith("__") else f"The job {job}"


def _line(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]} ..."


def _parted(said: str) -> tuple[str, str]:
    """(why, next step) of an error of ours: `str(TwohandsError)` ends in "Next: ..."."""
    why, mark, next_step = said.rpartition(" Next: ")
    return (why, next_step.rstrip(".")) if mark else (said, "")
