"""The demo's own project: copies of the sample, a home beside them, and the sensors and jobs of the real definitions.

Nothing here decides anything. `World.work` does what Dagster's daemon does: it lets each sensor look, and runs what it
asks for, until none asks for more.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import edit_sample
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest  # the mark that the UI shows has no public name

from assets.decision.ledger import Kind, Spend
from assets.serving.answering import Answer, Asker
from orchestration.assembly import fast_hand
from orchestration.assembly_answering import answering
from orchestration.assembly_behavior import behavior_data
from orchestration.assembly_decision import decision
from orchestration.assembly_serving import releases
from orchestration.assembly_taint import taints
from orchestration.config import load
from orchestration.definitions import build
from orchestration.dev import prepare
from orchestration.settings import Settings

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MARK = ".made-by-demo"
OPEN = 3  # days at the end that wait for late events: behavior.close_after_days
NOTE = ".made-by.json"  # of make_interactions.py: what lets a day be corrected
SENSORS = ("content_changed", "interactions_landed", "evidence_due", "behavior_shifted")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
LOOKS = 40  # of all sensors, for one change of the world; each step takes a handful
VARIANT = "main"
NO_CAPTURE = """
compute_logs:  # what steps print is in runs.log; capturing it takes four processes a step
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


class Refused(Exception):
    """What cannot be done, and what to do instead: the text is shown as it is."""


@dataclass(frozen=True)
class Run:
    """One run that a sensor asked for: what was made (asset -> its metadata, the last of several), what failed."""

    sensor: str
    job: str
    about: str  # the slice, the variant, or the days
    seconds: float
    made: dict[str, dict[str, Any]]
    failed: tuple[str, ...]  # steps and checks, with their words


def make(
    folder: Path, config: Path, per_day: int, shift_day: int, days: int, until: str = "", *, still: bool = False
) -> Settings:
    """A new project in `folder`: the sample, its settings word for word, and the logs of all days, not landed yet; the
    last of them is `until` (YYYY-MM-DD), or yesterday. `still`: its last OPEN days never close, as if it were the day
    after `until` today."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise Refused(f"{folder} holds something that this demo did not make. Name another folder with --folder.")
    _check(load(str(config), str(folder / ".twohands")), config)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    kept = shutil.ignore_patterns("interactions", "__pycache__", "demo*")
    shutil.copytree(HERE, folder / "sample", ignore=kept)
    (folder / "models").symlink_to(ROOT / "models", target_is_directory=True)
    text = config.read_text(encoding="utf-8")
    (folder / "twohands.toml").write_text(_stopped(text, until) if still else text, encoding="utf-8")
    settings = load(str(folder / "twohands.toml"), str(folder / ".twohands"))
    edit(folder, undo=True)
    made = [str(folder / "sample" / "make_interactions.py"), "--out", str(folder / "logs")]
    shift = ["--shift", "format", "--day", str(shift_day), "--days", str(days), "--per-day", str(per_day)]
    _run([*made, *shift, *(["--until", until] if until else [])])
    (folder / "sample" / "interactions").mkdir()
    shutil.copyfile(folder / "logs" / NOTE, folder / "sample" / "interactions" / NOTE)
    return settings


def _stopped(text: str, until: str) -> str:
    """Settings in which as many days wait for late events as if today were the day after `until`."""
    late = (datetime.now(UTC).date() - date.fromisoformat(until)).days - 1
    waits = min(max(OPEN + late, 0), 90)  # what the setting allows
    return re.sub(r"(?m)^# close_after_days = \d+ .*$", f"close_after_days = {waits}", text, count=1)


def _check(settings: Settings, config: Path) -> None:
    """Refused where the settings would read or write anything beside the demo's folder."""
    theirs = {
        "sources": [one.url for one in settings.sources.values()] != ["sample/handbook"],
        "index": settings.index.engine != "lancedb" or settings.index.uri is not None,
        "lake": settings.lake is not None,
        "warehouse": settings.warehouse.engine != "duckdb" or settings.warehouse.logs is not None,
        "behavior.landing": settings.behavior.landing not in (None, "sample/interactions"),
        "generator": settings.generator.engine != "transformers",
        "base": settings.base.revision is not None,
    }
    if named := [name for name, differs in theirs.items() if differs]:
        raise Refused(
            f"{config} is about other places than the sample ({', '.join(named)}), and the demo touches nothing but "
            "its own folder. Give it the settings as shipped with --config FILE (git show HEAD:twohands.toml > FILE)."
        )


def edit(folder: Path, only: str = "", *, undo: bool = False) -> tuple[edit_sample.Edit, ...]:
    """Edits the copied handbook as edit_sample.py does, one document or all; returns the edits that were done."""
    handbook = folder / "sample" / "handbook"
    edits = [one for one in edit_sample.load_edits(HERE / "edits") if only in ("", one.path)]
    plan = edit_sample.make_plan(edits, edit_sample.read_files(edits, handbook), undo=undo)
    if plan.conflicts:
        raise Refused("\n".join([*plan.conflicts, "The demo tells its story over the handbook as shipped."]))
    edit_sample.carry_out(plan.writes, handbook)
    return plan.edits


def _run(command: list[str]) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise Refused(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    return done.stdout.strip()


class World:
    """The project as it runs: sensors, jobs and answers over its real engines."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        prepare(settings)
        self.hand, self.data = fast_hand(settings), behavior_data(settings)
        self.decision = decision(settings, self.data)
        self.releases = releases(settings, self.data.lake)
        self.answering = answering(settings, self.hand, self.releases)
        self.taints = taints(settings, self.data.lake)
        self.definitions = build(settings, self.hand, self.data, None, self.decision)
        with (settings.home / "dagster" / "dagster.yaml").open("a", encoding="utf-8") as file:
            file.write(NO_CAPTURE)  # `twohands dev` writes the file anew
        self.instance = dg.DagsterInstance.from_config(str(settings.home / "dagster"))
        self.cursors: dict[str, str | None] = {}
        self.skipped: dict[str, str] = {}  # what each sensor said when it last asked for nothing

    # ------------------------------------------------------------------------------------------------- the outside

    def land(self, last: int) -> int:
        """Moves the logs of all days up to day `last`, from 1, into the landing folder; returns how many were moved."""
        landing = self.folder / "sample" / "interactions"
        there = len(list(landing.glob("*.jsonl")))
        chosen = sorted((self.folder / "logs").glob("*.jsonl"))[: last - there]
        for file in chosen:
            shutil.copyfile(file, landing / file.name)  # as young as a file that lands: the sensor lets it settle
            file.unlink()
        return len(chosen)

    def correct(self, day: str) -> str:
        """What `make_interactions.py --correct` does to a day's file."""
        landing = str(self.folder / "sample" / "interactions")
        return _run([str(self.folder / "sample" / "make_interactions.py"), "--correct", day, "--out", landing])

    def ask(self, question: str) -> Answer:
        """The answer of the variant, from what is published and released now."""
        with self.quiet():
            return self.answering.answer(question, variant=VARIANT, asker=Asker())

    # ------------------------------------------------------------------------------------------------- the inside

    def work(self) -> Iterator[Run]:
        """Every run that the sensors ask for, until none asks for more. RuntimeError where they never stop."""
        for _ in range(LOOKS):
            asked, waits = 0, False
            for name in SENSORS:
                found = self._tick(name)
                for request in found.run_requests or ():
                    asked += 1
                    yield self._launch(name, request)
                waits |= "still being written" in self.skipped.get(name, "")
            if not asked and not waits:
                return
            if not asked:
                time.sleep(self.settings.automation.settle_seconds or 0.1)
        raise RuntimeError(f"the sensors still ask for runs after {LOOKS} looks: {self.skipped}")

    def _tick(self, name: str) -> Any:
        given = {"fast_hand": self.hand, "behavior_data": self.data, "decision": self.decision}
        with (
            self.quiet(),
            dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursors.get(name),
                definitions=self.definitions,
                resources=given,
            ) as context,
        ):
            found = self.definitions.resolve_sensor_def(name).evaluate_tick(context)
        self.cursors[name] = found.cursor
        self.skipped[name] = found.skip_message or ""
        return found

    def _launch(self, sensor: str, request: dg.RunRequest) -> Run:
        job = request.job_name or self.definitions.resolve_sensor_def(sensor).job_name or ""
        tags = {**request.tags, "dagster/run_key": request.run_key or "", "dagster/sensor_name": sensor}
        began = time.monotonic()
        with self.quiet():
            result = self.definitions.resolve_job_def(job).execute_in_process(
                instance=self.instance, partition_key=request.partition_key, tags=tags, raise_on_error=False
            )
        made: dict[str, dict[str, Any]] = {}
        for event in result.all_events:
            if event.is_step_materialization:
                one = event.step_materialization_data.materialization
                made[one.asset_key.to_user_string()] = {name: value.value for name, value in one.metadata.items()}
        failed = [str(event.message) for event in result.all_events if event.is_step_failure]
        failed += [
            f"check {one.check_name} of {one.asset_key.to_user_string()}: {one.description or 'did not pass'}"
            for one in result.get_asset_check_evaluations()
            if not one.passed and one.blocking
        ]
        about = request.partition_key or "..".join(request.tags[name] for name in RANGE if name in request.tags)
        return Run(sensor, job, about, time.monotonic() - began, made, tuple(failed))

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """What libraries and runs print goes to a file: the story stays readable, and nothing is lost."""
        with (
            contextlib.chdir(Path.cwd()),  # dbt leaves the process in another folder
            (self.folder / "runs.log").open("a", encoding="utf-8") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            yield

    # ------------------------------------------------------------------------------------------------- what is there

    def requests(self) -> int:
        """Fine-tunes that were asked for, by the ledger."""
        return len(self.decision.ledger.entries([Kind.REQUEST]))

    def spent(self) -> tuple[float, float]:
        """Seconds of devices and money, of all that the ledger holds."""
        facts = [Spend.of(entry) for entry in self.decision.ledger.entries([Kind.SPEND])]
        return sum(one.seconds for one in facts), sum(one.amount for one in facts)

    def stale(self) -> list[str]:
        """Assets of the variant that the UI marks as stale."""
        graph = self.definitions.resolve_asset_graph()
        found = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        mine = [
            key
            for key in graph.toposorted_asset_keys
            if graph.get(key).is_executable
            and graph.get(key).partitions_def is not None
            and VARIANT in _keys(graph.get(key).partitions_def)
        ]
        return [key.to_user_string() for key in mine if found.get_status(key, VARIANT) is StaleStatus.STALE]


def _keys(partitions: Any) -> list[str]:
    return list(partitions.get_partition_keys()) if isinstance(partitions, dg.StaticPartitionsDefinition) else []


def offline() -> None:
    """The demo reaches no network: everything it needs is in the repository and the virtual environment."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
