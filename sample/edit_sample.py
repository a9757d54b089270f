"""Apply one day of edits (edits/edits.toml) to the sample handbook, or --undo it.

an edit's files now     what is done
as before the edit      apply: do it      undo: nothing
as after the edit       apply: nothing    undo: take it back
some as before, some    finish either way (an earlier run was interrupted)
anything else           a conflict: name the file, change nothing at all, exit 1
"""

import argparse
import hashlib
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = {"modify": "modified", "add": "added", "delete": "deleted", "rename": "renamed"}
Files = Mapping[str, bytes | None]  # path in the handbook -> its bytes, None for no file


@dataclass(frozen=True)
class Edit:
    """One entry of edits.toml; `text` is the stored text of an added or deleted file."""

    kind: str
    path: str
    to: str  # another path for a rename, else the same
    sha256: str  # of the file before the edit
    changes: tuple[tuple[bytes, bytes], ...]
    text: bytes | None


@dataclass(frozen=True)
class Plan:
    """What to write (None: remove), the edits this carries out, and what forbids it."""

    writes: Files
    edits: tuple[Edit, ...]
    conflicts: tuple[str, ...]


def load_edits(folder: Path) -> list[Edit]:
    """Read edits.toml and the texts beside it."""
    entries = tomllib.loads((folder / "edits.toml").read_text(encoding="utf-8"))
    edits: list[Edit] = []
    for kind, word in KINDS.items():
        for entry in entries.get(kind, []):
            path = entry["path"]
            text = (folder / word / path).read_bytes() if kind in ("add", "delete") else None
            sha256 = entry["sha256"] if text is None else _sha256(text)
            pairs = ((c["old"].encode(), c["new"].encode()) for c in entry.get("changes", []))
            edits.append(Edit(kind, path, entry.get("to", path), sha256, tuple(pairs), text))
    return edits


def read_files(edits: Iterable[Edit], target: Path) -> Files:
    """Read every file that the edits name, below `target`."""
    paths = {path for edit in edits for path in (edit.path, edit.to)}
    return {p: (target / p).read_bytes() if (target / p).is_file() else None for p in paths}


def sides(edit: Edit, files: Files) -> tuple[Files, Files] | None:
    """The edit's files before and after it; None if `files` holds neither text of it."""
    if edit.kind in ("add", "delete"):
        there, absent = {edit.path: edit.text}, {edit.path: None}
        return (absent, there) if edit.kind == "add" else (there, absent)
    backward = [(new, old) for old, new in reversed(edit.changes)]
    for text in (files[edit.path], _replace(files[edit.to], backward)):
        if text is not None and _sha256(text) == edit.sha256:
            after = {edit.path: None, edit.to: _replace(text, edit.changes)}
            return {edit.to: None, edit.path: text}, after
    return None


def make_plan(edits: Iterable[Edit], files: Files, *, undo: bool = False) -> Plan:
    """Decide what to write, after the table at the top of this file; touches no disk."""
    writes: dict[str, bytes | None] = {}
    pending: list[Edit] = []
    conflicts: list[str] = []
    for edit in edits:
        before, after = sides(edit, files) or ({}, {})
        named = [p for p in (edit.path, edit.to) if files[p] is not None] or [edit.path]
        wrong = [p for p in before if files[p] not in (before[p], after[p])]
        conflicts += [_conflict(edit, p, files[p]) for p in (wrong if before else named[:1])]
        todo = {p: d for p, d in (before if undo else after).items() if files[p] != d}
        writes |= todo
        pending += [edit] if todo else []
    return Plan(writes, tuple(pending), tuple(conflicts))


def carry_out(writes: Files, target: Path) -> None:
    """Write new texts first (temporary file, then replace), remove files last."""
    for path, data in sorted(writes.items(), key=lambda item: item[1] is None):
        file = target / path
        if data is None:
            file.unlink()
        else:
            temporary = file.with_name(f".{file.name}.tmp")
            temporary.write_bytes(data)
            temporary.replace(file)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 1 after a conflict."""
    parser = argparse.ArgumentParser(description="Apply one day of edits to the sample handbook.")
    parser.add_argument("--undo", action="store_true", help="bring back the former files")
    parser.add_argument("--target", type=Path, default=HERE / "handbook", metavar="DIR")
    args = parser.parse_args(argv)
    edits = load_edits(HERE / "edits")
    plan = make_plan(edits, read_files(edits, args.target), undo=args.undo)
    if plan.conflicts:
        print(*plan.conflicts, "Nothing was changed.", sep="\n", file=sys.stderr)
        return 1
    carry_out(plan.writes, args.target)
    for edit in plan.edits:
        arrow = f" -> {edit.to}" if edit.to != edit.path else ""
        print(f"{'undone: ' if args.undo else ''}{KINDS[edit.kind]:<9} {edit.path}{arrow}")
    counts = Counter(KINDS[edit.kind] for edit in plan.edits).items()
    summary = ", ".join(f"{n} {word}" for word, n in counts) or "nothing to change"
    state = "undone" if args.undo else "applied"
    print(f"{state.capitalize() if counts else f'Already {state}'}: {summary}.")
    return 0


def _replace(text: bytes | None, changes: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Make each change where its old text occurs exactly once; None where it does not."""
    for old, new in changes:
        text = text.replace(old, new) if text is not None and text.count(old) == 1 else None
    return text


def _conflict(edit: Edit, path: str, found: bytes | None) -> str:
    absent = edit.kind == "add" or path != edit.path
    shipped = "no file" if absent else f"sha256 {edit.sha256[:12]}"
    state = "no file" if found is None else f"sha256 {_sha256(found)[:12]}"
    cure = "Move your file away" if absent else "Set your change aside, git checkout the file"
    expected = f"{shipped} (as shipped) or the file as already {KINDS[edit.kind]}"
    return f"{path}: expected {expected}; found {state}. {cure}, then run again."


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
