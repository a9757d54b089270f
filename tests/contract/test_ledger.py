"""The ledger over every lake engine: what is appended once is read for ever, and what is damaged is named."""

from __future__ import annotations

import multiprocessing
import os
import signal
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.decision.ledger import BadEntry, Entry, Kind
from assets.errors import CorruptState
from orchestration.engines.lake import FolderLake, open_lake
from orchestration.ledger import LakeLedger

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=90)


def entry(id: str, at: datetime = NOON, kind: Kind = Kind.VERDICT, variant: str = "main", **data) -> Entry:
    return Entry(id, at, kind, variant, data)


@pytest.fixture(params=["folder", "memory"])
def lake(request, tmp_path):
    url = str(tmp_path / "lake") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"
    return open_lake(url, locks=tmp_path / "locks")


@pytest.fixture
def ledger(lake):
    return LakeLedger(lake)


@pytest.fixture
def folder(tmp_path):
    return FolderLake(tmp_path / "lake")


def ids(ledger: LakeLedger, *args, **options) -> list[str]:
    return [found.id for found in ledger.entries(*args, **options)]


def test_appended_entry_is_read_back(ledger):
    made = entry("a", at=NOON.replace(microsecond=7), reasons=["é", "\ud800"], cost={"amount": 0.1})
    assert ledger.entries() == []
    assert ledger.get("a") is None
    assert ledger.append(made)
    assert ledger.entries() == [made]
    assert ledger.get("a") == made


def test_append_refuses_an_id_that_is_there_and_changes_nothing(ledger):
    assert ledger.append(entry("a", n=1))
    assert not ledger.append(entry("a", n=2))
    assert not ledger.append(entry("a", at=NOON - timedelta(days=400), n=3))
    assert not ledger.append(entry("a", at=NOON + timedelta(days=400), kind=Kind.REQUEST, variant="", n=4))
    assert [found.data["n"] for found in ledger.entries()] == [1]


def test_entries_are_chosen_by_kind_time_and_variant(ledger):
    ledger.append(entry("old", NOON - timedelta(days=40)))
    ledger.append(entry("spend", NOON - timedelta(days=1), Kind.SPEND, variant=""))
    ledger.append(entry("verdict", NOON))
    ledger.append(entry("other", NOON + timedelta(days=40), variant="legal"))
    for _ in range(2):
        assert ids(ledger) == ["old", "spend", "verdict", "other"]
        assert ids(ledger, [Kind.SPEND]) == ["spend"]
        assert ids(ledger, [Kind.VERDICT], variant="main") == ["old", "verdict"]
        assert ids(ledger, since=NOON - timedelta(days=1)) == ["spend", "verdict", "other"]
        assert ids(ledger, until=NOON) == ["old", "spend"]  # `until` is not in it
        month = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
        assert ids(ledger, since=month[0], until=month[1]) == ["spend", "verdict"]
        ledger.maintain(LATER)  # and the same of closed months


def test_question_about_a_naive_moment_is_refused(ledger):
    with pytest.raises(BadEntry, match="no time zone"):
        ledger.entries(since=datetime(2026, 11, 1))


def test_maintain_puts_a_month_that_is_over_into_one_file(lake, ledger):
    for number in range(5):
        ledger.append(entry(f"n{number}", NOON + timedelta(minutes=number)))
    ledger.append(entry("now", LATER))
    before = ledger.entries()
    assert ledger.maintain(NOON) == {"ledger_entries_closed": 0, "ledger_files_removed": 0}
    assert ledger.maintain(LATER) == {"ledger_entries_closed": 5, "ledger_files_removed": 0}
    assert ledger.entries() == before
    assert ledger.maintain(LATER) == {"ledger_entries_closed": 0, "ledger_files_removed": 5}
    assert ledger.entries() == before
    assert lake.names("ledger/2026-11") == ["ledger/2026-11/closed.parquet"]
    assert not ledger.append(entry("n3", LATER))
    assert ledger.get("n3") == before[3]
    assert ledger.get("n9") is None


def test_clock_that_goes_back_loses_and_reorders_nothing(ledger):
    """The newest entry is the one that was appended last; a month that was closed takes a latecomer in."""
    ledger.append(entry("request", NOON))
    ledger.maintain(LATER)
    ledger.append(entry("after", LATER))
    ledger.append(entry("back", NOON - timedelta(hours=1)))
    assert not ledger.append(entry("request", NOON - timedelta(days=400)))
    for _ in range(3):
        assert ids(ledger) == ["request", "after", "back"]
        assert ids(ledger, until=NOON) == ["back"]
        ledger.maintain(LATER)
    ledger.append(entry("again", NOON - timedelta(hours=2)))
    assert ids(ledger)[-1] == "again"


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 5), st.integers(-90, 90)),
        st.tuples(st.just("maintain"), st.integers(-90, 90), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_any_history_is_read_as_it_was_appended(tmp_path, operations):
    ledger = LakeLedger(open_lake(f"memory://{uuid.uuid4().hex}", locks=tmp_path))
    kept: dict[str, Entry] = {}
    for what, number, days in operations:
        if what == "maintain":
            ledger.maintain(NOON + timedelta(days=number))
            continue
        made = entry(f"id-{number}", NOON + timedelta(days=days), days=days)
        assert ledger.append(made) is (made.id not in kept)
        kept.setdefault(made.id, made)
    assert ledger.entries() == list(kept.values())
    assert all(ledger.get(id) == made for id, made in kept.items())


# ------------------------------------------------------------------------------------------- what is opened


class Watched(FolderLake):
    """Remembers what was read, and does something before the next file is."""

    opened: list[str]
    before = None

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened = []

    def read_text(self, name):
        self._note(name)
        return super().read_text(name)

    def columns(self, name, columns):
        self._note(name)
        return super().columns(name, columns)

    def _note(self, name):
        self.opened.append(name)
        if self.before:
            act, self.before = self.before, None
            act()


def test_reading_a_month_opens_no_other(tmp_path):
    lake = Watched(tmp_path)
    ledger = LakeLedger(lake)
    for number in range(6):
        ledger.append(entry(f"n{number}", NOON - timedelta(days=31 * number)))
    ledger.maintain(NOON)
    lake.opened.clear()
    assert ids(ledger, since=datetime(2026, 9, 1, tzinfo=UTC), until=datetime(2026, 10, 1, tzinfo=UTC)) == ["n2"]
    assert set(lake.opened) == {"ledger/2026-09/closed.parquet"}
    lake.opened.clear()
    assert ids(ledger, [Kind.SPEND], since=datetime(2026, 11, 1, tzinfo=UTC)) == []
    assert lake.opened == []  # the names say enough


def test_reader_that_is_overtaken_by_maintain_sees_everything(tmp_path):
    lake = Watched(tmp_path)
    ledger = LakeLedger(lake)
    for number in range(4):
        ledger.append(entry(f"n{number}", NOON + timedelta(minutes=number)))

    def tidy() -> None:
        other = LakeLedger(FolderLake(tmp_path))
        other.maintain(LATER)
        other.maintain(LATER)

    lake.before = tidy
    assert ids(ledger) == ["n0", "n1", "n2", "n3"]
    assert FolderLake(tmp_path).names("ledger") == ["ledger/2026-11/closed.parquet"]


# ------------------------------------------------------------------------------------- processes and kills

FORK = multiprocessing.get_context("fork")


def _claim(root: Path, barrier, wins) -> None:
    ledger = LakeLedger(FolderLake(root))
    barrier.wait()
    won = [n for n in range(15) if ledger.append(entry(f"request-{n}", datetime.now(UTC), pid=os.getpid()))]
    wins.put((os.getpid(), won))


def test_of_processes_that_append_one_id_exactly_one_wins(tmp_path):
    barrier, wins = FORK.Barrier(3), FORK.Queue()
    workers = [FORK.Process(target=_claim, args=(tmp_path, barrier, wins)) for _ in range(3)]
    for worker in workers:
        worker.start()
    claimed = {(n, pid) for pid, won in (wins.get(timeout=60) for _ in workers) for n in won}
    for worker in workers:
        worker.join(60)
    assert sorted(n for n, _ in claimed) == list(range(15))
    found = LakeLedger(FolderLake(tmp_path)).entries()
    assert {(int(e.id.split("-")[1]), e.data["pid"]) for e in found} == claimed


class Deadly(FolderLake):
    """Kills its process at the n-th change of the disk: before it happens, or (halves) just after it."""

    def __init__(self, root: Path, moment: float) -> None:
        super().__init__(root)
        self.left = moment

    def _step(self) -> None:
        self.left -= 0.5
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def write_text(self, name, text):
        self._step()
        super().write_text(name, text)
        self._step()

    def write(self, name, table):
        self._step()
        super().write(name, table)
        self._step()

    def remove(self, names):
        for name in names:
            self._step()
            super().remove([name])
            self._step()


def killed(act) -> bool:
    """Runs `act` in a process of its own; whether it was killed on the way."""
    child = FORK.Process(target=act)
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0])
def test_kill_in_append_leaves_the_entry_or_nothing(tmp_path, moment):
    LakeLedger(FolderLake(tmp_path)).append(entry("before"))
    died = killed(lambda: LakeLedger(Deadly(tmp_path, moment)).append(entry("request")))
    ledger = LakeLedger(FolderLake(tmp_path))
    there = ids(ledger) == ["before", "request"]
    assert died is (moment < 1)
    assert there is (moment > 0)
    assert ledger.append(entry("request")) is not there  # whoever comes next knows which
    assert ids(ledger) == ["before", "request"]


def test_kill_within_the_write_of_an_entry_leaves_nothing(tmp_path):
    """The temporary file is written, and was not renamed yet."""
    ledger = LakeLedger(FolderLake(tmp_path))
    ledger.append(entry("before"))

    def act() -> None:
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        ledger.append(entry("request"))

    assert killed(act)
    assert any(path.name.startswith(".tmp-") for path in (tmp_path / "ledger").rglob("*"))
    assert ids(ledger) == ["before"]
    assert ledger.append(entry("request"))


def test_kill_anywhere_in_maintain_loses_and_doubles_nothing(tmp_path):
    """Two rounds over two months and a latecomer: every step of both is killed once."""
    moment, deaths = 0.0, 0
    while True:
        root = tmp_path / str(moment)
        ledger = LakeLedger(FolderLake(root))
        for number in range(3):
            ledger.append(entry(f"a{number}", NOON + timedelta(minutes=number)))
            ledger.append(entry(f"b{number}", NOON + timedelta(days=30, minutes=number)))
        ledger.maintain(LATER)
        ledger.append(entry("late", NOON))
        before = ledger.entries()

        def act(root=root, moment=moment) -> None:
            dying = LakeLedger(Deadly(root, moment))
            dying.maintain(LATER)
            dying.maintain(LATER)

        died = killed(act)
        assert ledger.entries() == before
        assert not ledger.append(entry("late"))
        ledger.maintain(LATER)
        ledger.maintain(LATER)
        assert ledger.entries() == before
        assert len(FolderLake(root).names("ledger")) == 2
        if not died:
            break
        moment, deaths = moment + 0.5, deaths + 1
    assert deaths == 2 * (6 + 1 + 1)  # six files removed, one month closed again, its latecomer's file removed


# ------------------------------------------------------------------------------------------------- damage


def _flip(path: Path) -> None:
    path.write_text(path.read_text().replace('"amount": 1', '"amount": 9'))


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "empty": lambda path: path.write_bytes(b""),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00" * 30),
    "another amount": _flip,
    "no object": lambda path: path.write_text("[1, 2]"),
    "another kind": lambda path: path.write_text(path.read_text().replace('"spend"', '"verdict"')),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_entry_is_named_and_blocks_no_other(folder, how):
    ledger = LakeLedger(folder)
    ledger.append(entry("a", kind=Kind.SPEND, amount=1))
    [name] = folder.names("ledger")
    DAMAGE[how](folder.root / name)
    for read in (ledger.entries, lambda: ledger.get("a"), lambda: ledger.maintain(LATER)):
        with pytest.raises(CorruptState) as error:
            read()
        assert name in str(error.value)
        assert "restore that file from a backup" in error.value.next_step
    assert ledger.append(entry("b"))
    assert not ledger.append(entry("a"))  # its name still says that it is there
    assert ids(ledger, [Kind.VERDICT]) == ["b"]


def test_entry_under_another_ones_name_is_named(folder):
    ledger = LakeLedger(folder)
    ledger.append(entry("a"))
    ledger.append(entry("b"))
    first, second = (folder.root / name for name in folder.names("ledger"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(CorruptState, match="another file's"):
        ledger.entries()


def test_file_that_is_no_entry_is_named_unless_hidden(folder):
    ledger = LakeLedger(folder)
    ledger.append(entry("a"))
    folder.write_text("ledger/2026-11/.DS_Store", "")
    assert ids(ledger) == ["a"]
    folder.write_text("ledger/2026-11/entry (copy).json", "{}")
    with pytest.raises(CorruptState, match=r"entry \(copy\).json"):
        ledger.entries()


@pytest.mark.parametrize("how", ["cut short", "other columns", "another amount"])
def test_damaged_closed_month_is_named_and_nothing_is_appended_beside_it(folder, how):
    ledger = LakeLedger(folder)
    ledger.append(entry("a", kind=Kind.SPEND, amount=1))
    ledger.maintain(LATER)
    name = "ledger/2026-11/closed.parquet"
    table, path = folder.read(name), folder.root / name
    if how == "cut short":
        path.write_bytes(path.read_bytes()[:100])
    elif how == "other columns":
        folder.write(name, pa.table({"x": [1]}))
    else:
        texts = [text.replace('"amount": 1', '"amount": 9') for text in table["text"].to_pylist()]
        folder.write(name, table.set_column(4, "text", [texts]))
    for act in (ledger.entries, lambda: ledger.maintain(LATER)):
        with pytest.raises(CorruptState) as error:
            act()
        assert name in str(error.value)
        assert "restore that file from a backup" in error.value.next_step
    assert len(folder.names("ledger")) == 2  # the entry's own file is kept until the closed one was read
    if how != "another amount":
        with pytest.raises(CorruptState):
            ledger.append(entry("b"))
