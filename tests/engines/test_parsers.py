import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from assets.errors import EngineError
from assets.knowledge.parsing import parse
from assets.knowledge.parsing_worker import HEADER
from assets.ports import Document, Parser, Reason, Refusal
from orchestration.engines.parsers import ParserPool
from tests.knowledge import parsing_samples as made

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "tests.engines.hostile_worker"


def hostile(workers=1, **limits):
    return ParserPool(workers, program=HOSTILE, **{"seconds": 1, "memory": 1 << 30, **limits})


def _command(child) -> str:
    try:
        return " ".join(child.cmdline())
    except psutil.Error:  # it ended a moment ago
        return ""


def workers_of(process=None):
    found = (process or psutil.Process()).children(recursive=True)
    return [child for child in found if any(name in _command(child) for name in ("parsing_worker", HOSTILE))]


def gone_within(seconds, pids):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.05)
    return False


def ended(pool, *paths):
    """Outcomes as reasons, or "ok"."""
    return [str(o.reason) if isinstance(o, Refusal) else "ok" for _, o in pool.parse((p, b"x") for p in paths)]


@pytest.fixture(autouse=True, scope="module")
def _alone():
    """Files of tests share a process, in any order: pools that are alive there have workers too."""
    for child in workers_of():
        child.kill()
        child.wait(5)


@pytest.fixture(autouse=True)
def _no_orphans():
    yield
    assert gone_within(5, [child.pid for child in workers_of()]), "a test left a parser process behind"


def test_pool_gives_what_parse_gives_in_the_order_given():
    files = [
        ("b.md", b"# B\n\n[l](/x)"), ("a.docx", made.docx()), ("c.pdf", b""),
        ("d.md", b"---\ndate: 2024-01-02\n---\n\xc3\xa9"),
        ("\udcff.txt", b"odd name"), *((f"{i}.md", b"# %d" % i) for i in range(40)),
    ]  # fmt: skip
    with ParserPool(2) as pool:
        parser: Parser = pool
        found = list(parser.parse(iter(files)))
    assert found == [(path, parse(path, data)) for path, data in files]


def test_pool_starts_no_process_before_there_is_a_file():
    with ParserPool(2) as pool:
        assert list(pool.parse([])) == []
        assert workers_of() == []
        list(pool.parse([("a.md", b"# x")]))
        assert len(workers_of()) == 1


def test_pool_reads_few_files_ahead_and_streams():
    read = []

    def files():
        for number in range(1000):
            read.append(number)
            yield f"{number}.md", b"# x"

    with ParserPool(2) as pool:
        results = pool.parse(files())
        next(results)
        assert len(read) <= 9
        next(results)
        assert len(read) <= 10
        results.close()


def test_pool_hands_out_no_more_bytes_than_it_may():
    read = []

    def files():
        for number in range(9):
            read.append(number)
            yield f"refuse-{number}", bytes(50 << 20)

    with hostile(4) as pool:
        results = pool.parse(files())
        next(results)
        assert len(read) <= 3
        results.close()


@pytest.mark.parametrize(
    ("act", "reason", "said"),
    [
        ("spin", Reason.TOO_LARGE, " s "),  # by CPU time or, on a busy machine, by the clock
        ("sleep", Reason.TOO_LARGE, "3 s by the clock"),
        ("segfault", Reason.CORRUPT, "SIGSEGV"),
        ("exit", Reason.CORRUPT, "exit status 3"),
        ("allocate", Reason.TOO_LARGE, "1,024 MiB"),
    ],
)
def test_pool_refuses_a_hostile_file_and_goes_on(act, reason, said):
    with hostile() as pool:
        before, refused, after = (outcome for _, outcome in pool.parse([("a", b"1"), (act, b"2"), ("b", b"3")]))
    assert isinstance(refused, Refusal), refused
    assert refused.reason == reason
    assert said in refused.detail
    assert (before.text, after.text) == ("1", "3")
    assert before.metadata["pid"] != after.metadata["pid"]


def test_pool_keeps_the_order_around_slow_and_dying_files():
    paths = ["a", "sleep", "b", "exit", "c", "spin", "d", "refuse", *(f"e{i}" for i in range(20))]
    with hostile(2) as pool:
        found = [path for path, _ in pool.parse((path, b"x") for path in paths)]
        assert found == paths
        assert ended(pool, "a", "exit", "b", "refuse") == ["ok", "corrupt", "ok", "no_text"]


def test_pool_uses_a_worker_again():
    with hostile() as pool:
        pids = {outcome.metadata["pid"] for _, outcome in pool.parse((str(i), b"x") for i in range(20))}
    assert len(pids) == 1


def test_pool_replaces_an_idle_worker_that_was_killed():
    with hostile() as pool:
        [(_, first)] = pool.parse([("a", b"x")])
        os.kill(int(first.metadata["pid"]), signal.SIGKILL)
        assert gone_within(5, [int(first.metadata["pid"])])
        assert ended(pool, "b") == ["ok"]


def test_pool_tries_again_when_a_used_worker_is_killed_from_outside():
    with hostile(seconds=2) as pool:
        [(_, first)] = pool.parse([("a", b"x")])
        timer = threading.Timer(0.5, os.kill, (int(first.metadata["pid"]), signal.SIGKILL))
        timer.start()
        begin = time.monotonic()
        [(_, outcome)] = pool.parse([("sleep", b"x")])  # its second worker runs into the clock
    assert outcome.reason == Reason.TOO_LARGE
    assert time.monotonic() - begin > 6


def test_pool_refuses_too_many_bytes_without_a_process():
    with ParserPool(1, max_bytes=10) as pool:
        [(_, outcome)] = pool.parse([("a.md", b"# 123456789")])
        assert workers_of() == []
    assert outcome.reason == Reason.TOO_LARGE
    assert "11 bytes" in outcome.detail


def test_pool_takes_large_answers_and_ignores_what_libraries_print():
    with hostile(seconds=20) as pool:
        found = dict(pool.parse([("noise", b"x"), ("large", b"y" * (9 << 20)), ("after", b"z")]))
    assert found["noise"].text == "x"
    assert len(found["large"].text) == 8 << 20
    assert found["after"].text == "z"


def test_pool_tells_its_workers_no_secrets(monkeypatch):
    monkeypatch.setenv("TWOHANDS_WEAVIATE_API_KEY", "secret")
    with hostile() as pool:
        [(_, outcome)] = pool.parse([("a", b"x")])
    assert "TWOHANDS_WEAVIATE_API_KEY" not in outcome.metadata["environment"]


def test_pool_passes_on_what_reading_the_files_raises():
    def files():
        yield "a.md", b"# x"
        raise OSError("disk")

    with ParserPool(1) as pool:
        with pytest.raises(OSError, match="disk"):
            list(pool.parse(files()))
        assert [path for path, _ in pool.parse([("b.md", b"# y")])] == ["b.md"]


def test_pool_closed_meanwhile_raises_and_refuses_nothing():
    with hostile(seconds=20) as pool:
        threading.Timer(1, pool.close).start()
        with pytest.raises(EngineError, match="closed"):
            list(pool.parse([("sleep", b"x")]))
        assert ended(pool, "a") == ["ok"], "a closed pool starts again when it is used"


def test_pool_abandoned_in_the_middle_ends_the_busy_worker():
    with hostile(2, seconds=20) as pool:
        results = pool.parse([("a", b"x"), *((f"sleep-{i}", b"x") for i in range(7))])
        next(results)
        time.sleep(2)  # until both workers sleep
        results.close()
        begin = time.monotonic()
        assert ended(pool, "b") == ["ok"]
        assert time.monotonic() - begin < 5


def test_pool_that_cannot_start_its_processes_says_why():
    with (
        ParserPool(1, program="tests.engines.no_such_worker") as pool,
        pytest.raises(EngineError, match="no_such_worker"),
    ):
        list(pool.parse([("a.md", b"# x")]))


SCRIPT = """
    import sys, time
    from orchestration.engines.parsers import ParserPool
    pool = ParserPool(2, program="tests.engines.hostile_worker", seconds=30)
    print(",".join(o.metadata["pid"] for _, o in pool.parse((str(i), b"x") for i in range(8))), flush=True)
    results = pool.parse([("a", b"x"), ("sleep", b"x")])
    next(results)
    if sys.argv[1] == "wait":
        time.sleep(60)
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_pool_leaves_no_orphans_when_its_process_ends(end):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), "wait" if end == "kill" else "go"]
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        pids = {int(pid) for pid in process.stdout.readline().split(",")}
        if end == "kill":
            pids |= {child.pid for child in workers_of(psutil.Process(process.pid))}
            process.kill()
        process.wait(timeout=30)
    assert gone_within(5, pids)
    assert time.monotonic() - begin < 20, "the exit waited for a file that hangs"


def test_pool_dropped_without_close_ends_its_workers():
    pool = ParserPool(1)
    list(pool.parse([("a.md", b"# x")]))
    pids = [child.pid for child in workers_of()]
    assert pids
    del pool
    assert gone_within(5, pids)


def test_worker_ends_when_its_input_ends():
    command = [sys.executable, "-m", "assets.knowledge.parsing_worker", str(os.getpid()), str(2 << 30), "5"]
    done = subprocess.run(command, input=b"", capture_output=True, cwd=ROOT, timeout=20)
    assert (done.returncode, done.stdout[12:]) == (0, b"ready")


def test_worker_is_ended_by_the_kernel_past_its_cpu_time():
    command = [sys.executable, "-m", HOSTILE, str(os.getpid()), str(2 << 30), "0.5"]
    request = HEADER.pack(4, 1) + b"spin" + b"x"
    done = subprocess.run(command, input=request, capture_output=True, cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGPROF


def test_fingerprint_changes_with_every_limit_and_not_with_the_number_of_workers():
    pools = [ParserPool(1), ParserPool(1, max_bytes=1), ParserPool(1, seconds=1), ParserPool(1, memory=1 << 30)]
    assert len({pool.fingerprint for pool in pools}) == 4
    assert ParserPool(1).fingerprint == ParserPool(3).fingerprint


BOMBS = {
    "xml.docx": lambda: made.raw_docx(f"<w:document {made.W}>{' ' * 70_000_000}</w:document>"),
    "line.md": lambda: b"word " * 2_000_000,
    "deep.html": lambda: b"<div>" * 200_000 + b"x",
    "cell.ipynb": lambda: made.notebook([{"cell_type": "markdown", "source": "x" * 100_000_000}]),
    "nested.ipynb": lambda: b"[" * 1_000_000,
    "fields.csv": lambda: b"," * 1_000_000,
    "parts.eml": lambda: b"Subject: x\nContent-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\n" * 20_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_pool_bounds_bombs_in_time_and_memory(name):
    with ParserPool(1, seconds=5, max_bytes=256 << 20) as pool:
        begin = time.monotonic()
        [(_, outcome)] = pool.parse([(name, BOMBS[name]())])
        peak = max((child.memory_info().rss for child in workers_of()), default=0)
        assert ended(pool, "after.md") == ["ok"]
    assert time.monotonic() - begin < 25
    assert peak < 2 << 30
    assert isinstance(outcome, Document | Refusal)
    if name in ("xml.docx", "cell.ipynb"):
        assert outcome.reason == Reason.TOO_LARGE
