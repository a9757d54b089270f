"""A project's own checks are part of the rules by what they do: another source is evaluated again."""

from __future__ import annotations

import importlib
import sys

import pytest

from assets.behavior.evaluation.manner import manner, sourced
from tests.behavior.evaluation.world import World, as_json

SHORT = "def short(text):\n    return len(text) < 300\n"
SHORTER = "def short(text):\n    return len(text) < 2\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes modules beside twohands.toml, as a new process sees them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = set()

    def write(text: str, name: str = "house_checks_of_a_test", loaded: bool = True):
        (tmp_path / f"{name}.py").write_text(text)
        names.add(name)
        if loaded:
            for one in names:
                sys.modules.pop(one, None)
            importlib.invalidate_caches()
        return manner(checks=[f"{name}:short"])

    yield write
    for one in names:
        sys.modules.pop(one, None)


def test_changed_check_is_tried_again_and_the_same_one_is_found(tmp_path, project):
    world = World(tmp_path / "world")
    world.manner = project(SHORT)
    assert world.tried(as_json).row["changes"]["own: house_checks_of_a_test:short"]["after"] == 1
    world.manner = project(SHORT)
    assert world.trials.run("main", "a1").found
    world.manner = project(SHORTER)
    trial = world.trials.run("main", "a1")
    assert not trial.found
    assert trial.row["changes"]["own: house_checks_of_a_test:short"]["after"] == 0


def test_file_that_changes_under_a_process_counts_when_it_is_loaded(project):
    first = sourced(project(SHORT).checks)
    assert sourced(project(SHORTER, loaded=False).checks) == first  # what runs is still the former
    assert sourced(project(SHORTER).checks) != first


def test_check_that_stands_in_another_module_counts_with_that_one(project):
    project(SHORT, "house_rules_of_a_test")
    named = "from house_rules_of_a_test import short\n"
    first = sourced(project(named).checks)
    assert sourced(project(named).checks) == first
    project(SHORTER, "house_rules_of_a_test")
    assert sourced(project(named).checks) != first


def test_check_without_source_counts_by_its_name():
    assert sourced(manner(checks=["math:isfinite"]).checks) == [["math:isfinite"]]


def test_order_of_the_checks_says_nothing():
    names = ["textwrap:dedent", "json:detect_encoding"]
    assert sourced(manner(checks=names).checks) == sourced(manner(checks=names[::-1]).checks)
