"""Documents for several groups, from their front matter to search and shelf, over the real parser and index."""

from __future__ import annotations

import pytest

from assets.ports import Query
from assets.serving.answers import Asker
from assets.serving.questions import Access
from orchestration.assembly import fast_hand
from orchestration.assembly_serving import releases
from orchestration.assembly_web import Shelf
from orchestration.config import load

DOCUMENTS = {
    "docs/both.md": "---\naudience: [staff, board]\n---\n# Both\n\nThe safe is green.",
    "docs/board.md": "---\naudience: board\n---\n# Board\n\nThe safe is red.",
    "docs/maria.md": "---\naudience: ['user:maria']\n---\n# Maria\n\nThe safe is blue.",
    "docs/open.md": "# Open\n\nThe safe is heavy.",
    "inner/all.md": "---\naudience: all\n---\n# Inner\n\nThe safe is old.",
    "inner/guests.md": "---\naudience: guests\n---\n# Guests\n\nThe safe is loud.",
}
CONFIG = """
[sources.docs]
url = "docs"
metadata = { audience = "all" }
[sources.inner]
url = "inner"
metadata = { audience = ["staff", "board"] }
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    for name, text in DOCUMENTS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "twohands.toml").write_text(CONFIG)
    settings = load(str(folder / "twohands.toml"), str(folder / "home"))
    hand = fast_hand(settings)
    for slice in hand.slices:
        hand.sync(slice)
    return settings, hand


def readable(house, groups, access: Access = Access()):  # noqa: B008 - frozen
    """doc_ids that a search finds, and those that the shelf shows."""
    settings, hand = house
    published, asker = hand.vector_index.published(), Asker(None if groups is None else frozenset(groups))
    query = Query("the safe", hand.encoder.encode_queries(["the safe"])[0], 100, {}, access.allowed(asker))
    shelf = Shelf(hand, releases(settings, hand.lake), access)
    shown = {p.doc_id for p in published.passages() if shelf.passage(p.chunk_id, asker)}
    return {hit.passage.doc_id for hit in published.search(query)}, shown


@pytest.mark.parametrize(
    ("groups", "documents"),
    [
        (None, set(DOCUMENTS)),
        ((), {"docs/open.md"}),
        (("guests",), {"docs/open.md"}),  # a document does not name groups that its source leaves out
        (("staff",), {"docs/open.md", "docs/both.md", "inner/all.md"}),
        (("board",), {"docs/open.md", "docs/both.md", "docs/board.md", "inner/all.md"}),
        (("user:maria",), {"docs/open.md", "docs/maria.md"}),
        (("staff, board",), {"docs/open.md"}),
    ],
)
def test_each_group_of_a_list_reads_what_its_source_allows(house, groups, documents):
    assert readable(house, groups) == (documents, documents)


@pytest.mark.parametrize(
    ("access", "groups", "documents"),
    [
        (Access("slice", ()), ("inner",), {"inner/all.md", "inner/guests.md"}),
        (Access("title", ("Open",)), ("Both",), {"docs/open.md", "docs/both.md"}),
        (Access("doc_id", ()), ("docs/board.md",), {"docs/board.md"}),
    ],
)
def test_shelf_knows_the_fields_that_search_knows(house, access, groups, documents):
    assert readable(house, groups, access) == (documents, documents)


def test_several_groups_are_told_as_a_list(house):
    settings, hand = house
    [both] = [p for p in hand.vector_index.published().passages() if p.doc_id == "docs/both.md"]
    shown = Shelf(hand, releases(settings, hand.lake), Access()).passage(both.chunk_id, Asker())
    assert shown is not None
    assert shown["metadata"]["audience"] == ["staff", "board"]
