from __future__ import annotations

import json

import pytest

from benchmarks.serving.report import measured, merge


def test_run_of_one_part_keeps_what_others_measured(tmp_path):
    file = tmp_path / "out" / "answering.json"
    merge(file, {"generate": {"tokens": 1}, "swap": {"failed": 1}})
    assert merge(file, {"swap": {"failed": 0}}) == {"generate": {"tokens": 1}, "swap": {"failed": 0}}
    assert json.loads(file.read_text()) == {"generate": {"tokens": 1}, "swap": {"failed": 0}}
    assert measured({"failed": 0}).keys() == {"at", "cpus", "load", "failed"}


@pytest.mark.parametrize("former", ["", "{", "[]", '{"cpus": 2, "load": 0.5}'])
def test_what_is_no_part_of_a_report_is_not_kept(tmp_path, former):
    file = tmp_path / "answering.json"
    file.write_text(former)
    assert merge(file, {"swap": {"failed": 0}}) == {"swap": {"failed": 0}}
