"""The Weaviate server that the contract suite runs against: one for a test session.

| environment                       | server                                                                |
|-----------------------------------|-----------------------------------------------------------------------|
| WEAVIATE_URL                      | that one; WEAVIATE_GRPC_PORT (50051), WEAVIATE_API_KEY (none)         |
| nothing, or WEAVIATE_VERSION      | an embedded one, if its binary is in the client's cache or downloads  |

The embedded server belongs to a process of its own (`python -m tests.contract.weaviate_engine`), which stops it when
its standard input ends: when the tests end, and also when they are killed.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = os.environ.get("WEAVIATE_VERSION", "1.38.11")
KEY_ENV = "WEAVIATE_API_KEY"
DOWNLOAD_SECONDS, START_SECONDS = 45, 60


@dataclass(frozen=True)
class Address:
    url: str
    grpc_port: int


@dataclass(frozen=True)
class Embedded(Address):
    """A server that was started here: `pid` is its own, `holder` the process that stops it, `data` its folder."""

    pid: int
    holder: subprocess.Popen
    data: Path


class WeaviateEngine:
    """An `Engine` (see engines.py) whose server starts when a test asks for it, not when tests are collected."""

    name = "weaviate"
    snapshots = True

    @cached_property
    def unavailable(self) -> str:
        if not importlib.util.find_spec("weaviate"):
            return "weaviate-client is not installed"
        found = server()
        return found if isinstance(found, str) else ""

    def open(self, place: Path, lock_timeout: float):
        from orchestration.engines.weaviate_index import WeaviateIndex

        found = server()
        assert isinstance(found, Address)
        return WeaviateIndex(
            url=found.url,
            grpc_port=found.grpc_port,
            api_key_env=KEY_ENV if os.environ.get(KEY_ENV) else None,
            collection=base(place),
            lock_path=place / "weaviate.lock",
            lock_timeout=lock_timeout,
        )

    def destroy(self, place: Path) -> None:
        index = self.open(place, 5)
        client = index.store.server.client()
        for name in client.collections.list_all(simple=True):
            if name.startswith(base(place)):
                client.collections.delete(name)
        index.close()


ENGINE = WeaviateEngine()


def base(place: Path) -> str:
    """The collection of a test, equal in all processes that are told the same place."""
    return f"T{hashlib.sha256(str(place).encode()).hexdigest()[:16]}"


@cache
def server() -> Address | str:
    """The server of this session, or why there is none. Child processes find it through the environment."""
    if url := os.environ.get("WEAVIATE_URL"):
        found = Address(url, int(os.environ.get("WEAVIATE_GRPC_PORT", "50051")))
        return found if _ready(found) else f"the server at {url} (WEAVIATE_URL) does not answer"
    found = start()
    if isinstance(found, Address):
        os.environ["WEAVIATE_URL"], os.environ["WEAVIATE_GRPC_PORT"] = found.url, str(found.grpc_port)
    return found


def start(variables: Mapping[str, str] | None = None, data: Path | None = None) -> Embedded | str:
    """Starts an embedded server with more environment variables, or says why not; it stops with this process."""
    cached = _binary().exists()
    http, grpc = _free_port(), _free_port()
    folder = data or Path(tempfile.mkdtemp(prefix="weaviate-"))
    arguments = [str(http), str(grpc), str(folder), json.dumps(dict(variables or {}))]
    command = [sys.executable, "-m", "tests.contract.weaviate_engine", *arguments]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(_forget, holder, folder)
    assert holder.stdout is not None
    readable, _, _ = select.select([holder.stdout], [], [], START_SECONDS if cached else DOWNLOAD_SECONDS)
    said = holder.stdout.readline().strip() if readable else "no answer in time"
    if not said.startswith("ready "):
        _forget(holder, folder)
        return f"no WEAVIATE_URL, and no embedded server {VERSION} (binary {'' if cached else 'not '}cached): {said}"
    return Embedded(f"http://127.0.0.1:{http}", grpc, int(said.split()[1]), holder, folder)


def stop(holder: subprocess.Popen) -> None:
    """Lets the holder stop its server; does nothing the second time."""
    if holder.poll() is None and holder.stdin is not None:
        holder.stdin.close()
        try:
            holder.wait(15)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()
    if holder.stdout is not None:
        holder.stdout.close()


def _forget(holder: subprocess.Popen, data: Path) -> None:
    stop(holder)
    shutil.rmtree(data, ignore_errors=True)


def _binary() -> Path:
    from weaviate.embedded import DEFAULT_BINARY_PATH

    tag = f"v{VERSION}"
    folder = os.environ.get("XDG_CACHE_HOME", DEFAULT_BINARY_PATH)
    return Path(folder, f"weaviate-{tag}-{hashlib.sha256(tag.encode()).hexdigest()}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _ready(found: Address) -> bool:
    try:
        with urllib.request.urlopen(f"{found.url}/v1/.well-known/ready", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _hold(http: int, grpc: int, data: str, variables: Mapping[str, str]) -> None:
    from weaviate.embedded import EmbeddedOptions, EmbeddedV4

    socket.setdefaulttimeout(10)  # the client downloads without one
    own = {
        "PERSISTENCE_DATA_PATH": data,
        "GRPC_PORT": str(grpc),
        "CLUSTER_HOSTNAME": "node1",
        "RAFT_JOIN": "node1",
        "RAFT_TIMEOUTS_MULTIPLIER": "1",  # ready in 3 s instead of 7
        "DISABLE_TELEMETRY": "true",
        "ENABLE_MODULES": "",
        "LOG_LEVEL": "error",
    }
    options = EmbeddedOptions(
        persistence_data_path=data,
        version=VERSION,
        port=http,
        grpc_port=grpc,
        additional_env_vars={**own, **variables},
    )
    embedded = EmbeddedV4(options)
    try:
        embedded.start()
        while not _ready(Address(f"http://127.0.0.1:{http}", grpc)):
            time.sleep(0.1)
        said = f"ready {embedded.process.pid if embedded.process else 0}"
    except Exception as error:  # noqa: BLE001  (whatever it is, it is the reason that is printed)
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()
    sys.stdin.read()
    embedded.stop()


if __name__ == "__main__":
    _hold(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
