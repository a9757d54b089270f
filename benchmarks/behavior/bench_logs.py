"""Logs that lie in the warehouse: the first read, a tick that finds nothing, one corrected day; DuckDB and Postgres.

    python benchmarks/behavior/bench_logs.py [--rows 1000000] [--days 60] [--engine duckdb|postgres]

Postgres is the server of TWOHANDS_TEST_PG_URL, or one that is started for the measurement; its table has the index that
dbt_project/README.md advises. A row is about 550 bytes with two passages. The data is made first, in SQL.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assets.behavior.pipeline import BehaviorData  # noqa: E402
from orchestration.engines.warehouse import PostgresSettings  # noqa: E402
from tests.warehouse.conftest import postgres_server  # noqa: E402
from tests.warehouse.team import Team  # noqa: E402

TODAY = datetime.now(UTC).date()
TIMES = 5
SHA = "repeat(md5(cast(i as text)), 2)"
PASSAGE = (
    f"""'{{"chunk_id": "c' || i || '", "doc_id": "handbook/' || (i % 200) || '.md", "text_sha": "' || {SHA} || '"}}'"""
)


def rows_sql(count: int, days: int) -> str:
    """Rows of `days` days up to yesterday, as many on each; 30% have a thumb, 5% were edited."""
    first = TODAY - timedelta(days=days)
    return f"""
        insert into logs.chat_logs
        select 'r' || i,
            timestamp '{first}' + (i % {days}) * interval '1 day' + (i % 977 * 79) * interval '1 second',
            null, 'user-' || (i % 5000),
            'How do I request access to the warehouse when my manager is away, case ' || i || '?',
            'You have ' || (20 + i % 20) || ' days for it, and the report is due on Monday. Ask the person on duty.',
            '[' || {PASSAGE} || ', ' || {PASSAGE} || ']', 'base',
            case when i % 10 = 0 then 1 when i % 10 < 3 then -1 end,
            case when i % 20 = 1 then 'You have ' || (21 + i % 20) || ' days for it.' end,
            null, 'topic-' || (i % 12), false
        from generate_series(1, {count}) as made(i)
    """  # noqa: S608 - two numbers


def measure(team: Team, rows: int, days: int) -> dict[str, float]:
    """Everything but what comes after ingestion, which does not depend on where the rows came from."""
    team.create()
    team.data().ingest()  # the view is built by dbt, once
    team.sql(rows_sql(rows, days))
    if team.server:
        team.sql("create index on logs.chat_logs ((cast(asked_at as date)))", "analyze logs.chat_logs")
    began, cpu = time.perf_counter(), time.process_time()
    report = team.data().ingest(days=None)
    first, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert report.accepted == rows, report
    corrected = TODAY - timedelta(days=3)
    team.sql(
        "update logs.chat_logs set agent_edit = 'You have 99 days for it.' where request_id in "  # noqa: S608 - a date
        f"(select request_id from logs.chat_logs where cast(asked_at as date) = date '{corrected}' limit 5)"
    )
    began = time.perf_counter()
    report = team.data().ingest()
    again = time.perf_counter() - began
    sensor = team.data()
    looked = _timed(lambda: sensor.landing.pending().files == 0)
    assert (report.files, report.corrected) == (1, 5), report
    windows = {f"no_op_tick_{window}_days_s": _no_op(team, window) for window in (3, 7, 30)}
    return {
        "rows": rows,
        "first_read_s": round(first, 1),
        "first_read_rows_per_s": round(rows / first),
        "first_read_rows_per_cpu_s": round(rows / cpu),  # of this process: a server's own time is not in
        "corrected_day_s": round(again, 2),
        "rows_of_a_day": rows // days,
        **windows,
        "sensor_look_s": round(looked, 3),
        "sensor_look_believed_s": round(statistics.median(_believed(sensor)), 4),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def _believed(sensor: BehaviorData) -> list[float]:
    """Seconds of looks of the same process soon after another one."""
    return [_timed(lambda: sensor.landing.pending().files == 0) for _ in range(TIMES)]


def _no_op(team: Team, window: int) -> float:
    """Median seconds of a tick that finds nothing, with so many days looked at."""
    team.configure(f'schema_name = "logs"\ntable = "chat_logs"\nlook_back_days = {window}')
    return round(statistics.median(_timed(lambda: team.data().ingest().files == 0) for _ in range(TIMES)), 3)


def _timed(holds: Callable[[], bool]) -> float:
    began = time.perf_counter()
    assert holds()
    return time.perf_counter() - began


@contextmanager
def opened(engine: str, folder: Path) -> Iterator[Team]:
    """A team of its own; its home and its database are gone afterwards."""
    if engine == "duckdb":
        yield Team(folder)
        return
    servers: Iterator[PostgresSettings] = postgres_server.__wrapped__()  # type: ignore[attr-defined] - not for pytest
    try:
        yield Team(folder, next(servers))
    finally:
        servers.close()  # type: ignore[attr-defined] - a generator; its end stops the server


def main() -> None:
    """Prints a table, and keeps it in benchmarks/out/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--engine", choices=["duckdb", "postgres"], default="duckdb")
    given = parser.parse_args()
    if os.getloadavg()[0] > 0.25 * (os.cpu_count() or 1):
        print(f"The machine is busy (load {os.getloadavg()[0]:.1f}): the seconds say little.")
    home = Path(tempfile.mkdtemp(prefix="twohands-bench-"))
    try:
        with opened(given.engine, home / "team") as team:
            found = measure(team, given.rows, given.days)
    finally:
        shutil.rmtree(home)
    for name, value in found.items():
        print(f"{name:28} {value:,}")
    out = ROOT / "benchmarks" / "out"
    out.mkdir(exist_ok=True)
    (out / f"logs-{given.engine}.json").write_text(json.dumps(vars(given) | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
