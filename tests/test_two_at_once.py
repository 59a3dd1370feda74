"""Orchestrators that are started together over one experiment: one works, the others say who does."""

from pathlib import Path

import pytest

from tests.two_at_once import play

pytestmark = pytest.mark.slow


@pytest.mark.timeout(2400)
def test_of_four_at_once_one_works_and_three_name_it_and_its_death_frees_the_experiment(tmp_path: Path) -> None:
    found = play(tmp_path, rounds=2)
    assert (found["worked"], found["refused"]) == (2, 6)
