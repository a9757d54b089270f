"""Where a Weaviate server is and how to reach it: plain arguments in, one lazily opened client out."""

from __future__ import annotations

import atexit
import os
import re
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from assets.errors import ConfigError, EngineBusy, EngineError
from orchestration.engines.weaviate_errors import translating

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weaviate import WeaviateClient

LOCAL = ("localhost", "127.0.0.1", "::1")
CLOUD = (".weaviate.cloud", ".weaviate.network", ".weaviate.io")
OLDEST = (1, 33)  # aliases came with 1.32, the Not filter with 1.33
EMBEDDED = "1.38.11"  # the version that the contract suite ran against; the client's own default has no aliases
FRESH = 1.0  # seconds for which a server that answered is taken to be there
KINDS = ("local", "custom", "cloud", "embedded")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's two doors: REST and gRPC. `url` is what messages show."""

    kind: str
    url: str
    host: str
    port: int
    secure: bool
    grpc_host: str
    grpc_port: int


def address(connection: str | None, url: str | None, grpc_host: str | None, grpc_port: int) -> Address:
    """The address that the settings mean; ConfigError names the key that cannot be meant.

    | connection   | url                         | kind     | where                                              |
    |--------------|-----------------------------|----------|----------------------------------------------------|
    | None         | None                        | local    | http://localhost:8080                              |
    | None         | localhost, 127.0.0.1, [::1] | local    | as given, port 8080 if it names none               |
    | None         | *.weaviate.cloud, .network  | cloud    | https, and gRPC at the cloud's own host, both 443  |
    | None         | any other                   | custom   | as given, port 80 or 443 if it names none          |
    | custom/cloud | None                        | an error |                                                    |
    | embedded     | None or local               | embedded | port 8079 of this machine if it names none         |
    """
    if connection not in (None, *KINDS):
        raise ConfigError(f"index.connection: {connection!r}", expected=", ".join(KINDS))
    if url is None and connection in ("custom", "cloud"):
        raise ConfigError(f"index.url: missing for connection {connection!r}", expected="the address of the server")
    default = "http://127.0.0.1:8079" if connection == "embedded" else "http://localhost:8080"
    scheme, host, port = _parts(url or default)
    kind = connection or ("local" if host in LOCAL else "cloud" if host.endswith(CLOUD) else "custom")
    if kind in ("local", "embedded") and host not in LOCAL:
        raise ConfigError(f"index.url: {host} is not this machine", expected=f"one of {', '.join(LOCAL)}")
    if kind == "cloud":
        return Address(kind, f"https://{host}", host, 443, True, grpc_host or _cloud_grpc(host), 443)
    secure = scheme == "https"
    port = port or (8079 if kind == "embedded" else 8080 if kind == "local" else 443 if secure else 80)
    if (grpc_host or host, grpc_port) == (host, port):
        raise ConfigError(f"index.grpc_port: {grpc_port} is the port of index.url", expected="the server's gRPC port")
    shown = f"[{host}]" if ":" in host else host
    return Address(kind, f"{scheme}://{shown}:{port}", host, port, secure, grpc_host or host, grpc_port)


def _parts(url: str) -> tuple[str, str, int | None]:
    expected = "http://host:port or https://host, without a path or a password"
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port
    except ValueError:
        raise ConfigError("index.url: it cannot be read as an address", expected=expected) from None
    if parts.username or parts.password:  # never shown: this may be a secret
        raise ConfigError(
            "index.url: it contains a user name or a password",
            expected=expected,
            next_step="put the API key into an environment variable and its name into index.api_key_env",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError(f"index.url: {url!r}", expected=expected)
    return parts.scheme, parts.hostname, port


def _cloud_grpc(host: str) -> str:
    name, _, domain = host.partition(".")
    return f"{name}.grpc.{domain}" if host.endswith(".weaviate.network") else f"grpc-{host}"


class Server:
    """One client for all threads, opened at the first use. The API key is read then, and kept by nobody but it."""

    def __init__(
        self, at: Address, *, api_key_env: str | None, version: str | None, data_path: Path | None, timeout: float
    ) -> None:
        self.at, self.api_key_env, self._timeout = at, api_key_env, timeout
        self._version, self._data_path = version or EMBEDDED, data_path
        self._client: WeaviateClient | None = None
        self._embedded: Any = None
        self._answered = 0.0
        self._opening = threading.Lock()

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turns the vendor's exceptions of its body into ours."""
        with translating(self.at.url, self.api_key_env):
            yield
            self._answered = time.monotonic()

    def client(self) -> WeaviateClient:
        """The open client of a server that answers; EngineBusy at once where it does not.

        The vendor's client repeats a gRPC call to a dead server for 63 s. So a server that was not heard of for a
        second is asked over REST first, which takes a millisecond and fails at once.
        """
        with self._opening:
            if self._client is None:
                with self.translating():
                    self._client = self._connect()
                weakref.finalize(self, self._client.close)  # for whoever forgets close(); twice does no harm
            elif time.monotonic() - self._answered > FRESH:
                with self.translating():
                    self._client.get_meta()
            return self._client

    def server_version(self) -> str:
        """The server's version, e.g. 1.38.11."""
        return self.client().get_meta()["version"]

    def close(self) -> None:
        """Closes the client, and stops the server where it is an embedded one that was started here."""
        with self._opening:
            client, self._client = self._client, None
            embedded, self._embedded = self._embedded, None
        if client is not None:
            client.close()
        if embedded is not None:
            embedded.stop()

    def _connect(self) -> WeaviateClient:
        import weaviate
        from weaviate.classes.init import AdditionalConfig, Timeout

        key = self._key()
        if self.at.kind == "embedded":
            self._start_embedded()
        client = weaviate.connect_to_custom(
            http_host=self.at.host,
            http_port=self.at.port,
            http_secure=self.at.secure,
            grpc_host=self.at.grpc_host,
            grpc_port=self.at.grpc_port,
            grpc_secure=self.at.secure,
            auth_credentials=key,
            additional_config=AdditionalConfig(timeout=Timeout(init=10, query=self._timeout, insert=self._timeout * 3)),
            skip_init_checks=True,  # they ask the package index for a newer client; _checked looks at the server
        )
        try:
            return self._checked(client)
        except BaseException:
            client.close()
            raise

    def _checked(self, client: WeaviateClient) -> WeaviateClient:
        found = str(client.get_meta()["version"])
        numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
        if numbers < OLDEST:
            raise EngineError(
                f"The server at {self.at.url} is Weaviate {found}",
                expected="{}.{} or newer, for aliases (1.32) and Not filters (1.33)".format(*OLDEST),
                next_step="upgrade the server",
            )
        return client

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(
                f"index.api_key_env: the environment variable {self.api_key_env} is not set",
                expected="the API key of the Weaviate server in it",
                next_step=f"set {self.api_key_env}, or remove the key for a server without authentication",
            )
        return key

    def _start_embedded(self) -> None:
        """Starts a server of this process, or leaves one that already listens there (of a process that was killed)."""
        from weaviate.embedded import EmbeddedOptions, EmbeddedV4

        if self._data_path is None:
            raise ConfigError("index: an embedded Weaviate needs a folder for its data", expected="data_path")
        # All of it explicitly: what the client only defaults to is overruled by the caller's environment. The node's
        # name is stored with the data, so that it must not follow the port, as the client's default does.
        variables = {
            "PERSISTENCE_DATA_PATH": str(self._data_path),
            "GRPC_PORT": str(self.at.grpc_port),
            "CLUSTER_HOSTNAME": "node1",
            "RAFT_JOIN": "node1",
            "AUTOSCHEMA_ENABLED": "false",
            "DISABLE_TELEMETRY": "true",
            "ENABLE_MODULES": "",
            "LOG_LEVEL": "error",
        }
        options = EmbeddedOptions(
            persistence_data_path=str(self._data_path),
            version=self._version,
            port=self.at.port,
            hostname=self.at.host,
            grpc_port=self.at.grpc_port,
            additional_env_vars=variables,
        )
        embedded = EmbeddedV4(options)
        if embedded.is_listening():
            return
        embedded.start()
        self._embedded = embedded
        atexit.register(embedded.stop)  # does nothing the second time
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        import httpx

        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.at.url}/v1/.well-known/ready", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass  # it listens before it serves
            time.sleep(0.1)
        raise EngineBusy(f"The embedded Weaviate at {self.at.url} was not ready within 60 s", next_step="run again")
