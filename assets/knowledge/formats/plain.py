"""Plain text as Markdown, and source or data files as one code block."""

from __future__ import annotations

from pathlib import PurePosixPath

from assets.knowledge.formats.base import Parsed, fence

# A "#" comment would become a heading and a table of numbers a list, so these stand in a fence.
FENCED = {
    "py": "python", "pyi": "python", "js": "javascript", "mjs": "javascript", "cjs": "javascript", "ts": "typescript",
    "jsx": "jsx", "tsx": "tsx", "json": "json", "jsonl": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml",
    "ini": "ini", "cfg": "ini", "conf": "ini", "xml": "xml", "sh": "bash", "bash": "bash", "ps1": "powershell",
    "sql": "sql", "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "hpp": "cpp", "cs": "csharp", "go": "go",
    "rs": "rust", "java": "java", "kt": "kotlin", "rb": "ruby", "php": "php", "r": "r", "css": "css", "scss": "scss",
    "log": "", "proto": "protobuf", "tf": "hcl", "lua": "lua", "pl": "perl", "swift": "swift", "tex": "latex",
}  # fmt: skip


def read_plain(path: str, text: str) -> Parsed:
    """Text as it is written."""
    extension = PurePosixPath(path).suffix[1:].lower()
    if extension in FENCED:
        return Parsed(fence(text, FENCED[extension]), metadata={"type": extension})
    return Parsed(text, metadata={"type": "text"})
