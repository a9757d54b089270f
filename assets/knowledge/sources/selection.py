"""Which files of a source are documents: include and exclude globs, hidden names, types that are no documents.

Patterns (matched against NFC paths, case-sensitive, "/" between parts, anchored at the source's root):

    pattern         takes                                                         not
    **/*.md         a.md, x/a.md, x/y/a.md                                        a.MD, .x/a.md
    *.md            the same: a pattern without "/" holds at any depth            a.md.txt
    /*.md           a.md                                                          x/a.md
    docs/*          docs/a.md                                                     docs/x/a.md
    docs/**         docs/a.md, docs/x/a.md                                        mydocs/a.md
    docs/           the same; "docs" too, at any depth: a last part without       -
                    wildcards names a file, or a folder with all below it
    a/**/b.md       a/b.md, a/x/y/b.md                                            b.md
    ch?.md          ch1.md                                                        ch10.md
    [!a]*.md        b.md; "[*]" is a literal star                                 a.md
    *.{md,rst}      a.md, a.rst                                                   a.txt

Hidden and temporary names (see `is_skipped`) are taken by a written-out part of an include pattern only, as in a
shell: `.github/**` takes .github/a.md, `**/*.md` does not. Exclude patterns see every name.

Without include patterns a file is listed unless its type is known to hold no document (`IGNORED`: images, fonts,
media, archives, programs, source code, configuration, lock files). What is neither `SUPPORTED` nor `IGNORED` is
listed, so that parsing refuses it where a person sees it. Include patterns are taken literally: they may list a PNG.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assets.errors import ConfigError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SUPPORTED = _words(".md .mdx .markdown .rst .html .htm .txt .text .pdf .docx .pptx .csv .tsv .ipynb .eml")
"""Lower-case extensions, with the dot, of the types that can be parsed."""

IGNORED = _words(
    # images, fonts, media
    ".png .jpg .jpeg .jpe .gif .bmp .tif .tiff .webp .ico .icns .svg .avif .heic .psd .ai .eps .xcf .drawio "
    ".ttf .otf .woff .woff2 .eot .mp3 .wav .ogg .oga .flac .m4a .aac .opus .mp4 .m4v .mov .avi .mkv .webm .wmv .swf "
    # archives, disk images, packages
    ".zip .tar .gz .tgz .bz2 .xz .zst .lz4 .7z .rar .jar .war .whl .egg .deb .rpm .apk .dmg .iso .img "
    # programs, binary data, weights
    ".exe .dll .so .dylib .a .o .obj .lib .bin .class .pyc .pyo .wasm .dat .db .sqlite .sqlite3 .parquet .arrow "
    ".feather .npy .npz .pkl .pickle .pt .pth .onnx .safetensors .gguf .h5 "
    # source code, style sheets
    ".py .pyi .js .mjs .cjs .jsx .ts .tsx .vue .svelte .css .scss .sass .less .map .c .h .cc .cpp .hpp .cs .go .rs "
    ".java .kt .kts .scala .rb .php .pl .lua .r .jl .swift .m .mm .sh .bash .zsh .fish .ps1 .bat .cmd .sql .tf .proto "
    # configuration, lock files, unfinished or saved copies
    ".toml .ini .cfg .conf .yml .yaml .env .properties .lock .sum .mod .tmp .temp .part .crdownload .bak .log"
)
"""Lower-case extensions of well-known types that hold no document; ignored unless an include pattern takes them."""

IGNORED_NAMES = frozenset({"package-lock.json", "npm-shrinkwrap.json", "composer.lock", "Makefile", "Dockerfile"})

_SKIPPED = (
    r"(?:\.[^/]*|[^/]*~|~\$[^/]*|#[^/]*#|[^/]*\.sw[op]|__pycache__|__MACOSX|node_modules|Thumbs\.db|desktop\.ini)"
)
_skipped = re.compile(_SKIPPED)
_VISIBLE = rf"(?!{_SKIPPED}(?:/|\Z))"


def is_skipped(name: str) -> bool:
    """Whether one name is hidden (".git", ".DS_Store"), a cache, or what an editor leaves ("a.md~", ".#a", "a.swp")."""
    return _skipped.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Regular expressions of one glob: files it takes, folders that may hold such files, folders it takes whole."""

    files: list[str]
    holds: list[str]
    whole: list[str]


class Selection:
    """Include and exclude patterns, compiled. ConfigError for a pattern that cannot mean anything."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._by_type = not include
        taken = [_compile(one, guard=_VISIBLE) for glob in include or ("**",) for one in _braces(glob, "include")]
        left = [_compile(one, guard="") for glob in exclude for one in _braces(glob, "exclude")]
        self._files = _union(regex for pattern in taken for regex in pattern.files)
        self._holds = _union(regex for pattern in taken for regex in pattern.holds)
        self._left = _union(regex for pattern in left for regex in pattern.files)
        self._left_whole = _union(regex for pattern in left for regex in pattern.whole)

    def takes(self, path: str) -> bool:
        """Whether the file at `path` is to be listed."""
        if self._by_type and _is_ignored_type(path):
            return False
        return self._files.fullmatch(path) is not None and not self.excludes(path)

    def excludes(self, path: str) -> bool:
        """Whether an exclude pattern takes `path`."""
        return self._left.fullmatch(path) is not None

    def holds(self, folder: str) -> bool:
        """Whether files to be listed may lie below `folder`; False means that it need not be opened."""
        return self._holds.fullmatch(folder) is not None and self._left_whole.fullmatch(folder) is None


def _is_ignored_type(path: str) -> bool:
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    suffix = dot + extension.lower() if stem else ""
    return suffix not in SUPPORTED and (suffix in IGNORED or name in IGNORED_NAMES)


def _union(regexes: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{regex})" for regex in regexes) or r"(?!)")


def _braces(glob: str, kind: str) -> list[str]:
    """`*.{md,rst}` -> `*.md`, `*.rst`; checks the pattern on the way."""
    found = re.search(r"\{([^{}]*)\}", glob)
    if found:
        head, tail = glob[: found.start()], glob[found.end() :]
        return [one for choice in found[1].split(",") for one in _braces(head + choice + tail, kind)]
    parts = glob.split("/")
    if not glob.strip("/. ") or ".." in parts or glob.startswith("!") or "\\" in glob or "\0" in glob:
        raise ConfigError(
            f"{kind} pattern {glob!r} matches no file",
            expected='a glob such as "**/*.md", relative to the source, with "/" between folders',
            next_step='write what to leave out under exclude, without a leading "!"' if glob.startswith("!") else "",
        )
    return [glob]


def _compile(glob: str, guard: str) -> _Pattern:
    text = unicodedata.normalize("NFC", glob)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if "/" not in text.rstrip("/"):
        parts.insert(0, "**")
    parts = [part for i, part in enumerate(parts) if part != "**" or i == 0 or parts[i - 1] != "**"]
    only_folder = text.endswith("/") or parts[-1] == "**"
    takes_below = only_folder or not re.search(r"[*?\[]", parts[-1])
    if parts[-1] == "**":
        parts.pop()
    any_name = guard + r"[^/]+"
    names = [None if part == "**" else ("" if is_skipped(part) else guard) + _part(part) for part in parts]
    below = rf"(?:{any_name}/)*{any_name}"
    files = [] if only_folder else [_join(names, any_name)]
    holds = [_folder(names[:i], any_name) for i in range(1, len(names))]
    whole: list[str] = []
    if takes_below:
        files.append((_join(names, any_name) + "/" if names else "") + below)
        whole.append(_join(names, any_name) + rf"(?:/{any_name})*" if names else below)
    return _Pattern(files, [*holds, *whole], whole)


def _join(names: Sequence[str | None], any_name: str) -> str:
    """Regex of parts in sequence; None stands for any number of folders. The last part is a name."""
    return "".join(rf"(?:{any_name}/)*" if name is None else name + "/" for name in names).removesuffix("/")


def _folder(names: Sequence[str | None], any_name: str) -> str:
    if names[-1] is not None:
        return _join(names, any_name)
    head = "".join(rf"(?:{any_name}/)*" if name is None else name + "/" for name in names[:-1])
    return head + rf"(?:{any_name}/)*{any_name}"


def _part(part: str) -> str:
    """Regex of one path part: `*`, `?` and `[...]` never match "/"."""
    out, i = [], 0
    while i < len(part):
        char, i = part[i], i + 1
        if char == "*":
            if not out or out[-1] != "[^/]*":
                out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[" and (end := part.find("]", i + 2 if part[i : i + 1] in ("!", "^") else i + 1)) > 0:
            body = part[i:end]
            negated = body[:1] in ("!", "^")
            inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", body[1:] if negated else body)
            out.append(f"(?!/)[{'^' if negated else ''}{inner}]")
            i = end + 1
        else:
            out.append(re.escape(char))
    return "".join(out)
