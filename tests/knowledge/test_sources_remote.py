"""fsspec file systems as sources."""

import importlib
import time
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from assets.errors import SourceBusy, SourceError
from assets.knowledge.sources import open_source, remote
from assets.ports import Reason, SourceFile


def contents(source):
    return {file.path: source.read(file) for file in source.list().files}


class FakeStore(MemoryFileSystem):
    """A store whose infos, extra names and errors a test decides."""

    protocol = "fakestore"
    cachable = False
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    extra: ClassVar[dict] = {}
    names: ClassVar[list] = []
    fail: ClassVar[dict] = {}
    cached: ClassVar[dict] = {}  # as object stores do, listings are remembered until they are told to forget

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("fakestore://").strip("/")

    def invalidate_cache(self, path=None):
        self.cached.clear()

    def ls(self, path, detail=True, **options):
        path = self._strip_protocol(path)
        if path in self.fail:
            raise self.fail[path]
        if path not in self.cached:
            self.cached[path] = [{**one, **self.extra.get(one["name"], {})} for one in super().ls(path, detail=True)]
            if path == "/root":
                self.cached[path] += [{"name": name, "size": 4, "type": "file", "ETag": "x"} for name in self.names]
        infos = self.cached[path]
        return infos if detail else [info["name"] for info in infos]

    def info(self, path, **options):
        known = {info["name"]: info for info in self.cached.get(self._parent(path), [])}
        info = known.get(path) or super().info(path)
        return {**info, **self.extra.get(info["name"], {})} if path not in known else info

    def cat_file(self, path, start=None, end=None, **options):
        if path in self.fail:
            raise self.fail[path]
        return super().cat_file(path, start, end)


@pytest.fixture
def store(monkeypatch):
    for name, value in (
        ("store", {}),
        ("pseudo_dirs", [""]),
        ("extra", {}),
        ("names", []),
        ("fail", {}),
        ("cached", {}),
    ):
        monkeypatch.setattr(FakeStore, name, value)
    fsspec.register_implementation("fakestore", FakeStore, clobber=True)
    fs = FakeStore()
    for path, data in (("a.md", b"aaaa"), ("x/b.md", b"bb"), ("x/logo.png", b"p"), (".git/config", b"c")):
        fs.pipe_file(f"/root/{path}", data)
    return fs


@pytest.fixture
def open_store(tmp_path):
    def opened(url="fakestore://root", **options):
        return open_source(url, base=tmp_path, cache=tmp_path / "cache", **options)

    return opened


def test_memory_url_lists_and_reads(tmp_path):
    fs = fsspec.filesystem("memory")
    fs.pipe({"/mem-docs/a.md": b"a", "/mem-docs/x/b.md": b"bb", "/mem-docs/x/c.png": b"c", "/mem-docs-2/d.md": b"d"})
    try:
        source = open_source("memory://mem-docs", base=tmp_path, cache=tmp_path)
        assert contents(source) == {"a.md": b"a", "x/b.md": b"bb"}
        fs.pipe_file("/mem-docs/new.md", b"n")
        fs.rm("/mem-docs/a.md")
        assert contents(source) == {"new.md": b"n", "x/b.md": b"bb"}
    finally:
        fs.rm("/mem-docs", recursive=True)
        fs.rm("/mem-docs-2", recursive=True)


def test_store_selects_as_folders_do_and_does_not_open_what_is_left_out(store, open_store):
    FakeStore.fail = {"/root/.git": PermissionError("no"), "/root/closed": PermissionError("no")}
    store.pipe_file("/root/closed/c.md", b"c")
    source = open_store(exclude=["closed/"])
    assert contents(source) == {"a.md": b"aaaa", "x/b.md": b"bb"}
    assert [f.path for f in open_store(include=["x/**"]).list().files] == ["x/b.md", "x/logo.png"]
    assert open_store(max_bytes=3, exclude=["closed/"]).list().refused["a.md"].reason is Reason.TOO_LARGE


@pytest.mark.parametrize("url", ["fakestore://none", "fakestore://root/a.md", "fakestore://root/none"])
def test_root_that_is_no_folder_is_an_error_and_not_an_empty_listing(url, store, open_store):
    with pytest.raises(SourceError, match=url):
        open_store(url).list()


def test_root_that_is_empty_lists_nothing(store, open_store):
    store.mkdir("/empty")
    assert open_store("fakestore://empty").list().files == ()


def test_names_that_leave_the_root_are_refused(store, open_store):
    names = [
        "/root/../etc/p.md",
        "/root/x/../../p.md",
        "/elsewhere/p.md",
        "/root//p.md",
        "/root2/p.md",
        "/root/caf\udce9.md",
    ]
    FakeStore.names = names
    listing = open_store().list()
    assert [file.path for file in listing.files] == ["a.md", "x/b.md"]
    assert set(listing.refused) == {*names[:5], r"/root/caf\udce9.md"}
    assert {refusal.reason for refusal in listing.refused.values()} == {Reason.UNREADABLE}


def test_links_and_other_types_are_refused(store, open_store):
    FakeStore.extra = {"/root/a.md": {"type": "link"}}
    listing = open_store().list()
    assert [file.path for file in listing.files] == ["x/b.md"]
    assert "link" in listing.refused["a.md"].detail


def test_names_of_a_store_are_normalized_and_the_real_name_is_read(store, open_store):
    store.pipe_file("/root/e\u0301.md", b"decomposed")
    store.pipe_file("/root/é.md", b"composed")
    store.pipe_file("/root/u\u0308/o\u0308.md", b"o")
    source = open_store()
    assert contents(source) == {"a.md": b"aaaa", "x/b.md": b"bb", "é.md": b"composed", "ü/ö.md": b"o"}
    assert list(source.list().refused) == [r"e\u0301.md"]


@pytest.mark.parametrize(
    ("info", "stamp", "modified"),
    [
        ({"size": 4, "ETag": '"abc"'}, "etag:abc-4", None),
        ({"size": 4, "etag": "0x8D", "last_modified": "2026-01-01T00:00:00+00:00"}, "etag:0x8D-4", 1767225600.0),
        ({"size": 4, "md5Hash": "q=", "updated": "2026-01-01T00:00:00Z"}, "md5hash:q=-4", 1767225600.0),
        (
            {"size": 4, "ETag": 'W/"abc"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
            "4-1767225600.0",
            1767225600.0,
        ),
        ({"size": 4, "ETag": 'W/"abc"'}, "", None),
        ({"size": 4, "mtime": 1767225600}, "4-1767225600.0", 1767225600.0),
        ({"size": 4}, "", None),
        ({"size": 4, "mtime": "no date"}, "", None),
    ],
)
def test_stamp_of_an_info(info, stamp, modified):
    assert remote._state(info) == (4, stamp, modified)


def test_time_that_is_too_near_is_no_stamp():
    now = time.time()
    assert remote._state({"size": 4, "mtime": now}) == (4, "", now)


def test_tag_notices_a_replacement_of_the_same_size_and_time(store, open_store):
    FakeStore.extra = {"/root/a.md": {"ETag": "1", "created": 5}}
    source = open_store()
    before = source.list().files[0]
    FakeStore.extra = {"/root/a.md": {"ETag": "2", "created": 5}}
    assert source.list().files[0].stamp != before.stamp
    with pytest.raises(SourceBusy, match=r"a\.md .* changed while it was read"):
        source.read(before)


@pytest.mark.parametrize("data", [b"aaaaa", b"aa", b"", None])
def test_object_that_changed_after_the_listing_is_busy(data, store, open_store):
    source = open_store()
    file = source.list().files[0]
    store.rm("/root/a.md")
    if data is not None:
        store.pipe_file("/root/a.md", data)
    with pytest.raises(SourceBusy, match="changed"):
        source.read(file)


def test_tag_is_asked_for_again_after_the_read(store, open_store):
    FakeStore.extra = {"/root/a.md": {"ETag": "1"}}
    source = open_store()
    file = source.list().files[0]
    FakeStore.extra = {"/root/a.md": {"ETag": "2"}}
    with pytest.raises(SourceBusy, match="changed"):
        source.read(file)


def test_object_that_comes_in_part_is_busy(store, open_store, monkeypatch):
    source = open_store()
    file = source.list().files[0]
    monkeypatch.setattr(FakeStore, "cat_file", lambda self, path, **bounds: b"aa")
    with pytest.raises(SourceBusy, match="changed"):
        source.read(file)


def test_read_of_what_was_not_listed_is_busy(store, open_store):
    assert open_store().read(SourceFile("a.md", 4, "")) == b"aaaa"
    for path in ("../secret.md", "none.md", "x/logo.png"):
        with pytest.raises(SourceBusy):
            open_store().read(SourceFile(path, 1, ""))


def test_sub_folder_that_cannot_be_listed_fails_the_listing(store, open_store):
    """fsspec's own walk would leave it out, and its documents would look deleted."""
    for error, kind in (
        (PermissionError("denied"), SourceError),
        (ConnectionError("reset"), SourceBusy),
        (FileNotFoundError("gone"), SourceBusy),
    ):
        FakeStore.fail = {"/root/x": error}
        with pytest.raises(kind, match="x in fakestore://root"):
            open_store().list()


class NoCredentialsError(Exception):
    """As botocore's."""


class Answered(Exception):
    """As aiohttp's ClientResponseError."""

    def __init__(self, status):
        self.status = status
        super().__init__(status)


Answered.__module__ = "aiohttp.client_exceptions"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError("x"), SourceBusy),
        (TimeoutError("x"), SourceBusy),
        (OSError("x"), SourceBusy),
        (OSError(22, "The specified bucket is not valid"), SourceError),  # as s3fs puts it
        (Answered(503), SourceBusy),
        (Answered(403), SourceError),
        (Answered(404), SourceError),
        (PermissionError("x"), SourceError),
        (NoCredentialsError("x"), SourceError),
        (ValueError("bad bucket"), SourceError),
        (ZeroDivisionError("a bug is shown as it is"), ZeroDivisionError),
    ],
)
def test_vendor_errors_are_translated(error, kind, store, open_store):
    FakeStore.fail = {"/root": error}
    with pytest.raises(kind):
        open_store().list()


def test_secrets_of_the_url_and_the_options_are_not_shown(store, open_store):
    url = "fakestore://robert:hunter2@root"
    secret = {"key": "topsecret", "client": {"token": "deeptoken"}}
    FakeStore.fail = {"/robert:hunter2@root": PermissionError(f"{url} with topsecret and deeptoken of robert")}
    source = open_store(url, storage_options=secret)
    with pytest.raises(SourceError, match="fakestore://root") as caught:
        source.list()
    assert not any(word in str(caught.value) for word in ("hunter2", "topsecret", "deeptoken", "robert"))


@pytest.mark.parametrize(
    ("url", "step"),
    [
        ("s3://bucket/x", r"twohands\[s3\]"),
        ("gs://bucket/x", r"twohands\[gcs\]"),
        ("az://c/x", r"twohands\[az\]"),
        ("abfs://c/x", r"twohands\[az\]"),
        ("https://h/x/", "install 'aiohttp'"),
        ("nolib://x", "library for nolib"),
    ],
)
def test_missing_library_names_the_extra(url, step, open_store, monkeypatch):
    protocol = url.partition(":")[0]
    registry = importlib.import_module("fsspec.registry")  # `fsspec.registry` is the mapping in it
    monkeypatch.delitem(registry._registry, protocol, raising=False)
    missing = {"class": "no_such_module_at_all.Class", "err": f"Install something for {protocol}"}
    monkeypatch.setitem(registry.known_implementations, protocol, missing)
    source = open_store(url)
    with pytest.raises(SourceError, match=step):
        source.list()


def test_unknown_protocol_is_an_error(open_store):
    with pytest.raises(SourceError, match="nosuch://x"):
        open_store("nosuch://x").list()
