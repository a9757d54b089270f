"""The parts of a git url: where the repository is, which ref of it, and which folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from assets.errors import SourceError
from assets.knowledge.sources.gitcli import Remote, remote_of

_BAD_REF = re.compile(r"^[-/.]|[\0-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock$|[/.]$")


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of `git+URL@ref#subdirectory=path`."""

    remote: Remote
    ref: str
    subdirectory: str


def parse_address(url: str, base: Path) -> Address:
    """Splits a git url. SourceError for a transport, ref or subdirectory that is not allowed.

    The ref starts after the first "@" of the url's path (write "%40" for one in the path itself); for a folder of
    this machine, after the first "@" before which there is one. Without a ref it is HEAD.
    """
    text, _, fragment = url.removeprefix("git+").partition("#")
    subdirectory = _subdirectory(fragment)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.\-]*)://", text)
    if scheme and scheme[1] in ("http", "https", "ssh", "git"):
        head, slash, path = text[scheme.end() :].partition("/")
        path, _, ref = path.partition("@")
        if not head or not path or head.rpartition("@")[2].startswith("-"):
            raise SourceError("The git url names no repository", expected="git+https://host/path@ref")
        return Address(remote_of(scheme[0] + head + slash + path), _checked(ref or "HEAD"), subdirectory)
    if (scheme and scheme[1] != "file") or re.match(r"[\w-]+::", text):
        raise SourceError(
            f"git sources cannot use the transport of {text.partition(':')[0]}:",
            expected="a path, file, http, https, ssh or git",
        )
    here = base / Path(text.partition("@")[0]).expanduser()
    if not here.exists() and (ssh := re.match(r"([\w.][\w.\-]*@[\w.][\w.\-]*:[^/@][^@]*)(?:@(.*))?\Z", text)):
        return Address(Remote(ssh[1]), _checked(ssh[2] or "HEAD"), subdirectory)
    return _local(unquote(text[len("file://") :]) if scheme else text, base, subdirectory)


def _local(text: str, base: Path, subdirectory: str) -> Address:
    ends = [found.start() for found in re.finditer("@", text)] + [len(text)]
    for end in ends:
        place = base / Path(text[:end]).expanduser()
        if end and place.exists():
            ref = text[end + 1 :]
            return Address(Remote(str(place.resolve())), _checked(ref or "HEAD"), subdirectory)
    raise SourceError(
        f"There is no repository at {base / text[: ends[0]]}",
        expected="a git repository; relative urls are relative to twohands.toml",
        next_step="correct the source's url",
    )


def _checked(ref: str) -> str:
    if _BAD_REF.search(ref):
        raise SourceError(f"{ref!r} cannot be a git ref", expected="a branch, a tag or a commit id")
    return ref


def _subdirectory(fragment: str) -> str:
    if not fragment:
        return ""
    key, _, value = fragment.partition("=")
    path = PurePosixPath(unquote(value).strip("/"))
    if key != "subdirectory" or not path.parts or ".." in path.parts or "\0" in value:
        raise SourceError(f"#{fragment} is not understood", expected="#subdirectory=path, inside the repository")
    return str(path)
