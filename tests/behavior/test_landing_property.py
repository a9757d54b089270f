"""Whatever happened to the files, and whenever they were read: the tables are those of one read of what is there."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.behavior.landing_tools import Desk, event, line, tombstone

IDS = st.sampled_from(["a", "b", "c", "d"])
DAYS = st.integers(1, 3)
RECEIVED = st.integers(4, 7)
INTERACTION = st.builds(
    lambda id, day, received, n: line(event(id, day, received, response=f"answer {n}")),
    IDS,
    DAYS,
    RECEIVED,
    st.integers(0, 2),
)
LINE = st.one_of(
    INTERACTION,
    INTERACTION,
    st.builds(lambda id, day, received: line(tombstone(id, day, received)), IDS, DAYS, RECEIVED),
    st.sampled_from([b"not json\n", b"\n", b"\xff\xfe\x00\n", b'{"id": "a"}\n', b"x" * 3000 + b"\n"]),
)
TEXT = st.lists(LINE, max_size=6).map(b"".join)
FILES = st.sampled_from(["a.jsonl", "b.jsonl", "c/d.ndjson"])
STEP = st.one_of(
    st.tuples(st.just("append"), FILES, TEXT, st.integers(0, 60)),  # the last so many bytes are not written yet
    st.tuples(st.just("replace"), FILES, TEXT, st.integers(0, 60)),
    st.tuples(st.just("finish"), FILES),
    st.tuples(st.just("touch"), FILES),
    st.tuples(st.just("tick")),
    st.tuples(st.just("build")),
)


def apply(desk: Desk, unwritten: dict[str, bytes], step: tuple) -> None:
    kind = step[0]
    files = desk.folder.files
    if kind in ("append", "replace"):
        _, name, text, missing = step
        before = files.get(name, b"") + unwritten.pop(name, b"") if kind == "append" else b""
        whole = before + text
        cut = max(len(before), len(whole) - missing)
        files[name], unwritten[name] = whole[:cut], whole[cut:]
    elif kind == "finish" and step[1] in files:
        files[step[1]] += unwritten.pop(step[1], b"")
    elif kind == "tick":
        desk.tick()
    elif kind == "build":
        desk.build()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=25), st.booleans())
def test_tables_are_a_function_of_the_files(steps, old):
    limits = {"line_bytes": 2000, "batch_events": 3}
    desk = Desk(**limits)
    if not old:
        desk.folder.modified = desk.clock - 10  # half-written ends wait
    unwritten: dict[str, bytes] = {}
    for step in steps:
        apply(desk, unwritten, step)
    desk.tick()
    built = desk.build()
    fresh = Desk(desk.folder.files, modified=desk.folder.modified, **limits)
    fresh.tick()
    once = fresh.build()
    assert desk.tables() == fresh.tables()
    assert desk.quarantined() == fresh.quarantined()
    assert {d: r.digest for d, r in built.items() if d in once} == {d: once[d].digest for d in built if d in once}
    wanted = fresh.landing.inputs()
    assert {day: key for day, key in desk.landing.inputs().items() if day in wanted} == wanted
    again = desk.tick()
    assert (again.files, again.days, again.accepted) == (0, (), 0)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(FILES, TEXT, max_size=3), st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_and_split_of_files_does_not_matter(files, random, pieces):
    """The same lines, in other files and in another order, come to the same rows."""
    whole = Desk(files)
    whole.tick()
    reports = whole.build()
    lines = [part for text in files.values() for part in text.splitlines(keepends=True)]
    random.shuffle(lines)
    split = Desk()
    for place in range(pieces):
        split.folder.files[f"{place}.jsonl"] = b"".join(lines[place::pieces])
        split.tick()
        if random.random() < 0.5:
            split.build()
    split.build()
    assert split.tables() == whole.tables()
    assert split.landing.inputs() == whole.landing.inputs()
    for day, report in reports.items():
        from assets.behavior import days

        assert days.materialize(split.lake, day).digest == report.digest


GIVEN = st.tuples(st.sampled_from(["a.jsonl", "b.jsonl"]), st.sampled_from(range(4)), st.booleans())


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT, min_size=4, max_size=4), st.lists(GIVEN, max_size=10))
def test_files_given_by_hand_stand_until_their_name_is_replaced(texts, given_):
    """`replacing` leaves one content of a name; without it every content that was given counts, once."""
    desk, standing = Desk(), {}
    for name, text, replacing in given_:
        others = set(standing.get(name, ())) - {texts[text]}
        assert desk.landing.ingest(name, texts[text], replacing=replacing).earlier == len(others)
        desk.build()
        standing[name] = {texts[text]} if replacing else {*standing.get(name, ()), texts[text]}
    fresh = Desk()
    for name, contents in standing.items():
        for content in sorted(contents):
            fresh.landing.ingest(name, content)
    fresh.build()
    assert desk.tables() == fresh.tables()
    assert desk.quarantined() == fresh.quarantined()
    assert desk.landing.dirty_days() == []
