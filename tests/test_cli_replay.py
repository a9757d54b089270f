"""`twohands replay`: every form of a history, every kind of bad input, several variants, figures."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from tests.decision.streams import counts, rows
from tests.test_cli import Project, _Main

KEYS = ["day", "topic", "event", "n", "S"]
ROWS = rows(counts(11, days=45, topics=3, shift={"fail": 1.5}, change=33))
DAYS = sorted({row["day"] for row in ROWS})
NOISE = bytes(range(255, -1, -1)) * 20
DIFFERENT = [row | {"n": row["n"] + 1} for row in ROWS[:1]]

Row = Mapping[str, Any]


def as_csv(found: Sequence[Row], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]) if found else KEYS, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue().encode()


def as_lines(found: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in found)


def as_parquet(found: Sequence[Row]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(list(found)), sink)
    return sink.getvalue()


def timed(hour: int, zone: tzinfo | None) -> list[Row]:
    return [row | {"day": datetime.fromisoformat(row["day"]).replace(hour=hour, tzinfo=zone)} for row in ROWS]


def renamed(found: Sequence[Row], names: Mapping[str, str]) -> list[Row]:
    return [{names.get(key, key): value for key, value in row.items()} for row in found]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Callable[..., tuple[int, str, str]]:
    """Runs `twohands replay` in a folder of its own; files are given as bytes by name."""
    folder = tmp_path_factory.mktemp("replay")
    project = Project(folder)
    project.configure("[decision]\nmin_examples = 60\n[variants.main]\n[variants.legal]\nalpha = 0.2\n")

    def invoke(*arguments: str, stdin: bytes = b"", **files: bytes) -> tuple[int, str, str]:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        given = [str(folder / argument) if argument in files else argument for argument in arguments]
        with pytest.MonkeyPatch.context() as patch:
            config = str(folder / "twohands.toml")
            patch.setattr(sys, "argv", ["twohands", "--config", config, "replay", *given])
            patch.chdir(folder)
            result = CliRunner().invoke(_Main(), [], input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    invoke.folder = folder
    return invoke


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def usual(run) -> str:
    """What is printed for ROWS."""
    code, out, err = run("a.csv", **{"a.csv": as_csv(ROWS)})
    assert (code, err) == (0, f"main: 45 days, {DAYS[0]} to {DAYS[-1]}; 3 topics\n")
    return out


def test_replay_prints_a_line_a_day(usual):
    found = lines(usual)
    assert [row["day"] for row in found] == DAYS
    assert {tuple(row) for row in found} == {("day", "M", "threshold", "fired", "verdict", "reason")}
    assert {row["threshold"] for row in found} == {7300.0}
    assert {row["verdict"] for row in found} == {"wait", "finetune"}
    assert not any(row["fired"] for row in found[:33])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", as_lines(ROWS)),
        ("a.json", json.dumps(ROWS, indent=1).encode()),
        ("a.parquet", as_parquet(ROWS)),
        ("a.csv.gz", gzip.compress(as_csv(ROWS), mtime=0)),
        ("a", as_lines(ROWS)),  # no ending: told by its content
        ("b", json.dumps(ROWS).encode()),
        ("c.dat", as_csv(ROWS)),
        ("semicolons.csv", as_csv(ROWS, ";")),
        ("tabs.tsv", as_csv(ROWS, "\t")),
        ("windows.csv", b"\xef\xbb\xbf" + as_csv(ROWS).replace(b"\n", b"\r\n").replace(b"\r\r", b"\r")),
        ("upper.csv", as_csv(renamed(ROWS, {"day": "DAY", "S": "s", "n": "N"}))),  # as databases export them
        ("upper.jsonl", as_lines(renamed(ROWS, {"day": "DAY", "S": "s"}))),
        ("more.csv", as_csv([{"note": "x, y", **row} for row in ROWS])),  # columns that nobody knows
        ("more.jsonl", as_lines([{**row, "note": {"deep": [1]}} for row in ROWS])),
        ("other_order.csv", as_csv([dict(reversed(row.items())) for row in ROWS])),
        ("blank_lines.csv", as_csv(ROWS).replace(b"\r\n", b"\r\n\r\n")),
        ("times.jsonl", as_lines([row | {"day": f"{row['day']}T00:00:00"} for row in ROWS])),
        ("utc.csv", as_csv([row | {"day": f"{row['day']} 00:00:00Z"} for row in ROWS])),
        ("times.parquet", as_parquet(timed(0, None))),
        ("utc.parquet", as_parquet(timed(0, UTC))),
        ("floats.csv", as_csv([row | {"n": float(row["n"])} for row in ROWS])),
        ("reordered.csv", as_csv(sorted(ROWS, key=lambda row: (row["S"], row["topic"], row["day"])))),
        ("duplicated.csv", as_csv([*ROWS, *ROWS[:100]])),
        ("duplicated.jsonl", as_lines([*ROWS[50:90], *ROWS])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_replay_reads_the_same_from_every_form(run, usual, name, data):
    code, out, err = run(name, **{name: data})
    assert (code, out) == (0, usual), err


def test_replay_reads_stdin(run, usual):
    for data in (as_csv(ROWS), as_lines(ROWS), as_parquet(ROWS), gzip.compress(as_csv(ROWS))):
        assert run("-", stdin=data)[:2] == (0, usual)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", as_csv([*ROWS[:5], ROWS[5] | {"S": 999}]), f"a.csv, line 7 ({DAYS[0]}, {ROWS[5]['event']}): S = 999"),
        ("a.csv", as_csv([*ROWS[:5], ROWS[5] | {"S": "NaN"}]), "a.csv, line 7: S = 'NaN'. Expected: a whole number"),
        ("a.csv", as_csv([*ROWS[:5], ROWS[5] | {"n": ""}]), "a.csv, line 7: n = ''"),
        ("a.csv", as_csv([*ROWS[:5], ROWS[5] | {"n": "many"}]), "a.csv, line 7: n = 'many'"),
        ("a.csv", as_csv([*ROWS[:5], ROWS[5] | {"n": "-3", "S": "-4"}]), "a.csv, line 7: n = '-3'"),
        ("a.csv", as_csv([*ROWS[:5], ROWS[5] | {"n": "1e400"}]), "a.csv, line 7: n = '1e400'"),
        ("a.jsonl", as_lines([*ROWS[:5], ROWS[5] | {"n": float("nan")}]), "a.jsonl, line 6: n = nan"),
        ("a.jsonl", as_lines([*ROWS[:5], ROWS[5] | {"n": None}]), "a.jsonl, line 6: n = None"),
        ("a.jsonl", as_lines([*ROWS[:5], ROWS[5] | {"n": True, "S": 0}]), "a.jsonl, line 6: n = True"),
        ("a.json", json.dumps([*ROWS[:5], ROWS[5] | {"S": 999}]).encode(), "a.json, item 6 ("),
        ("a.parquet", as_parquet([*ROWS[:5], ROWS[5] | {"S": 999}]), "a.parquet, row 6 ("),
        ("a.csv", as_csv([*ROWS, *DIFFERENT]), f"a.csv, line {len(ROWS) + 2}: {DAYS[0]}, topic 't0000', event"),
        ("a.csv", as_csv([*ROWS, ROWS[0] | {"event": "joy"}]), "event 'joy'. Expected: one of know, labelled, fail"),
        ("a.csv", as_csv([*ROWS[:2], ROWS[2] | {"day": "5.1.2026"}]), "a.csv, line 4: day '5.1.2026'. Expected: a da"),
        ("a.csv", as_csv([*ROWS, ROWS[0] | {"day": "0206-01-05"}]), "look for a row with a wrong day"),
        ("a.csv", as_csv([*ROWS[:2], ROWS[2] | {"day": f"{DAYS[0]}garbage"}]), f"line 4: day '{DAYS[0]}garbage'"),
        ("a.csv", as_csv([*ROWS[:2], ROWS[2] | {"day": f"{DAYS[0]}T23:30-05:00"}]), "Next: write the UTC day"),
        ("a.csv", as_csv([*ROWS[:2], ROWS[2] | {"n": "1_000"}]), "a.csv, line 4: n = '1_000'. Expected: a whole"),
        ("a.jsonl", as_lines([*ROWS[:5], ROWS[5] | {"topic": ["x"]}]), "a.jsonl, line 6: topic ['x']. Expected: a"),
        ("a.jsonl", as_lines([*ROWS[:5], ROWS[5] | {"topic": math.nan}]), "a.jsonl, line 6: topic nan. Expected: a"),
        ("a.jsonl", as_lines([row | {"variant": ["x"]} for row in ROWS]), "a.jsonl, line 1: variant ['x']. Expected"),
        ("a.parquet", as_parquet([row | {"topic": math.nan} for row in ROWS]), "a.parquet, row 1: topic nan. Expect"),
        ("a.parquet", as_parquet([row | {"variant": 1.5} for row in ROWS]), "a.parquet, row 1: variant 1.5. Expect"),
        ("a.parquet", as_parquet([row | {"n": True} for row in ROWS]), "a.parquet, row 1: n = True. Expected: a whole"),
        ("a.parquet", as_parquet(timed(23, None)), f"a.parquet, row 1: day {datetime(2026, 1, 5, 23)!r}. Expected: a"),
        ("a.parquet", as_parquet(timed(5, UTC)), "a.parquet, row 1: day datetime.datetime(2026, 1, 5, 5, 0, tz"),
        ("a.parquet", as_parquet(timed(0, timezone(timedelta(hours=5)))), "a.parquet, row 1: day datetime.datetime("),
        ("a.parquet", as_parquet([row | {"day": 20260105} for row in ROWS]), "a.parquet, row 1: day 20260105. Exp"),
        ("a.csv", as_csv(renamed(ROWS, {"n": "count"})), "a.csv has no column n; it has 'day', 'topic', "),
        ("a.csv", as_csv([{**row, "N": 1} for row in ROWS]), "two columns are named n: 'n', 'N'"),
        ("a.csv", as_csv(ROWS) + b"2026-01-05,a\r\n", f"a.csv, line {len(ROWS) + 2}: 2 values, and the header names 5"),
        ("a.csv", b"", "a.csv is empty. Expected: the columns day, topic, event, n, S"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "a.csv is empty"),
        ("a.csv", as_csv([]), "a.csv holds no rows"),
        ("a.json", b"[]", "a.json holds no rows"),
        ("a.json", b"[1]", "a.json, item 1: 1. Expected: one JSON object for each row"),
        ("a.json", json.dumps(ROWS).encode()[:-9], "a.json is no JSON array"),
        ("a.json", b"[" * 100_000, "a.json is no JSON array"),
        ("a.jsonl", as_lines(ROWS)[:-9], f"a.jsonl, line {len(ROWS)}: "),
        ("a.jsonl", as_lines(ROWS) + b"[1]\n", f"a.jsonl, line {len(ROWS) + 1}: '[1]'. Expected: one JSON object"),
        ("a.csv", as_csv(ROWS).replace(b"t0001", "Fähre".encode("latin-1")), "not UTF-8 (invalid continuation byte)"),
        ("a.csv", as_csv(ROWS).decode().encode("utf-16"), "a.csv, line 1 is not UTF-8"),
        ("a.csv", NOISE, "a.csv, line 1 is not UTF-8"),
        ("a.csv", b"day\rtopic\revent\rn\rS\r", "a.csv has no column topic, event, n, S"),
        ("a.parquet", b"PAR1" + NOISE, "a.parquet is no Parquet file that can"),
        ("a.parquet", as_parquet(ROWS)[:-100], "a.parquet is no Parquet file that can be read"),
        ("a.csv.gz", gzip.compress(as_csv(ROWS), mtime=0)[:-100], "a.csv.gz cannot be unpacked"),
    ],
)  # fmt: skip
def test_replay_refuses_what_is_wrong_and_says_where(run, name, data, says):
    code, out, err = run(name, **{name: data})
    assert (code, out) == (1, "")
    assert err.startswith("twohands: ")
    assert says in err
    assert "Traceback" not in err


def test_replay_takes_days_without_rows_and_days_of_zeros_alike(run):
    gone = DAYS[36:38]
    missing = as_csv([row for row in ROWS if row["day"] not in gone])
    zeros = as_csv([row | ({"n": 0, "S": 0} if row["day"] in gone else {}) for row in ROWS])
    one, other = run("a.csv", **{"a.csv": missing}), run("a.csv", **{"a.csv": zeros})
    assert one == other
    assert len(lines(one[1])) == len(DAYS)
    assert "45 days, 2026-01-05 to 2026-02-18, 2 of them without interactions (zeros); 3 topics" in one[2]


def test_replay_of_one_day_says_what_is_missing(run):
    code, out, err = run("a.csv", **{"a.csv": as_csv([row for row in ROWS if row["day"] == DAYS[0]])})
    assert code == 0
    assert [row["reason"] for row in lines(out)] == ["Learning what is usual: 1 of 28 reference days are closed."]
    assert err.splitlines() == [
        f"main: 1 day, {DAYS[0]} to {DAYS[0]}; 3 topics",
        "no day after the 28 days of the reference (decision.reference_days)",
    ]


def test_replay_of_one_topic_and_of_topics_with_any_name(run):
    one = as_csv([row | {"topic": 'a,"b"\nc'} for row in ROWS if row["topic"] == "t0000"])
    code, out, err = run("a.csv", **{"a.csv": one})
    assert (code, len(lines(out))) == (0, len(DAYS)), err
    assert "; 1 topic\n" in err


def test_replay_of_5000_topics_from_a_file(run):
    many = [
        {"day": day, "topic": f"t{number}", "event": "fail", "n": 3, "S": number % 3}
        for day in DAYS[:30]
        for number in range(5_000)
    ]
    code, out, err = run("many.parquet", **{"many.parquet": as_parquet(many)})
    assert code == 0, err
    assert "30 days" in err
    assert "5,000 topics" in err
    assert [row["fired"] for row in lines(out)] == [False] * 30


# ---------------------------------------------------------------------------------------------------- options

BOTH = as_csv([row | {"variant": variant} for variant in ("main", "legal") for row in ROWS])


def test_replay_of_several_variants_names_each_and_uses_its_settings(run, usual):
    found = lines(run("b.csv", **{"b.csv": BOTH})[1])
    assert [row["variant"] for row in found] == ["legal"] * 45 + ["main"] * 45
    assert {row["threshold"] for row in found[:45]} == {365 / 0.2}
    assert [{key: value for key, value in row.items() if key != "variant"} for row in found[45:]] == lines(usual)


def test_replay_of_lines_that_name_a_variant_later_than_the_first(run, usual):
    mixed = as_lines([*ROWS, *(row | {"variant": "legal"} for row in ROWS)])
    assert lines(run("b.jsonl", **{"b.jsonl": mixed})[1]) == lines(run("b.csv", **{"b.csv": BOTH})[1])


def test_replay_of_one_variant(run, usual):
    assert run("b.csv", "--variant", "main", **{"b.csv": BOTH})[1] == usual
    legal = lines(run("b.csv", "--variant", "legal", **{"b.csv": BOTH})[1])
    assert {row["threshold"] for row in legal} == {1825.0}
    unnamed = lines(run("a.csv", "--variant", "legal", **{"a.csv": as_csv(ROWS)})[1])
    assert unnamed == legal


def test_replay_takes_another_alpha(run):
    found = lines(run("a.csv", "--alpha", "0.01", **{"a.csv": as_csv(ROWS)})[1])
    assert {row["threshold"] for row in found} == {36_500.0}


def test_replay_table_is_for_people(run, usual):
    code, out, _ = run("a.csv", "--table", **{"a.csv": as_csv(ROWS)})
    assert code == 0
    assert out.splitlines()[0].split()[:2] == ["days", "n"]
    assert "27 of 28 reference days" in out
    assert "fine-tune." in out
    code, both, _ = run("b.csv", "--table", **{"b.csv": BOTH})
    assert [line for line in both.splitlines() if line in ("legal", "main")] == ["legal", "main"]


def test_replay_what_if_prints_a_line_a_policy(run):
    options = ("--what-if", "--changed", DAYS[33], "--alpha", "0.001", "--cool-down", "90", "--min-examples", "5")
    code, out, _ = run("a.csv", *options, "--every", "50", **{"a.csv": as_csv(ROWS)})
    found = {row["policy"]: row for row in lines(out)}
    assert code == 0
    assert list(found) == [
        "as set (alpha 0.05)", "alpha 0.001", "cool-down 90 days", "at least 5 examples", "weekly", "every 50 examples",
    ]  # fmt: skip
    assert {row["changed"] for row in found.values()} == {DAYS[33]}
    assert found["weekly"]["finetunes"] == [DAYS[34], DAYS[41]]
    assert found["as set (alpha 0.05)"]["delay_days"] >= 0


def test_replay_what_if_table_compares(run):
    code, out, _ = run("a.csv", "--what-if", "--table", **{"a.csv": as_csv(ROWS)})
    assert code == 0
    assert out.splitlines()[0].startswith("policy ")
    assert "as the first policy estimates it. Avoided: EUR against the weekly schedule." in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Give either FILE or --interactions DIR"),
        (("a.csv", "--interactions", "."), "Give either FILE or --interactions DIR"),
        (("nowhere.csv",), "does not exist"),
        (("--interactions", "nowhere"), "does not exist"),
        (("a.csv", "--changed", "2026-02-01"), "add --what-if"),
        (("a.csv", "--every", "5"), "add --what-if"),
        (("a.csv", "--alpha", "0.1", "--alpha", "0.2"), "add --what-if"),
        (("a.csv", "--alpha", "0"), "not in the range"),
        (("a.csv", "--what-if", "--changed", "soon"), "received 'soon'. Expected a day, as in 2026-11-03"),
        (("a.csv", "--what-if", "--changed", "2030-01-01"), f"Expected a day of the history: {DAYS[0]} to {DAYS[-1]}"),
        (("a.csv", "--variant", "api"), "received 'api'. The history has: main"),
        (("a.csv", "--figure", "nowhere/x.png"), "there is no folder 'nowhere'"),
        (("a.csv", "--figure", "x.pdf"), "Expected a file that ends in .png"),
    ],
)
def test_replay_refuses_wrong_usage(run, arguments, says):
    code, out, err = run(*arguments, **{"a.csv": as_csv(ROWS)})
    assert (code, out) == (2, "")
    assert says in " ".join(err.split())


def test_replay_draws_each_variant_into_a_file_of_its_own(run):
    assert run("b.csv", "--figure", "days.png", **{"b.csv": BOTH})[0] == 0
    assert run("a.csv", "--figure", "one.png", "--what-if", **{"a.csv": as_csv(ROWS)})[0] == 0
    drawn = {path.name: path.read_bytes()[:4] for path in run.folder.glob("*.png")}
    assert drawn == dict.fromkeys(("days-legal.png", "days-main.png", "one.png"), b"\x89PNG")


def test_replay_draws_variants_whose_names_cannot_be_those_of_files(run):
    names = ["a/b", "a_b", "../c\n", "é" * 300, "é" * 301, "$\\foo$"]
    (folder := run.folder / "drawn").mkdir()
    few = [row | {"variant": name} for name in names for row in ROWS if row["day"] < DAYS[2]]
    code, _, err = run("v.jsonl", "--figure", "drawn/days.png", **{"v.jsonl": as_lines(few)})
    assert code == 0, err
    drawn = {path.name: path.read_bytes()[:4] for path in folder.iterdir()}
    assert (len(drawn), set(drawn.values())) == (len(names), {b"\x89PNG"})
    assert "days-a_b.png" in drawn  # the name that can be one stays
    assert all(name.startswith("days-") for name in drawn)
    assert not (run.folder / "c.png").exists()


def test_replay_walks_every_variant_to_the_last_day_of_the_file(run):
    ended = [row | {"variant": "legal"} for row in ROWS if row["day"] < DAYS[40]]
    code, out, err = run("b.csv", **{"b.csv": as_csv([*(row | {"variant": "main"} for row in ROWS), *ended])})
    assert (code, len(lines(out))) == (0, 90)
    assert f"legal: 45 days, {DAYS[0]} to {DAYS[-1]}, 5 of them without interactions" in err
