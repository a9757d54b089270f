import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from assets.knowledge.formats.dates import iso_date, pdf_date
from assets.knowledge.formats.encoding import decode
from assets.knowledge.formats.markdown import segments
from assets.knowledge.parsing import fingerprint, parse
from assets.ports import Document
from assets.ports.index import values
from tests.knowledge import parsing_samples as made

ROOT = Path(__file__).resolve().parents[2]


def read(path, data):
    found = parse(path, data)
    assert isinstance(found, Document), found
    return found


# ------------------------------------------------------------------------------------------------ text formats


def test_markdown_is_kept_as_written_without_front_matter_and_comments():
    front = "---\ntitle: T\nauthor: Al\n---\n\n"
    source = front + "# One\n\n* a   b  \n\n`<!-- kept -->` <!-- gone -->x\n\n```\n<!-- kept -->\n```\n"
    found = read("a.md", source.encode())
    assert found.text == "# One\n\n* a   b  \n\n`<!-- kept -->` x\n\n```\n<!-- kept -->\n```"
    assert (found.title, found.metadata["author"]) == ("T", "Al")


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("---\ntitle: Front\n---\n# Head", "Front"),
        ("## Two\n\n# `One` [x](y) {#one}", "One x"),
        ("## Two\n\ntext", "Two"),
        ("Under\n=====\n\ntext", "Under"),
        ("```\n# no\n```\n\ntext", "stem"),
        ("text\n---\n\n# Later", "Later"),
        ("intro\n" * 1500 + "# Far down", "Far down"),
        ('<h1 align="center">Tag</h1>\n\n## Two', "Tag"),
    ],
)
def test_title_is_the_best_stated_one(source, title):
    assert read("x/stem.md", source.encode()).title == title


@pytest.mark.parametrize(
    "source",
    [
        "---\na: [1\n---\ntext",
        "---\njust words\n---\ntext",
        "---\n- a\n---\ntext",
        "--- \nnever closed: 1\n\ntext",
        "---\n!!python/x y\n---\ntext",
    ],
)
def test_broken_front_matter_is_kept_as_text(source):
    assert read("a.md", source.encode()).text == source.strip("\n")


def test_front_matter_gives_scalars_and_lists_and_no_alias_bomb():
    bomb = "\n".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(12))
    found = read("a.md", f"---\n{bomb}\ntags: [p, q]\nn: 3\nok: true\nday: 2024-01-02\n---\nhi".encode())
    assert {k: found.metadata[k] for k in ("tags", "n", "ok", "day")} == {
        "tags": "p\nq",
        "n": "3",
        "ok": "true",
        "day": "2024-01-02",
    }
    assert sum(map(len, found.metadata.values())) < 20_000


def test_list_of_front_matter_is_several_values_and_a_text_is_one():
    found = read("a.md", b"---\naudience: [staff, ' R&D,\n  Berlin', '', staff]\nteam: staff, board\n---\nhi").metadata
    assert (values(found["audience"]), values(found["team"])) == (("staff", "R&D, Berlin"), ("staff, board",))
    found = read("a.md", b'+++\naudience = ["staff", "board"]\nteam = """a\nb"""\n+++\nhi').metadata
    assert (values(found["audience"]), values(found["team"])) == (("staff", "board"), ("a b",))


def test_list_that_is_too_long_is_cut_between_its_values():
    names = [f"group-{n:02}" for n in range(50)] + ["x" * 600]
    held = read("a.md", f"---\naudience: [{', '.join(names[:-1])}]\n---\nhi".encode()).metadata["audience"]
    assert len(held) <= 500
    assert values(held) == tuple(names[: len(values(held))])
    assert len(values(held)) > 40


def test_front_matter_in_toml_is_read():
    found = read("a.md", b'+++\ntitle = "T"\ndate = 2024-01-02\n+++\ntext')
    assert (found.title, found.date, found.text) == ("T", "2024-01-02", "text")


def test_mdx_loses_its_program_and_keeps_its_text_and_code():
    found = read("a.mdx", made.MDX)
    assert found.text == (
        "# Tabs in use\n\nInner **text** of `<Tab>`.\n\n```js\nimport kept from 'kept';\n  <Kept />\n```\n\n"
        "A < B, see there."
    )
    assert (found.title, found.date, found.links) == ("Tabs", "2024-01-02", ("/x",))
    assert found.metadata["type"] == "mdx"
    assert values(found.metadata["tags"]) == ("a", "b")


@pytest.mark.parametrize("line", ["import taxes are high in May.", "export of goods fell.", "a <- b < c"])
def test_mdx_keeps_prose_that_looks_like_program(line):
    assert line in read("a.mdx", f"# T\n\n{line}\n".encode()).text


def test_segments_lose_nothing():
    source = "a `b` ```c``` <!-- d -->\n- ```py\n  `x` <!-- y -->\n  ```\n~~~~\n```\n~~~~\n`` ` `` <!-- open `z`"
    parts = list(segments(source))
    assert "".join(text for _, text in parts) == source
    kinds = "prose code prose code prose comment prose fence prose fence prose code prose code"
    assert [kind for kind, _ in parts] == kinds.split()


def test_links_are_ordered_unique_bounded_and_not_from_code():
    source = "[a](/1) `[b](/2)` ![c](/3 'T') <https://x.y> [a](/1)\n\n[r]: /4\n\n```\n[d](/5)\n```\n[e](#f) [g](data:x)"
    assert read("a.md", source.encode()).links == ("/1", "/3", "https://x.y", "/4")
    assert len(read("a.md", b"".join(b"[a](/%d) " % i for i in range(2_000))).links) == 500


def test_html_keeps_main_content_and_structure():
    found = read("a.html", made.HTML)
    assert found.text == (
        "# Pumps\n\nUse a **big** pump, see [fitting](/fit).\n\n## Steps\n\n1. Open\n   - the lid\n2. Close\n\n"
        "```python\nx = 1\n  y = 2\n```\n\n| Kind | Bar |\n| --- | --- |\n| A\\|B | 3 |\n\n\\# no heading"
    )
    assert (found.title, found.date, found.links) == ("Pumps", "2024-03-04T05:06:07+00:00", ("/fit",))
    assert found.metadata == {"type": "html", "author": "Cy", "language": "en"}


def test_rst_keeps_sections_unknown_directives_and_roles_and_reads_no_files():
    found = read("a.rst", made.RST)
    assert found.text.startswith("# Guide\n\nSee the plan, `pkg.Thing` and `code`.")
    for part in (
        "Mind the gap.",
        "`run(x)`\n\nRuns it.",
        "```python\nprint(1)\n```",
        "## Parts\n\n- one\n- two",
        "| Left | Right |",
    ):
        assert part in found.text
    assert "root:" not in found.text
    assert "noindex" not in found.text
    assert (found.title, found.date, found.metadata["author"]) == ("Guide", "2024-02-03", "Di")


def test_rst_with_errors_loses_no_words():
    broken = b"*open emphasis and `broken\n\n.. note::\n\n   In\n   --\n\n"
    broken += b".. figure:: a.png\n   :bogus: 1\n\n   Caption words\n\n"
    found = read(
        "a.rst", b"Title\n=====\n\nSub\n---\n\nDeep\n~~~~\n\nBack\n---\n\n" + broken + b"\nOdd\n++++\n\nlast words"
    )
    assert all(word in found.text for word in ("open emphasis", "broken", "Caption words", "In\n", "Odd", "last words"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_finds_its_delimiter(delimiter):
    rows = [["Name", "City"], ["A, Inc.; x|y\tz", "Bonn"], ["B", "Ulm"]]
    data = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows).encode()
    found = read("a.csv", data)
    assert found.text == "| Name | City |\n| --- | --- |\n| A, Inc.; x\\|y z | Bonn |\n| B | Ulm |"
    assert found.metadata == {"type": "csv", "rows": "2", "columns": "2"}


def test_notebook_cells_become_text_fences_and_outputs():
    cells = [
        {"cell_type": "markdown", "source": ["# Note\n", "[l](/l)"]},
        {
            "cell_type": "code",
            "source": "1+1",
            "outputs": [{"output_type": "execute_result", "data": {"text/plain": ["2"]}}],
        },
        {"cell_type": "code", "source": "", "outputs": [{"output_type": "stream", "text": "x" * 30_000}]},
    ]
    found = read("a.ipynb", made.notebook(cells, language_info={"name": "python"}))
    assert found.text.startswith("# Note\n[l](/l)\n\n```python\n1+1\n```\n\n```text\n2\n```")
    assert "10,000 more characters" in found.text
    assert "cut" in found.metadata["partial"]
    assert (found.title, found.links) == ("Note", ("/l",))


def test_mail_decodes_parts_and_names_attachments():
    found = read("a.eml", made.EML)
    assert found.text.startswith("# Grüße\n\nFrom: Ed <ed@example.org>")
    assert "Café ú at noon." in found.text
    assert (found.title, found.date, found.metadata["attachments"]) == ("Grüße", "2024-02-02T10:00:00+00:00", "a.pdf")


def test_source_files_stand_in_a_fence():
    assert read("a.yaml", b"# no heading\nkey: 1\n").text == "```yaml\n# no heading\nkey: 1\n```"
    assert read("notes.unknown", b"plain words").text == "plain words"
    assert read("page", b"<!doctype html><h1>Hi</h1>").text == "# Hi"


# ----------------------------------------------------------------------------------------------- binary formats


def test_pdf_has_headings_paragraphs_and_facts():
    found = read("a.pdf", made.report_pdf())
    assert found.text.startswith("# Annual Report\n\nBody line 0")
    assert "it goes on,\n\nA second paragraph.\n\n## Results\n\nThe example went well." in found.text
    assert (found.title, found.date) == ("Report 2024", "2024-02-03T10:11:12+01:00")
    assert found.metadata == {"type": "pdf", "pages": "2", "author": "Ann"}


def test_pdf_cut_at_its_end_says_so():
    assert "no end mark" in read("a.pdf", made.pdf([[(12, 72, 700, "Words")]], trailer=b"")).metadata["partial"]


def test_pdf_restricted_by_its_owner_is_read_and_says_so():
    found = read("a.pdf", made.locked_pdf(""))
    assert "Locked words" in found.text
    assert "restrict" in found.metadata["restricted"]


def test_docx_styles_become_markdown():
    found = read("a.docx", made.docx())
    assert found.text == (
        "# Setup\n\nPlug it in.\n\n## Tools\n\n- Hammer\n- Saw\n1. First\n2. Second\n\n"
        "| Part | Cost |\n| --- | --- |\n| Bolt\\|M4 | 2 |\n\n\\# not a heading"
    )
    assert (found.title, found.date, found.metadata["author"]) == ("Manual", "2024-05-06T07:08:09+00:00", "Bo")


def test_docx_keeps_equations_insertions_and_drops_deletions():
    m = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    body = (
        "<w:p><w:ins><w:r><w:t>new </w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom>"
        "<m:oMath><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath></w:p>"
    )
    found = read("a.docx", made.raw_docx(f"<w:document {made.W} {m}><w:body>{body}</w:body></w:document>"))
    assert found.text == "new (a)/(b)"
    assert found.date is None, "a missing docProps part must not become the current time"


def test_pptx_slides_become_sections_with_notes_and_tables():
    found = read("a.pptx", made.pptx())
    assert (
        found.text == "## Plan\n\n- One\n- Two\n\nNotes: Say hello\n\n## Numbers\n\n| A | B |\n| --- | --- |\n| 1 | 2 |"
    )
    assert found.metadata["slides"] == "2"


# ---------------------------------------------------------------------------------------------------- encodings

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. Настройки сохраняются автоматически."
WESTERN = "L'été dernier, nous avons visité le château. Les élèves ont reçu leurs résultats à l'école."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp866"), (RUSSIAN, "koi8-r"), (RUSSIAN, "cp1251"), (WESTERN, "cp1252"), (WESTERN, "utf-8-sig"),
        (WESTERN, "utf-16"), (WESTERN, "utf-16-le"), (WESTERN, "utf-16-be"), (WESTERN, "utf-32"),
        ("維基大典者網路為礎集天下知四海言眾人志書百科焉始作者", "big5"),
        ("名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25,大阪", "cp932"),
        ("設定は自動的に保存されます。ありがとう。", "iso2022_jp"),
    ],
)  # fmt: skip
def test_text_is_readable_in_any_encoding(text, encoding):
    assert read("a.txt", text.encode(encoding)).text == text


def test_html_charset_is_honored():
    page = '<meta charset="{}"><p>Привет, мир</p>'
    assert read("a.html", '<meta charset="iso-8859-2"><p>ż'.encode("iso8859_2")).text == "ż"
    assert read("a.html", page.format("koi8-r").encode("koi8-r")).text == "Привет, мир"
    assert read("a.html", page.format("koi8-r").encode()).text == "Привет, мир", (
        "bytes that are UTF-8 win over a left-over label"
    )


def test_decode_believes_a_declaration_before_it_guesses():
    assert [decode(b"\xc4\xc1", name).text for name in ("koi8-r", "iso8859_5", "latin-1")] == ["да", "ФС", "ÄÁ"]


def test_damaged_utf8_is_read_and_says_so():
    found = read("a.txt", (WESTERN * 3).encode() + b"\xff end")
    assert found.text.endswith("\ufffd end")
    assert "1 byte" in found.metadata["partial"]


def test_text_is_normalized():
    found = read("a.txt", "e\u0301 a\x00b\x1bc\r\nd\re\u2028f\ufeff soft\xadhy\fpage".replace("\x00", "\x01").encode())
    assert found.text == "é abc\nd\ne\nf softhy\n\npage"
    assert unicodedata.is_normalized("NFC", found.text)


# ---------------------------------------------------------------------------------------------------- the whole


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("2024-01-02", "2024-01-02"), ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05+00:00"),
        ("2 January 2024", "2024-01-02"),
        ("Jan 2, 2024", "2024-01-02"), ("Tue, 02 Jan 2024 03:04:05 +0000", "2024-01-02T03:04:05+00:00"),
        ("2024", None), ("soon enough", None), (20240102, None), (None, None), ("2024-13-45", None),
    ],
)  # fmt: skip
def test_iso_date_reads_what_documents_state(value, date):
    assert iso_date(value) == date


def test_pdf_date_reads_partial_and_wrong_ones():
    assert pdf_date("D:2024") == "2024-01-01"
    assert pdf_date("D:20240203101112Z") == "2024-02-03T10:11:12+00:00"
    assert pdf_date("D:20249999") is None
    assert pdf_date("yesterday") is None


@pytest.mark.parametrize("make", [made.docx, made.pptx, made.report_pdf])
def test_parse_is_deterministic(make):
    data = make()
    assert parse("x", data) == parse("x", data)
    assert list(read("x", data).metadata) == list(read("x", data).metadata)


def test_fingerprint_is_stable():
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 64


def test_markdown_imports_no_parser_library():
    code = (
        "import sys; from assets.knowledge.parsing import parse; parse('a.md', b'# x'); parse('a.mdx', b'# x');"
        "heavy = ('pypdf', 'docx', 'pptx', 'lxml', 'docutils', 'chardet', 'email', 'dagster', 'torch');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
