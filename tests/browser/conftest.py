"""A small project and its server, for the tests of this folder."""

from __future__ import annotations

import json

import pytest

from tests.ui import Server, opened


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ui")
    (folder / "docs").mkdir()
    for name, fact in (("ferry", "The ferry leaves at seven."), ("bakery", "Rye bread is baked on Fridays.")):
        (folder / "docs" / f"{name}.md").write_text(f"# {name.title()}\n\n{fact}\n")
    golden = [{"question": "when does the ferry leave", "doc_id": "docs/ferry.md"}] * 1
    golden.append({"question": "when is rye bread baked", "text": "baked on Fridays"})
    (folder / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in golden))
    (folder / "twohands.toml").write_text(
        '[sources.docs]\nurl = "docs"\n[index]\ngolden = "golden.jsonl"\n[behavior]\nlanding = "interactions"\n'
    )
    made = Server(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def page(browser, server):
    with opened(browser, server) as one:
        yield one
