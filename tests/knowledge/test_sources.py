"""Selection, sharding and the folder source. See also test_sources_git.py and test_sources_remote.py."""

import contextlib
import os
import shutil
import socket
import tempfile
import time
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from assets.errors import ConfigError, SourceBusy, SourceError
from assets.knowledge.sources import IGNORED, SUPPORTED, Selection, folder, open_source, shard_of, split
from assets.knowledge.sources.selection import is_skipped
from assets.ports import Listing, Reason, Refusal, SourceFile

OLD = time.time() - 3600


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "docs"
    place.mkdir()
    return place


def put(root: Path, path: str, data: bytes | str = "text") -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data.encode() if isinstance(data, str) else data)
    return place


def source(root, **options):
    return open_source(str(root), base=root.parent, cache=root.parent / "cache", **options)


def paths(listing):
    return [file.path for file in listing.files]


@pytest.fixture
def settled(monkeypatch):
    """Lets files that were written just now count as old, so that they get a stamp."""
    monkeypatch.setattr(folder, "RACY_NS", 0)


# ------------------------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("**/*.md", ["a.md", "x/a.md", "x/y/a.md"], ["a.MD", "a.md.txt", "a.mdx", ".x/a.md", "x/.a.md", "x/a.md~"]),
        ("*.md", ["a.md", "x/a.md"], ["a.txt"]),
        ("/*.md", ["a.md"], ["x/a.md"]),
        ("docs/*", ["docs/a.md", "docs/b"], ["docs/x/a.md", "a.md", "x/docs/a.md"]),
        ("docs/*.md", ["docs/a.md"], ["docs/x/a.md", "docs/a.txt"]),
        ("docs/**", ["docs/a.md", "docs/x/a.md"], ["mydocs/a.md", "docs", "x/docs/a.md"]),
        ("docs/", ["docs/a.md", "docs/x/a.md", "x/docs/a.md"], ["docs", "mydocs/a.md"]),
        ("/docs/", ["docs/a.md"], ["x/docs/a.md"]),
        ("docs", ["docs", "docs/a.md", "x/docs/a.md", "x/docs"], ["docs2/a.md"]),
        ("./docs/a.md", ["docs/a.md"], ["x/docs/a.md"]),
        ("a/**/b.md", ["a/b.md", "a/x/b.md", "a/x/y/b.md"], ["b.md", "x/a/b.md", "a/xb.md"]),
        ("**/**/b.md", ["b.md", "x/b.md"], ["a.md"]),
        ("ch?.md", ["ch1.md", "x/chä.md"], ["ch10.md", "ch.md"]),
        ("x/?/a.md", ["x/y/a.md"], ["x//a.md", "x/yy/a.md"]),
        ("[!a]*.md", ["b.md"], ["a.md"]),
        ("[a-c].md", ["b.md"], ["d.md"]),
        ("[*].md", ["*.md"], ["a.md"]),
        ("[]].md", ["].md"], ["a.md"]),
        ("a[.md", ["a[.md"], ["a.md"]),
        ("*.{md,rst}", ["a.md", "x/a.rst"], ["a.txt", "a.{md,rst}"]),
        ("**", ["a", "x/y/z.png"], [".git/config"]),
        ("**/*", ["a", "x/y/z.png"], [".git/config", "node_modules/x.md"]),
        ("a+b(c).md", ["a+b(c).md"], ["aab(c).md"]),
        (".github/**", [".github/a.md"], ["a.md", ".github/.x/a.md", "x/.github/a.md"]),
        ("**/.notes/*.md", [".notes/a.md", "x/.notes/a.md"], ["x/a.md", ".x/.notes/a.md"]),
        (".*", [".env", "x/.env"], ["a.md", ".git/config"]),
        ("*~", ["a.md~"], ["a.md"]),
        (unicodedata.normalize("NFD", "é*.md"), ["éa.md"], ["ea.md"]),
    ],
)
def test_include_takes_what_the_pattern_says(pattern, taken, left):
    selection = Selection([pattern])
    assert [path for path in [*taken, *left] if selection.takes(path)] == taken
    for path in taken:
        above = path.split("/")[:-1]
        assert all(selection.holds("/".join(above[: i + 1])) for i in range(len(above))), path


@pytest.mark.parametrize(
    ("pattern", "left", "taken"),
    [
        ("drafts", ["drafts/a.md", "x/drafts/y/a.md"], ["drafts2/a.md"]),
        ("drafts/**", ["drafts/a.md", "drafts/x/a.md"], ["x/drafts/a.md"]),
        ("**/secret*", ["secret.md", "x/secret-1.md"], ["a.md"]),
        ("*.txt", ["a.txt", "x/a.txt"], ["a.md"]),
        ("**", ["a.md", "x/a.md"], []),
    ],
)
def test_exclude_leaves_what_the_pattern_says(pattern, left, taken):
    selection = Selection(["**/*"], [pattern])
    assert [path for path in [*taken, *left] if selection.takes(path)] == taken


@pytest.mark.parametrize(
    ("include", "exclude", "walked", "pruned"),
    [
        ([], [], ["x", "x/y"], [".git", "x/node_modules", "__pycache__"]),
        ([], ["x/"], ["y"], ["x", "x/z", "y/x"]),
        ([], ["x/*"], ["x", "x/y"], []),
        (["docs/*.md"], [], ["docs"], ["src", "docs/x"]),
        (["docs/**/a.md"], [], ["docs", "docs/x/y"], ["src", "docs/.x"]),
        (["a/b/"], [], ["a", "a/b", "a/b/c"], ["b", "a/c"]),
        (["/*.md"], [], [], ["x"]),
        ([".github/**"], [], [".github"], [".git", "x"]),
    ],
)
def test_folders_are_opened_only_where_something_may_be(include, exclude, walked, pruned):
    selection = Selection(include, exclude)
    assert [one for one in [*walked, *pruned] if selection.holds(one)] == walked


@pytest.mark.parametrize("pattern", ["", "/", ".", "../x.md", "a/../b", "!a.md", "a\\b", "\0"])
def test_pattern_without_meaning_is_a_config_error(pattern):
    with pytest.raises(ConfigError, match="pattern"):
        Selection([pattern])
    with pytest.raises(ConfigError, match="pattern"):
        Selection([], [pattern])


@pytest.mark.parametrize(
    "name",
    [".git", ".venv", ".DS_Store", "a.md~", ".#a.md", "#a.md#", "~$a.docx", ".a.swp", "a.swp", "node_modules"],
)
def test_hidden_and_temporary_names_are_skipped(name):
    assert is_skipped(name)
    assert not Selection().takes(f"x/{name}")
    assert not Selection().takes(f"{name}/a.md")


@pytest.mark.parametrize(
    ("path", "is_listed"),
    [
        ("a.md", True),
        ("A.MD", True),
        ("report.final.PDF", True),
        ("data.json", True),  # no document type, but a person should see that it is refused
        ("old.doc", True),
        ("README", True),
        ("~notes.md", True),
        ("a.png", False),
        ("A.PNG", False),
        ("fonts/x.woff2", False),
        ("a.tar.gz", False),
        ("uv.lock", False),
        ("web/package-lock.json", False),
        ("a.md.tmp", False),
        ("main.py", False),
    ],
)
def test_default_include_leaves_out_only_what_is_known_to_be_no_document(path, is_listed):
    assert Selection().takes(path) is is_listed


def test_include_is_taken_literally():
    assert Selection(["**/*"]).takes("a.png")
    assert not Selection(["**/*.md"]).takes("a.txt")
    assert not SUPPORTED & IGNORED


# ------------------------------------------------------------------------------------------------- shards


@pytest.mark.parametrize(
    ("path", "shards", "shard"),
    [("a.md", 1, 0), ("a.md", 2, 1), ("a.md", 16, 13), ("x/ä.md", 16, 11), ("tickets/0001.eml", 16, 10), ("", 7, 1)],
)
def test_shard_of_never_changes(path, shards, shard):
    assert shard_of(path, shards) == shard


def test_shards_are_balanced():
    counts = Counter(shard_of(f"tickets/{i:05}.eml", 16) for i in range(16_000))
    assert set(counts) == set(range(16))
    assert max(counts.values()) - min(counts.values()) < 250


def test_split_gives_every_path_to_one_shard():
    files = tuple(SourceFile(f"{i}.md", i, str(i)) for i in range(100))
    refused = {f"{i}.pdf": Refusal(Reason.TOO_LARGE, "x") for i in range(100)}
    whole = Listing(files, refused, "r1")
    parts = [split(whole, 4, i) for i in range(4)]
    assert all(part.revision == "r1" and part.files and part.refused for part in parts)
    assert {file for part in parts for file in part.files} == set(files)
    assert sum(len(part.files) for part in parts) == 100
    assert sorted(path for part in parts for path in part.refused) == sorted(refused)
    assert split(whole, 1, 0) == whole


@pytest.mark.parametrize(("shards", "index"), [(0, 0), (4, 4), (4, -1), (-1, 0)])
def test_split_refuses_a_shard_that_does_not_exist(shards, index):
    with pytest.raises(ValueError, match="shard"):
        split(Listing((SourceFile("a", 1, ""),)), shards, index)


# ------------------------------------------------------------------------------------------------- folders


def test_folder_lists_and_reads_documents_sorted(root, settled):
    put(root, "b.md", "bee")
    put(root, "a/z.md", "zed")
    put(root, ".git/config")
    put(root, "logo.png")
    put(root, "data.json", "{}")
    opened = source(root)
    listing = opened.list()
    assert paths(listing) == ["a/z.md", "b.md", "data.json"]
    assert dict(listing.refused) == {}
    assert [opened.read(file) for file in listing.files] == [b"zed", b"bee", b"{}"]
    assert all(file.stamp and file.size and abs(file.modified - time.time()) < 60 for file in listing.files)
    assert opened.list() == listing


def test_urls_of_a_folder_are_paths_relative_to_base_or_file_urls(root):
    put(root, "a b.md")
    for url in ("docs", "./docs", str(root), f"file://{root}", f"file://localhost{root}"):
        assert paths(open_source(url, base=root.parent, cache=root.parent).list()) == ["a b.md"], url
    spaced = root.parent / "my docs"
    root.rename(spaced)
    assert paths(open_source(spaced.as_uri(), base=root.parent, cache=root.parent).list()) == ["a b.md"]


@pytest.mark.parametrize("url", ["file://host/x", "file:x", "", "  ", "a\0b"])
def test_url_that_names_no_folder_is_an_error(url, tmp_path):
    with pytest.raises(SourceError):
        open_source(url, base=tmp_path, cache=tmp_path)


def test_missing_root_and_file_as_root_are_errors_with_the_path(root):
    with pytest.raises(SourceError, match=r"docs/none.*Expected.*Next") as caught:
        source(root / "none").list()
    assert str(root / "none") in str(caught.value)
    with pytest.raises(SourceError, match="not a folder"):
        source(put(root, "a.md")).list()


def test_file_that_may_change_within_the_clock_tick_has_no_stamp(root):
    place = put(root, "a.md", "one")
    opened = source(root)
    (file,) = opened.list().files
    assert file.stamp == ""
    assert opened.read(file) == b"one"
    place.write_bytes(b"three")
    with pytest.raises(SourceBusy, match="changed"):
        opened.read(file)


def test_file_with_an_old_mtime_that_changed_just_now_has_no_stamp(root):
    os.utime(put(root, "a.md"), (OLD, OLD))
    (file,) = source(root).list().files
    assert (file.stamp, file.modified) == ("", pytest.approx(OLD))


def test_replacement_of_the_same_size_and_mtime_is_noticed(root, settled):
    place = put(root, "a.md", "one")
    os.utime(place, (OLD, OLD))
    opened = source(root)
    before = opened.list()
    new = put(root.parent, "new", "two")
    os.utime(new, (OLD, OLD))
    new.replace(place)
    after = opened.list()
    assert (before.files[0].size, before.files[0].modified) == (after.files[0].size, after.files[0].modified)
    assert before.files[0].stamp != after.files[0].stamp
    assert opened.read(after.files[0]) == b"two"


def test_rewrite_in_place_with_the_mtime_put_back_is_noticed(root, settled):
    place = put(root, "a.md", "one")
    os.utime(place, (OLD, OLD))
    opened = source(root)
    before = opened.list().files[0]
    time.sleep(0.02)
    place.write_bytes(b"two")
    os.utime(place, (OLD, OLD))
    with pytest.raises(SourceBusy):
        opened.read(before)
    assert opened.list().files[0].stamp != before.stamp


def test_file_that_changed_or_went_after_the_listing_is_busy(root, settled):
    for name in ("grown.md", "gone.md", "folder.md", "fifo.md"):
        put(root, name)
    opened = source(root)
    files = {file.path: file for file in opened.list().files}
    put(root, "grown.md", "more text")
    for name in ("gone.md", "folder.md", "fifo.md"):
        (root / name).unlink()
    (root / "folder.md").mkdir()
    os.mkfifo(root / "fifo.md")
    for file in files.values():
        with pytest.raises(SourceBusy, match=f"{file.path} changed"):
            opened.read(file)


def test_file_that_changes_during_the_read_is_busy(root, settled, monkeypatch):
    place = put(root, "a.md", "x" * 100)
    opened = source(root)
    (file,) = opened.list().files
    read = folder._exactly

    def meanwhile(handle, size):
        data = read(handle, size)
        time.sleep(0.02)
        place.write_bytes(b"y" * 100)
        return data

    monkeypatch.setattr(folder, "_exactly", meanwhile)
    with pytest.raises(SourceBusy, match="changed while it was read"):
        opened.read(file)


def test_read_by_another_source_object_holds_to_the_stamp(root, settled):
    put(root, "a.md", "one")
    (file,) = source(root).list().files
    assert source(root).read(file) == b"one"
    time.sleep(0.02)
    put(root, "a.md", "two")
    with pytest.raises(SourceBusy):
        source(root).read(file)


@pytest.mark.parametrize("path", ["../secret.md", "x/../../secret.md", "/etc/hostname", "./a.md", ""])
def test_read_never_leaves_the_root(root, path):
    put(root, "a.md")
    put(root, "x/b.md")
    secret = put(root.parent, "secret.md", "secret")
    with pytest.raises((SourceError, SourceBusy)):
        source(root).read(SourceFile(path, secret.stat().st_size, ""))


def test_links_inside_the_root_are_followed_for_files_only(root, settled):
    put(root, "real/a.md", "a")
    (root / "link.md").symlink_to("real/a.md")
    (root / "again").symlink_to("real")
    (root / "real/up").symlink_to("..")
    (root / "pipe.md").symlink_to("fifo")
    os.mkfifo(root / "fifo")
    opened = source(root)
    listing = opened.list()
    assert paths(listing) == ["link.md", "real/a.md"]
    assert dict(listing.refused) == {}
    assert [opened.read(file) for file in listing.files] == [b"a", b"a"]


def test_kubernetes_volume_is_listed(root, settled):
    put(root, "..2026_01/a.md", "a")
    (root / "..data").symlink_to("..2026_01")
    (root / "a.md").symlink_to("..data/a.md")
    opened = source(root)
    assert [(file.path, opened.read(file)) for file in opened.list().files] == [("a.md", b"a")]


def test_links_that_leave_the_root_are_refused(root):
    put(root.parent, "secret.md", "top secret")
    put(root.parent, "docs-2/other.md", "top secret")
    (root / "file.md").symlink_to("../secret.md")
    (root / "hop.md").symlink_to("file.md")
    (root / "folder").symlink_to("../docs-2")
    (root / "absolute.md").symlink_to("/etc/hostname")
    (root / "nothing.md").symlink_to("none.md")
    (root / "loop.md").symlink_to("loop.md")
    (root / "image.png").symlink_to("../secret.md")
    listing = source(root).list()
    assert paths(listing) == []
    assert sorted(listing.refused) == ["absolute.md", "file.md", "folder", "hop.md", "loop.md", "nothing.md"]
    assert {refusal.reason for refusal in listing.refused.values()} == {Reason.UNREADABLE}
    assert "secret.md" in listing.refused["file.md"].detail
    assert "out of the source" in listing.refused["folder"].detail
    assert "top secret" not in str(listing)


def test_link_does_not_open_what_is_excluded(root):
    put(root, "private/a.md", "top secret")
    (root / "public.md").symlink_to("private/a.md")
    listing = source(root, exclude=["private/"]).list()
    assert paths(listing) == []
    assert "excluded" in listing.refused["public.md"].detail


def test_link_swapped_in_between_list_and_read_is_busy(root):
    secret = put(root.parent, "outside/a.md", "xxxx")
    place = put(root, "sub/a.md", "text")
    opened = source(root)
    (file,) = opened.list().files
    place.unlink()
    place.symlink_to(secret)
    with pytest.raises(SourceBusy):
        opened.read(file)
    place.unlink()
    place.parent.rmdir()
    place.parent.symlink_to(secret.parent)
    with pytest.raises(SourceBusy):
        opened.read(file)


def test_link_swapped_for_a_hard_link_to_the_listed_file_is_still_refused(root, settled):
    """The folder in between is a link now: the same inode, but reached through a place outside the root."""
    place = put(root, "sub/a.md", "text")
    opened = source(root)
    (file,) = opened.list().files
    (root / "sub").rename(root.parent / "moved")
    (root / "sub").symlink_to(root.parent / "moved")
    assert place.read_bytes() == b"text"
    with pytest.raises(SourceBusy):
        opened.read(file)


def test_link_pointed_elsewhere_after_the_listing_is_busy(root):
    put(root, "one.txt", "1111")
    put(root, "two.txt", "2222")
    (root / "link.md").symlink_to("one.txt")
    opened = source(root, include=["*.md"])
    (file,) = opened.list().files
    (root / "link.md").unlink()
    (root / "link.md").symlink_to("two.txt")
    with pytest.raises(SourceBusy):
        opened.read(file)


@pytest.mark.timeout(10)
def test_what_is_no_regular_file_is_never_opened(root):
    os.mkfifo(root / "fifo.md")
    put(root, "a.md")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        before = Path.cwd()
        os.chdir(root)  # the path of a socket is short
        try:
            server.bind("socket.md")
        finally:
            os.chdir(before)
        assert paths(source(root, include=["**/*"]).list()) == ["a.md"]


def test_too_large_file_is_refused_with_its_size(root):
    put(root, "big.md", "x" * 11)
    put(root, "fits.md", "x" * 10)
    put(root, "big.png", "x" * 11)
    listing = source(root, max_bytes=10).list()
    assert paths(listing) == ["fits.md"]
    assert list(listing.refused) == ["big.md"]
    assert listing.refused["big.md"] == Refusal(Reason.TOO_LARGE, "11 bytes; at most 10 are read")


def test_names_that_are_not_utf8_are_refused_escaped(root):
    for name in (b"caf\xe9.md", b"caf\xe9.png"):
        (root / os.fsdecode(name)).touch()
    (root / os.fsdecode(b"ord\xf1er")).mkdir()
    put(root, "ok.md")
    listing = source(root).list()
    assert paths(listing) == ["ok.md"]
    assert list(listing.refused) == [r"caf\udce9.md", r"ord\udcf1er"]
    str(listing).encode()


def test_names_are_nfc_and_the_real_name_is_opened(root, settled):
    decomposed = unicodedata.normalize("NFD", "café/é.md")
    put(root, decomposed, "e")
    opened = source(root, include=["café/*.md"])
    (file,) = opened.list().files
    assert file.path == "café/é.md" != decomposed
    assert opened.read(file) == b"e"


def test_second_of_two_names_that_are_one_in_nfc_is_refused(root, settled):
    put(root, "é.md", "composed")
    put(root, unicodedata.normalize("NFD", "é.md"), "decomposed")
    opened = source(root)
    listing = opened.list()
    assert paths(listing) == ["é.md"]
    assert opened.read(listing.files[0]) == b"composed"
    assert list(listing.refused) == [r"e\u0301.md"]
    assert "rename" in listing.refused[r"e\u0301.md"].detail


def test_odd_but_legal_names_are_read(root, settled):
    for name in ("a\nb.md", "-rf.md", "a b.md", "%2e%2e.md", "日本.md", "a:b.md"):
        put(root, name, name)
    opened = source(root)
    listing = opened.list()
    assert {file.path: opened.read(file).decode() for file in listing.files} == {path: path for path in paths(listing)}
    assert len(listing.files) == 6


# ------------------------------------------------------------------------------------------------- permissions


@pytest.fixture
def open_root():
    """A folder under /tmp that another user can reach (pytest's own is 0700)."""
    place = Path(tempfile.mkdtemp(prefix="twohands-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@contextlib.contextmanager
def as_nobody():
    """Root can read everything, so that permissions have to be tested as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_file_without_permission_is_refused_and_the_others_are_read(open_root):
    put(open_root, "no.md").chmod(0)
    put(open_root, "yes.md")
    with as_nobody():
        opened = source(open_root)
        listing = opened.list()
        assert paths(listing) == ["yes.md"]
        assert opened.read(listing.files[0]) == b"text"
    assert listing.refused["no.md"].reason is Reason.UNREADABLE


def test_permission_taken_away_after_the_listing_is_an_error(open_root, monkeypatch):
    place = put(open_root, "a.md")
    opened = source(open_root)
    (file,) = opened.list().files
    place.chmod(0)
    with as_nobody(), pytest.raises(SourceError, match=r"a\.md .* may not be read"):
        opened.read(file)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o311])
def test_folder_that_may_not_be_listed_fails_the_listing(open_root, mode):
    put(open_root, "a.md")
    sub = put(open_root, "closed/b.md").parent
    sub.chmod(mode)
    with as_nobody():
        with pytest.raises(SourceError, match=r"closed.*Expected.*exclude"):
            source(open_root).list()
        assert paths(source(open_root, exclude=["closed"]).list()) == ["a.md"]
        assert paths(source(open_root, include=["/*.md"]).list()) == ["a.md"]
        with pytest.raises(SourceError, match="closed"):
            source(sub).list()
    sub.chmod(0o755)


def test_input_output_error_of_a_folder_is_busy(root, monkeypatch):
    put(root, "sub/a.md")
    scandir = os.scandir

    def failing(place):
        if place.endswith(b"sub"):
            raise OSError(5, "Input/output error")
        return scandir(place)

    monkeypatch.setattr(folder.os, "scandir", failing)
    with pytest.raises(SourceBusy, match=r"sub could not be listed"):
        source(root).list()


# ------------------------------------------------------------------------------------------------- moving targets


def test_file_moved_during_the_walk_is_not_missed(root, monkeypatch):
    """From a folder not scanned yet into one that was: the walk is repeated."""
    for name in ("a", "b"):
        os.utime(put(root, f"{name}/of-{name}.md").parent, (OLD, OLD))
    scandir, seen = os.scandir, []

    def moving(place):
        seen.append(Path(os.fsdecode(place)).name)
        if len(seen) == 3:  # the root and one of the two folders are scanned, the other one is next
            _, first, second = seen
            (root / second / f"of-{second}.md").rename(root / first / f"of-{second}.md")
        return scandir(place)

    monkeypatch.setattr(folder.os, "scandir", moving)
    assert len(source(root).list().files) == 2
    assert len(seen) == 6


def test_folder_removed_during_the_walk_is_gone_and_no_error(root, monkeypatch):
    put(root, "a/x.md")
    put(root, "b.md")
    scandir = os.scandir

    def removing(place):
        if place == os.fsencode(root / "a"):
            (root / "a/x.md").unlink()
            (root / "a").rmdir()
        return scandir(place)

    monkeypatch.setattr(folder.os, "scandir", removing)
    assert paths(source(root).list()) == ["b.md"]


def test_listing_of_400_files_is_fast(root):
    for i in range(400):
        put(root, f"{i % 20}/{i}.md")
    opened = source(root)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        assert len(opened.list().files) == 400
        times.append(time.perf_counter() - start)
    assert min(times) < 0.03  # 3 ms on an idle machine
