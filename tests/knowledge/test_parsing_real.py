import json
import os
from pathlib import Path

import pytest

from assets.knowledge.parsing import parse
from assets.ports import Document, Reason, Refusal

SHARED = Path(os.environ.get("TWOHANDS_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")

_REFUSED = {
    "refuse_encrypted": {Reason.ENCRYPTED}, "refuse_empty": {Reason.EMPTY}, "refuse_corrupt": {Reason.CORRUPT},
    "refuse_mismatch": {Reason.MISMATCH}, "refuse_unsupported": {Reason.UNSUPPORTED}, "no_text": {Reason.NO_TEXT},
}  # fmt: skip
_UNREAD = {"test.epub", "test.xlsx", "test_outlook_msg.msg"}
_SAYS = {
    "russian.cp866.txt": "Однажды, в студеную зимнюю пору", "sample-chinese.txt": "維基大典",
    "test_mskanji.csv": "| 佐藤太郎 | 30 | 東京 |",
    "habibi.pdf": "حَبيبي", "multicolumn.pdf": "# Two-Column Document", "equations.docx": "(mλ)/(a)",
    "test.docx": "\n# Introduction\n",
    "api.rst": "`head`", "quickstart.rst": "## Make a Request",
    "testHTML_charset_utf16le.html": "This is a sample text",
    "pdflatex-4-pages.pdf": "the original language", "test_blog.html": "## Experiment Setup",
    "testPPT.pptx": "- Watershed",
    "sample-polish.txt": "SYSTEM VIDEODOM", "blk-paras-and-tables.docx": "| Between |",
    "test_notebook.ipynb": "```python",
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    import tarfile

    folder = SHARED / "mixed-docs"
    if not (folder / "mixed-docs.tar.gz").exists():
        print(f"skipped: {folder} is not there; set TWOHANDS_SHARED_DATA to the folder of the shared data")  # noqa: T201
        pytest.skip(f"{folder} is not there")
    target = tmp_path_factory.mktemp("mixed")
    with tarfile.open(folder / "mixed-docs.tar.gz") as archive:
        archive.extractall(target, filter="data")
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return [(row["file"], next(target.rglob(row["file"])).read_bytes(), row["expected"]) for row in rows]


def test_real_files_end_as_their_manifest_says(mixed):
    wrong = []
    for name, data, expected in mixed:
        found = parse(name, data)
        if isinstance(found, Document):
            ok = expected in ("parses", "either") and _SAYS.get(name, "") in found.text
        elif name in _UNREAD:
            ok = found.reason == Reason.UNSUPPORTED
        else:
            ok = expected == "either" or found.reason in _REFUSED.get(expected, ())
        if not ok:
            wrong.append((name, expected, str(found)[:300]))
    assert not wrong
    assert len(mixed) == 58


def test_real_truncated_file_is_never_taken_for_whole(mixed):
    [data] = [data for name, data, _ in mixed if name == "truncated-half.pdf"]
    found = parse("truncated-half.pdf", data)
    assert isinstance(found, Refusal) or "partial" in found.metadata
