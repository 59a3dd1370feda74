"""Intervals and paired tests: against scipy, their own definitions, and experiments of which the truth is known."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics import (
    Difference,
    Part,
    Sampled,
    critical,
    difference,
    discordant,
    holm,
    interval,
    more_images,
    more_seeds,
    p_value,
    seeds_interval,
)

Floats = npt.NDArray[np.float64]
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def answers(seeds: int, n: int = 400, accuracy: float = 0.8, seed_sd: float = 0.1, start: int = 0) -> Floats:
    """Right or wrong, (seeds, n): images differ in difficulty, runs in quality; the same images whatever the start."""
    hard = np.random.default_rng(99).normal(0, 1.5, n)
    random = np.random.default_rng(start)
    skill = random.normal(0, seed_sd, (seeds, 1)) + 1.8 * math.log(accuracy / (1 - accuracy))
    return np.asarray(random.random((seeds, n)) < 1 / (1 + np.exp(-skill - hard)), dtype=np.float64)


def test_one_part_has_students_quantile_and_many_images_the_normal_one() -> None:
    assert critical([Part(0.3, 4)]) == pytest.approx(stats.t.ppf(0.975, 4))
    assert critical([Part(0.3)]) == pytest.approx(stats.norm.ppf(0.975))


@pytest.mark.parametrize(("df", "least", "most"), [(1, 0.937, 0.97), (2, 0.949, 0.969), (4, 0.949, 0.968)])
def test_critical_values_of_mixed_parts_cover_normal_means(df: int, least: float, most: float) -> None:
    """Integrated over the chance of the seeds' variance, for every share of it."""
    chance = stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df
    for share in np.linspace(0.05, 0.95, 19):
        parts = [[Part(share * each, df), Part(1 - share)] for each in chance]
        reach = np.array([critical(each) * math.sqrt(each[0].variance + each[1].variance) for each in parts])
        assert least < float((2 * stats.norm.cdf(reach) - 1).mean()) < most


@given(st.floats(0.01, 8), st.floats(0.01, 5), st.integers(1, 30), st.floats(0, 5))
def test_the_p_value_is_the_level_at_which_the_difference_is_critical(
    z: float, seeds: float, df: int, images: float
) -> None:
    parts = [Part(seeds, df), Part(images)]
    value = z * math.sqrt(seeds + images)
    p = p_value(value, parts)
    assert p_value(-value, parts) == p
    if 1e-12 < p < 1:
        assert critical(parts, p) == pytest.approx(z, rel=1e-3, abs=2e-4)


def test_p_values_of_seeds_alone_are_those_of_a_t_test() -> None:
    values = np.array([0.81, 0.84, 0.79, 0.83])
    t = stats.ttest_1samp(values, 0.8)
    part = Part(float(values.var(ddof=1)) / 4, 3)
    assert p_value(float(values.mean()) - 0.8, [part]) == pytest.approx(t.pvalue, rel=1e-3)


def test_p_values_of_equal_predictions_are_one_and_no_variance_leaves_no_doubt() -> None:
    same = Sampled.of(answers(1))
    assert difference(same, same).p == 1.0
    assert p_value(0.1, [Part(0.0)]) == 0.0


def test_holm_is_bonferroni_for_the_smallest_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(PROBABILITIES)
def test_holm_keeps_the_order_and_lies_between_each_p_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, found in zip(p_values, adjusted, strict=True):
        assert p <= found <= min(1.0, len(p_values) * p) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int) -> None:
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert discordant(gained, lost) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_the_parts_add_up_to_the_analysis_of_variance() -> None:
    """Expected mean squares of a two-way layout with one value a cell, computed the long way."""
    values = answers(4)
    seeds, n = values.shape
    grand = values.mean()
    ms_seeds = n * ((values.mean(axis=1) - grand) ** 2).sum() / (seeds - 1)
    ms_images = seeds * ((values.mean(axis=0) - grand) ** 2).sum() / (n - 1)
    rest = ((values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + grand) ** 2).sum()
    ms_rest = rest / ((seeds - 1) * (n - 1))
    own, shared = Sampled.of(values).parts
    assert own.variance == pytest.approx(ms_seeds / (n * seeds))
    assert shared.variance == pytest.approx((ms_images - ms_rest) / (n * seeds))


def test_an_interval_of_one_seed_is_over_images_and_near_the_bootstraps() -> None:
    values = answers(1, n=1000)
    low, high = interval(Sampled.of(values), "fraction")
    found = stats.bootstrap((values[0],), np.mean, n_resamples=2000, rng=np.random.default_rng(0)).confidence_interval
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.004)


def test_intervals_of_fractions_stay_within_them_even_when_every_image_is_right() -> None:
    low, high = interval(Sampled.of(np.ones((3, 200))), "fraction")
    wilson = stats.binomtest(200, 200).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high))
    low, high = interval(Sampled.of(np.zeros((1, 200))), "fraction")
    assert low == 0
    assert 0 < high < 0.05


def test_intervals_of_losses_are_not_negative() -> None:
    low, _ = interval(Sampled.of(np.random.default_rng(0).exponential(1e-3, (2, 5)) * [[1], [30]]), "positive")
    assert low == 0


def test_over_seeds_alone_the_interval_is_students() -> None:
    values = [2.0, 2.5, 2.2]
    expected = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert seeds_interval(values, "any") == pytest.approx(expected)


def test_more_seeds_and_more_images_narrow_an_interval() -> None:
    def width(values: Floats) -> float:
        low, high = interval(Sampled.of(values), "fraction")
        return high - low

    assert width(answers(8)) < width(answers(3))
    assert width(answers(3, n=6400)) < width(answers(3, n=100))


def test_pairing_by_images_tells_what_unpaired_intervals_hide() -> None:
    """Two networks that differ on few images: their intervals overlap, their difference excludes nought."""
    first = answers(1, n=2000)
    second = first.copy()
    second[0, np.flatnonzero(first[0])[:40]] = 0
    a, b = Sampled.of(first), Sampled.of(second)
    assert interval(a, "fraction")[0] < interval(b, "fraction")[1]
    assert difference(a, b).limits[0] > 0


def test_one_seed_against_several_takes_their_variance_for_both() -> None:
    one, three = Sampled.of(answers(1)), Sampled.of(answers(3, start=1))
    found = difference(one, three)
    assert three.between is not None
    assert found.seeds == (three.between, three.between)
    assert found.parts[0] == Part(pytest.approx(three.between * (1 + 1 / 3)), 2)
    back = difference(three, one)
    assert (back.value, back.p) == pytest.approx((-found.value, found.p))


def test_so_many_more_seeds_would_tell_them_apart_as_often_as_is_promised() -> None:
    """With the forecast number, a difference of this size is told in about 80% of repetitions, 1,000 drawn here."""
    variances, images = (4e-4, 2e-4), 2e-5
    found = Difference(0.02, (Part(2e-4, 3), Part(images)), variances, images, 2000)
    more = more_seeds(found, 3)
    assert more is not None
    assert 0.7 < told(0.02, variances, images, 3 + more) < 0.9
    assert told(0.02, variances, images, 3) < 0.4


def told(value: float, variances: tuple[float, float], images: float, seeds: int) -> float:
    """How often normal draws with these variances are told apart."""
    random = np.random.default_rng(5)
    count = 0
    for _ in range(1000):
        runs = [random.normal(0, math.sqrt(each), seeds) for each in variances]
        seen = value + runs[0].mean() - runs[1].mean() + random.normal(0, math.sqrt(images))
        own = [float(each.var(ddof=1)) / seeds for each in runs]
        df = sum(own) ** 2 / sum(each**2 / (seeds - 1) for each in own)
        parts = [Part(sum(own), df), Part(images)]
        count += abs(seen) > critical(parts) * math.sqrt(sum(part.variance for part in parts))
    return count / 1000


def test_where_the_images_are_too_few_no_number_of_seeds_is_promised() -> None:
    """Two networks whose seeds hardly vary: what is left is the choice of images."""
    first = answers(1, n=300)
    second = first.copy()
    second[0, :150] = answers(1, n=300, start=7)[0, :150]
    steady = [np.repeat(each, 3, axis=0) for each in (first, second)]
    for values in steady:
        values[0, 299] = 1 - values[0, 299]
    found = difference(*map(Sampled.of, steady))
    assert more_seeds(found, 3) is None
    more = more_images(found)
    assert more is not None
    assert more > 0
    reach = abs(found.value) / (stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
    assert more == math.ceil(300 * found.images / reach**2) - 300
