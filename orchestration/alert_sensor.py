"""The sensor of failed runs: one alert a run.

Dagster shows each failed run to it once. A tick that was killed after a sink was told may come again, so the run's tag
`twohands/alerted` names the sinks that know it, and these are left out. A run that Dagster starts once more by itself
is not told of: its successor is, if that fails too. (No postponed annotations in this file: Dagster reads those of a
sensor's context.)
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from assets.ports.alerts import AlertSink
from orchestration.alerts import Cause, alert, tell
from orchestration.settings import Settings

TOLD_TAG = "twohands/alerted"
_WILL_RETRY, _PARTITION = "dagster/will_retry", "dagster/partition"
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_OURS = "assets.errors."
_CAUSES = 10  # steps that are looked at


def run_failed(settings: Settings, sinks: Sequence[AlertSink]) -> dg.SensorDefinition:
    """Tells every sink of each failed run of this code location."""

    @dg.run_failure_sensor(
        name="run_failed",
        minimum_interval_seconds=settings.alerts.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"One alert for each failed run, to {', '.join(sink.name for sink in sinks) or 'nobody'}: what "
        "failed, why, the next step, a link. A sink that fails is named in the tick's log and holds up no other.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        if run.tags.get(_WILL_RETRY, "").lower() == "true":
            return dg.SkipReason(f"run {run.run_id} is started once more by itself")
        now = context.instance.get_run_by_id(run.run_id) or run
        told = set(filter(None, now.tags.get(TOLD_TAG, "").split(",")))
        failed = context.failure_event
        made = alert(
            run.run_id,
            run.job_name,
            _partition(run),
            list(_causes(context, quote=settings.behavior.quote)),
            otherwise=failed.message or "",
            ui_url=settings.alerts.ui_url,
        )
        for name, wrong in tell(made, sinks, told).items():
            if wrong:
                context.log.error(f"run {run.run_id}: {name} was not told: {wrong}")
                continue
            told.add(name)
            context.log.info(f"run {run.run_id}: {name} was told")
            context.instance.add_run_tags(run.run_id, {TOLD_TAG: ",".join(sorted(told))})
        return None

    return sensor


def _partition(run: dg.DagsterRun) -> str:
    first, last = (run.tags.get(name, "") for name in _RANGE)
    return run.tags.get(_PARTITION, "") or (f"{first} to {last}" if first else "")


def _causes(context: dg.RunFailureSensorContext, *, quote: bool) -> Iterator[Cause]:
    """Of each failed step, in the order in which they failed. What is not ours may hold what people wrote: without
    `quote` only the error's class is passed on."""
    for event in list(context.get_step_failure_events())[:_CAUSES]:
        data, step = event.step_failure_data, event.step_key or ""
        if data.user_failure_data is not None and data.user_failure_data.description:
            yield Cause(step, data.user_failure_data.description)  # a dg.Failure: words of ours
            continue
        root = data.error
        while root is not None and root.cause is not None:
            root = root.cause
        if root is None:
            yield Cause(step, "", ours=False)
        elif root.message.startswith(_OURS):
            yield Cause(step, root.message.partition(": ")[2])
        else:
            yield Cause(step, root.message if quote else f"{root.cls_name}: the run has more", ours=False)
