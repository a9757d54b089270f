import time

import pytest

from assets.knowledge.parsing import parse
from assets.ports import Document, Reason, Refusal
from tests.knowledge import parsing_samples as made

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
ODF = '<manifest><file-entry><encryption-data checksum="x"/></file-entry></manifest>'
LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "' + "&a;" * 50 + '"><!ENTITY c "' + "&b;" * 50 + '">]>'


@pytest.mark.parametrize(
    ("path", "data", "reason"),
    [
        ("a.md", b"", Reason.EMPTY),
        ("a.md", b" \n\t\r\n\xc2\xa0", Reason.EMPTY),
        ("a.txt", "\ufeff \n".encode("utf-16"), Reason.EMPTY),
        ("a.html", b"<html><body><img src=x></body></html>", Reason.NO_TEXT),
        ("a.md", b"---\n\n# \n\n---\n", Reason.NO_TEXT),
        ("a.ipynb", made.notebook([]), Reason.NO_TEXT),
        ("a.pdf", made.pdf([[]]), Reason.NO_TEXT),
        ("a.docx", made.raw_docx(f"<w:document {made.W}><w:body><w:p/></w:body></w:document>"), Reason.NO_TEXT),
        ("a.pptx", made.pptx(blank=True), Reason.NO_TEXT),
        ("a.pdf", made.docx(), Reason.MISMATCH),
        ("a.docx", made.pdf([[(12, 72, 700, "x")]]), Reason.MISMATCH),
        ("a.md", made.pdf([[(12, 72, 700, "x")]]), Reason.MISMATCH),
        ("a.docx", b"only words", Reason.MISMATCH),
        ("a.txt", b"\x89PNG\r\n\x1a\n" + bytes(99), Reason.MISMATCH),
        ("a.txt", OLE, Reason.MISMATCH),
        ("a.docx", OLE, Reason.ENCRYPTED),
        ("a.xlsx", OLE, Reason.ENCRYPTED),
        ("a.odt", made.archive({"META-INF/manifest.xml": ODF, "content.xml": "x"}), Reason.ENCRYPTED),
        ("a.pdf", made.locked_pdf("secret"), Reason.ENCRYPTED),
        ("a.msg", OLE, Reason.UNSUPPORTED),
        ("a.doc", OLE, Reason.UNSUPPORTED),
        ("a.xlsx", made.archive({"xl/workbook.xml": "x"}), Reason.UNSUPPORTED),
        ("a.epub", made.archive({"META-INF/container.xml": "x"}), Reason.UNSUPPORTED),
        ("a.zip", made.archive({"a.txt": "x"}), Reason.UNSUPPORTED),
        ("a.bin", bytes(range(256)) * 4, Reason.UNSUPPORTED),
        ("a.txt", bytes(range(256)) * 4, Reason.UNSUPPORTED),
        ("a", b"\x89PNG\r\n\x1a\n" + bytes(99), Reason.UNSUPPORTED),
        ("a.docx", made.docx()[:3_000], Reason.CORRUPT),
        ("a.docx", made.raw_docx("<w:document>"), Reason.CORRUPT),
        ("a.docx", made.raw_docx(f"{LAUGHS}<w:document {made.W}>&c;"), Reason.CORRUPT),
        ("a.docx", made.archive({"word/document.xml": "<x/>"}), Reason.CORRUPT),
        ("a.pptx", made.archive({"ppt/presentation.xml": "<x/>"}), Reason.CORRUPT),
        ("a.pdf", made.report_pdf()[:300], Reason.CORRUPT),
        ("a.pdf", bytes(range(256)) * 4, Reason.CORRUPT),
        ("a.ipynb", b'{"cells": [', Reason.CORRUPT),
        ("a.ipynb", b'{"a": 1}', Reason.CORRUPT),
        ("a.eml", b"no headers at all", Reason.CORRUPT),
        ("a.docx", lambda: made.raw_docx("<w:x/>", [("word/media/x.bin", bytes(540_000_000))]), Reason.TOO_LARGE),
        ("a.docx", lambda: made.raw_docx(" " * 70_000_000), Reason.TOO_LARGE),
        ("a.txt", lambda: b"word " * 7_000_000, Reason.TOO_LARGE),
    ],
)  # fmt: skip
def test_refusal_names_the_reason_in_one_sentence(path, data, reason):
    found = parse(path, data() if callable(data) else data)
    assert isinstance(found, Refusal), found
    assert found.reason == reason, found
    assert found.detail.endswith(".")
    assert "\n" not in found.detail
    assert len(found.detail) < 600
    assert "expected" in found.detail


@pytest.mark.parametrize("text", [b"On %PDF-1.7 headers", b"GIF89a and BZh are marks", b"PAR1 is how Parquet starts"])
def test_text_about_file_formats_is_still_text(text):
    assert isinstance(parse("a.md", text), Document)


@pytest.mark.parametrize("depth", [1_000, 100_000])  # too deep for Python, and for libxml2 too
def test_html_nested_too_deeply_keeps_its_text_and_says_so(depth):
    found = parse("a.html", b"<div>" * depth + b"deep &amp; far" + b"</div>" * depth)
    assert found.text == "deep & far"
    assert "nested" in found.metadata["partial"]


@pytest.mark.parametrize("seed", [b"`", b"<!--", b"](", b"[", b"# #", b"> ", b"<h1", b"```\n", b"a\n-\n"])
def test_repeated_marks_cost_linear_time(seed):
    begin = time.process_time()
    parse("a.md", seed * (400_000 // len(seed)))
    assert time.process_time() - begin < 5
