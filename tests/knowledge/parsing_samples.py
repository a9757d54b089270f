"""Tiny files of each format, made here, so that the parsing tests need no data from elsewhere."""

import io
import json
import zipfile

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(pages, info="", trailer=b"%%EOF"):
    """A PDF whose pages are lists of (size, x, y, text); an empty list is a blank page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for lines in pages:
        stream = "".join(f"BT /F1 {s} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET\n" for s, x, y, text in lines)
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}endstream")
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    objects.append(f"<< {info} >>")
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\n".encode()
    return out + f"startxref\n{start}\n".encode() + trailer


def report_pdf():
    body = [(10, 72, 700 - 12 * i, f"Body line {i} of the first paragraph is here and it goes on,") for i in range(6)]
    first = [(20, 72, 750, "Annual Report"), *body, (10, 72, 600, "A second paragraph."), (10, 300, 30, "1")]
    second = [(14, 72, 750, "Results"), (10, 72, 720, "The exam-"), (10, 72, 708, "ple went well."), (10, 300, 30, "2")]
    return pdf([first, second], "/Title (Report 2024) /Author (Ann) /ModDate (D:20240203101112+01'00')")


def locked_pdf(user, owner="owner"):
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter()
    writer.append(PdfReader(io.BytesIO(pdf([[(12, 72, 700, "Locked words")]]))))
    writer.encrypt(user, owner, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx():
    import datetime as dt

    from docx import Document

    document = Document()
    document.core_properties.title = "Manual"
    document.core_properties.author = "Bo"
    document.core_properties.modified = dt.datetime(2024, 5, 6, 7, 8, 9)
    document.add_heading("Setup", 1)
    document.add_paragraph("Plug it in.")
    document.add_heading("Tools", 2)
    document.add_paragraph("Hammer", style="List Bullet")
    document.add_paragraph("Saw", style="List Bullet")
    document.add_paragraph("First", style="List Number")
    document.add_paragraph("Second", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip([c for row in table.rows for c in row.cells], ["Part", "Cost", "Bolt|M4", "2"], strict=True):
        cell.text = text
    document.add_paragraph("# not a heading")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def raw_docx(xml, extra=()):
    """A docx of one part, for what python-docx would not write."""
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
    )
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>'
    )
    return archive({"[Content_Types].xml": types, "_rels/.rels": relations, "word/document.xml": xml, **dict(extra)})


def archive(parts):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return out.getvalue()


def pptx(blank=False):
    from pptx import Presentation
    from pptx.util import Inches

    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6 if blank else 1])
    if not blank:
        slide.shapes.title.text = "Plan"
        slide.placeholders[1].text = "One\nTwo"
        slide.notes_slide.notes_text_frame.text = "Say hello"
        other = deck.slides.add_slide(deck.slide_layouts[5])
        other.shapes.title.text = "Numbers"
        table = other.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
        for index, text in enumerate(["A", "B", "1", "2"]):
            table.cell(index // 2, index % 2).text = text
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def notebook(cells, version=4, **metadata):
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": version, "nbformat_minor": 2}).encode()


HTML = b"""<!DOCTYPE html><html lang="en"><head><title>Pumps | Acme</title><meta name="author" content="Cy">
<meta property="article:modified_time" content="2024-03-04T05:06:07Z"><style>p{}</style></head><body>
<nav><a href="/home">Home</a></nav><main><h1>Pumps<a class="headerlink" href="#p">\xc2\xb6</a></h1>
<p>Use a <b>big</b> pump, see <a href="/fit">fitting</a>.<!-- secret --></p><script>evil()</script>
<h2>Steps</h2><ol><li>Open<ul><li>the lid</li></ul></li><li>Close</li></ol>
<pre><code class="language-python">x = 1
  y = 2</code></pre>
<table><tr><th>Kind</th><th>Bar</th></tr><tr><td>A|B</td><td>3</td></tr></table>
<p hidden>hidden words</p><p># no heading</p></main><footer>Imprint</footer></body></html>"""

RST = b"""Guide
=====

:Author: Di
:Date: 2024-02-03

See :ref:`the plan <plan>`, :class:`~pkg.Thing` and ``code``.

.. note:: Mind the gap.

.. py:function:: run(x)
   :noindex:

   Runs it.

.. code-block:: python

   print(1)

Parts
-----

* one
* two

.. include:: /etc/passwd

=====  =====
Left   Right
=====  =====
a      b
=====  =====
"""

EML = b"""Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
From: Ed <ed@example.org>
Date: Fri, 2 Feb 2024 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=B

--B
Content-Type: text/plain; charset=cp850
Content-Transfer-Encoding: 8bit

Caf\x82 \xa3 at noon.
--B
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"

JVBERi0=
--B--
"""

MDX = b"""---
title: Tabs
type: tutorial
date: 2024-01-02
tags: [a, b]
nested: {x: 1}
---
import { Tabs,
  Tab } from '~/tabs';
export const x = 1;

# Tabs in use

<Tabs items={[1, 2]}>
  <Tab label="a > b">
    Inner **text** of `<Tab>`.

    ```js
    import kept from 'kept';
      <Kept />
    ```
  </Tab>
</Tabs>

{/* a comment */}
A < B, see <a href="/x">there</a>.
"""
