from __future__ import annotations

import pytest

from assets.errors import SourceError
from assets.knowledge import documents
from assets.knowledge.records import COMPACT_AT
from assets.ports import Listing, Reason, Refusal, SourceFile
from orchestration.engines.lake import open_lake
from tests.fakes import MemorySource, PlainParser


class Setup:
    def __init__(self, tmp_path):
        self.source, self.parser = MemorySource(), PlainParser()
        self.records = documents.open_records(open_lake(str(tmp_path), locks=tmp_path), "docs")

    def refresh(self, listing=None, **options):
        listing = listing or self.source.list()
        return documents.refresh(self.source, listing, self.records, self.parser, prefix="docs", **options)


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def test_refresh_counts_what_it_saw(setup):
    setup.source.files.update({"a.md": "# A", "b.md": "", "c.md": "REFUSE", "d.md": "# D"})
    report = setup.refresh()
    assert (report.seen, report.parsed, report.rejected, report.unchanged, report.accepted) == (4, 2, 2, 0, 2)
    again = setup.refresh()
    assert (again.seen, again.parsed, again.rejected, again.unchanged) == (4, 0, 2, 2)
    assert again.digest == report.digest


def test_unchanged_files_are_not_read(setup):
    setup.source.files.update({"a.md": "# A", "b.md": ""})
    setup.refresh()
    setup.source.reads.clear()
    setup.refresh()
    assert setup.source.reads == []


def test_same_bytes_under_a_new_stamp_are_not_parsed_again(setup):
    setup.source.files["a.md"] = "# A"
    setup.refresh()
    setup.parser.parsed.clear()
    setup.refresh(Listing((SourceFile("a.md", 3, "touched"),)))
    assert setup.parser.parsed == []
    setup.source.reads.clear()
    setup.refresh(Listing((SourceFile("a.md", 3, "touched"),)))
    assert setup.source.reads == []


def test_file_without_a_stamp_is_read_every_time(setup):
    setup.source.files["a.md"] = "# A"
    listing = Listing((SourceFile("a.md", 3, ""),))
    setup.refresh(listing)
    setup.refresh(listing)
    assert setup.source.reads == ["a.md", "a.md"]


def test_another_parser_parses_everything_again(setup):
    setup.source.files.update({"a.md": "# A", "b.md": "# B"})
    setup.refresh()
    setup.parser.fingerprint = "plain-2"
    assert setup.refresh().parsed == 2
    assert setup.refresh().parsed == 0


def test_files_that_the_source_refuses_are_remembered_with_their_reason(setup):
    setup.source.files["a.md"] = "# A"
    listing = setup.source.list()
    refused = Listing(listing.files, {"x.md": Refusal(Reason.UNREADABLE, "a link out of the source")})
    assert setup.refresh(refused).rejected == 1
    assert documents.rejected(setup.records.state()) == [
        {"doc_id": "docs/x.md", "reason": "unreadable", "detail": "a link out of the source"}
    ]
    assert setup.refresh(listing).rejected == 0


def test_unreadable_file_is_refused_and_the_rest_goes_on(setup, monkeypatch):
    setup.source.files.update({"a.md": "# A", "b.md": "# B"})
    whole = setup.source.read

    def read(file):
        if file.path == "a.md":
            raise SourceError("no permission")
        return whole(file)

    monkeypatch.setattr(setup.source, "read", read)
    report = setup.refresh()
    assert (report.parsed, report.rejected) == (1, 1)


def test_log_keeps_every_version_and_says_when_a_document_went(setup):
    for text in ("# A\n\none", "# A\n\ntwo"):
        setup.source.files["a.md"] = text
        setup.refresh()
    setup.source.files.clear()
    setup.refresh()
    rows = [row for table in setup.records.log(["op", "text"]) for row in table.to_pylist()]
    assert [(row["op"], row["text"]) for row in rows] == [
        ("upsert", "# A\n\none"),
        ("upsert", "# A\n\ntwo"),
        ("delete", ""),
    ]
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)


def test_long_refresh_commits_on_the_way(setup, monkeypatch):
    monkeypatch.setattr(documents, "FLUSH_ROWS", 2)
    setup.source.files.update({f"{i}.md": f"# {i}" for i in range(7)})

    def explode(files):
        for number, outcome in enumerate(PlainParser().parse(files)):
            if number == 5:
                raise KeyboardInterrupt
            yield outcome

    monkeypatch.setattr(setup.parser, "parse", explode)
    with pytest.raises(KeyboardInterrupt):
        setup.refresh()
    monkeypatch.undo()
    setup.source.reads.clear()
    report = setup.refresh()
    assert report.accepted == 7
    assert len(setup.source.reads) == 3


def test_compaction_changes_nothing_that_is_read(setup):
    for number in range(COMPACT_AT + 1):
        setup.source.files["a.md"] = f"# A\n\nversion {number}"
        setup.source.files[f"{number % 5}.md"] = f"# {number}"
        setup.refresh()
    before = sorted(text for t in setup.records.current(setup.records.state()) for text in t.column("text").to_pylist())
    versions = sum(table.num_rows for table in setup.records.log([]))
    assert setup.records.compact()
    after = sorted(text for t in setup.records.current(setup.records.state()) for text in t.column("text").to_pylist())
    assert after == before
    assert sum(table.num_rows for table in setup.records.log([])) == versions
    assert len(list(setup.records.log([]))) == 1


def test_compaction_leaves_joined_parts_to_those_who_still_read_them(setup, monkeypatch):
    for number in range(COMPACT_AT):
        setup.source.files["a.md"] = f"# A\n\nversion {number}"
        setup.refresh()
    former = setup.records.state()
    setup.records.compact()
    assert [table.num_rows for table in setup.records.current(former)] == [1]
    monkeypatch.setattr("assets.knowledge.records.GRACE_NS", -1)
    assert not setup.records.compact()
    assert len(setup.records._parts()) == 1
    assert [table.num_rows for table in setup.records.current(setup.records.state())] == [1]


def test_compaction_killed_before_its_commit_doubles_nothing(setup, monkeypatch):
    for number in range(COMPACT_AT):
        setup.source.files["a.md"] = f"# A\n\nversion {number}"
        setup.refresh()

    def killed(state):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(setup.records, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            setup.records.compact()
    assert sum(table.num_rows for table in setup.records.log([])) == COMPACT_AT
    setup.records.compact()
    assert sum(table.num_rows for table in setup.records.log([])) == COMPACT_AT
    assert sum(table.num_rows for table in setup.records.current(setup.records.state())) == 1
