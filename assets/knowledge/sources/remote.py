"""Any fsspec file system as a source: object stores, web folders, sftp, memory."""

from __future__ import annotations

import contextlib
import errno
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote

from assets.errors import SourceBusy, SourceError, TwohandsError
from assets.knowledge.sources.gathering import Gathering, escaped, readable
from assets.knowledge.sources.selection import Selection
from assets.ports import Listing, Reason, SourceFile

PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "twohands[s3]"),
    **dict.fromkeys(("gs", "gcs"), "twohands[gcs]"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "twohands[az]"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
}
"""Protocol -> what to install for it: an extra of ours, or the library itself."""

RACY_SECONDS = 10.0
"""As RACY_NS of `gathering`, with room for a clock that differs from ours."""

_FLAT = {"s3fs", "gcsfs", "adlfs", "ossfs", "huggingface_hub"}  # their find() is one paged request, and raises
_TAGS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "Content-MD5", "checksum", "crc32c", "generation")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "timeModified", "mtime", "modified", "created")
_DENIED = re.compile(r"(?:No|Partial|Default)Credentials|TokenRetrieval|Authenti|AccessDenied|Forbidden")
_VENDORS = {"aiohttp", "botocore", "aiobotocore", "google", "gcsfs", "azure", "paramiko", "requests", "urllib3"}


class RemoteSource:
    """Files below an fsspec URL. The stamp is the store's own tag (ETag, checksum, generation), else size and time.

    Folders are walked one by one, because fsspec's own walk leaves out the ones it could not list; object stores are
    listed in one go. Links are refused, names that leave the root too. A root that is not there is an error.
    """

    def __init__(self, url: str, selection: Selection, max_bytes: int, options: Mapping[str, Any]) -> None:
        self._url = url
        self._selection = selection
        self._max_bytes = max_bytes
        self._options = dict(options)
        self._shown = re.sub(r"(://)[^/@]*@", r"\1", url.partition("?")[0])
        self._opened: tuple[Any, str] | None = None
        self._names: dict[str, str] = {}
        self._web = url.startswith(("http://", "https://"))

    def list(self) -> Listing:
        """The files that are there now. SourceError: library, root or permission missing; SourceBusy: no connection."""
        with self._translated("listed"):
            fs, root = self._open()
            fs.invalidate_cache()
            found = Gathering(self._selection, self._max_bytes)
            names: dict[str, str] = {}
            for info in self._infos(fs, root):
                self._entry(found, names, fs, root, info)
        self._names = names
        return found.listing()

    def read(self, file: SourceFile) -> bytes:
        """The bytes of a listed file; SourceBusy when it is no longer the file that was listed."""
        if file.path not in self._names:
            self.list()
        name = self._names.get(file.path)
        if name is None:
            raise self._changed(file.path)
        with self._translated("read", file.path):
            fs, _ = self._open()
            # One byte more than listed, so that a file which has grown is neither believed nor loaded whole.
            bounds = {"start": 0, "end": file.size + 1} if file.size > 0 else {}
            data = b"" if file.size == 0 else fs.cat_file(name, **bounds)
            fs.invalidate_cache()
            size, stamp, _ = _state(fs.info(name))
            if (size not in (-1, file.size)) or (file.size not in (-1, len(data))) or not _same(stamp, file.stamp):
                raise self._changed(file.path)
        return data

    def _changed(self, path: str) -> SourceBusy:
        return SourceBusy(
            f"{path} in {self._shown} changed while it was read", next_step="nothing; the next tick lists it again"
        )

    def _open(self) -> tuple[Any, str]:
        if self._opened is None:
            import fsspec.core

            try:
                fs, root = fsspec.core.url_to_fs(self._url, **self._options)
            except ImportError as error:
                raise self._no_library(error) from error
            except (ValueError, TypeError) as error:
                raise SourceError(
                    f"{self._shown} cannot be opened: {self._clean(error)}", expected="an fsspec URL and its options"
                ) from error
            self._opened = fs, str(root).rstrip("/")
        return self._opened

    def _no_library(self, error: ImportError) -> SourceError:
        protocol = re.split(r":", self._url)[0]
        package = PACKAGES.get(protocol)
        return SourceError(
            f"The library for {protocol}:// is not installed ({self._clean(error)})",
            expected=f"what `{protocol}` needs, in the environment that runs Twohands",
            next_step=f"pip install '{package}'" if package else f"install the library for {protocol}",
        )

    def _infos(self, fs: Any, root: str) -> Iterator[Mapping[str, Any]]:
        if type(fs).__module__.partition(".")[0] in _FLAT:
            infos = fs.find(root, detail=True)
            if not infos and not fs.exists(root):
                raise FileNotFoundError(root)
            if root in infos:
                raise NotADirectoryError(root)
            return iter(infos.values())
        return self._walk(fs, root)

    def _walk(self, fs: Any, root: str) -> Iterator[Mapping[str, Any]]:
        waiting, seen = [root], {root}
        while waiting:
            folder = waiting.pop()
            # A sub-folder that went away means "not now"; the root, that the url is wrong.
            with self._translated("listed", "" if folder == root else self._raw(root, folder) or folder):
                infos = fs.ls(folder + "/" if self._web else folder or "/", detail=True)
            for info in infos:
                name = str(info["name"]).rstrip("/")
                if info.get("type") != "directory":
                    if name == root:
                        raise NotADirectoryError(root)
                    yield info
                elif name not in seen and (raw := self._raw(root, name)) and self._selection.holds(_nfc(raw) or raw):
                    seen.add(name)
                    waiting.append(name)

    def _raw(self, root: str, name: str) -> str | None:
        """The name relative to the root; None for one that leaves it."""
        prefix = root + "/" if root else ("/" if name.startswith("/") else "")
        if not name.startswith(prefix):
            return None
        raw = name[len(prefix) :]
        if self._web:
            if re.search(r"[?#]", raw):
                return None
            raw = unquote(raw, errors="surrogateescape")
        if not raw or "\0" in raw or {"", ".", ".."}.intersection(raw.split("/")):
            return None
        return raw

    def _entry(self, found: Gathering, names: dict[str, str], fs: Any, root: str, info: Mapping[str, Any]) -> None:
        name = str(info["name"])
        if name.endswith("/"):
            return  # the empty object that stands for a folder
        raw = self._raw(root, name)
        path = _nfc(raw) if raw else None
        if raw is None or path is None:
            if not self._web:  # a web page may link to anything
                shown = escaped(_bytes(name))
                found.refuse(shown, Reason.UNREADABLE, "its name is not a UTF-8 path below the source")
            return
        if not self._selection.takes(path):
            return
        if info.get("type") not in ("file", None):
            found.refuse(path, Reason.UNREADABLE, f"a {info['type']}, not a file; links are not followed here")
            return
        if info.get("size") is None:
            info = {**info, **fs.info(name)}
        size, stamp, modified = _state(info)
        if found.add(_bytes(raw), path, size, stamp, modified):
            names[path] = name

    @contextlib.contextmanager
    def _translated(self, done: str, path: str = "") -> Iterator[None]:
        try:
            yield
        except TwohandsError:
            raise
        except Exception as error:
            translated = self._translate(error, done, path)
            if translated is None:
                raise
            raise translated from error

    def _translate(self, error: Exception, done: str, path: str) -> TwohandsError | None:
        what = f"{path} in {self._shown}" if path else self._shown
        status = getattr(error, "status", None) or getattr(error, "status_code", None) or getattr(error, "code", None)
        if isinstance(error, FileNotFoundError | NotADirectoryError) or status in (404, 410):
            if path:
                return self._changed(path)
            return SourceError(
                f"{what} is not there, or is no folder",
                expected="an existing bucket, container or folder",
                next_step="correct the source's url",
            )
        if isinstance(error, PermissionError) or status in (401, 403) or _DENIED.search(type(error).__name__):
            return SourceError(
                f"{what} may not be {done}: {self._clean(error)}",
                expected="credentials with permission to list and read",
                next_step="check the credentials in the environment or the storage options",
            )
        if isinstance(error, ValueError | TypeError) or getattr(error, "errno", None) == errno.EINVAL:
            return SourceError(f"{what} cannot be {done}: {self._clean(error)}", next_step="check the source's url")
        vendor = type(error).__module__.partition(".")[0]
        if isinstance(error, OSError | TimeoutError) or vendor in _VENDORS or type(error).__name__ == "FSTimeoutError":
            return SourceBusy(f"{what} could not be {done}: {self._clean(error)}")
        return None

    def _clean(self, error: Exception) -> str:
        """A vendor's message without the secrets of the url and the options."""
        text = f"{type(error).__name__}: {error}".replace(self._url, self._shown)
        secrets = [str(value) for value in _leaves(self._options)]
        if found := re.search(r"://([^/@]*)@", self._url):
            secrets += [found[1], *found[1].split(":")]
        if "?" in self._url:
            secrets.append(self._url.partition("?")[2])
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return " ".join(text.split())[:400]


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _nfc(name: str) -> str | None:
    return readable(_bytes(name))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key not in ("endpoint_url", "region_name"):
                yield from _leaves(one)
    elif isinstance(value, str):
        yield value


def _state(info: Mapping[str, Any]) -> tuple[int, str, float | None]:
    """(size or -1, stamp or "", modified or None) of an fsspec info."""
    size = int(info["size"]) if info.get("size") is not None else -1
    modified = next((when for key in _TIMES if (when := _seconds(info.get(key))) is not None), None)
    tags = {key: str(info[key]).strip('"') for key in _TAGS if info.get(key)}
    tag = next((f"{key.lower()}:{value}" for key, value in tags.items() if not value.startswith("W/")), "")
    if tag:
        return size, f"{tag}-{size}", modified
    if modified is None or size < 0 or abs(time.time() - modified) < RACY_SECONDS:
        return size, "", modified
    return size, f"{size}-{modified!r}", modified


def _same(now: str, listed: str) -> bool:
    """Whether two stamps do not contradict each other; an empty one says nothing."""
    return not now or not listed or now == listed


def _seconds(value: Any) -> float | None:
    """Unix seconds of a number, a datetime (UTC where naive), or an ISO 8601 or HTTP date."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            try:
                value = parsedate_to_datetime(value)
            except ValueError:
                return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return None
