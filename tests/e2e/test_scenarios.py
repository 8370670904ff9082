"""The scenarios that need processes and load, in short; and that each of the 25 has its tests."""

import re

import pytest

from tests.bench.scenarios.catalogue import SCENARIOS
from tests.bench.scenarios.setup import Setup
from tests.conftest import ROOT

TABLE = (ROOT / "tests/bench/scenarios/README.md").read_text("utf-8")
ROWS = re.findall(r"(?m)^\| (\d+)(\*?) \|.*\| (.+) \|$", TABLE)


# 17 is seen in 4.
@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("number", sorted(SCENARIOS.keys() - {17}))
def test_scenario_in_short(number: int) -> None:
    checks = SCENARIOS[number].run(Setup(is_full=False))
    assert checks
    assert [str(check) for check in checks if not check.holds] == []


def test_table_has_all_and_stars_those_that_can_be_run() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 26))
    assert {int(number) for number, star, _ in ROWS if star} == SCENARIOS.keys()


@pytest.mark.parametrize(("number", "cell"), [(number, cell) for number, _, cell in ROWS])
def test_tests_that_the_table_names_are_there(number: str, cell: str) -> None:
    names = re.findall(r"`([^`]+)`", cell)
    assert names
    for name in names:
        path, _, function = name.partition("::")
        assert (ROOT / path).exists(), f"scenario {number}: no {path}"
        if function:
            assert f"def {function}(" in (ROOT / path).read_text("utf-8"), name
