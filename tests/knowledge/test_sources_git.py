"""Git repositories as sources."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from assets.errors import SourceBusy, SourceError
from assets.knowledge.sources import git as git_source
from assets.knowledge.sources import gitcli, open_source
from assets.knowledge.sources.address import parse_address
from assets.ports import Reason, SourceFile


@pytest.fixture(autouse=True)
def _own_git_config(monkeypatch, tmp_path):
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = t\nemail = t@example.com\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))


class Repo:
    """A repository made with the git program."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        self("init", "--quiet")

    def __call__(self, *args, data: bytes | None = None) -> str:
        done = subprocess.run(["git", *args], cwd=self.place, input=data, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, files: dict[str, str | bytes], message="m") -> str:
        for path, text in files.items():
            place = self.place / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode() if isinstance(text, str) else text)
        self("add", "--all", "--force")
        self("commit", "--quiet", "--allow-empty", "-m", message)
        return self("rev-parse", "HEAD")

    def add_entry(self, mode: str, data: bytes | str, path: str) -> None:
        """Adds an index entry that no work tree could hold."""
        blob = data if isinstance(data, str) else self("hash-object", "-w", "--stdin", data=data)
        self("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit({"a.md": "one", "docs/b.md": "bee", "logo.png": "x", ".github/c.md": "c"})
    return repo


@pytest.fixture
def open_git(tmp_path):
    def opened(url="git+repo", **options):
        return open_source(url, base=tmp_path, cache=tmp_path / "cache", **options)

    return opened


@pytest.fixture
def calls(monkeypatch):
    """The git subcommands that the source ran."""
    names: list[str] = []
    real = gitcli.git

    def spying(*args, **options):
        names.append(args[0])
        return real(*args, **options)

    monkeypatch.setattr(git_source, "git", spying)
    return names


def contents(source):
    return {file.path: source.read(file) for file in source.list().files}


# ------------------------------------------------------------------------------------------------- git: addresses


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("git+https://h/o/r.git", ("https://h/o/r.git", "HEAD", "")),
        ("git+https://h/o/r.git@main", ("https://h/o/r.git", "main", "")),
        ("git+https://h/o/r.git@feature/x#subdirectory=docs/a", ("https://h/o/r.git", "feature/x", "docs/a")),
        ("git+https://h/o/r@pkg@1.0", ("https://h/o/r", "pkg@1.0", "")),
        ("git+https://u:p@h/r.git@v1", ("https://h/r.git", "v1", "")),
        ("git+ssh://git@h:22/o/r.git@main", ("ssh://git@h:22/o/r.git", "main", "")),
        ("git+ssh://git:pw@h/o/r.git", ("ssh://git@h/o/r.git", "HEAD", "")),
        ("git+git@h.org:o/r.git@main", ("git@h.org:o/r.git", "main", "")),
        ("git+git@h.org:o/r.git", ("git@h.org:o/r.git", "HEAD", "")),
        ("git+repo@v1", ("{base}/repo", "v1", "")),
        ("git+./repo", ("{base}/repo", "HEAD", "")),
        ("git+me@home/repo@v1", ("{base}/me@home/repo", "v1", "")),
        ("git+file://{base}/repo@pkg@1.0", ("{base}/repo", "pkg@1.0", "")),
    ],
)
def test_address_of_a_git_url(url, address, tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "me@home/repo").mkdir(parents=True)
    found = parse_address(url.replace("{base}", str(tmp_path)), tmp_path)
    assert (found.remote.url, found.ref, found.subdirectory) == (
        address[0].replace("{base}", str(tmp_path)),
        *address[1:],
    )


@pytest.mark.parametrize(
    "ref",
    [
        "-x",
        "--upload-pack=touch x",
        "a..b",
        "a b",
        "a\nb",
        "a:b",
        "a~1",
        "a^",
        "x*",
        "a@{1}",
        "/a",
        "a/",
        "a.lock",
        "a\\",
    ],
)
def test_hostile_refs_are_refused_before_git_sees_them(ref, repo, open_git, calls):
    with pytest.raises(SourceError, match="cannot be a git ref"):
        open_git(f"git+repo@{ref}").list()
    assert calls == []


@pytest.mark.parametrize("url", ["git+ext::sh -c 'touch x'", "git+ext://x/y", "git+fd::7/x", "git+ftp://h/x"])
def test_git_transports_that_run_programs_or_are_unknown_are_refused(url, open_git, calls):
    with pytest.raises(SourceError, match="cannot use the transport"):
        open_git(url).list()
    assert calls == []


@pytest.mark.parametrize(
    "url",
    [
        "git+https://-oProxyCommand=x/y",
        "git+https://h",
        "git+https://",
        "git+https://h/r#egg=x",
        "git+https://h/r#subdirectory=../x",
        "git+https://h/r#subdirectory=",
    ],
)
def test_senseless_git_urls_are_refused(url, open_git, calls):
    with pytest.raises(SourceError):
        open_git(url)
    assert calls == []


# ------------------------------------------------------------------------------------------------- git: listings


def test_git_lists_and_reads_a_commit(repo, open_git):
    commit = repo("rev-parse", "HEAD")
    source = open_git()
    listing = source.list()
    assert contents(source) == {"a.md": b"one", "docs/b.md": b"bee"}
    assert listing.revision == commit
    assert [file.stamp for file in listing.files] == [repo("rev-parse", f"HEAD:{p}") for p in ("a.md", "docs/b.md")]
    assert {file.modified for file in listing.files} == {float(repo("log", "-1", "--format=%ct"))}
    assert contents(open_git("git+repo#subdirectory=docs")) == {"b.md": b"bee"}
    assert list(contents(open_git("git+repo", include=[".github/**"]))) == [".github/c.md"]


def test_git_uncommitted_changes_are_not_seen(repo, open_git):
    (repo.place / "a.md").write_text("edited")
    assert contents(open_git())["a.md"] == b"one"


@pytest.mark.parametrize("kind", ["branch", "slash", "tag", "annotated", "commit", "abbreviated", "full", "at"])
def test_git_ref_kinds(kind, repo, open_git):
    old = repo("rev-parse", "HEAD")
    repo("branch", "old")
    repo("branch", "feature/x")
    repo("tag", "v1")
    repo("tag", "-a", "v1a", "-m", "x")
    repo("tag", "@scope/pkg@1.0")
    repo.commit({"a.md": "two"})
    ref = {
        "branch": "old",
        "slash": "feature/x",
        "tag": "v1",
        "annotated": "v1a",
        "commit": old,
        "abbreviated": old[:9],
        "full": "refs/heads/old",
        "at": "@scope/pkg@1.0",
    }[kind]
    source = open_git(f"git+repo@{ref}")
    assert contents(source)["a.md"] == b"one"
    assert source.list().revision == old
    assert contents(open_git())["a.md"] == b"two"


def test_git_fetches_only_when_the_ref_moved(repo, open_git, calls):
    source = open_git("git+repo@main")
    first = source.list()
    assert calls.count("fetch") == 1
    assert source.list() == first == open_git("git+repo@main").list()
    assert calls.count("fetch") == 1
    repo.commit({"a.md": "two", "new.md": "n"})
    second = source.list()
    assert calls.count("fetch") == 2
    assert second.revision != first.revision
    assert contents(source) == {"a.md": b"two", "docs/b.md": b"bee", "new.md": b"n"}
    stamps = {file.path: file.stamp for file in first.files}
    assert [file.path for file in second.files if stamps.get(file.path) != file.stamp] == ["a.md", "new.md"]
    assert source.read(first.files[0]) == b"one"  # a blob never changes: the listing is still true


def test_git_commit_that_is_mirrored_needs_no_network(repo, open_git, calls):
    commit = repo("rev-parse", "HEAD")
    open_git(f"git+repo@{commit}").list()
    calls.clear()
    open_git(f"git+repo@{commit}").list()
    assert not {"fetch", "ls-remote"} & set(calls)
    short = open_git(f"git+repo@{commit[:8]}")
    short.list()
    calls.clear()
    assert short.list().revision == commit
    assert "fetch" not in calls


def test_git_history_that_was_rewritten_is_followed(repo, open_git):
    source = open_git("git+repo@main")
    source.list()
    repo.commit({"a.md": "two"})
    source.list()
    repo("reset", "--quiet", "--hard", "HEAD~1")
    repo.commit({"a.md": "three"})
    assert contents(source)["a.md"] == b"three"


def test_git_missing_ref_lists_some_that_exist(repo, open_git):
    repo("tag", "v1")
    with pytest.raises(SourceError, match=r"no branch, tag or commit mian\. Expected: .*main, v1"):
        open_git("git+repo@mian").list()
    for ref in ("deadbeef", "0" * 40):
        with pytest.raises(SourceError, match=f"commit {ref}"):
            open_git(f"git+repo@{ref}").list()


def test_git_empty_repository_missing_repository_and_folder_are_errors(repo, tmp_path, open_git):
    Repo(tmp_path / "empty")
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match="no commits"):
        open_git("git+empty").list()
    with pytest.raises(SourceError, match=f"no repository at {tmp_path}/none"):
        open_git("git+none@main").list()
    with pytest.raises(SourceError, match=r"plain.*(not appear|not a git)"):
        open_git("git+plain").list()
    with pytest.raises(SourceError, match="no folder nope"):
        open_git("git+repo#subdirectory=nope").list()
    with pytest.raises(SourceError, match=r"no folder a\.md"):
        open_git("git+repo#subdirectory=a.md").list()
    repo("tag", "blob", repo("rev-parse", "HEAD:a.md"))
    with pytest.raises(SourceError):
        open_git("git+repo@blob").list()


def test_git_links_submodules_and_odd_entries_are_refused(repo, open_git):
    repo.add_entry("120000", b"/etc/passwd", "link.md")
    repo.add_entry("120000", b"/etc/passwd", "link.png")
    repo.add_entry("160000", repo("rev-parse", "HEAD"), "vendor/sub")
    repo("commit", "--quiet", "-m", "odd")
    listing = open_git(max_bytes=3).list()
    assert [file.path for file in listing.files] == ["a.md", "docs/b.md"]
    assert {path: refusal.reason for path, refusal in listing.refused.items()} == {
        "link.md": Reason.UNREADABLE,
        "vendor/sub": Reason.UNREADABLE,
    }
    assert "submodule" in listing.refused["vendor/sub"].detail
    repo.commit({"big.md": "1234"})
    assert open_git(max_bytes=3).list().refused["big.md"].reason is Reason.TOO_LARGE


def test_git_names_are_normalized_and_names_that_are_not_utf8_refused(repo, open_git):
    for name, text in (("é.md", b"composed"), ("e\u0301.md", b"decomposed"), ("u\u0308.md", b"u")):
        repo.add_entry("100644", text, name)
    blob = repo("rev-parse", "HEAD:a.md")
    repo("update-index", "-z", "--index-info", data=f"100644 {blob}\tcaf".encode() + b"\xe9.md\0")
    repo("commit", "--quiet", "-m", "names")
    source = open_git()
    found = contents(source)
    assert (found["é.md"], found["ü.md"]) == (b"composed", b"u")
    assert set(source.list().refused) == {r"e\u0301.md", r"caf\udce9.md"}


def test_git_tree_that_climbs_out_is_refused(repo, open_git):
    blob = repo("rev-parse", "HEAD:a.md")
    raw = b"".join(b"100644 " + name + b"\0" + bytes.fromhex(blob) for name in (b"..", b"ok.md"))
    tree = repo("hash-object", "-t", "tree", "-w", "--literally", "--stdin", data=raw)
    repo("update-ref", "refs/heads/evil", repo("commit-tree", tree, "-m", "evil"))
    listing = open_git("git+repo@evil").list()
    assert [file.path for file in listing.files] == ["ok.md"]
    assert list(listing.refused) == [".."]


def test_git_lfs_pointers_are_refused(repo, open_git):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
    repo.commit({"manual.pdf": pointer, "about.md": pointer})
    assert open_git().list().refused == {}  # only a repository that uses LFS is searched
    repo.commit({".gitattributes": "*.pdf filter=lfs diff=lfs merge=lfs -text\n"})
    listing = open_git().list()
    assert set(listing.refused) == {"manual.pdf", "about.md"}
    assert "LFS" in listing.refused["manual.pdf"].detail


def test_git_hooks_and_filters_of_a_repository_never_run(repo, tmp_path, open_git):
    mark = tmp_path / "ran"
    for name in ("post-checkout", "reference-transaction", "pre-auto-gc", "post-upload-pack"):
        hook = repo.place / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    repo("config", "uploadpack.packObjectsHook", f"touch {mark};")
    repo("config", "core.fsmonitor", f"touch {mark}")
    mark.unlink(missing_ok=True)
    assert contents(open_git())["a.md"] == b"one"
    assert not mark.exists()


def test_git_environment_of_a_surrounding_git_is_ignored(repo, open_git, monkeypatch, tmp_path):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    source = open_source("git+repo", base=tmp_path, cache=tmp_path / "cache")
    assert [file.path for file in source.list().files] == ["a.md", "docs/b.md"]


# ------------------------------------------------------------------------------------------------- git: faults


def test_git_credentials_are_shown_nowhere(tmp_path, monkeypatch, open_git):
    seen = []
    popen = subprocess.Popen

    def spying(args, **options):
        seen.append((args, options["env"]))
        return popen(args, **options)

    monkeypatch.setattr(gitcli.subprocess, "Popen", spying)
    with pytest.raises(SourceBusy) as caught:
        open_git("git+https://bob:hunter%402@127.0.0.1:9/x.git@main").list()
    assert "127.0.0.1:9/x.git" in str(caught.value)
    everything = str(caught.value) + repr(caught.value.__cause__) + repr([args for args, _ in seen])
    assert not any(secret in everything for secret in ("hunter", "bob", "Basic"))
    header = next(value for _, env in seen for value in env.values() if value.startswith("Authorization"))
    assert header == "Authorization: Basic Ym9iOmh1bnRlckAy"  # bob:hunter@2
    assert not any("hunter" in str(path) for path in (tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("fatal: unable to access 'x': Could not resolve host: nowhere", SourceBusy),
        ("fatal: unable to access 'x': The requested URL returned error: 503", SourceBusy),
        ("ssh: connect to host h port 22: Connection timed out\nfatal: Could not read from remote", SourceBusy),
        ("fatal: early EOF\nfatal: index-pack failed", SourceBusy),
        ("remote: Repository not found.\nfatal: repository 'x' not found", SourceError),
        ("fatal: Authentication failed for 'x'", SourceError),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote: connection closed", SourceError),
        ("fatal: unable to access 'x': SSL certificate problem: self-signed certificate", SourceError),
        ("fatal: unable to access 'x': The requested URL returned error: 403", SourceError),
        ("fatal: something else in /connection/refused", SourceError),
    ],
)
def test_git_messages_are_told_apart(text, kind):
    error = gitcli.GitFailed(text, ["/connection/refused"])
    assert type(error.translated(gitcli.Remote("x"))) is kind


def test_git_that_takes_too_long_is_busy_and_ended(repo, open_git, monkeypatch, tmp_path):
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nsleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    start = time.monotonic()
    with pytest.raises(SourceBusy, match="did not end within"):
        gitcli.git("ls-remote", timeout=0.2)
    assert time.monotonic() - start < 5


def test_git_that_is_not_installed_says_so(repo, open_git, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="install git"):
        open_git().list()


@pytest.mark.parametrize("damage", ["half", "lock", "head", "objects", "ref", "not_a_folder_of_git"])
def test_git_mirror_that_is_damaged_is_repaired(damage, repo, open_git, tmp_path):
    open_git().list()
    (mirror,) = (tmp_path / "cache").glob("*.git")
    own = next((mirror / "refs/twohands").iterdir())
    repo.commit({"a.md": "two"})
    if damage == "half":  # killed while the pack arrived, before any ref was written
        own.unlink()
        (mirror / "objects/pack/tmp_pack_x").write_bytes(b"PACK\0")
    elif damage == "lock":
        own.with_suffix(".lock").touch()
        (mirror / "shallow.lock").touch()
    elif damage == "head":
        (mirror / "HEAD").unlink()
    elif damage == "objects":
        for pack in (mirror / "objects/pack").iterdir():
            pack.unlink()
    elif damage == "ref":
        own.write_bytes(b"")
    else:
        for place in sorted(mirror.rglob("*"), reverse=True):
            place.rmdir() if place.is_dir() else place.unlink()
    assert contents(open_git())["a.md"] == b"two"


def test_git_blob_that_is_missing_is_busy_now_and_repaired_next(repo, open_git, tmp_path):
    source = open_git()
    (file, other) = source.list().files
    (mirror,) = (tmp_path / "cache").glob("*.git")
    packs = sorted((mirror / "objects/pack").glob("*.pack"))
    datas = [pack.read_bytes() for pack in packs]
    for place in (mirror / "objects/pack").iterdir():
        place.unlink()
    for data in datas:
        subprocess.run(["git", f"--git-dir={mirror}", "unpack-objects", "-q"], input=data, check=True)
    assert source.read(other) == b"bee"
    (mirror / "objects" / file.stamp[:2] / file.stamp[2:]).unlink()
    with pytest.raises(SourceBusy, match=r"a\.md is not in the mirror"):
        source.read(file)
    assert contents(source)["a.md"] == b"one"


def test_git_reading_process_that_was_killed_is_busy_then_well(repo, open_git):
    source = open_git()
    (file, _) = source.list().files
    assert source.read(file) == b"one"
    process = source._blobs._process
    process.kill()
    process.wait()
    assert source.read(file) == b"one"


def test_git_read_of_a_stamp_that_is_no_blob_id_is_busy(repo, open_git):
    source = open_git()
    (file, other) = source.list().files
    for stamp in ("HEAD", "", "a" * 39, f"{file.stamp}\n{file.stamp}", f"{source.list().revision}:a.md", "0" * 40):
        with pytest.raises(SourceBusy):
            source.read(SourceFile("a.md", 3, stamp))
    assert source.read(other) == b"bee"  # the questions and answers are still in step


def test_git_processes_take_turns(repo, tmp_path):
    code = """
import json, sys
from pathlib import Path
from assets.knowledge.sources import open_source
base = Path(sys.argv[1])
source = open_source("git+repo@main", base=base, cache=base / "cache")
print(json.dumps({file.path: source.read(file).decode() for file in source.list().files}))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    where = Path(__file__).parents[2]
    running = [subprocess.Popen(command, cwd=where, stdout=subprocess.PIPE) for _ in range(3)]
    outs = [process.communicate(timeout=60)[0] for process in running]
    assert [json.loads(out) for out in outs] == [{"a.md": "one", "docs/b.md": "bee"}] * 3


def test_git_mirror_that_another_process_holds_is_busy(repo, open_git, tmp_path, monkeypatch):
    open_git().list()
    (mirror,) = (tmp_path / "cache").glob("*.git")
    monkeypatch.setattr(git_source, "_LOCK_SECONDS", 0.1)
    with FileLock(mirror.with_suffix(".lock")), pytest.raises(SourceBusy, match="Another process"):
        open_git().list()


def test_git_reads_from_many_threads(repo, open_git):
    repo.commit({f"{i}.md": f"text {i}" * (i + 1) for i in range(50)})
    source = open_git()
    files = source.list().files
    wrong = []

    def read():
        for file in files:
            if len(source.read(file)) != file.size:
                wrong.append(file)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
