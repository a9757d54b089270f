"""Warehouses of the tests: a DuckDB file, and a real Postgres server that the tests start themselves."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from assets.behavior.schemas import partition
from orchestration.engines.lake import open_lake
from orchestration.engines.warehouse import PostgresSettings, Warehouse

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
PASSWORD_ENV = "TWOHANDS_TEST_PG_PASSWORD"


def duck(home: Path, **options) -> Warehouse:
    """A DuckDB warehouse over the lake in `home`."""
    lake = open_lake(str(home / "lake"), locks=home / "locks")
    return Warehouse(project=PROJECT, home=home, lake=lake, lake_root=str(home / "lake"), **options)


def stale(warehouse: Warehouse, days: Sequence[date]) -> list[date]:
    """The days whose exported counts were computed from something else than what the lake and the project hold now."""
    made_of = warehouse.inputs(days)

    def differs(day: date) -> bool:
        exported = warehouse.lake.read(partition("daily", day))
        rows = warehouse.lake.read(partition("interactions", day))
        if exported is None:
            return rows is not None and rows.num_rows > 0
        return rows is None or exported.schema.metadata[b"twohands.inputs"].decode() != made_of[day]

    return [day for day in days if differs(day)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresSettings]:
    """The server of TWOHANDS_TEST_PG_URL, or one of our own on a free port; skips where there is neither."""
    if url := os.environ.get("TWOHANDS_TEST_PG_URL"):
        parts = urlsplit(url)
        os.environ[PASSWORD_ENV] = unquote(parts.password or "")
        yield PostgresSettings(
            parts.hostname or "127.0.0.1",
            parts.port or 5432,
            unquote(parts.username or "postgres"),
            parts.path.lstrip("/") or "postgres",
            password_env=PASSWORD_ENV,
        )
        return
    programs = find_postgres()
    if programs is None:
        pytest.skip("no Postgres: neither TWOHANDS_TEST_PG_URL nor initdb in PATH or /usr/lib/postgresql/*/bin")
    user = "postgres" if os.geteuid() == 0 else None
    if user and user not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("no Postgres: it does not run as root, and there is no user `postgres`")
    folder = Path(tempfile.mkdtemp(prefix="twohands-postgres-"))
    try:
        if user:
            shutil.chown(folder, user, user)
        yield from serve(programs, folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_postgres() -> Path | None:
    """The folder of initdb and postgres (a link in PATH may be to one of the two alone)."""
    linked = shutil.which("initdb")
    places = [Path(linked).resolve().parent] if linked else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def serve(programs: Path, folder: Path, user: str | None) -> Iterator[PostgresSettings]:
    import psycopg

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password, secret = uuid.uuid4().hex, folder / "password"
    secret.write_text(password)
    if user:
        shutil.chown(secret, user, user)
    data = str(folder / "data")
    setup = [
        "initdb",
        "-D",
        data,
        "-U",
        "tester",
        "-A",
        "scram-sha-256",
        f"--pwfile={secret}",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    run = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([programs / setup[0], *setup[1:], "--locale=C.UTF-8"], check=True, **run)
    options = ["-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-c", "fsync=off"]
    server = subprocess.Popen([programs / "postgres", *options], **run)
    os.environ[PASSWORD_ENV] = password
    settings = PostgresSettings("127.0.0.1", port, "tester", "postgres", password_env=PASSWORD_ENV)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(
                    host="127.0.0.1", port=port, user="tester", dbname="postgres", password=password
                ).close()
                break
            except psycopg.OperationalError:
                assert server.poll() is None, "the Postgres server ended"
                assert time.monotonic() < deadline, "the Postgres server does not answer"
        yield settings
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def open_postgres(postgres_server: PostgresSettings) -> Callable[..., Warehouse]:
    """A warehouse with schemas of its own on the server, over the lake in a folder."""

    def opened(home: Path, **options) -> Warehouse:
        name = uuid.uuid4().hex[:8]
        found = postgres_server
        settings = PostgresSettings(
            found.host, found.port, found.user, found.dbname, f"marts_{name}", f"raw_{name}", found.password_env
        )
        lake = open_lake(str(home / "lake"), locks=home / "locks")
        return Warehouse(
            project=PROJECT,
            home=home,
            lake=lake,
            lake_root=str(home / "lake"),
            target="postgres",
            postgres=settings,
            **options,
        )

    return opened
