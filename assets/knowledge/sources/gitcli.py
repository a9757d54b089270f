"""The git program, run without a shell, prompts, hooks, system configuration or unexpected transports."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from assets.errors import DiskFull, SourceBusy, SourceError, TwohandsError

_SAFE = (
    "protocol.ext.allow=never",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "credential.interactive=false",
    "fetch.unpackLimit=1",  # one pack, renamed into place: a killed fetch leaves no half of its objects
    "gc.autoDetach=false",
    "gc.autoPackLimit=20",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)
_KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_CONFIG_GLOBAL", "GIT_PROXY_COMMAND")
_FINAL = re.compile(
    r"not found|does not exist|does not appear to be a git repo|permission denied|authentication failed|access denied"
    r"|could not read (username|password)|returned error: 40\d|dubious ownership|host key verification"
    r"|terminal prompts disabled|certificate|not supported|not allowed|unable to find remote helper"
    r"|\.lock': file exists",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"could not resolve|connection|timed out|time-out|timeout|couldn't connect|failed to connect|early eof|rpc failed"
    r"|hung up|unreachable|temporary failure|returned error: (5\d\d|429)|kex_exchange|\bssl|gnutls|\btls",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository as git is told of it (`url`, without secrets) and the header that carries the credentials."""

    url: str
    header: str = ""

    @property
    def shown(self) -> str:
        """The url for people: no credentials, no query."""
        return self.url.partition("?")[0]


def remote_of(url: str) -> Remote:
    """Takes user and password out of an http(s) url: they reach git in its environment, never in an argument."""
    parts = urlsplit(url)
    if "@" not in parts.netloc or parts.scheme not in ("http", "https", "ssh"):
        return Remote(url)
    secret, _, host = parts.netloc.rpartition("@")
    user, _, password = secret.partition(":")
    if parts.scheme == "ssh":  # the user's name is no secret there, and ssh takes no password
        return Remote(urlunsplit(parts._replace(netloc=f"{user}@{host}")))
    token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return Remote(urlunsplit(parts._replace(netloc=host)), f"Authorization: Basic {token}")


class GitFailed(Exception):
    """git ended with an error; `text` is the tail of what it wrote, `places` what it may quote from its arguments."""

    def __init__(self, text: str, places: Sequence[str] = ()) -> None:
        self.text = text
        self.places = places
        super().__init__(text)

    def is_busy(self) -> bool:
        """Whether it reads like trouble on the way that may pass."""
        text = self.text
        for place in self.places:  # a folder called "connection" is no trouble
            text = text.replace(place, "")
        return bool(_BUSY.search(text)) and not _FINAL.search(text)

    def translated(self, remote: Remote) -> TwohandsError:
        """As SourceBusy, DiskFull or SourceError."""
        text = " ".join(self.text.replace(remote.url, remote.shown).split())[-600:] or "no message"
        if "No space left on device" in text:
            return DiskFull(f"No space left for the mirror of {remote.shown}", next_step="free some disk space")
        if self.is_busy():
            return SourceBusy(f"{remote.shown} could not be reached: {text}")
        return SourceError(
            f"git cannot read {remote.shown}: {text}",
            expected="a repository that this user can fetch without being asked for a password",
            next_step="correct the source's url or the credentials, and try `git ls-remote` on it",
        )


def environment(remote: Remote | None = None) -> dict[str, str]:
    """The environment of every git process; what a surrounding git (a hook, a work tree) has set is left out."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT}
    env.pop("SSH_ASKPASS", None)
    env.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30")
    env |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
    if remote and remote.header:
        # A redirect must not carry the credentials to another host.
        pairs = {f"http.{remote.url}.extraHeader": remote.header, "http.followRedirects": "false"}
        env["GIT_CONFIG_COUNT"] = str(len(pairs))
        for i, (key, value) in enumerate(pairs.items()):
            env |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return env


def command(*args: str, mirror: Path | None = None) -> list[str]:
    """The argument list of one git call."""
    safe = [word for setting in _SAFE for word in ("-c", setting)]
    return ["git", "--no-replace-objects", *safe, *([f"--git-dir={mirror}"] if mirror else []), *args]


def git(*args: str, mirror: Path | None = None, remote: Remote | None = None, timeout: float = 60.0) -> bytes:
    """Standard output of one git call. GitFailed; SourceBusy after `timeout` seconds; SourceError without git."""
    try:
        process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
            command(*args, mirror=mirror),
            env=environment(remote),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise no_git() from error
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        where = remote.shown if remote else mirror
        raise SourceBusy(f"git {args[0]} on {where} did not end within {timeout:.0f} s") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # with its helpers, which hold the connection
            process.communicate()
    if process.returncode:
        places = [str(place) for place in (remote and remote.url, mirror) if place]
        raise GitFailed(err.decode("utf-8", "replace")[-2000:], places)
    return out


def no_git() -> SourceError:
    """The error for a machine without git."""
    return SourceError("The git program was not found", next_step="install git, or use another kind of source")


class Blobs:
    """Reads many objects through one `git cat-file --batch`, started at the first read. Safe to share by threads."""

    def __init__(self, mirror: Path) -> None:
        self._mirror = mirror
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, name: str) -> bytes | None:
        """The bytes of an object, or None where the mirror lacks it. SourceBusy when git ends in between."""
        with self._lock:
            process = self._started()
            try:
                return self._ask(process, name)
            except (OSError, ValueError) as error:
                self._stop()
                raise SourceBusy(f"git cat-file on {self._mirror} ended while it was read") from error

    def close(self) -> None:
        """Ends the process; a later read starts another."""
        with self._lock:
            self._stop()

    def _ask(self, process: subprocess.Popen[bytes], name: str) -> bytes | None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(name.encode("ascii") + b"\n")
        process.stdin.flush()
        header = process.stdout.readline().split()
        if header[-1:] == [b"missing"]:
            return None
        size = int(header[2]) if len(header) == 3 else -1
        data = process.stdout.read(size + 1) if size >= 0 else b""
        if len(data) != size + 1:
            raise ValueError("short answer")
        return data[:-1]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            try:
                self._process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                    command("cat-file", "--batch", mirror=self._mirror),
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except FileNotFoundError as error:
                raise no_git() from error
            weakref.finalize(self, _end, self._process)
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what was not sent is not needed any more
    process.wait()
